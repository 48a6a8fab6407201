"""The survey's units and the few conversions everything shares.

Angles are arcsec, position angles rad counter-clockwise from +x (increasing column), fluxes
nanomaggies (nmgy, AB), images ``(row, band, y, x)``. A pixel's integer index is its centre, and
the centre of an n-pixel stamp is ``(n - 1) / 2``.
"""

import math

import numpy as np

BANDS = ("g", "r", "z")
PIXEL_SCALE_ARCSEC = 0.262  # Legacy Surveys coadds
ZERO_POINT_MAG = 22.5  # AB magnitude of 1 nmgy
SIGMA_PER_FWHM = 1.0 / math.sqrt(8.0 * math.log(2.0))

ELECTRONS_PER_NMGY_PER_EXPOSURE = 3.7e3
"""DECam, one DECaLS exposure (EVIDENCE section 5: 1.1e4 e-/nmgy for three exposures)."""

EXTINCTION_PER_EBV = {"g": 3.214, "r": 2.165, "z": 1.211}
"""A_b / E(B-V) on the SFD98 scale, DECam filters. Source: Legacy Surveys DR10 description."""

SKY_PIXEL_ARCSEC = math.degrees(math.sqrt(math.pi / 3)) * 3600
"""Side of a square of the area of a HEALPix pixel of nside 1; goes as 1 / nside."""


def flux_from_mag(mag):
    """AB magnitude to nmgy."""
    return 10.0 ** (0.4 * (ZERO_POINT_MAG - np.asarray(mag, float)))


def mag_from_flux(flux):
    """nmgy to AB magnitude; NaN where the flux is not positive."""
    flux = np.asarray(flux, float)
    return ZERO_POINT_MAG - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))


def mw_transmission(ebv_mag, band):
    """Fraction of light in `band` that the Milky Way lets through at E(B-V) = `ebv_mag`."""
    return 10.0 ** (-0.4 * EXTINCTION_PER_EBV[band] * np.asarray(ebv_mag, float))


def stamp_center(n_pixels):
    """Pixel index of a stamp's centre, half-integer for an even size."""
    return (n_pixels - 1) / 2.0
