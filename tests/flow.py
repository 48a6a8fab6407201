"""A small run of the flow, for all tests that look at one."""

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest

from darkhaloscope.config import BankHybrid, CutoutsSynthetic, Inject, Plan
from darkhaloscope.io.parts import parts_in
from darkhaloscope.io.tables import columns_of, read_table
from darkhaloscope.jobs import validate
from darkhaloscope.jobs.banks import bank_hybrid
from darkhaloscope.jobs.engine import Local
from darkhaloscope.jobs.inject import inject_all
from darkhaloscope.jobs.plan import plan
from darkhaloscope.jobs.synthetic import cutouts_synthetic
from darkhaloscope.schema import PLAN as PLAN_COLUMNS

BANK = BankHybrid(n_sources=40)
SKY = CutoutsSynthetic(n_hosts=24, size_pix=48)
PLAN = Plan(
    rows_per_part=30,
    host_weighting="equal",
    ring_fraction=1,
    companion_fraction=1,
    spiral_fraction=1,
)


def make_inputs(out: Path) -> None:
    bank_hybrid(out / "bank.h5", BANK)
    cutouts_synthetic(out / "cutouts", SKY, 1)
    plan(out / "plan", out / "cutouts", out / "bank.h5", PLAN)


def make_stamps(inputs: Path, out: Path, processes: int = 1, cfg: Inject | None = None) -> None:
    inject_all(
        out,
        inputs / "plan",
        inputs / "cutouts",
        inputs / "bank.h5",
        cfg or Inject(),
        Local(processes),
    )


@contextlib.contextmanager
def no_report():
    """Drawing is most of judging a small set; for tests that look at findings alone."""
    with (
        mock.patch.object(validate, "report", return_value=""),
        mock.patch.object(validate, "completeness_figures", return_value=[]),
    ):
        yield


def plan_rows(folder: Path) -> dict[str, np.ndarray]:
    """All rows of a plan, as columns."""
    return columns_of(pa.concat_tables([read_table(p, PLAN_COLUMNS) for p in parts_in(folder)]))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` has filled; of xdist's workers, the first that asks makes it."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Bank, cutouts and plan of a small run; read only."""
    return made_once(tmp_path_factory, "inputs", make_inputs)


@pytest.fixture(scope="session")
def stamps(inputs, tmp_path_factory):
    """The stamp set of `inputs`, by one process; read only."""
    return made_once(tmp_path_factory, "set", lambda out: make_stamps(inputs, out / "stamps")) / (
        "stamps"
    )
