"""How close is close: one helper for all comparisons, so that a failure says by how much."""

import numpy as np


def assert_within(actual, expected, atol: float, what: str) -> None:
    """The worst absolute difference of two arrays of one shape is at most `atol`."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    difference = np.abs(actual - expected)
    assert np.isfinite(difference).all(), f"{what}: not finite everywhere"
    worst = float(difference.max(initial=0.0))
    where = np.unravel_index(int(difference.argmax()), difference.shape) if difference.size else ()
    place = tuple(int(i) for i in where)
    assert worst <= atol, f"{what}: worst difference {worst:.3g} at {place}, limit {atol:.3g}"


def assert_images_agree(actual, expected, fraction_of_peak: float, what: str) -> None:
    """The worst pixel differs by at most a fraction of the reference's peak."""
    peak = float(np.abs(np.asarray(expected, float)).max())
    assert peak > 0, f"{what}: the reference is dark"
    assert_within(actual, expected, fraction_of_peak * peak, f"{what} (peak {peak:.3g})")


def assert_ratio(actual, expected, rtol: float, what: str) -> None:
    """Every ratio actual/expected is 1 to within `rtol`."""
    ratio = np.asarray(actual, float) / np.asarray(expected, float)
    assert_within(ratio, np.ones_like(ratio), rtol, f"{what}, ratio")
