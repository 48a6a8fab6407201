"""What a cutout tells of its host."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkhaloscope.sim.light import sersic
from darkhaloscope.sim.measure import APERTURE_ARCSEC, measure_host
from darkhaloscope.units import stamp_center
from tolerance import assert_within

SCALE = 0.262


def _stamp(size=64, x=0.0, y=0.0, q=0.6, phi=0.4, r_e=0.8, flux=(5.0, 20.0, 40.0)):
    rows, columns = (np.indices((size, size)) - stamp_center(size)) * SCALE
    shape = sersic(columns - x, rows - y, r_e=r_e, n=1.0, q=q, phi=phi, softening=0.2)
    return np.array(flux)[:, None, None] * shape / shape.sum()


_place = st.floats(-0.5, 0.5)


@settings(max_examples=40)
@given(
    size=st.sampled_from([63, 64]),
    x=_place,
    y=_place,
    phi=st.floats(-1.5, 1.5),
    q=st.floats(0.5, 0.8),
)
def test_place_and_angle_of_a_planted_galaxy(size, x, y, phi, q):
    host = measure_host(_stamp(size, x, y, q, phi), SCALE)
    assert_within([host.center_x, host.center_y], [x, y], 0.03, "centre, arcsec")
    turn = (host.phi - phi + math.pi / 2) % math.pi - math.pi / 2
    assert abs(turn) < 0.1, f"angle {host.phi} for {phi}"


def test_centre_is_good_to_a_tenth_of_a_pixel():
    for x, y in ((0.0, 0.0), (0.13, 0.0), (-0.1, 0.2)):
        host = measure_host(_stamp(64, x, y, q=0.6, phi=0.3), SCALE)
        assert_within([host.center_x, host.center_y], [x, y], 0.026, "centre, arcsec")


def test_axis_ratio_and_size_follow_the_galaxy():
    ratios = [measure_host(_stamp(q=q), SCALE).q for q in (0.45, 0.65, 0.85)]
    assert ratios == sorted(ratios)
    assert 0.3 <= ratios[0] < 0.7 < ratios[2] <= 1.0
    sizes = [measure_host(_stamp(r_e=r_e), SCALE).r_e for r_e in (0.4, 0.7, 1.1)]
    assert sizes == sorted(sizes)
    assert measure_host(_stamp(q=1.0), SCALE).q > 0.95


def test_brightness_is_that_of_the_aperture():
    image = _stamp(r_e=0.4, q=1.0)
    assert_within(
        measure_host(image, SCALE).mags,
        22.5 - 2.5 * np.log10([5.0, 20.0, 40.0]),
        0.03,
        f"magnitudes within {APERTURE_ARCSEC} arcsec",
    )


def test_the_sky_is_not_brightness():
    image, raised = _stamp(), _stamp() + np.array([0.01, -0.02, 0.05])[:, None, None]
    assert_within(measure_host(raised, SCALE).mags, measure_host(image, SCALE).mags, 1e-9, "mags")


def test_a_brighter_neighbour_does_not_pull_the_centre():
    image = _stamp(x=0.2, y=-0.1) + 3 * _stamp(x=5.0, y=4.0, r_e=0.5)
    host = measure_host(image, SCALE)
    assert_within([host.center_x, host.center_y], [0.2, -0.1], 0.15, "centre")


def test_nan_and_dark_cutouts_do_not_raise():
    image = _stamp()
    image[1, 3, 3] = math.nan
    host = measure_host(image, SCALE)
    assert_within([host.center_x, host.center_y], [0, 0], 0.15, "centre")
    dark = measure_host(np.zeros((3, 32, 32)), SCALE)
    assert (dark.center_x, dark.center_y, dark.q) == (0.0, 0.0, 1.0)
    assert math.isnan(dark.r_e) and np.isnan(dark.mags).all()


@pytest.mark.parametrize("band", [0, 2])
def test_shape_comes_from_the_r_band(band):
    image = _stamp()
    image[band] = np.random.default_rng(0).normal(0, 5, image.shape[1:])
    assert measure_host(image, SCALE).phi == measure_host(_stamp(), SCALE).phi
