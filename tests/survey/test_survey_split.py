"""Splits by place on the sky."""

import numpy as np

from darkhaloscope.survey.split import split_by_sky
from tolerance import assert_within

FRACTIONS = (0.7, 0.15, 0.15)


def _places(n=3000):
    rng = np.random.default_rng(4)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-0.9, 0.5, n)))


def test_fractions_of_the_sky_are_those_asked_for():
    words = [split_by_sky(ra, dec, FRACTIONS, "s") for ra, dec in zip(*_places(), strict=True)]
    got = [np.mean([w == word for w in words]) for word in ("train", "val", "test")]
    assert_within(got, FRACTIONS, 0.03, "share of places")


def test_places_side_by_side_share_a_split():
    """Hosts a stamp apart never stand in two splits, but for pixel borders."""
    ra, dec = _places(400)
    same = [
        split_by_sky(a, d, FRACTIONS, "s") == split_by_sky(a + 0.002, d + 0.002, FRACTIONS, "s")
        for a, d in zip(ra, dec, strict=True)
    ]
    assert np.mean(same) > 0.98


def test_the_salt_changes_the_split_and_extreme_fractions_hold():
    ra, dec = _places(200)
    one, two = (
        [split_by_sky(a, d, FRACTIONS, salt) for a, d in zip(ra, dec, strict=True)] for salt in "ab"
    )
    assert one != two
    for word, fractions in (("train", (1, 0, 0)), ("val", (0, 1, 0)), ("test", (0, 0, 1))):
        assert {split_by_sky(a, d, fractions, "a") for a, d in zip(ra, dec, strict=True)} == {word}


def test_right_ascension_wraps():
    assert split_by_sky(0.0, 10.0, FRACTIONS, "s") == split_by_sky(360.0, 10.0, FRACTIONS, "s")
