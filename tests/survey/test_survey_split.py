"""Splits by sky: stable, apart, and in their fractions."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, angular_separation, search_around_sky
from astropy_healpix import HEALPix
from hypothesis import given, settings
from hypothesis import strategies as st

from darkhaloscope.survey.split import (
    WORDS,
    _moved,
    expected_scatter,
    near_another_split,
    pixel_side_arcsec,
    sky_pixels,
    split_by_sky,
    splits_by_sky,
)

FRACTIONS = (0.7, 0.15, 0.15)


def everywhere(n, seed=1):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def test_the_same_sky_has_the_same_split_in_any_table():
    ra, dec = everywhere(500)
    words = splits_by_sky(ra, dec, FRACTIONS, "sky-1")
    order = np.random.default_rng(2).permutation(500)
    assert (splits_by_sky(ra[order], dec[order], FRACTIONS, "sky-1") == words[order]).all()
    assert [split_by_sky(r, d, FRACTIONS, "sky-1") for r, d in zip(ra, dec, strict=True)] == list(
        words
    )
    assert (splits_by_sky(ra, dec, FRACTIONS, "sky-2") != words).any()


def test_one_sky_pixel_has_one_split():
    ra, dec = everywhere(20000)
    words, pixels = splits_by_sky(ra, dec, FRACTIONS, "s", 16), sky_pixels(ra, dec, 16)
    for pixel in np.unique(pixels)[:200]:
        assert len(set(words[pixels == pixel])) == 1


@pytest.mark.parametrize("nside", [8, 32, 128])
def test_fractions_are_met_as_well_as_pixels_allow(nside):
    ra, dec = everywhere(60000)
    words = splits_by_sky(ra, dec, FRACTIONS, "s", nside)
    weight = np.unique(sky_pixels(ra, dec, nside), return_counts=True)[1]
    for word, wanted in zip(WORDS, FRACTIONS, strict=True):
        assert abs((words == word).mean() - wanted) < 4 * expected_scatter(weight, wanted)


def _around(places, n, width_deg, seed):
    """Points scattered about places, dense enough to meet across borders."""
    rng = np.random.default_rng(seed)
    ra0, dec0 = places
    d = rng.uniform(-width_deg, width_deg, (2, n))
    dec = np.clip(dec0 + d[0], -90, 90)
    return (ra0 + d[1] / np.maximum(np.cos(np.radians(dec)), 1e-3)) % 360, dec


def _nearest_of_other_splits(ra, dec, words, guard) -> tuple[float, int]:
    """Distance of the closest pair of different splits, of those within 3 guards; pairs seen."""
    place = SkyCoord(ra * u.deg, dec * u.deg)
    one, two, apart, _ = search_around_sky(place, place, 3 * guard * u.arcsec)
    differ = words[one] != words[two]
    return float(apart[differ].arcsec.min(initial=np.inf)), len(one)


@pytest.mark.parametrize(
    "place", [(150.0, 2.0), (0.0, 0.0), (40.0, 89.9), (200.0, -89.95), (45.0, 41.8)]
)
def test_hosts_of_different_splits_are_two_guards_apart(place):
    """By brute force: every pair of points on small pixels, at poles and the meridian too."""
    guard, nside = 60.0, 256
    ra, dec = _around(place, 6000, 0.5, 3)
    words = splits_by_sky(ra, dec, FRACTIONS, "s", nside)
    near = near_another_split(ra, dec, FRACTIONS, "s", nside, guard)
    assert near.mean() < 0.6 and near.any() and len(set(words[~near])) > 1
    closest, pairs = _nearest_of_other_splits(ra[~near], dec[~near], words[~near], guard)
    assert closest >= 2 * guard and pairs > 3 * len(ra)
    assert _nearest_of_other_splits(ra, dec, words, guard)[0] < guard


def test_a_corner_that_reaches_between_two_looks_is_seen():
    """About many corners, whatever a dense look within the guard meets is flagged."""
    guard, nside = 60.0, 256
    grid = HEALPix(nside=nside, order="nested")
    pixels = np.random.default_rng(0).integers(0, grid.npix, 2000)
    east, north = grid.healpix_to_lonlat(pixels, dx=1.0, dy=1.0)
    shift = np.random.default_rng(1).uniform(-1.2, 1.2, (2, 2000)) * guard / 3600
    dec = np.clip(north.deg + shift[0], -90, 90)
    ra = (east.deg + shift[1] / np.cos(np.radians(north.deg))) % 360
    home = splits_by_sky(ra, dec, FRACTIONS, "s", nside)
    met = np.zeros(2000, bool)
    for far in np.linspace(0.3, 0.999, 8) * guard:
        for turn in np.radians(np.arange(0, 360, 7.0)):
            met |= splits_by_sky(*_moved(ra, dec, far, turn), FRACTIONS, "s", nside) != home
    near = near_another_split(ra, dec, FRACTIONS, "s", nside, guard)
    assert met.sum() > 500
    assert not (met & ~near).any()


def test_the_guard_flags_no_host_for_nothing():
    """What is flagged has another split within 3 guards, nearly always within one."""
    guard, nside = 60.0, 128
    ra, dec = everywhere(20000)
    near = near_another_split(ra, dec, FRACTIONS, "s", nside, guard)
    wide = near_another_split(ra, dec, FRACTIONS, "s", nside, 3.2 * guard)
    assert (wide | ~near).all()
    border = 4 * guard / pixel_side_arcsec(nside)  # of a pixel's area, if all neighbours differ
    assert 0.2 * border < near.mean() < border


def test_pixels_too_small_for_the_guard_are_refused():
    with pytest.raises(ValueError, match="needs sky pixels of 4 guards"):
        near_another_split(*everywhere(3), FRACTIONS, "s", 8192, 30.0)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90), st.floats(0, 360, exclude_max=True))
def test_a_move_is_as_far_as_said(ra, dec, turn):
    there = _moved(np.array([ra]), np.array([dec]), 30.0, np.radians(turn))
    far = angular_separation(*np.radians([ra, dec]), *(np.radians(v[0]) for v in there))
    assert np.degrees(far) * 3600 == pytest.approx(30, abs=1e-4)
    assert (sky_pixels(*there, 32) == sky_pixels(there[0] - 360, there[1], 32)).all()


def test_without_a_guard_nothing_is_lost():
    ra, dec = everywhere(2000)
    assert not near_another_split(ra, dec, FRACTIONS, "s", 64, 0.0).any()


def test_one_split_needs_no_guard():
    ra, dec = everywhere(2000)
    assert not near_another_split(ra, dec, (1.0, 0.0, 0.0), "s", 64, 800.0).any()
