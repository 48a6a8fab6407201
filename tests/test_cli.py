"""The command line on bad input: one clear sentence, exit code 2, nothing half-written."""

import shutil

import h5py
import numpy as np
import pytest

from darkhaloscope.cli import run


@pytest.fixture
def refused(capfd):
    """Run a command that must be refused; returns what it said."""

    def call(*words) -> str:
        code = run([str(word) for word in words])
        said = capfd.readouterr().err
        assert code == 2, said
        assert "dhs: cannot do this." in said
        assert "Traceback" not in said
        return " ".join(said.split())

    return call


def _cutout(path, shape=(48, 48, 3), fill=None, **meta):
    image = np.random.default_rng(1).normal(0, 0.003, shape).astype("f4")
    if fill is not None:
        image.flat[100] = fill
    np.savez(path, cutout=image, **({"meta_ra": 10.0, "meta_dec": -5.0} | meta))


def _inject(inputs, out, **other):
    names = {"plan": "plan", "cutouts": "cutouts", "bank": "bank.h5"}
    paths = {key: inputs / name for key, name in names.items()} | other
    return ["inject", "--out", out, *(w for k, p in paths.items() for w in (f"--{k}", p))]


ONE = ("--processes", 1)
"""Where work is begun: others than this process would import all anew."""


def test_missing_catalogue_folder(refused, tmp_path):
    said = refused("bank", "cosmos", "--cosmos-dir", tmp_path / "no", "--out-h5", tmp_path / "b.h5")
    assert "does not exist; give the folder that galsim_download_cosmos made" in said
    assert not list(tmp_path.iterdir())


def test_folder_without_catalogue(refused, tmp_path):
    said = refused("bank", "cosmos", "--cosmos-dir", tmp_path, "--out-h5", tmp_path / "b.h5")
    assert "must hold one RealGalaxyCatalog table" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "victim",
    [
        "real_galaxy_catalog_26_extension_example.fits",
        "real_galaxy_images_extension.fits",
        "real_galaxy_PSF_images_extension.fits",
    ],
)
@pytest.mark.filterwarnings("ignore:.*may have been truncated")
def test_truncated_catalogue_files(refused, real_data, tmp_path, victim):
    source = tmp_path / "cosmos"
    source.mkdir()
    for path in (real_data / "hst_cosmos_100").iterdir():
        shutil.copyfile(path, source / path.name)
    whole = (source / victim).read_bytes()
    (source / victim).write_bytes(whole[: len(whole) // 2])
    words = ("--cosmos-dir", source, "--out-h5", tmp_path / "b.h5", *ONE)
    said = refused("bank", "cosmos", *words)
    assert "download it again" in said or "RealGalaxyCatalog" in said
    assert [p.name for p in tmp_path.iterdir()] == ["cosmos"]


def test_more_sources_than_survive_says_how_many_do(refused, real_data, tmp_path):
    said = refused(
        "bank", "cosmos", "--cosmos-dir", real_data / "hst_cosmos_100",
        "--out-h5", tmp_path / "b.h5", "--n-sources", 90, *ONE,
    )  # fmt: skip
    assert "of 100 galaxies survive the cuts, 90 were asked for" in said
    assert not list(tmp_path.iterdir())


def test_psf_narrower_than_the_original(refused, real_data, tmp_path):
    said = refused(
        "bank", "cosmos", "--cosmos-dir", real_data / "hst_cosmos_100",
        "--out-h5", tmp_path / "b.h5", "--intrinsic-psf-fwhm-arcsec", 0.08, *ONE,
    )  # fmt: skip
    assert "narrower than the original PSF" in said
    assert "use 0.15 or more" in said


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.95])
def test_truncated_bank(refused, inputs, tmp_path, keep):
    data = (inputs / "bank.h5").read_bytes()
    broken = tmp_path / "broken.h5"
    broken.write_bytes(data[: int(len(data) * keep)])
    said = refused(*_inject(inputs, tmp_path / "out", bank=broken))
    assert "damaged or no HDF5" in said
    assert not (tmp_path / "out").exists()


def test_missing_bank(refused, inputs, tmp_path):
    said = refused(*_inject(inputs, tmp_path / "out", bank=tmp_path / "no.h5"))
    assert "does not exist; make one with `dhs bank hybrid`" in said


def test_bank_of_zero_flux(refused, inputs, tmp_path):
    dark = tmp_path / "dark.h5"
    shutil.copyfile(inputs / "bank.h5", dark)
    with h5py.File(dark, "r+") as file:
        file["images"][3] = 0.0
    said = refused(
        "plan", "--cutouts", inputs / "cutouts", "--bank", dark, "--out", tmp_path / "p.parquet"
    )
    assert "template 3 has flux 0 where 1 is required (1 of 40 looked at are wrong)" in said
    assert not (tmp_path / "plan").exists()


@pytest.mark.parametrize(
    ("shape", "fill", "words"),
    [
        ((48, 48, 3), np.nan, "NAN_PIXELS"),
        ((3, 48, 48), None, "has shape (3, 48, 48), must be square with bands last"),
        ((48, 48), None, "has shape (48, 48)"),
        ((48, 40, 3), None, "has shape (48, 40, 3)"),
        ((20, 20, 3), None, "must be at least 32"),
    ],
)
def test_bad_cutouts(refused, tmp_path, shape, fill, words):
    source = tmp_path / "npz"
    source.mkdir()
    _cutout(source / "good.npz")
    _cutout(source / "bad.npz", shape, fill)
    said = refused("cutouts", "npz", source, "--out", tmp_path / "cutouts")
    assert words in said
    assert "bad" in said
    assert not (tmp_path / "cutouts").exists()


def test_psf_of_no_width(refused, tmp_path):
    _cutout(tmp_path / "a.npz")
    said = refused(
        "cutouts", "npz", tmp_path, "--out", tmp_path / "out", "--psf-fwhm-arcsec", 0, 1.2, 1.1
    )
    assert "psf_fwhm_arcsec must be positive in every band, got (0.0, 1.2, 1.1)" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--theta-e-min-arcsec", "-1", "theta_E_min_arcsec must be greater than 0, got '-1'"),
        ("--theta-e-min-arcsec", "9", "theta_E_min_arcsec must be below theta_E_max_arcsec"),
        ("--seed", "many", "seed must be a valid integer"),
        ("--colour-model", "blue", "must be 'catalogue', 'template' or 'offsets', got 'blue'"),
        ("--theta-e-mn-arcsec", "1", "Did you mean --theta-e-min-arcsec?"),
        ("--stamp-size-pix", "64", "larger than the cutouts (48 pixels)"),
    ],
)
def test_impossible_settings(refused, inputs, tmp_path, flag, value, words):
    said = refused(
        "plan", "--cutouts", inputs / "cutouts", "--bank", inputs / "bank.h5",
        "--out", tmp_path / "plan", flag, value,
    )  # fmt: skip
    assert words in said
    assert not (tmp_path / "plan").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[plan]\ntheta_e = 1.0\n", "unknown key 'theta_e'; did you mean"),
        ("[plann]\nseed = 1\n", "unknown section [plann]; did you mean 'plan'?"),
        ("[plan]\nseed = -3\n", "seed must be greater than or equal to 0, got -3"),
        ("[plan\n", "cannot be read as TOML"),
        ("[inject]\nmoffat_beta = 0.5\n", "moffat_beta must be greater than 1.1, got 0.5"),
    ],
)
def test_bad_settings_files(refused, tmp_path, text, words):
    path = tmp_path / "dhs.toml"
    path.write_text(text)
    assert words in refused("demo", "--out", tmp_path / "demo", "--config", path)
    assert not (tmp_path / "demo").exists()


def test_flags_override_the_settings_file(inputs, tmp_path, capfd):
    import json

    from darkhaloscope.io.tables import metadata_of

    path = tmp_path / "dhs.toml"
    path.write_text("[plan]\nseed = 7\ntheta_E_min_arcsec = 3.0\ntheta_E_max_arcsec = 4.0\n")
    out = tmp_path / "plan"
    words = ["plan", "--cutouts", inputs / "cutouts", "--bank", inputs / "bank.h5", "--out", out]
    assert run([str(w) for w in [*words, "--config", path, "--seed", 9, *ONE]]) == 0, (
        capfd.readouterr()
    )
    settings = json.loads(metadata_of(out / "part-00000.parquet")["dhs.config"])
    assert (settings["seed"], settings["theta_E_max_arcsec"]) == (9, 4.0)


def test_stamp_folder_of_another_run(refused, inputs, tmp_path):
    out = tmp_path / "out"
    words = [str(w) for w in (*_inject(inputs, out), *ONE)]
    assert run(words) == 0
    before = sorted((p.name, p.stat().st_mtime_ns) for p in out.iterdir())
    said = refused(*words, "--render-tolerance", 0.002)
    assert "holds the parts of another run: config differ; choose another folder" in said
    assert before == sorted((p.name, p.stat().st_mtime_ns) for p in out.iterdir())


def test_folder_with_foreign_files(refused, inputs, tmp_path):
    (tmp_path / "thesis.tex").write_text("do not touch")
    said = refused(*_inject(inputs, tmp_path))
    assert "is not empty and holds no run" in said
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_validate_of_nothing_and_of_an_unfinished_set(refused, inputs, tmp_path):
    assert "holds no finished stamp set" in refused("validate", tmp_path)


def test_no_processes(refused, inputs, tmp_path):
    said = refused(*_inject(inputs, tmp_path / "out"), "--processes", 0)
    assert "--processes must be at least 1, got 0" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--master", "spark://host:7077"], "--master spark://host:7077 is for --engine spark"),
        (["--engine", "spark", "--master", "local[2]", "--processes", "2"], "give one of them"),
        (["--engine", "spark", "--master", "host:7077"], "must be spark://host:port, local"),
        (["--engine", "spark", "--master", "spark://127.0.0.1:9"], "no Spark master listens at"),
        (["--engine", "dask"], "dask"),
    ],
)
def test_engines_that_cannot_be(refused, inputs, tmp_path, words, said):
    assert said in refused(*_inject(inputs, tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()
