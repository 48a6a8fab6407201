"""How many lenses the ground can show: by size, by the arc's brightness, and what is not known."""

import math

import numpy as np
import pytest

from darkhaloscope.evaluate.visibility import (
    LEAST_SIZE_OVER_SEEING,
    arc_snr,
    point_depth,
    visibility,
)
from darkhaloscope.survey.lens_catalogues import curated
from darkhaloscope.units import flux_from_mag


@pytest.mark.parametrize(
    ("theta_E", "seeing", "depth", "arc", "seen", "reason"),
    [
        (1.8, 1.2, 24.8, 21.0, "yes", "theta_E is 1.50 times the seeing, and the arc's S/N"),
        (1.8, 1.2, 24.8, 24.0, "no", "less than 25"),
        (1.0, 1.2, 24.8, 19.0, "no", "theta_E is 0.83 times the seeing, less than 1.2"),
        (1.8, 1.2, 24.8, math.nan, "perhaps", "the arc's S/N may be"),
        (1.8, 1.2, 27.5, math.nan, "yes", "or more"),
        (1.8, 1.2, 22.0, math.nan, "no", "at most, less than 25"),
        (1.8, 1.2, math.nan, math.nan, "perhaps", "the depth is not known"),
        (math.nan, 1.2, 24.8, math.nan, "not known", "the Einstein radius is not known"),
        (1.8, math.nan, 24.8, math.nan, "not known", "the seeing is not known"),
    ],
)
def test_every_verdict_has_its_reason(theta_E, seeing, depth, arc, seen, reason):
    found = visibility(theta_E, seeing, depth, arc)
    assert found.seen == seen
    assert reason in found.reason


def test_the_snr_is_that_of_a_matched_filter_on_pixels():
    """An arc along half a circle, as wide as the seeing, on white noise."""
    theta_E, seeing, pixel, sky = 1.5, 1.3, 0.131, 0.002
    y, x = (np.indices((161, 161)) - 80) * pixel
    sigma = seeing / 2.3548
    angle = np.radians(np.linspace(0, 180, 400))
    arc = sum(
        np.exp(-((x - theta_E * np.cos(a)) ** 2 + (y - theta_E * np.sin(a)) ** 2) / 2 / sigma**2)
        for a in angle
    )
    arc *= flux_from_mag(21.5) / arc.sum()
    direct = math.sqrt((arc**2).sum()) / sky
    depth = point_depth(sky**-2, seeing, pixel)
    assert arc_snr(21.5, depth, theta_E, seeing) == pytest.approx(direct, rel=0.12)


def test_a_point_source_at_the_depth_is_of_five_sigma():
    seeing, pixel, sky = 1.3, 0.262, 0.002
    y, x = (np.indices((81, 81)) - 40) * pixel
    sigma = seeing / 2.3548
    star = np.exp(-(x**2 + y**2) / 2 / sigma**2)
    star *= flux_from_mag(point_depth(sky**-2, seeing, pixel)) / star.sum()
    assert math.sqrt((star**2).sum()) / sky == pytest.approx(5, rel=0.01)
    assert math.isnan(point_depth(0.0, seeing, pixel))


@pytest.mark.parametrize(
    ("seeing", "seen"), [(1.0, 32), (1.125, 18), (1.203, 11), (1.352, 4), (1.566, 0), (1.747, 0)]
)
def test_how_many_slacs_lenses_are_large_enough(seeing, seen):
    """The survey's 5, 16, 50, 84 and 95 % of r seeing: docs/anchors.md has these numbers."""
    theta_E = curated().columns["theta_E_arcsec"]
    theta_E = theta_E[np.isfinite(theta_E)]
    assert len(theta_E) == 59 and np.median(theta_E) == 1.23
    size = [visibility(t, seeing, 24.8).theta_over_seeing for t in theta_E]
    assert sum(ratio >= LEAST_SIZE_OVER_SEEING for ratio in size) == seen
