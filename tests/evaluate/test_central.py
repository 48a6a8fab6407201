"""What stands in the middle of a cutout: found, placed and weighed."""

import math

import numpy as np
import pytest

from darkhaloscope.evaluate.central import BRIGHTEST_M_R, expected_mag_r, nearest_source
from darkhaloscope.survey.sed import colour_grid
from darkhaloscope.units import PIXEL_SCALE_ARCSEC, flux_from_mag

SKY = np.array([0.002, 0.003, 0.007])
SHARE = np.array([0.3, 1.0, 2.0])[:, None, None]


def stamp(*galaxies, n=64, seed=3):
    """x, y (arcsec) and r magnitude of round galaxies on noise."""
    y, x = (np.indices((n, n)) - (n - 1) / 2) * PIXEL_SCALE_ARCSEC
    image = np.random.default_rng(seed).normal(size=(3, n, n)) * SKY[:, None, None]
    for gx, gy, mag in galaxies:
        light = np.exp(-((x - gx) ** 2 + (y - gy) ** 2) / 2 / 0.7**2)
        image += SHARE * flux_from_mag(mag) * light / light.sum()
    return image.astype(np.float32)


def found(image, at=(0.0, 0.0)):
    return nearest_source(image, at, PIXEL_SCALE_ARCSEC)


@pytest.mark.parametrize("off", [0.0, 0.4, 0.97, 1.6, 3.0])
def test_a_galaxy_is_where_it_is(off):
    central = found(stamp((off * 0.6, off * 0.8, 19.5)))
    assert central.off_arcsec == pytest.approx(off, abs=0.06)
    assert central.mag_r == pytest.approx(19.5, abs=0.08)


def test_the_distance_is_from_the_position_not_from_the_middle():
    assert found(stamp((0.1, -0.1, 19.5)), (0.1, -0.1)).off_arcsec < 0.05


def test_an_empty_cutout_has_none():
    for seed in range(20):
        central = found(stamp(seed=seed))
        assert math.isnan(central.off_arcsec) or central.off_arcsec > 0.5, seed
    assert found(np.zeros((3, 64, 64), np.float32)).snr == 0


def test_the_nearest_counts_not_the_brightest():
    central = found(stamp((0.2, 0.0, 20.5), (5.0, 0.0, 17.0)))
    assert central.off_arcsec == pytest.approx(0.2, abs=0.1)
    assert central.mag_r == pytest.approx(20.5, abs=0.2)


def test_what_a_catalogue_says_counts_before_the_redshift():
    assert expected_mag_r(19.0, 0.2, 1.0, colour_grid()) == (18.0, 21.0)


def test_a_lens_galaxy_of_a_redshift():
    """SLACS: z 0.164 and V = -23.33, r - V = -0.32 (Auger et al. 2009): r of about 16.5."""
    bright, faint = expected_mag_r(math.nan, 0.164, 1.0, colour_grid())
    assert bright < 16.3 < faint
    modulus = colour_grid().distance_modulus(np.array([0.164]))[0]
    assert bright == pytest.approx(BRIGHTEST_M_R + modulus, abs=0.4)
    further = expected_mag_r(math.nan, 0.7, 1.0, colour_grid())
    assert further[0] > bright + 3


def test_where_nothing_is_known():
    assert expected_mag_r(math.nan, math.nan, 1.0, colour_grid()) == (12.5, 22.5)
