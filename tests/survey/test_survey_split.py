"""Splits by sky: stable, apart, and in their fractions."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, search_around_sky

from darkhaloscope.survey.split import (
    WORDS,
    expected_scatter,
    near_another_split,
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


@pytest.mark.parametrize(
    "place", [(150.0, 2.0), (0.0, 0.0), (40.0, 89.9), (200.0, -89.95), (45.0, 41.8)]
)
def test_hosts_of_different_splits_are_two_guards_apart(place):
    """By brute force: every pair of points on small pixels, at poles and the meridian too."""
    guard, nside = 60.0, 256
    ra, dec = _around(place, 6000, 0.5, 3)
    words = splits_by_sky(ra, dec, FRACTIONS, "s", nside)
    near = near_another_split(ra, dec, FRACTIONS, "s", nside, guard)
    kept = SkyCoord(ra[~near] * u.deg, dec[~near] * u.deg)
    one, two, _, _ = search_around_sky(kept, kept, 1.96 * guard * u.arcsec)
    assert len(one) > 3 * len(kept)
    left = words[~near]
    assert (left[one] == left[two]).all()
    assert near.mean() < 0.6 and near.any()
    assert len(set(left)) > 1


def test_without_a_guard_nothing_is_lost():
    ra, dec = everywhere(2000)
    assert not near_another_split(ra, dec, FRACTIONS, "s", 64, 0.0).any()


def test_one_split_needs_no_guard():
    ra, dec = everywhere(2000)
    assert not near_another_split(ra, dec, (1.0, 0.0, 0.0), "s", 64, 1000.0).any()
