"""Questions to the cutout service, and what its answers hold."""

import numpy as np
import pytest

from bricktree import scattered
from darkhaloscope.flags import Flag
from darkhaloscope.survey import service
from darkhaloscope.survey.bricks import brick_at, brick_of
from darkhaloscope.survey.coadds import Damaged, Seen
from darkhaloscope.survey.service import (
    add_psf,
    cutout_query,
    mask_query,
    parse_cutout,
    parse_mask,
    parse_psf,
    psf_query,
    telescope_at,
)
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC, stamp_center
from surveyserver import Survey
from tolerance import assert_ratio, assert_within

BRICK = brick_of(150.1, 2.1)
NORTH = brick_at(round((BRICK.dec_deg + 90) / 0.25) + 1, 0)
RA, DEC = scattered(BRICK, 3)


@pytest.fixture(scope="module")
def survey():
    north = brick_of(BRICK.ra_deg, BRICK.dec_deg + 0.25)
    ra, dec = [*RA, BRICK.ra_deg], [*DEC, BRICK.dec_deg + 0.124]
    return Survey(bricks=[BRICK, north], ra=ra, dec=dec)


def test_questions_are_the_viewers():
    said = cutout_query(150.1234567891, -2.5, 64, "ls-dr10-south")
    assert said == (
        "fits-cutout?ra=150.1234568&dec=-2.5000000&layer=ls-dr10-south&bands=grz&"
        "pixscale=0.262&size=66&subimage&invvar"
    )
    assert mask_query(1, 2, 64, "ls-dr10").endswith("&size=66&maskbits")
    assert psf_query(1, 2, "ls-dr10").startswith("coadd-psf/?ra=1.0000000&dec=2.0000000&layer=")


@pytest.mark.parametrize("size", [63, 64, 101])
def test_native_pixels_are_cut_as_from_the_bricks(survey, size):
    for ra, dec in zip(RA, DEC, strict=True):
        data = survey.native(ra, dec, size + 2, None)
        seen = parse_cutout(data, ra, dec, size)
        assert seen.flags == 0 and seen.brick == BRICK.name
        y, x = (np.indices((size, size)) - stamp_center(size)) * PIXEL_SCALE_ARCSEC
        light = np.clip(seen.image[1] - 0.015, 0, None)
        centroid = [(light * x).sum() / light.sum(), (light * y).sum() / light.sum()]
        assert_within(centroid, seen.center, 0.02, "centroid, arcsec")
        assert max(map(abs, seen.center)) <= PIXEL_SCALE_ARCSEC / 2
        assert (seen.invvar == 1e5).all()


def test_of_two_bricks_the_one_that_holds_it_whole(survey):
    ra, dec = BRICK.ra_deg, BRICK.dec_deg + 0.124
    data = survey.native(ra, dec, 66, None)
    assert len(service._planes(data)) == 2
    assert parse_cutout(data, ra, dec, 64).flags == 0
    wide = survey.native(ra, dec, 202, None)
    assert parse_cutout(wide, ra, dec, 200).flags == Flag.OUT_OF_BRICK


def test_no_coverage_is_an_answer_without_images(survey):
    data = survey.native(10.0, -40.0, 66, None)
    assert parse_cutout(data, 10.0, -40.0, 64).flags == Flag.NOT_COVERED


def test_a_band_that_is_not_there(survey):
    twin = Survey(bricks=[BRICK], ra=RA, dec=DEC)
    data = twin.native(RA[0], DEC[0], 66, "blank-r")
    seen = parse_cutout(data, RA[0], DEC[0], 64)
    assert not seen.image[1].any() and seen.image[0].any()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data[: len(data) // 3], "answer"),
        (lambda data: b"<html>busy</html>", "no FITS file but begins"),
        (lambda data: b"", "no FITS file"),
        (lambda data: data.replace(b"IMAGETYP", b"IMAGETIP"), "IMAGETYP"),
        (lambda data: data.replace(b"CD1_1   = -7.2", b"CD1_1   = -9.9"), "must be 0.262"),
    ],
)
def test_answers_that_are_damaged(survey, spoil, said):
    data = spoil(survey.native(RA[0], DEC[0], 66, None))
    with pytest.raises(Damaged, match=said):
        parse_cutout(data, RA[0], DEC[0], 64)


@pytest.mark.filterwarnings("error")
def test_an_answer_of_another_size(survey):
    with pytest.raises(Damaged, match="68 x 68 pixels, 66 were asked for"):
        parse_cutout(survey.native(RA[0], DEC[0], 68, None), RA[0], DEC[0], 64)
    small = parse_cutout(survey.native(RA[0], DEC[0], 58, None), RA[0], DEC[0], 64)
    assert small.flags == Flag.OUT_OF_BRICK


def test_a_mask_is_laid_on_the_stamp(survey):
    """The service centres it on the position, the stamp on the nearest pixels."""
    data = survey.mask(RA[0], DEC[0], 66)  # marked at row 53, column 43
    for center in [(0.0, 0.0), (0.1, -0.1), (-0.13, 0.13)]:
        mask = parse_mask(data, center, 64)
        y, x = np.argwhere(mask)[0]
        on_sky = np.array([x, y]) - stamp_center(64) - np.array(center) / PIXEL_SCALE_ARCSEC
        assert_within(on_sky, np.array([43, 53]) - stamp_center(66), 0.5, "mark, pixels")
    with pytest.raises(Damaged, match="66 x 66 were asked for"):
        parse_mask(survey.mask(RA[0], DEC[0], 60), (0, 0), 64)
    assert parse_mask(survey.psf(None), (0, 0), 64) is None


def test_psf_images_and_their_widths(survey):
    images = parse_psf(survey.psf(None), 31)
    assert images.shape == (3, 31, 31)
    assert_within(images.sum((1, 2)), [1, 1, 1], 1e-6, "flux")
    seen = Seen.nothing(64, Flag(0), "")
    add_psf(seen, images)
    want = [2.3548 * (2.5 - 0.2 * i) * PIXEL_SCALE_ARCSEC for i in range(3)]
    assert_ratio(seen.psf_fwhm, want, 0.01, "FWHM")
    assert_within([*seen.psf_e1, *seen.psf_e2], [0] * 6, 1e-3, "ellipticity")
    assert seen.psf_image is not None


def test_a_band_without_a_psf_stays_unknown(survey):
    images = parse_psf(survey.psf("no-psf"), 31)
    assert np.isnan(images[BANDS.index("z")]).all()
    seen = Seen.nothing(64, Flag(0), "")
    add_psf(seen, images)
    assert np.isnan(seen.psf_fwhm).tolist() == [False, False, True]
    assert seen.psf_image is None


def test_psfs_that_are_none():
    with pytest.raises(Damaged, match="no FITS"):
        parse_psf(b"no PSF", 31)


@pytest.mark.parametrize(
    ("layer", "dec", "telescope"),
    [
        ("ls-dr10-south", 33.0, "decam"),
        ("ls-dr10", 32.0, "decam"),
        ("ls-dr10", 33.0, None),
        ("ls-dr9-north", 60.0, "90prime-mosaic"),
    ],
)
def test_layers_and_their_telescopes(layer, dec, telescope):
    assert telescope_at(layer, dec) == telescope
