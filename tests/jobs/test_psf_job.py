"""A cutout's own PSF, of any shape, reaches the stamps and their replay."""

import galsim
import numpy as np
import pyarrow.parquet as pq
import pytest

from darkhaloscope.config import Inject
from darkhaloscope.io.parts import RECORD, claim, parts_in
from darkhaloscope.io.tables import columns_of, image_bytes, image_from, write_table
from darkhaloscope.jobs.cutout_store import write_record
from darkhaloscope.jobs.plan import plan
from darkhaloscope.schema import CUTOUTS, band_columns
from darkhaloscope.units import BANDS
from flow import PLAN, make_stamps

SIDE = 31


@pytest.fixture(scope="module")
def elliptical(inputs, tmp_path_factory):
    """The small run's inputs, every second host behind elliptical PSFs, all with their images."""
    return _inputs(inputs, tmp_path_factory.mktemp("elliptical"), e1=0.12, e2=-0.05)


def _inputs(inputs, folder, e1, e2):
    """The small run's inputs, every second host behind such PSFs, the others behind round ones."""
    (folder / "bank.h5").symlink_to(inputs / "bank.h5")
    table = columns_of(pq.read_table(parts_in(inputs / "cutouts")[0]))
    second = np.arange(len(table["host_id"])) % 2 == 0
    for band in BANDS:
        table[f"psf_e1_{band}"] = np.where(second, e1, 0.0)
        table[f"psf_e2_{band}"] = np.where(second, e2, 0.0)
    table["psf_size_pix"] = np.full(len(second), SIDE, np.int32)
    table["psf_image"] = np.array([_image(table, i) for i in range(len(second))], object)
    store = claim(folder / "cutouts", {"stage": "test"})
    write_table(store.path(0), table, CUTOUTS, store.metadata())
    write_record(store)
    plan(folder / "plan", folder / "cutouts", folder / "bank.h5", PLAN)
    return folder


def _image(table, i) -> bytes:
    planes = []
    for b in BANDS:
        psf = galsim.Moffat(3.5, fwhm=table[f"psf_fwhm_{b}_arcsec"][i])
        psf = psf.shear(g1=table[f"psf_e1_{b}"][i], g2=table[f"psf_e2_{b}"][i])
        drawn = psf.drawImage(nx=SIDE, ny=SIDE, scale=0.262, method="no_pixel")
        planes.append(drawn.array / drawn.array.sum())
    return image_bytes(np.array(planes))


def _added(folder, name, cfg, band=1) -> tuple[np.ndarray, dict]:
    """Light added without its noise, and the columns, of the rows of kind unlensed."""
    out = folder / name
    if not (out / RECORD).exists():
        make_stamps(folder, out, cfg=cfg)
    tables = [columns_of(pq.read_table(path)) for path in parts_in(out)]
    rows = {k: np.concatenate([t[k] for t in tables]) for k in tables[0]}
    images = np.array([image_from(d, 48)[band] for d in rows["image"]])
    host = {p: i for i, p in enumerate(rows["pair_id"]) if rows["kind"][i] == "host"}
    lit = np.flatnonzero(rows["kind"] == "unlensed")
    light = images[lit] - images[[host[p] for p in rows["pair_id"][lit]]]
    return light, {k: v[lit] for k, v in rows.items()}


def test_the_image_of_a_psf_gives_what_its_numbers_give(elliptical):
    shape, rows = _added(elliptical, "shape", Inject(photon_noise=False))
    image, _ = _added(elliptical, "image", Inject(photon_noise=False, psf_model="image"))
    worst = np.abs(image - shape).max((1, 2)) / shape.max((1, 2))
    assert (rows["psf_e1_r"] != 0).any() and (rows["psf_e1_r"] == 0).any()
    assert worst.max() < 0.015  # an image of 8 arcsec lacks the outermost wings
    assert worst.max() > 0


def test_elliptical_psfs_stretch_what_they_blur(elliptical, inputs):
    """Of one source, sigma_xx - sigma_yy grows where e1 > 0; round hosts keep their bits."""
    with_e, rows = _added(elliptical, "shape", Inject(photon_noise=False))
    inputs_light = _added_of(inputs, elliptical, rows)
    stretched = rows["psf_e1_r"] != 0
    np.testing.assert_array_equal(with_e[~stretched], inputs_light[~stretched])
    y, x = np.indices(with_e.shape[1:]) - 23.5
    for got, was in zip(with_e[stretched], inputs_light[stretched], strict=True):
        assert _elongation(got, x, y) > _elongation(was, x, y)


def _added_of(inputs, folder, rows) -> np.ndarray:
    """The same rows behind round PSFs."""
    twin = folder / "round"
    twin.mkdir()
    _inputs(inputs, twin, e1=0.0, e2=0.0)
    light, others = _added(twin, "stamps", Inject(photon_noise=False))
    assert others["task_id"].tolist() == rows["task_id"].tolist()
    return light


def _elongation(light, x, y) -> float:
    x0, y0 = (light * x).sum() / light.sum(), (light * y).sum() / light.sum()
    weight = light * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / 6**2)
    return float((weight * ((x - x0) ** 2 - (y - y0) ** 2)).sum() / weight.sum())


@pytest.mark.parametrize("model", ["moffat", "image"])
def test_replay_finds_the_very_bytes(elliptical, model):
    """Round and elliptical PSFs mixed: a row's bits do not depend on its company."""
    from darkhaloscope.io.bank import read_bank
    from darkhaloscope.io.files import read_json
    from darkhaloscope.jobs.looks import look_at
    from darkhaloscope.jobs.validate import replay

    out = elliptical / f"replay-{model}"
    make_stamps(elliptical, out, cfg=Inject(psf_model=model))
    columns = look_at(out).sample
    assert "psf_image" not in columns and set(band_columns("psf_e1_{b}")) <= set(columns)
    bank = read_bank(elliptical / "bank.h5")
    for n_rows in (7, 1000):
        finding = replay(out, columns, bank, read_json(out / RECORD), n_rows)
        assert finding.level.value == "pass", finding.measured


def test_a_row_with_its_psf_image_is_made_again_and_exported(elliptical, tmp_path):
    from astropy.io import fits

    from darkhaloscope.config import Export
    from darkhaloscope.jobs.export import export
    from darkhaloscope.jobs.replay import replay

    out = elliptical / "replay-image"
    make_stamps(elliptical, out, cfg=Inject(psf_model="image"))
    rows = pq.read_table(parts_in(out)[0]).to_pylist()
    for row in rows[:4]:
        assert replay(row["task_id"], out, elliptical / "bank.h5", elliptical / "cutouts", None)
    export(tmp_path / "fits", out, None, Export(layout="fits"))
    with fits.open(tmp_path / "fits" / "part-00000.fits") as hdus:
        for psf, row in zip(hdus["PSF"].data, rows, strict=True):
            assert np.array_equal(psf, image_from(row["psf_image"], SIDE))
