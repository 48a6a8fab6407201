"""A bank judged, shown and merged: what the plan's recipe makes fails, and says why."""

import json

import h5py
import numpy as np
import pytest

from catalogue import disc, noise, planted, write_catalogue
from darkhaloscope.cli import run
from darkhaloscope.config import BankCosmos, BankHybrid, BankMerge
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.bank_gates import judge_bank, pixel_numbers
from darkhaloscope.evaluate.findings import Level
from darkhaloscope.io.bank import MADE, TEXT, read_bank, write_bank
from darkhaloscope.jobs.bank_check import check, merge, show
from darkhaloscope.jobs.banks import bank_cosmos, bank_hybrid
from darkhaloscope.sim.light import clumpiness, half_light_radius

ABOUT = {"pixel_scale": 0.03, "psf_fwhm": 0.15, "identity": {"stage": "test"}}


def _stamps(n=24):
    return [disc(22.0 + 0.1 * (i % 10), 0.15 + 0.01 * i) + noise(i) for i in range(n)]


@pytest.fixture(scope="module")
def cosmos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    stamps = {str(i): stamp for i, stamp in enumerate(_stamps())}
    radius = np.array([np.hypot(0.15 + 0.01 * i, 0.075) / 0.03 for i in range(24)])
    catalogue = write_catalogue(folder / "c", stamps | planted(), flux_radius=np.append(
        radius, np.full(len(planted()), 10.0)), zphot=np.full(34, 1.0))  # fmt: skip
    bank_cosmos(folder / "bank.h5", catalogue, BankCosmos())
    return folder / "bank.h5"


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    path = tmp_path_factory.mktemp("hybrid") / "bank.h5"
    bank_hybrid(path, BankHybrid(n_sources=12))
    return path


def _columns(path):
    bank = read_bank(path)
    measured = pixel_numbers(bank.templates(slice(None)), bank.pixel_scale)
    return {**bank.columns, **{f"pixels.{k}": v for k, v in measured.items()}}


def _failing(columns) -> set[str]:
    return {f.gate for f in judge_bank(columns) if f.level is Level.FAIL}


def test_a_good_bank_passes(cosmos, hybrid, tmp_path):
    assert check(cosmos, tmp_path / "findings.json") and check(hybrid, None)
    found = json.loads((tmp_path / "findings.json").read_text())["findings"]
    levels = {f["gate"]: f["level"] for f in found}
    assert set(levels.values()) <= {"pass", "info", "skip"}
    assert levels["quality.clumpiness"] == levels["quality.sky"] == "pass"


def test_the_exit_code_follows_the_gates(cosmos, tmp_path):
    assert run(["bank", "check", str(cosmos)]) == 0
    broken = tmp_path / "broken.h5"
    broken.write_bytes(cosmos.read_bytes())
    with h5py.File(broken, "r+") as file:
        file["hlr_arcsec"][...] = file["hlr_arcsec"][:][::-1]
    assert run(["bank", "check", str(broken)]) == 1


def test_the_plans_recipe_fails_and_says_why(tmp_path):
    """Clip negatives to 0, divide by the sum: sky becomes galaxy, and its own gate passes."""
    size, stamps = 128, []
    for i in range(20):
        stamp = np.clip(disc(24.5, 0.2) + noise(i), 0, None)
        stamps.append(stamp / stamp.sum())
    images = np.array(stamps)
    rough = np.array([clumpiness(image) for image in images])
    assert np.median(rough) > 0.15  # the plan's gate
    columns = {name: np.full(20, value) for name, value in MADE.items()}
    columns |= {name: np.array([f"{name}{i}" for i in range(20)]) for name in TEXT}
    columns |= {
        "split": np.array(["train"] * 20),
        "snr": np.full(20, 20.0),
        "clumpiness": rough,
        "clumpiness_null": rough,
        "hlr_arcsec": np.array([half_light_radius(image, 0.03) for image in images]),
        "hlr_catalogue_arcsec": np.full(20, 0.2),
    }
    write_bank(tmp_path / "plan.h5", images, columns, **ABOUT)
    assert size == read_bank(tmp_path / "plan.h5").size
    failing = _failing(_columns(tmp_path / "plan.h5"))
    wanted = {"border", "outskirts", "negatives", "clumpiness", "half_light_radius"}
    assert {f"quality.{name}" for name in wanted} <= failing


def _dark(c):
    c["pixels.flux"][3] = 0.0


def _not_a_number(c):
    c["pixels.flux"][3] = np.nan


def _two_splits(c):
    c["template_id"][1] = c["template_id"][0]
    c["split"][:2] = ["train", "test"]


def _twice(c):
    c["template_id"][1] = c["template_id"][0]
    c["split"][:2] = "train"


def _other_zero_point(c):
    c["mag_measured"] += 0.7


def _pedestal_left(c):
    c["border_sigma"] += 3


def _noise_taken_for_clumps(c):
    c["clumpiness_null"] = c["clumpiness"] + 0.05


def _faint(c):
    c["snr"][:4] = 6.0


@pytest.mark.parametrize(
    ("plant", "gate"),
    [
        (_dark, "integrity.flux"),
        (_not_a_number, "integrity.flux"),
        (_two_splits, "integrity.splits"),
        (_twice, "integrity.doubles"),
        (_other_zero_point, "quality.magnitude"),
        (_pedestal_left, "quality.sky"),
        (_noise_taken_for_clumps, "quality.clumpiness"),
        (_faint, "quality.snr"),
    ],
)
def test_a_planted_fault_fires_its_gate(cosmos, plant, gate):
    columns = {name: values.copy() for name, values in _columns(cosmos).items()}
    assert not _failing(columns)
    plant(columns)
    assert gate in _failing(columns)


def test_the_page_shows_templates_and_what_was_turned_away(cosmos, tmp_path):
    assert show(cosmos, tmp_path / "bank.html")
    page = (tmp_path / "bank.html").read_text()
    assert page.count("data:image/png;base64,") >= 8
    for words in ("Turned away: blended", "Turned away: pedestal", "Clumpiness against its noise"):
        assert words in page
    assert "http://" not in page and "https://" not in page
    first = (tmp_path / "bank.html").read_bytes()
    show(cosmos, tmp_path / "bank.html")
    assert (tmp_path / "bank.html").read_bytes() == first


def test_a_made_bank_has_a_page_too(hybrid):
    assert run(["bank", "show", str(hybrid)]) == 0
    assert hybrid.with_suffix(".html").exists()


def test_merging_splits_anew_and_takes_a_galaxy_once(cosmos, hybrid, tmp_path):
    one = read_bank(cosmos)
    merge(tmp_path / "m.h5", [cosmos, hybrid, cosmos], BankMerge())
    both = read_bank(tmp_path / "m.h5")
    assert len(both) == len(one) + 12
    assert set(both.columns["source"]) == {"cosmos", "hybrid"}
    np.testing.assert_array_equal(both.templates([0, 5]), one.templates([0, 5]))
    assert sorted(set(both.columns["split"])) == ["test", "train", "val"]
    assert check(tmp_path / "m.h5", None)


def test_banks_that_differ_are_not_merged(hybrid, tmp_path):
    bank_hybrid(tmp_path / "small.h5", BankHybrid(n_sources=3, stamp_size=64))
    with pytest.raises(DhsError, match=r"differ in size: 128 \(bank.h5\), 64 \(small.h5\)"):
        merge(tmp_path / "m.h5", [hybrid, tmp_path / "small.h5"], BankMerge())
    with pytest.raises(DhsError, match="two banks or more"):
        merge(tmp_path / "m.h5", [hybrid], BankMerge())
    assert not (tmp_path / "m.h5").exists()
