"""The S/N foreseen for arcs is that of the arcs that are rendered."""

import numpy as np

from darkhaloscope.jobs.looks import look_at
from darkhaloscope.sim.caustics import N_CURVE, Arcs
from darkhaloscope.sim.forecast import forecast_snr
from tolerance import assert_ratio


def test_a_point_has_the_signal_of_its_psf():
    """All light in one place: S/N = flux / (sigma sqrt(noise-equivalent pixels))."""
    flux = np.zeros((1, N_CURVE))
    flux[0, 4] = 1.0
    point = Arcs(flux, np.full((1, N_CURVE), 1.0), np.zeros((1, N_CURVE)))
    fwhm, sigma, scale = 1.3, 0.004, 0.262
    y, x = (np.indices((200, 200)) - 99.5) * scale
    core = fwhm / (2 * np.sqrt(2 ** (1 / 3.5) - 1))
    psf = (1 + (x**2 + y**2) / core**2) ** -3.5
    psf /= psf.sum()
    want = 2.0 * np.sqrt((psf**2).sum()) / sigma
    got = forecast_snr(
        point, np.array([[2.0]]), np.array([[fwhm]]), np.array([[sigma]]), np.array([scale])
    )
    assert_ratio(got, [[want]], 0.01, "S/N")


def test_no_arc_of_a_set_is_fainter_than_the_plan_asked(stamps):
    columns = look_at(stamps).sample
    snr = columns["arc_snr"][columns["kind"] == "lens"]
    assert snr.min() > 0.8 * 10  # min_arc_snr, as foreseen
