"""Banks of deep ground images: flux, size and segmentation are kept, bad files are sentences."""

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import gaussian_filter

from darkhaloscope.config import BankSurvey
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import read_bank, read_rejects
from darkhaloscope.jobs.banks import bank_survey
from darkhaloscope.sim.light import half_light_radius, sersic
from darkhaloscope.survey.deep import read_galaxy
from darkhaloscope.units import SIGMA_PER_FWHM
from tolerance import assert_ratio, assert_within

SCALE, FWHM, SIGMA, ZERO = 0.168, 0.65, 0.02, 27.0  # HSC
SETTINGS = {"stamp_size": 96, "pixel_scale": 0.1, "psf_fwhm": 0.8}
SIZE = 61


def _grid(size):
    return (np.indices((size, size)) - (size - 1) / 2) * SCALE


def _galaxy(mag, r_e=0.6, dx=0.0, dy=0.0):
    y, x = _grid(SIZE)
    light = sersic(x - dx, y - dy, r_e=r_e, n=1.0, q=0.8, softening=0.08) * SCALE**2
    light = gaussian_filter(light, SIGMA_PER_FWHM * FWHM / SCALE)
    return light * 10 ** (-0.4 * (mag - ZERO))


def _write(path, image, labels=None, **cards):
    y, x = _grid(31)
    psf = np.exp(-(x**2 + y**2) / (2 * (SIGMA_PER_FWHM * FWHM) ** 2))
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(image, name="IMAGE"), fits.ImageHDU(psf, name="PSF")]
    if labels is not None:
        hdus.append(fits.ImageHDU(labels.astype(np.int32), name="SEGMENTATION"))
    for key, value in ({"PIXSCALE": SCALE, "MAGZERO": ZERO} | cards).items():
        hdus[1].header[key] = value
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def _noise(seed):
    return SIGMA * np.random.default_rng(seed).standard_normal((SIZE, SIZE))


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """Bright, faint, with a neighbour that its segmentation tells apart, and cut off."""
    folder = tmp_path_factory.mktemp("deep")
    images = folder / "images"
    images.mkdir()
    _write(images / "bright.fits", _galaxy(21.0) + _noise(1), REDSHIFT=1.1, MAG_G=21.5, MAG_I=21.0)
    _write(images / "faint.fits", _galaxy(27.5) + _noise(2))
    pair = _galaxy(21.5, 0.4) + _galaxy(21.8, 0.3, dx=2.2) + _noise(3)
    _, x = _grid(SIZE)
    labels = np.where(pair > 3 * SIGMA, np.where(x > 1.15, 2, 1), 0)
    _write(images / "pair.fits", pair, labels)
    bank_survey(folder / "bank.h5", images, BankSurvey())
    return folder / "bank.h5"


def _row(path, name):
    bank = read_bank(path)
    i = bank.columns["template_id"].tolist().index(name)
    return bank.templates([i])[0], {key: values[i] for key, values in bank.columns.items()}


def test_flux_size_and_header_are_kept(bank):
    image, row = _row(bank, "bright")
    assert_within(row["mag_measured"], 21.0, 0.05, "magnitude")
    y, x = (np.indices((201, 201)) - 100) * 0.05
    true = sersic(x, y, r_e=0.6, n=1.0, q=0.8, softening=0.08)
    want = half_light_radius(gaussian_filter(true, SIGMA_PER_FWHM * 0.8 / 0.05), 0.05)
    assert_ratio(row["hlr_arcsec"], want, 0.07, "half-light radius")
    assert row["source"] == "survey" and row["z"] == 1.1
    assert (row["mag_g"], row["mag_i"]) == (21.5, 21.0) and np.isnan(row["mag_r"])
    assert (image < 0).any()


def test_the_given_segmentation_is_used(bank):
    image, row = _row(bank, "pair")
    assert_within(row["mag_measured"], 21.5, 0.15, "magnitude")
    y, x = (np.indices((96, 96)) - 47.5) * 0.1
    assert abs(image[np.hypot(x - 2.2, y) < 0.5].sum()) < 0.03
    rejects = read_rejects(bank).columns
    assert rejects["template_id"].tolist() == ["faint"]


def test_the_quoted_noise_is_that_of_the_drawn_sky(tmp_path):
    for scale in (0.1, 0.168, 0.2):
        squares, quoted = [], []
        for seed in range(8):
            path = _write(tmp_path / "sky.fits", _noise(seed))
            size = int(9.6 / scale)
            drawn = read_galaxy(path, **(SETTINGS | {"pixel_scale": scale, "stamp_size": size}))
            squares.append((drawn.image[5:-5, 5:-5] ** 2).mean())
            quoted.append(drawn.noise.sigma)
        assert_ratio(np.sqrt(np.mean(squares)), np.mean(quoted), 0.12, f"noise at {scale}")


def test_a_psf_narrower_than_the_images_is_an_error(tmp_path):
    path = _write(tmp_path / "a.fits", _galaxy(21.0) + _noise(1))
    with pytest.raises(DhsError, match=r"= 0\.5 is narrower than the PSF of a\.fits \(0\.6"):
        read_galaxy(path, **(SETTINGS | {"psf_fwhm": 0.5}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:3000]), "cannot be read|lacks"),
        (lambda p: p.write_text("no FITS"), "cannot be read as FITS"),
        (lambda p: fits.delval(p, "MAGZERO", "IMAGE"), "lacks MAGZERO"),
        (lambda p: fits.setval(p, "PIXSCALE", value=168.0, extname="IMAGE"), "168"),
        (lambda p: _write(p, np.full((SIZE, SIZE), np.nan)), "3721 pixels not finite"),
        (lambda p: _write(p, _galaxy(21.0), np.ones((9, 9))), r"SEGMENTATION is \(9, 9\)"),
        (lambda p: _write(p, np.zeros((SIZE, SIZE))), "its sky has no noise"),
        (lambda p: _write(p, _galaxy(21.0), np.ones((SIZE, SIZE))), "no noise .0 pixels"),
    ],
)
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_bad_files_are_sentences(tmp_path, spoil, words):
    path = _write(tmp_path / "a.fits", _galaxy(21.0) + _noise(1))
    spoil(path)
    with pytest.raises(DhsError, match=words):
        bank_survey(tmp_path / "b.h5", tmp_path, BankSurvey())
    assert not (tmp_path / "b.h5").exists()


def test_an_empty_folder_is_a_sentence(tmp_path):
    with pytest.raises(DhsError, match=r"holds no \.fits file"):
        bank_survey(tmp_path / "b.h5", tmp_path, BankSurvey())
    with pytest.raises(DhsError, match="does not exist"):
        bank_survey(tmp_path / "b.h5", tmp_path / "none", BankSurvey())
