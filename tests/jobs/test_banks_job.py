"""Banks from start to end: planted stamps meet their fate, and a bank is the same however made."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from catalogue import NAME, disc, noise, planted, write_catalogue
from darkhaloscope.config import BankCosmos, BankHybrid
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import MADE, TEXT, read_bank, read_rejects, write_bank
from darkhaloscope.io.files import sha256
from darkhaloscope.jobs import bank_parts
from darkhaloscope.jobs.banks import bank_cosmos, bank_hybrid
from tolerance import assert_ratio, assert_within

NAMES = list(planted())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What galsim_download_cosmos makes, with planted stamps."""
    root = tmp_path_factory.mktemp("cosmos")
    write_catalogue(root / "COSMOS_25.2_training_sample", planted())
    return root


@pytest.fixture(scope="module")
def bank_path(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("bank") / "bank.h5"
    bank_cosmos(path, folder, BankCosmos())
    return path


def _row(path, name):
    bank = read_bank(path)
    i = bank.columns["template_id"].tolist().index(str(1000 + NAMES.index(name)))
    return bank.templates([i])[0], {key: values[i] for key, values in bank.columns.items()}


def test_planted_stamps_are_turned_away_for_their_reason(bank_path):
    rejects = read_rejects(bank_path).columns
    names = [NAMES[int(i) - 1000] for i in rejects["template_id"]]
    found = dict(zip(names, rejects["reason"].tolist(), strict=True))
    assert found == {
        "noise": "S/N below 20",
        "rectified": "bad stamp",
        "blended": "blended",
        "truncated": "truncated by its stamp",
        "faint": "S/N below 20",
        "holes": "bad stamp",
        "pedestal": "pedestal",
    }
    assert len(read_rejects(bank_path).images) == len(found)


def test_a_smooth_disc_scores_nothing_and_a_clumpy_one_does(bank_path):
    scores = {}
    for name in ("smooth", "clumpy"):
        _, row = _row(bank_path, name)
        scores[name] = row["clumpiness"] - row["clumpiness_null"]
    assert abs(scores["smooth"]) < 0.003
    assert scores["clumpy"] > scores["smooth"] + 0.005


def test_flux_size_and_catalogue_values_are_kept(bank_path):
    image, row = _row(bank_path, "smooth")
    assert_within(row["mag_measured"], 22.0, 0.03, "magnitude")
    assert_ratio(row["hlr_arcsec"], np.hypot(0.3, 0.075), 0.08, "half-light radius")
    assert_within(row["hlr_catalogue_arcsec"], 0.3, 1e-6, "catalogue's half-light radius")
    assert_within(row["z"], 0.5, 1e-6, "redshift")
    assert np.isnan(row["mag_g"]) and row["source"] == "cosmos"
    assert (image < 0).any()
    assert abs(row["border_sigma"]) < 4


def test_a_neighbour_is_masked_out_of_flux_and_size(bank_path):
    _, row = _row(bank_path, "neighbour")
    assert_within(row["mag_measured"], 22.5, 0.03, "magnitude")
    assert row["hlr_arcsec"] < 0.26


def test_the_catalogues_own_flags_turn_galaxies_away(tmp_path):
    stamps = {name: disc(22.0) + noise(i) for i, name in enumerate("abcd")}
    quality = np.array([50.0, 50.0, 3.0, 50.0])
    folder = write_catalogue(tmp_path / "c", stamps, sn_ellip_gauss=quality)
    counts = bank_cosmos(tmp_path / "b.h5", folder, BankCosmos())
    assert counts == {"the catalogue's flags (marginal)": 1}
    assert read_bank(tmp_path / "b.h5").columns["template_id"].tolist() == ["1000", "1001", "1003"]
    bank_cosmos(tmp_path / "all.h5", folder, BankCosmos(exclusion_level="none"))
    assert len(read_bank(tmp_path / "all.h5")) == 4


def test_a_catalogue_without_tables_of_quality_is_read_without(tmp_path, capfd):
    folder = write_catalogue(tmp_path / "c", {"a": disc(22.0) + noise(1)})
    (folder / f"{NAME}_selection.fits").unlink()
    bank_cosmos(tmp_path / "b.h5", folder, BankCosmos())
    said = " ".join(capfd.readouterr().err.split())
    assert "own flags: none, for tables of fits and stamp quality are not beside it" in said


def test_flux_unlike_the_catalogues_is_turned_away(tmp_path):
    stamps = {"a": disc(22.0) + noise(1), "b": disc(22.0) + noise(2)}
    folder = write_catalogue(tmp_path / "c", stamps, MAG=np.array([22.0, 23.5]))
    counts = bank_cosmos(tmp_path / "b.h5", folder, BankCosmos())
    assert counts == {"flux unlike the catalogue's by 0.8 mag": 1}


def test_a_stamp_of_unknown_noise_is_turned_away_alone(tmp_path):
    stamps = {name: disc(22.0) + noise(i) for i, name in enumerate("abc")}
    variance = np.array([0.002**2, 0.0, np.nan])
    folder = write_catalogue(tmp_path / "c", stamps, NOISE_VARIANCE=variance)
    assert bank_cosmos(tmp_path / "b.h5", folder, BankCosmos()) == {"bad stamp": 2}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Thirty galaxies, two thirds of them good."""
    stamps = {str(i): disc(22.0 + 2 * (i % 3), 0.2) + noise(i) for i in range(30)}
    return write_catalogue(tmp_path_factory.mktemp("many"), stamps)


def test_the_same_bank_by_one_process_two_or_resumed(many, tmp_path, monkeypatch):
    monkeypatch.setattr(bank_parts, "_PART", 7)
    cfg = BankCosmos(n_sources=12)
    for name, processes in (("one", 1), ("two", 2)):
        bank_cosmos(tmp_path / f"{name}.h5", many, cfg, processes)
    assert sha256(tmp_path / "one.h5") == sha256(tmp_path / "two.h5")
    assert not list(tmp_path.glob(".*"))

    made, real = [], bank_parts._make_part

    def twice_then_killed(task):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(task.path)
        return real(task)

    monkeypatch.setattr(bank_parts, "_make_part", twice_then_killed)
    with pytest.raises(KeyboardInterrupt):
        bank_cosmos(tmp_path / "three.h5", many, cfg)
    assert not (tmp_path / "three.h5").exists()
    assert all(path.exists() for path in made)
    again = []
    monkeypatch.setattr(
        bank_parts, "_make_part", lambda task: again.append(task.path) or real(task)
    )
    bank_cosmos(tmp_path / "three.h5", many, cfg)
    assert again and not set(again) & set(made)
    assert sha256(tmp_path / "three.h5") == sha256(tmp_path / "one.h5")


def test_more_than_survive_says_how_many(many, tmp_path):
    bank_cosmos(tmp_path / "all.h5", many, BankCosmos())
    n = len(read_bank(tmp_path / "all.h5"))
    assert 15 <= n <= 20
    with pytest.raises(DhsError, match=rf"{n} of 30 galaxies survive the cuts, 25 were asked for"):
        bank_cosmos(tmp_path / "b.h5", many, BankCosmos(n_sources=25))
    assert [path.name for path in tmp_path.iterdir()] == ["all.h5"]


def test_another_bank_is_not_replaced(many, tmp_path):
    path = tmp_path / "b.h5"
    bank_cosmos(path, many, BankCosmos(n_sources=5))
    before = path.read_bytes()
    bank_cosmos(path, many, BankCosmos(n_sources=5))  # the same: kept
    with pytest.raises(DhsError, match="exists and is another bank"):
        bank_cosmos(path, many, BankCosmos(n_sources=6))
    assert path.read_bytes() == before


def test_companions_of_another_sample_are_refused(many, tmp_path):
    copy = tmp_path / "c"
    shutil.copytree(many, copy)
    other = write_catalogue(tmp_path / "o", {"a": disc(22.0) + noise(1)}, IDENT=np.array([7]))
    shutil.copy(other / f"{NAME}_fits.fits", copy / f"{NAME}_fits.fits")
    with pytest.raises(DhsError, match="belongs to another sample"):
        bank_cosmos(tmp_path / "b.h5", copy, BankCosmos())


def test_the_sample_that_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(DhsError, match=r"holds no real_galaxy_catalog_23\.5\.fits but .*25\.2"):
        bank_cosmos(tmp_path / "b.h5", folder, BankCosmos(sample="23.5"))


def test_a_wrong_pixel_scale_is_refused(tmp_path):
    stamps = {"a": disc(22.0) + noise(1)}
    folder = write_catalogue(tmp_path / "c", stamps, PIXEL_SCALE=np.array([3.0]))
    with pytest.raises(DhsError, match="PIXEL_SCALE is 3 to 3 where arcsec per pixel"):
        bank_cosmos(tmp_path / "b.h5", folder, BankCosmos())


def test_a_missing_psf_file_is_refused(many, tmp_path):
    copy = tmp_path / "c"
    shutil.copytree(many, copy)
    (copy / "psfs.fits").unlink()
    with pytest.raises(DhsError, match=r"psfs\.fits"):
        bank_cosmos(tmp_path / "b.h5", copy, BankCosmos())
    assert not (tmp_path / "b.h5").exists()


def test_half_precision_prints_its_error(many, tmp_path, capfd):
    bank_cosmos(tmp_path / "b.h5", many, BankCosmos(dtype="float16"))
    said = capfd.readouterr().err
    assert "stored as float16: largest pixel error" in said
    full = tmp_path / "full.h5"
    bank_cosmos(full, many, BankCosmos())
    half, whole = (read_bank(p).templates(slice(None)) for p in (tmp_path / "b.h5", full))
    assert_within(half, whole, 5e-4 * whole.max(), "templates")


def test_parts_left_by_a_run_killed_at_its_very_end_are_removed(tmp_path):
    bank_hybrid(tmp_path / "b.h5", BankHybrid(n_sources=4))
    (tmp_path / ".b.h5.parts").mkdir()
    (tmp_path / ".b.h5.parts" / "part-0000000-00000.npz").write_bytes(b"left")
    bank_hybrid(tmp_path / "b.h5", BankHybrid(n_sources=4))
    assert [path.name for path in tmp_path.iterdir()] == ["b.h5"]


def test_an_interrupted_run_of_other_settings_is_named(tmp_path, monkeypatch):
    def killed(task):
        raise KeyboardInterrupt

    monkeypatch.setattr(bank_parts, "_make_part", killed)
    with pytest.raises(KeyboardInterrupt):
        bank_hybrid(tmp_path / "b.h5", BankHybrid(n_sources=5))
    monkeypatch.undo()
    (tmp_path / ".b.h5.parts").mkdir(exist_ok=True)
    bank_hybrid(tmp_path / "b.h5", BankHybrid(n_sources=6))
    assert len(read_bank(tmp_path / "b.h5")) == 6


_OPEN = """
import sys
from pathlib import Path
from darkhaloscope.io.bank import read_bank

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

before = peak()
bank = read_bank(Path(sys.argv[1]))
print(len(bank), peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_opening_a_bank_does_not_read_it(tmp_path):
    """A 20,000-template bank opens like a small one: only what is looked at is read."""
    n = 3000
    columns = {name: np.full(n, value) for name, value in MADE.items()}
    columns |= {name: ["x"] * n for name in TEXT}
    about = {"pixel_scale": 0.03, "psf_fwhm": 0.15, "identity": {}}
    write_bank(tmp_path / "b.h5", np.full((n, 128, 128), 1 / 128**2, np.float32), columns, **about)
    run = subprocess.run(
        [sys.executable, "-c", _OPEN, str(tmp_path / "b.h5")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    opened, megabytes = map(int, run.stdout.split())
    size = (tmp_path / "b.h5").stat().st_size / 2**20
    assert opened == n and size > 180
    assert megabytes < 60
