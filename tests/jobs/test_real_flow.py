"""Real HST galaxies behind real DR10 galaxies, as the README says it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from darkhaloscope.cli import run
from darkhaloscope.io.bank import read_bank
from darkhaloscope.io.files import read_json


@pytest.fixture(scope="module")
def real_run(real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("real")
    for words in (
        f"bank cosmos --cosmos-dir {real_data / 'hst_cosmos_100'} --out-h5 {out}/bank.h5"
        " --processes 1",
        f"cutouts npz {real_data / 'dr10_cutouts'} --out {out}/cutouts",
        f"plan --cutouts {out}/cutouts --bank {out}/bank.h5 --out {out}/plan --pairs-per-host 8"
        " --processes 1",
        f"inject --plan {out}/plan --cutouts {out}/cutouts --bank {out}/bank.h5"
        f" --out {out}/stamps --processes 1",
    ):
        assert run(words.split()) == 0, words
    return out


def test_bank_holds_galaxies_not_noise(real_run):
    bank = read_bank(real_run / "bank.h5")
    assert 25 <= len(bank) <= 60
    assert np.abs(bank.templates(slice(None)).sum((1, 2)) - 1).max() < 1e-3
    border = np.concatenate([bank.stored[:, :4].ravel(), bank.stored[:, -4:].ravel()])
    assert np.abs(border).max() < 1e-4
    assert bank.columns["hlr_arcsec"].min() >= 0.1
    assert 0.15 < np.median(bank.columns["hlr_arcsec"]) < 0.4
    assert (bank.columns["snr"] >= 20).all()
    assert set(bank.columns["split"]) == {"train", "val", "test"}


def test_size_agrees_with_the_catalogue(real_run, real_data):
    """FLUX_RADIUS was measured on the undegraded image; ours holds the bank's PSF."""
    fits = pytest.importorskip("astropy.io.fits")
    folder = real_data / "hst_cosmos_100"
    table = fits.getdata(folder / "real_galaxy_catalog_26_extension_example_fits.fits", 1)
    catalogue = dict(zip(table["IDENT"].astype(str), table["flux_radius"] * 0.03, strict=True))
    bank = read_bank(real_run / "bank.h5")
    ratio = bank.columns["hlr_arcsec"] / [catalogue[i] for i in bank.columns["template_id"]]
    assert abs(np.median(ratio) - 1) < 0.15


def test_real_set_is_made_and_replays(real_run, capfd):
    words = ["validate", real_run / "stamps", "--bank", real_run / "bank.h5", "--processes", "1"]
    code = run([*map(str, words), "--sheet-pairs", "1"])
    capfd.readouterr()
    findings = {f["gate"]: f for f in read_json(real_run / "stamps/findings.json")["findings"]}
    assert code == 0, [f for f in findings.values() if f["level"] == "fail"]
    assert findings["physics.replay"]["level"] == "pass"
    table = pq.read_table(real_run / "stamps" / "part-00000.parquet")
    kinds = table["kind"].to_pylist()
    assert kinds.count("lens") == kinds.count("host") == kinds.count("unlensed") > 15
    assert set(table["host_id"].to_pylist()) == {"0001m040_4091", "0001m372_9677", "0006p270_2574"}
    assert all("ASSUMED_PSF" in cause for cause in table["cause"].to_pylist())


def test_real_cutouts_keep_their_pixels(real_run, real_data):
    table = pq.read_table(real_run / "stamps" / "part-00000.parquet")
    for host, kind, data in zip(
        *(table[n].to_pylist() for n in ("host_id", "kind", "image")), strict=True
    ):
        if kind == "host":
            with np.load(real_data / "dr10_cutouts" / f"{host}.npz") as file:
                want = file["cutout"].transpose(2, 0, 1)
            assert np.array_equal(np.frombuffer(data, "<f4").reshape(3, 101, 101), want)


def test_provenance_names_what_it_was_made_from(real_run):
    record = read_json(real_run / "stamps" / "run.json")
    assert json.loads(record["config"])["psf_model"] == "moffat"
    assert {"bank", "cutouts", "plan", "dhs", "torch", "numpy", "digest"} <= set(record)
