"""Bricks: where they are, and which one holds a stamp whole."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from bricktree import header
from darkhaloscope.survey import bricks
from darkhaloscope.survey.bricks import (
    SIDE_PIX,
    Brick,
    brick_at,
    brick_holding,
    brick_of,
    coadd_path,
    corner,
    depth_in,
    names_of,
    pixel_of,
)
from darkhaloscope.units import PIXEL_SCALE_ARCSEC
from tolerance import assert_within

ANYWHERE = {
    "ra": st.floats(0, 360, exclude_max=True),
    "dec": st.floats(-89.99, 89.99),
}


def test_the_surveys_own_objects_lie_in_the_bricks_it_names(real_data):
    """8,256 rows of ten regions, from Dec -87 to +20."""
    wrong = 0
    for path in (real_data / "dr10_lrg").glob("*.parquet"):
        table = pq.read_table(path, columns=["RA", "DEC", "BRICKNAME"])
        got = names_of(table["RA"].to_numpy(), table["DEC"].to_numpy())
        wrong += sum(a != b for a, b in zip(got, table["BRICKNAME"].to_pylist(), strict=True))
    assert wrong == 0


def test_the_surveys_own_brick_table(real_data):
    row = Table.read(real_data / "tractor_schema" / "survey-bricks.fits.gz")[0]
    brick = brick_of(row["RA"], row["DEC"])
    assert brick == brick_at(row["BRICKROW"], row["BRICKCOL"])
    assert brick.name == row["BRICKNAME"]
    assert_within([brick.ra_deg, brick.dec_deg], [row["RA"], row["DEC"]], 1e-10, "centre")
    for ra in (row["RA1"] + 1e-6, row["RA2"] - 1e-6):
        assert brick_of(ra, row["DEC1"] + 1e-6) == brick == brick_of(ra, row["DEC2"] - 1e-6)
    assert brick_of(row["RA1"] - 1e-6, row["DEC"]) != brick


def test_pixels_are_those_of_the_surveys_headers(real_data):
    path = coadd = real_data / "tractor_schema" / "coadd_0959p805"
    path = coadd / "legacysurvey-0959p805-image-g.fits.fz"
    wcs, brick = WCS(fits.getheader(path, 1)), brick_of(95.95, 80.5)
    for ra, dec in [(95.3, 80.4), (96.6, 80.61), (95.95, 80.5)]:
        assert_within(pixel_of(ra, dec, brick), wcs.all_world2pix(ra, dec, 0), 1e-6, "pixel")


@given(**ANYWHERE)
def test_pixels_are_astropys(ra, dec):
    brick = brick_of(ra, dec)
    want = WCS(header(brick)).all_world2pix(ra, dec, 0)
    assert_within(pixel_of(ra, dec, brick), want, 1e-5, "pixel")


@given(**ANYWHERE)
def test_every_position_lies_in_its_brick_with_room_for_a_stamp(ra, dec):
    """Coadds reach 21 arcsec beyond their brick: 64 pixels always fit."""
    brick = brick_of(ra, dec)
    assert depth_in(ra, dec, 64, brick) >= 0
    assert brick_holding(ra, dec, 64) == brick


@given(ra=ANYWHERE["ra"], dec=st.floats(-60, 60), size=st.integers(32, 510))
def test_a_stamp_is_taken_from_a_brick_that_holds_it_whole(ra, dec, size):
    brick = brick_holding(ra, dec, size)
    if brick is None:
        near = [brick_at(r, c) for r, c in _around(ra, dec)]
        assert all(depth_in(ra, dec, size, b) < 0 for b in near)
        return
    x0, y0, _ = corner(*pixel_of(ra, dec, brick), size)
    assert 0 <= x0 <= SIDE_PIX - size and 0 <= y0 <= SIDE_PIX - size


def _around(ra, dec):
    row = math.floor((dec + 90) / 0.25 + 0.5)
    for r in (row - 1, row, row + 1):
        n = bricks._columns(r)
        column = int(ra / 360 * n)
        for c in (column - 1, column, column + 1):
            yield r, c


def test_beyond_the_edge_the_neighbour_is_asked():
    """A wide stamp beside the northern edge fits into no brick; beyond it, into the next one."""
    home = brick_of(150.1, 2.05)
    edge = home.dec_deg + 0.125
    assert brick_holding(150.1, edge - 1e-4, 150) == home
    assert brick_holding(150.1, edge + 1e-4, 150).dec_deg > home.dec_deg
    assert brick_holding(150.1, edge - 1e-4, 400) is None


@given(st.floats(-5000, 5000), st.floats(-5000, 5000), st.integers(32, 512))
def test_what_is_left_of_a_position_is_at_most_half_a_pixel(x, y, size):
    x0, y0, (left_x, left_y) = corner(x, y, size)
    assert max(abs(left_x), abs(left_y)) <= 0.5 * PIXEL_SCALE_ARCSEC + 1e-9
    middle = (size - 1) / 2
    assert_within(x0 + middle + left_x / PIXEL_SCALE_ARCSEC, x, 1e-9, "x")
    assert_within(y0 + middle + left_y / PIXEL_SCALE_ARCSEC, y, 1e-9, "y")


def test_poles_and_the_meridian():
    assert brick_of(17.0, 90.0).dec_deg == 90 and brick_of(17.0, -90.0).dec_deg == -90
    assert brick_of(359.9999, 0.0) == brick_of(-0.0001, 0.0)
    assert brick_of(0.0, 0.0) == brick_of(360.0, 0.0)
    assert np.isinf(pixel_of(180.0, 0.0, Brick("x", 0.0, 0.0))).all()


@pytest.mark.parametrize(
    ("product", "band", "path"),
    [
        ("image", "r", "095/0959p805/legacysurvey-0959p805-image-r.fits.fz"),
        ("maskbits", "", "095/0959p805/legacysurvey-0959p805-maskbits.fits.fz"),
    ],
)
def test_paths_are_the_surveys(product, band, path):
    assert coadd_path("0959p805", product, band) == path
