"""Sections of coadds: what the survey shows about a place, and every way in which it may not."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from bricktree import FWHM, NEXP, PEAK, SIGMA, header, scattered, write_brick
from darkhaloscope.flags import Flag
from darkhaloscope.io.remote import Patience, files_at
from darkhaloscope.survey.bricks import brick_of, coadd_path
from darkhaloscope.survey.coadds import BrickCoadds, BrickTree, Seen, telescope_of
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC, stamp_center
from tolerance import assert_ratio, assert_within

BRICK = brick_of(150.1, 2.1)
RA, DEC = scattered(BRICK, 5)


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """One made brick with five galaxies; read only."""
    root = tmp_path_factory.mktemp("tree")
    write_brick(root, BRICK, RA, DEC)
    return root


@pytest.fixture
def copy(tree, tmp_path):
    shutil.copytree(tree, tmp_path / "tree")
    return tmp_path / "tree"


def look(root, size=64, telescope="decam", ra=RA, dec=DEC) -> list[Seen]:
    files = files_at(str(root), Patience())
    return list(BrickTree(files, telescope, size).look(ra, dec))


def file_of(root, product, band=""):
    return root / coadd_path(BRICK.name, product, band)


@pytest.mark.parametrize("size", [63, 64, 101])
def test_a_galaxy_stands_where_its_sub_pixel_place_says(tree, size):
    for seen in look(tree, size):
        assert seen.flags == 0 and seen.brick == BRICK.name and seen.telescope == "decam"
        y, x = (np.indices((size, size)) - stamp_center(size)) * PIXEL_SCALE_ARCSEC
        for i, band in enumerate(BANDS):
            light = seen.image[i] - 0.15 * PEAK[band]
            light[light < 0] = 0
            centroid = [(light * x).sum() / light.sum(), (light * y).sum() / light.sum()]
            assert_within(centroid, seen.center, 0.02, f"centroid in {band}, arcsec")
        assert max(map(abs, seen.center)) <= PIXEL_SCALE_ARCSEC / 2


def test_pixels_are_the_files(tree):
    seen = look(tree)[0]
    with fits.open(file_of(tree, "image", "r")) as hdus:
        x, y = WCS(hdus[1].header).all_world2pix(RA[0], DEC[0], 0)
        x0, y0 = round(float(x) - 31.5), round(float(y) - 31.5)
        want = hdus[1].section[y0 : y0 + 64, x0 : x0 + 64]
    np.testing.assert_array_equal(seen.image[1], want)
    assert seen.image.dtype == np.float32


def test_what_is_known_of_the_place_comes_with_it(tree):
    for seen in look(tree):
        assert_ratio(seen.psf_fwhm, [FWHM[b] for b in BANDS], 1e-3, "PSF")
        assert seen.nexp.tolist() == [NEXP[b] for b in BANDS]
        sigma = 1 / np.sqrt(seen.invvar[:, 32, 32])
        assert_ratio(sigma, [SIGMA[b] for b in BANDS], 1e-3, "noise")
        assert (seen.maskbits == 0).all()


def test_a_mask_is_cut_like_the_image(tree):
    """The made mask marks the lowest 100 rows of the brick; the stamp begins with row 63 or 64."""
    south = BRICK.dec_deg - (1799.5 - 95) * PIXEL_SCALE_ARCSEC / 3600
    seen = look(tree, ra=[BRICK.ra_deg], dec=[south])[0]
    assert (seen.maskbits[:36] == 1).all() and (seen.maskbits[38:] == 0).all()


@pytest.mark.parametrize("band", BANDS)
def test_a_missing_band_is_flagged(copy, band):
    file_of(copy, "image", band).unlink()
    for seen in look(copy):
        i = BANDS.index(band)
        assert seen.flags == Flag.MISSING_BAND
        assert not seen.image[i].any() and not seen.invvar[i].any()
        assert seen.image[(i + 1) % 3].any()


def test_without_a_mask_it_is_assumed_and_said(copy):
    file_of(copy, "maskbits").unlink()
    assert {seen.flags for seen in look(copy)} == {Flag.ASSUMED_MASK}


def test_without_widths_and_exposures_they_stay_unknown(copy):
    file_of(copy, "psfsize", "r").unlink()
    file_of(copy, "nexp", "z").unlink()
    seen = look(copy)[0]
    assert np.isnan(seen.psf_fwhm).tolist() == [False, True, False]
    assert seen.nexp.tolist() == [3, 4, 0]


def test_no_brick_there(tmp_path):
    seen = look(tmp_path)
    assert {s.flags for s in seen} == {Flag.NOT_COVERED}
    assert len(seen) == 5 and seen[0].brick == BRICK.name


def test_a_stamp_too_wide_for_any_brick(tree):
    edge = [BRICK.dec_deg + 0.1249]
    assert look(tree, 400, ra=[BRICK.ra_deg], dec=edge)[0].flags == Flag.OUT_OF_BRICK


@pytest.mark.parametrize("product", ["image", "invvar", "psfsize", "nexp", "maskbits"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.6])
def test_a_file_cut_short_is_damaged_and_named(copy, product, share):
    path = file_of(copy, product, "" if product == "maskbits" else "g")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    damaged = [seen for seen in look(copy) if seen.flags]
    assert {seen.flags for seen in damaged} == {Flag.DAMAGED}
    assert all(path.name in seen.why for seen in damaged)
    assert len(damaged) == 5 if share < 0.5 else len(damaged) <= 5


def test_whatever_bytes_come_a_fault_is_a_flag(copy):
    """Random bytes overwritten: never an exception that would end a run."""
    rng = np.random.default_rng(5)
    path = file_of(copy, "image", "g")
    good = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(60):
        bad = good.copy()
        at = rng.integers(0, rng.choice([600, 20_000, len(bad)]), 30)
        bad[np.minimum(at, len(bad) - 1)] = rng.integers(0, 256, 30)
        path.write_bytes(bad.tobytes())
        for seen in look(copy):
            assert not seen.flags or seen.flags & (Flag.DAMAGED | Flag.OTHER_TELESCOPE)


def test_pixels_of_another_scale_are_damage(copy):
    path = file_of(copy, "image", "g")
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["CD1_1"] *= 2
    assert {seen.flags for seen in look(copy)} == {Flag.DAMAGED}
    assert "must be 0.262" in look(copy)[0].why


def test_another_telescope_is_refused_and_told(tree):
    seen = look(tree, telescope="90prime-mosaic")
    assert {s.flags for s in seen} == {Flag.OTHER_TELESCOPE}
    assert seen[0].why == "seen by decam" and seen[0].telescope == "decam"


@pytest.mark.parametrize(
    ("cards", "telescope"),
    [
        ({"CAMS_G": "decam"}, "decam"),
        ({"INSTRUME": "DECam"}, "decam"),
        ({"CAMS_G": "90prime", "INSTRUME": "90prime"}, "90prime-mosaic"),
        ({"INSTRUME": "Mosaic3"}, "90prime-mosaic"),
        ({"CAMS_G": "90prime decam"}, "90prime-mosaic and decam"),
        ({}, "unknown"),
    ],
)
def test_telescopes_by_their_cameras(cards, telescope):
    assert telescope_of(cards, "g") == telescope


class TestTheRealNorthernBrick:
    """0959p805: BASS and MzLS, 12 % covered in g, almost nothing in z, no r."""

    @pytest.fixture
    def northern(self, real_data, tmp_path):
        folder = tmp_path / "095" / "0959p805"
        folder.mkdir(parents=True)
        for path in (real_data / "tractor_schema" / "coadd_0959p805").iterdir():
            (folder / path.name).symlink_to(path)
        return tmp_path

    @pytest.fixture
    def place(self, northern):
        """A position with g data, from the exposure map."""
        path = northern / coadd_path("0959p805", "nexp", "g")
        with fits.open(path) as hdus:
            y, x = np.argwhere(hdus[1].data[100:-100, 100:-100] > 0)[5000] + 100
            ra, dec = WCS(hdus[1].header).all_pix2world(x, y, 0)
        return [float(ra)], [float(dec)]

    def test_is_refused(self, northern, place):
        seen = look(northern, ra=place[0], dec=place[1])[0]
        assert seen.flags == Flag.OTHER_TELESCOPE and "90prime-mosaic" in seen.why

    def test_is_read_when_asked_for_and_its_lacks_are_flagged(self, northern, place):
        seen = look(northern, telescope="90prime-mosaic", ra=place[0], dec=place[1])[0]
        assert seen.flags == Flag.MISSING_BAND | Flag.ASSUMED_MASK
        assert seen.image[0].std() > 0 and seen.nexp[0] >= 1
        assert not seen.image[1].any() and not seen.image[2].any()


def test_headers_are_read_once_a_brick(tree, monkeypatch):
    opened = []
    real = BrickCoadds._opened
    monkeypatch.setattr(BrickCoadds, "_opened", lambda s, p: opened.append(p) or real(s, p))
    look(tree)
    assert len(opened) == len(set(opened)) == 13


def test_the_made_headers_are_like_the_surveys(real_data):
    path = real_data / "tractor_schema" / "coadd_0959p805" / "legacysurvey-0959p805-image-g.fits.fz"
    theirs, ours = fits.getheader(path, 1), header(brick_of(95.95, 80.5), "90prime")
    for key in ours:
        same = ours[key] == theirs[key]
        assert same or key.startswith("CAMS_") or ours[key] == pytest.approx(theirs[key], rel=1e-9)
