"""S/N that arcs will have behind their PSF, foreseen without rendering them."""

import math

import numpy as np

from darkhaloscope.sim.caustics import DIRECTIONS, Arcs
from darkhaloscope.sim.psf import Moffat

_MERGED = 4
"""Neighbouring lines taken together."""

MOFFAT_BETA = Moffat().beta


def forecast_snr(
    arcs: Arcs,
    flux: np.ndarray,
    psf_fwhm: np.ndarray,
    sky_sigma: np.ndarray,
    pixel_scale: np.ndarray,
) -> np.ndarray:
    """Matched S/N, sqrt(sum f**2 / sigma**2), of each band: (row, band).

    flux : of the sources without magnification, nmgy; psf_fwhm : arcsec, of a Moffat of
    MOFFAT_BETA; sky_sigma : nmgy, noise of a pixel, (row, band) each; pixel_scale : (row,), arcsec
    Arcs are strings of Gaussians, one a few lines, as wide as the PSF and their own spread; good to
    some percent.
    """
    light, x, y, spread = _strings(arcs)
    apart = (x[:, :, None] - x[:, None, :]) ** 2 + (y[:, :, None] - y[:, None, :]) ** 2
    overlap = light[:, :, None] * light[:, None, :]
    snr = np.empty(flux.shape)
    for band in range(flux.shape[1]):
        width = spread + _gaussian_width(psf_fwhm[:, band, None]) ** 2
        both = width[:, :, None] + width[:, None, :]
        squared = (overlap * np.exp(-apart / (2 * both)) / both).sum((1, 2)) / (2 * math.pi)
        snr[:, band] = pixel_scale * flux[:, band] / sky_sigma[:, band] * np.sqrt(squared)
    return snr


def _strings(arcs: Arcs) -> tuple[np.ndarray, ...]:
    """Light, place (arcsec, along the lens's axes) and variance (arcsec**2) of merged lines."""

    def merged(values):
        groups = (len(values), values.shape[1] // _MERGED, _MERGED)
        return values.reshape(groups).sum(-1).astype(np.float32)

    light = merged(arcs.flux)
    total = np.maximum(light, 1e-12)
    x = merged(arcs.flux * arcs.radius * np.cos(DIRECTIONS)) / total
    y = merged(arcs.flux * arcs.radius * np.sin(DIRECTIONS)) / total
    square = merged(arcs.flux * (arcs.radius**2 + arcs.spread)) / total
    return light, x, y, np.maximum(square - x * x - y * y, 0) / 2


def _gaussian_width(fwhm: np.ndarray) -> np.ndarray:
    """Sigma of the Gaussian that a Moffat's noise-equivalent area belongs to, float32."""
    core = fwhm / (2 * math.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    area = math.pi * core**2 * (2 * MOFFAT_BETA - 1) / (MOFFAT_BETA - 1) ** 2
    return np.sqrt(area / (4 * math.pi)).astype(np.float32)
