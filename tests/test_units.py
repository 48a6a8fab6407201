"""Units and conversions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkhaloscope.units import (
    BANDS,
    SIGMA_PER_FWHM,
    flux_from_mag,
    mag_from_flux,
    mw_transmission,
    stamp_center,
)


def test_a_nanomaggy_is_magnitude_22_5():
    assert flux_from_mag(22.5) == 1.0
    assert flux_from_mag(20.0) == pytest.approx(10.0)
    assert flux_from_mag(25.0) == pytest.approx(0.1)


@given(mag=st.floats(10, 32))
def test_magnitude_and_flux_round_trip(mag):
    assert mag_from_flux(flux_from_mag(mag)) == pytest.approx(mag, abs=1e-9)


def test_no_flux_has_no_magnitude_and_gives_no_warning():
    got = mag_from_flux(np.array([0.0, -1.0, math.nan, 1.0]))
    assert np.isnan(got[:3]).all() and got[3] == 22.5


def test_the_milky_way_dims_blue_most():
    through = [float(mw_transmission(0.1, band)) for band in BANDS]
    assert through == sorted(through) and through[0] > 0 and through[-1] < 1
    assert -2.5 * math.log10(through[1]) == pytest.approx(0.2165)
    assert mw_transmission(0.0, "g") == 1.0


def test_an_even_stamp_is_centred_between_pixels():
    assert stamp_center(64) == 31.5
    assert stamp_center(63) == 31.0
    assert stamp_center(1) == 0.0


def test_fwhm_of_a_gaussian():
    half = SIGMA_PER_FWHM  # sigma of a Gaussian of FWHM 1
    assert math.exp(-(0.5**2) / (2 * half**2)) == pytest.approx(0.5)
