"""What pixels tell: of a host its place, brightness and shape, of a PSF its width and shape."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from darkhaloscope.units import mag_from_flux, stamp_center

APERTURE_ARCSEC = 2.0
_SEARCH_ARCSEC = 1.0
_CENTROID_SIGMA_ARCSEC = 0.6
_CENTROID_STEPS = 10


@dataclass(frozen=True)
class HostShape:
    """Measured on the r image; mags g r z in the aperture, no aperture correction."""

    center_x: float  # arcsec from the stamp's centre
    center_y: float
    q: float
    phi: float  # rad
    r_e: float  # arcsec, half-light radius in the aperture, seeing included
    mags: np.ndarray


def measure_host(image: np.ndarray, pixel_scale: float) -> HostShape:
    """Centroid and Gaussian-weighted moments of the galaxy at the centre of a cutout.

    image : (band, y, x) g r z, nmgy; NaN counts as 0
    The axis ratio is that of the light as seen, rounder than the galaxy by its seeing.
    """
    image = np.nan_to_num(image.astype(float))
    image = image - np.median(image, axis=(-2, -1), keepdims=True)
    n = image.shape[-1]
    y, x = (np.indices((n, n)) - stamp_center(n)) * pixel_scale
    red = image[1]
    x0, y0 = _centroid(red, x, y)
    radius = np.hypot(x - x0, y - y0)
    weight = np.clip(red, 0, None) * np.exp(-(radius**2) / 2) * (radius < APERTURE_ARCSEC)
    xx, yy, xy = (
        (weight * m).sum() / max(weight.sum(), 1e-12)
        for m in ((x - x0) ** 2, (y - y0) ** 2, (x - x0) * (y - y0))
    )
    spread = np.hypot(xx - yy, 2 * xy)
    minor, major = max(xx + yy - spread, 0.0), xx + yy + spread
    return HostShape(
        center_x=x0,
        center_y=y0,
        q=float(np.clip(np.sqrt(minor / major), 0.3, 1.0)) if major > 0 else 1.0,
        phi=float(0.5 * np.arctan2(2 * xy, xx - yy)),
        r_e=_half_light(red, radius),
        mags=mag_from_flux(image[:, radius < APERTURE_ARCSEC].sum(axis=1)),
    )


def _centroid(red, x, y) -> tuple[float, float]:
    """Gaussian-weighted centroid near the brightest central pixel, iterated until it rests.

    A step is doubled because a weight as wide as the object halves the measured offset.
    """
    near = np.hypot(x, y) < _SEARCH_ARCSEC
    peak = np.argmax(np.where(near, red, -np.inf))
    px, py = float(x.ravel()[peak]), float(y.ravel()[peak])
    light = np.clip(red, 0, None)
    for _ in range(_CENTROID_STEPS):
        squared = (x - px) ** 2 + (y - py) ** 2
        weight = light * np.exp(-squared / (2 * _CENTROID_SIGMA_ARCSEC**2))
        total = weight.sum()
        if not total > 0:
            return 0.0, 0.0
        px += 2 * float((weight * (x - px)).sum() / total)
        py += 2 * float((weight * (y - py)).sum() / total)
    return px, py


def _half_light(red, radius) -> float:
    inside = radius < APERTURE_ARCSEC
    order = np.argsort(radius[inside])
    growth = np.cumsum(red[inside][order])
    if not growth[-1] > 0:
        return float("nan")
    return float(radius[inside][order][np.searchsorted(growth, growth[-1] / 2)])


def measure_psf(image: np.ndarray, pixel_scale: float) -> tuple[float, float, float]:
    """FWHM (arcsec), e1 and e2 of the elliptical Moffat, of any wing slope, nearest to a PSF image.

    image : (y, x), about its middle; e as in scene.Scenes, (1 - q) / (1 + q)
    """
    n_y, n_x = image.shape
    y, x = np.indices(image.shape, float)
    x, y = (x - stamp_center(n_x)) * pixel_scale, (y - stamp_center(n_y)) * pixel_scale
    peak = float(image.max())
    width = 2 * np.sqrt((image > peak / 2).sum() / np.pi) * pixel_scale

    def misfit(p):
        model = _moffat(x, y, *p)
        return (image - model * (model * image).sum() / (model**2).sum()).ravel() / peak

    lowest = (0.1 * width, -0.9, -0.9, 1.1, -2.0, -2.0)
    highest = (5 * width, 0.9, 0.9, 100.0, 2.0, 2.0)
    fit = least_squares(misfit, (width, 0.0, 0.0, 3.0, 0.0, 0.0), bounds=(lowest, highest))
    fwhm, e1, e2 = fit.x[:3]
    return float(fwhm), float(e1), float(e2)


def _moffat(x, y, fwhm, e1, e2, beta, x0, y0) -> np.ndarray:
    """Moffat of unit peak, sheared at constant area."""
    x, y = x - x0, y - y0
    e = min(e1 * e1 + e2 * e2, 0.99)
    squared = (1 + e) * (x * x + y * y) - 2 * e1 * (x * x - y * y) - 4 * e2 * x * y
    return (1 + 4 * (2 ** (1 / beta) - 1) * squared / (1 - e) / fwhm**2) ** -beta
