"""Hosts that are lost are lost for every kind alike, and a run that lost too many is not green."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from darkhaloscope.cli import run
from darkhaloscope.config import BankHybrid, Inject
from darkhaloscope.io.files import read_json
from darkhaloscope.io.parts import RECORD, claim, digest_of_parts, parts_in
from darkhaloscope.io.tables import columns_of, image_bytes, write_table
from darkhaloscope.jobs.banks import bank_hybrid
from darkhaloscope.jobs.cutout_store import write_record
from darkhaloscope.jobs.plan import plan
from darkhaloscope.schema import CUTOUTS, KINDS
from flow import PLAN, make_stamps

MANY = PLAN.model_copy(update={"mode": "grid", "pairs_per_host": 4})


@pytest.fixture
def split(inputs, tmp_path):
    """The small run's inputs with cutouts in three files of eight hosts, and their stamps."""
    (tmp_path / "bank.h5").symlink_to(inputs / "bank.h5")
    table = columns_of(pq.read_table(parts_in(inputs / "cutouts")[0]))
    store = claim(tmp_path / "cutouts", {"stage": "test"})
    for part in range(3):
        rows = {name: values[8 * part : 8 * part + 8] for name, values in table.items()}
        write_table(store.path(part), rows, CUTOUTS, store.metadata())
    write_record(store)
    plan(tmp_path / "plan", tmp_path / "cutouts", tmp_path / "bank.h5", PLAN)
    make_stamps(tmp_path, tmp_path / "whole")
    return tmp_path


def _alter(path) -> None:
    """One bit of one pixel, in the middle of the file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _inject(folder, least: float) -> int:
    places = {"plan": "plan", "cutouts": "cutouts", "bank": "bank.h5", "out": "stamps"}
    flags = [word for key, name in places.items() for word in (f"--{key}", str(folder / name))]
    return run(["inject", *flags, "--min-usable-fraction", str(least), "--processes", "1"])


def _counts(folder) -> tuple[dict, dict]:
    record = read_json(folder / "stamps" / RECORD)
    assert all(record["usable"].get(kind, 0) <= n for kind, n in record["planned"].items())
    assert len(set(record["usable"].values())) <= 1, "kinds lost rows in unequal numbers"
    return record["planned"], record


@pytest.mark.parametrize(("least", "code"), [(0.9, 2), (0.6, 0)])
def test_an_altered_cutout_file_is_quarantined_and_the_floor_decides(split, least, code, capfd):
    kept = split / "kept"
    shutil.copy(split / "cutouts" / "part-00001.parquet", kept)
    _alter(split / "cutouts" / "part-00001.parquet")
    assert _inject(split, least) == code
    said = " ".join(capfd.readouterr().err.split())
    planned, record = _counts(split)
    assert record["quarantined"] == {"DAMAGED": sum(planned.values()) // 3}
    assert ("too few usable rows" in said) == (code == 2)
    shutil.copy(kept, split / "cutouts" / "part-00001.parquet")
    assert _inject(split, 0.9) == 0
    assert digest_of_parts(split / "stamps") == digest_of_parts(split / "whole")
    assert not list((split / "stamps" / "quarantine").glob("*.parquet"))


def test_a_missing_cutout_file_ends_the_job_before_work(split, capfd):
    (split / "cutouts" / "part-00001.parquet").unlink()
    assert _inject(split, 0) == 2
    assert "lacks part-00001.parquet (1 of 3 files)" in " ".join(capfd.readouterr().err.split())
    assert not (split / "stamps").exists()


def test_no_usable_row_is_never_a_green_run(split, capfd):
    for path in parts_in(split / "cutouts"):
        _alter(path)
    assert _inject(split, 0) == 2
    assert "too few usable rows" in " ".join(capfd.readouterr().err.split())
    planned, record = _counts(split)
    assert record["quarantined"] == {"DAMAGED": sum(planned.values())}


@pytest.fixture(scope="module")
def blurred(tmp_path_factory):
    """Cutouts of 32 pixels under seeing of 3 arcsec."""
    folder = tmp_path_factory.mktemp("blurred")
    (folder / "npz").mkdir()
    rng = np.random.default_rng(5)
    y, x = np.indices((32, 32)) - 15.5
    for i in range(12):
        light = 2.0 * np.exp(-np.hypot(x, y) / 5)[..., None] * [0.3, 1, 2]
        cutout = (rng.normal(0, 0.003, (32, 32, 3)) + light).astype("f4")
        np.savez(folder / "npz" / f"host{i:02d}.npz", cutout=cutout, meta_ra=10.0 + i, meta_dec=0.0)
    words = ["cutouts", "npz", str(folder / "npz"), "--out", str(folder / "cutouts")]
    assert run([*words, "--split", "train", *["--psf-fwhm-arcsec", "3", "3", "3"]]) == 0
    bank_hybrid(folder / "bank.h5", BankHybrid(n_sources=20))
    plan(folder / "plan", folder / "cutouts", folder / "bank.h5", MANY)
    return folder


def _usable(folder, cfg) -> dict[str, int]:
    out = folder / f"stamps-{cfg.psf_model}"
    make_stamps(folder, out, cfg=cfg)
    record = read_json(out / RECORD)
    assert set(record["planned"]) >= set(KINDS[:2])
    return {kind: record["usable"].get(kind, 0) for kind in record["planned"]}


@pytest.mark.parametrize("model", ["moffat", "gaussian"])
def test_seeing_of_three_arcsec_fails_no_kind_more_than_another(blurred, model):
    usable = _usable(blurred, Inject(psf_model=model))
    assert len(set(usable.values())) == 1 and min(usable.values()) > 30, usable


def test_a_psf_image_larger_than_the_stamp_fails_no_kind_more_than_another(blurred, tmp_path):
    side = 63
    (tmp_path / "bank.h5").symlink_to(blurred / "bank.h5")
    table = columns_of(pq.read_table(parts_in(blurred / "cutouts")[0]))
    y, x = np.indices((side, side)) - side // 2
    psf = (1 + (np.hypot(x, y) * 0.262 / 1.62) ** 2) ** -2.5
    image = image_bytes(np.array([psf / psf.sum()] * 3, "f4"))
    n = len(table["host_id"])
    table["psf_size_pix"] = np.full(n, side, np.int32)
    table["psf_image"] = np.array([image] * n, object)
    store = claim(tmp_path / "cutouts", {"stage": "test"})
    write_table(store.path(0), table, CUTOUTS, store.metadata())
    write_record(store)
    plan(tmp_path / "plan", tmp_path / "cutouts", tmp_path / "bank.h5", MANY)
    usable = _usable(tmp_path, Inject(psf_model="image"))
    assert len(set(usable.values())) == 1 and min(usable.values()) > 30, usable
