"""Every gate sees the fault it exists for, and no gate of integrity fires that should not."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
from faults import ALSO_TRUE, FAULTS

from darkhaloscope.config import BankHybrid, CutoutsSynthetic, Inject, Plan
from darkhaloscope.evaluate import gates
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.gates import judge
from darkhaloscope.evaluate.integrity import COUNTED
from darkhaloscope.evaluate.probes import PROBES
from darkhaloscope.io.bank import read_bank
from darkhaloscope.io.parts import parts_in
from darkhaloscope.jobs import looks
from darkhaloscope.jobs.banks import bank_hybrid
from darkhaloscope.jobs.inject import inject_all
from darkhaloscope.jobs.plan import plan
from darkhaloscope.jobs.synthetic import cutouts_synthetic

HOSTS = 160


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """Rows of a healthy set, and its bank."""
    folder = tmp_path_factory.mktemp("healthy")
    bank, cutouts, rows, stamps = (folder / n for n in ("bank.h5", "cutouts", "plan", "stamps"))
    bank_hybrid(bank, BankHybrid(n_sources=60))
    cutouts_synthetic(cutouts, CutoutsSynthetic(n_hosts=HOSTS), 1)
    plan(rows, cutouts, bank, Plan(spiral_fraction=0.5))
    inject_all(stamps, rows, cutouts, bank, Inject())
    tables = [t for p in parts_in(stamps) for t in looks.whole_pairs(looks.pieces_of(p))]
    return {n: np.concatenate([t[n] for t in tables]) for n in tables[0]}, read_bank(bank)


def _findings(rows) -> dict[str, Finding]:
    seen = looks.look(rows, 1.0)
    return {f.gate: f for f in judge(seen.tally, seen.sample)}


def _failing(found: dict[str, Finding]) -> set[str]:
    return {gate for gate, f in found.items() if f.level is Level.FAIL}


def test_nothing_fires_on_a_healthy_set(healthy):
    found = _findings(healthy[0])
    assert not _failing(found)
    assert not {f.gate for f in found.values() if f.level is Level.SKIP}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_fires_its_gate(healthy, fault: Callable, monkeypatch):
    rows, bank = copy.deepcopy(healthy[0]), healthy[1]
    if not FAULTS[fault].startswith("probe."):  # probes take most of the time, and are not asked
        monkeypatch.setattr(gates, "probe_all", lambda columns: [])
    fault(rows, bank)
    failing = _failing(_findings(rows))
    assert FAULTS[fault] in failing
    integrity = {gate for gate in failing if gate.startswith("integrity.")}
    assert integrity <= {FAULTS[fault]} | ALSO_TRUE.get(fault, set())


def test_every_gate_has_a_fault(healthy):
    """But for those that judge nothing, or need files: test_validate_job has their faults.

    physics.kappa_area judges the renderer, whatever the rows: test_gates has its fault.
    """
    found = {f.gate for f in _findings(healthy[0]).values() if f.limit}
    probes = {f"probe.{probe.name}" for probe in PROBES}
    planted = set(FAULTS.values()) | {"physics.kappa_area"}
    planted |= {"probe." + g.split(".")[1] for g in FAULTS.values()}
    assert len(COUNTED) >= 12
    assert {g for g in found if not g.startswith("probe.")} <= planted
    assert probes <= planted
