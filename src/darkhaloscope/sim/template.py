"""From an HST stamp to a source template: a galaxy on nothing, not rectified sky.

Clipping negative pixels turns noise into flux (EVIDENCE section 1). Here the galaxy is segmented,
the pedestal removed, pixels inside the mask kept whatever their sign, and the edge tapered.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter, label

from darkhaloscope.sim.light import clumpiness, half_light_radius
from darkhaloscope.units import SIGMA_PER_FWHM, stamp_center

_DETECTION_SIGMA = 1.5
_GROW_ARCSEC = 0.3
_SOFT_EDGE_ARCSEC = 0.12
_RING_PIX = 3
_MAX_RING_COVERED = 0.25
_MAX_RING_SIGMA = 1.5
_MIN_SKY_PIX = 200


@dataclass(frozen=True)
class Template:
    """A galaxy of unit flux, and what was measured on the way."""

    image: np.ndarray
    hlr_arcsec: float
    snr: float
    clumpiness: float
    clumpiness_noise: float
    border_fraction: float


def clean(
    image: np.ndarray,
    *,
    pixel_scale: float,
    psf_fwhm: float,
    noise_sigma: float,
    noise_area: float,
    data_size: int,
) -> Template:
    """Cut the central galaxy out of its noise.

    image : (y, x), any flux unit
    data_size : side of the central square that holds data, pixels; the rest is ignored
    psf_fwhm : arcsec, of the galaxy as drawn; detection smooths with it
    noise_sigma : of one pixel, in the image's unit
    noise_area : pixels one noise element covers, sum of its correlation function
    Raises ValueError, its text the reason, where no galaxy stands at the centre
    """
    data = _central_square(image.shape, data_size)
    ring = data & ~_central_square(image.shape, data_size - 2 * _RING_PIX)
    level = float(np.median(image[ring]))
    detected = _segments(image - level, psf_fwhm / pixel_scale, noise_sigma, noise_area)
    detected[~data] = 0
    own = _central(detected, pixel_scale)
    if own[ring].mean() > _MAX_RING_COVERED or level > _MAX_RING_SIGMA * noise_sigma:
        raise ValueError("truncated by its stamp")
    grown = binary_dilation(own, iterations=max(1, round(_GROW_ARCSEC / pixel_scale)))
    sky = data & ~grown & ~binary_dilation(detected > 0, iterations=3)
    pedestal = float(np.median(image[sky])) if sky.sum() > _MIN_SKY_PIX else 0.0
    window = gaussian_filter((grown & data).astype(float), _SOFT_EDGE_ARCSEC / pixel_scale)
    window[(detected > 0) & ~own | ~data] = 0.0
    galaxy = (image - pedestal) * window
    flux = galaxy.sum()
    if not flux > 0:
        raise ValueError("no positive flux")
    noise = noise_sigma * np.sqrt((window**2).sum() * noise_area)
    unit = galaxy / flux
    return Template(
        image=unit,
        hlr_arcsec=half_light_radius(unit, pixel_scale),
        snr=float(flux / noise),
        clumpiness=clumpiness(unit),
        clumpiness_noise=_noise_clumpiness(image, sky, window, pedestal, flux),
        border_fraction=_border_fraction(unit),
    )


def _central_square(shape, size):
    inside = np.abs(np.arange(shape[0]) - stamp_center(shape[0])) < size / 2
    return inside[:, None] & inside[None, :]


def _segments(image, fwhm_pix, noise_sigma, noise_area):
    """Connected regions above the noise of the smoothed image, numbered from 1."""
    sigma = SIGMA_PER_FWHM * fwhm_pix
    averaged = max(1.0, 4 * np.pi * sigma**2 / noise_area)
    limit = _DETECTION_SIGMA * noise_sigma / np.sqrt(averaged)
    return label(gaussian_filter(image, sigma) > limit)[0]


def _central(labels: np.ndarray, pixel_scale: float) -> np.ndarray:
    """Mask of the region at the centre, or of the largest within 0.3 arcsec of it."""
    y, x = np.indices(labels.shape) - stamp_center(len(labels))
    near = labels[np.hypot(x, y) * pixel_scale < 0.3]
    near = near[near > 0]
    if not near.size:
        raise ValueError("nothing detected at the centre")
    return labels == np.bincount(near).argmax()


def _noise_clumpiness(image, sky, window, pedestal, flux) -> float:
    """Clumpiness that the stamp's noise alone gives, from the sky around the galaxy."""
    if sky.sum() <= _MIN_SKY_PIX:
        return float("nan")
    rough = np.abs(image - pedestal - gaussian_filter(image - pedestal, 1.0))
    return float(rough[sky].mean() * window.sum() / flux)


def _border_fraction(unit: np.ndarray) -> float:
    """Flux within three pixels of the stamp's edge, of a total of 1."""
    inner = unit[3:-3, 3:-3].sum()
    return float(abs(unit.sum() - inner))
