"""What spoils real cutouts: wings, spikes and ghosts of bright stars, saturation, bad pixels.

Mask bits are those of the Legacy Surveys' maskbits.
"""

import math

import numpy as np

from darkhaloscope.sim.paint import PSF, Stars
from darkhaloscope.sim.sky import Conditions, extinction
from darkhaloscope.units import (
    BANDS,
    PIXEL_SCALE_ARCSEC,
    SIGMA_PER_FWHM,
    flux_from_mag,
    stamp_center,
)

BRIGHT_BIT, MEDIUM_BIT = 1 << 1, 1 << 11
SATURATED_BITS = (1 << 2, 1 << 3, 1 << 4)  # g r z
ALLMASK_BITS = (1 << 5, 1 << 6, 1 << 7)  # g r z

BRIGHT_R_MAG, MEDIUM_R_MAG = 13.0, 16.0
_WINGS_R_MAG = 17.5
_SATURATION_NMGY = np.array([8.0, 14.0, 26.0])
"""Light of a pixel at which a DECaLS exposure is full: stars of r = 16 in typical seeing."""

_WING_PER_ARCSEC2, _WING_SLOPE, _WING_CORE_ARCSEC = 2e-5, -2.5, 4.0
"""Share of a star's light 10 arcsec away, and its fall; DECam's aureole, to a factor of two."""

_SPIKE_SHARE, _SPIKE_SLOPE = 4e-3, -1.9
_SPIKE_ANGLES = np.radians([45.0, 135.0])
"""DECam's vanes stand diagonally to the coadds' axes."""


def bright_stars(stars: Stars) -> np.ndarray:
    """Which of them show more than a PSF's core: (star,) bool."""
    return stars.mags[:, 1] < _WINGS_R_MAG


def star_glare(stars: Stars, conditions: Conditions, size: int) -> np.ndarray:
    """Bright stars with wings and diffraction spikes: (band, y, x) float32, nmgy.

    Their core is the Moffat itself, on the pixels: a Fourier sum would ring at their brightness
    """
    glare = np.zeros((len(BANDS), size, size))
    y, x = _grid(size)
    for star_x, star_y, mags in zip(stars.x, stars.y, stars.mags, strict=True):
        flux = flux_from_mag(mags + extinction(conditions.ebv)) * PIXEL_SCALE_ARCSEC**2
        dx, dy = x - star_x, y - star_y
        radius = np.hypot(np.hypot(dx, dy), _WING_CORE_ARCSEC)
        wings = _WING_PER_ARCSEC2 * (radius / 10) ** _WING_SLOPE
        for b, fwhm in enumerate(conditions.psf_fwhm):
            core = _moffat(dx, dy, fwhm, *conditions.psf_e[b])
            glare[b] += flux[b] * (core + wings + _spikes(dx, dy, SIGMA_PER_FWHM * fwhm))
    return glare.astype(np.float32)


def _moffat(dx: np.ndarray, dy: np.ndarray, fwhm: float, e1: float, e2: float) -> np.ndarray:
    """The PSF that `paint` uses, per arcsec**2."""
    beta, e = PSF.beta, e1 * e1 + e2 * e2
    scale = fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))
    xx, yy = dx * dx, dy * dy
    squared = ((1 + e) * (xx + yy) - 2 * e1 * (xx - yy) - 4 * e2 * dx * dy) / (1 - e)
    return (beta - 1) / (math.pi * scale**2) * (1 + squared / scale**2) ** -beta


def _spikes(dx: np.ndarray, dy: np.ndarray, sigma: float) -> np.ndarray:
    """Four spikes of a star at the origin, per arcsec**2."""
    total = np.zeros_like(dx + dy)
    for angle in _SPIKE_ANGLES:
        along = np.abs(dx * math.cos(angle) + dy * math.sin(angle))
        across = dy * math.cos(angle) - dx * math.sin(angle)
        width = np.hypot(1.15 * sigma, 0.035 * along)
        profile = np.exp(-0.5 * (across / width) ** 2) / (math.sqrt(2 * math.pi) * width)
        total += _SPIKE_SHARE * profile * (1 + along / 2) ** _SPIKE_SLOPE
    return total


def ghost(rng: np.random.Generator, size: int, peak: np.ndarray) -> np.ndarray:
    """Edge of an out-of-focus image of the pupil that passes near the centre: (band, y, x), nmgy.

    peak : (band,) brightest surface brightness, nmgy per pixel
    The edge is brighter on one side, and light fills the inside
    """
    y, x = _grid(size)
    radius, direction = math.exp(rng.uniform(math.log(4), math.log(30))), rng.uniform(0, 6.2832)
    reach = radius - rng.uniform(-1.0, 3.0)
    width = rng.uniform(0.7, 1.8)
    dx, dy = x - reach * math.cos(direction), y - reach * math.sin(direction)
    edge = np.hypot(dx, dy) - radius
    side = 0.55 + 0.45 * np.cos(np.arctan2(dy, dx) - direction - rng.uniform(2.2, 4.1))
    inside = 1 / (1 + np.exp(np.clip(edge / (0.5 * width), -40, 40)))
    shape = np.exp(-0.5 * (edge / width) ** 2) * side + 0.25 * inside
    return peak[:, None, None] * shape


def mask_stars(stars: Stars, light: np.ndarray) -> np.ndarray:
    """maskbits (y, x) int32 of saturated pixels and of the surroundings of bright stars."""
    size = light.shape[-1]
    bits = np.zeros((size, size), np.int32)
    for band, limit in enumerate(_SATURATION_NMGY):
        bits[light[band] > limit] |= SATURATED_BITS[band]
    y, x = _grid(size)
    for star in np.flatnonzero(stars.mags[:, 1] < MEDIUM_R_MAG):
        r = stars.mags[star, 1]
        inside = np.hypot(x - stars.x[star], y - stars.y[star]) < star_mask_radius(r)
        bits[inside] |= MEDIUM_BIT | (BRIGHT_BIT if r < BRIGHT_R_MAG else 0)
    return bits


def star_mask_radius(r_mag: float) -> float:
    """Arcsec; Gaia's G is near enough to r. Source: legacypipe, 1630 x 1.396^-G."""
    return 1630.0 * 1.396**-r_mag


def saturate(image: np.ndarray, invvar: np.ndarray, bits: np.ndarray) -> None:
    """Cut saturated pixels at what an exposure holds and take their weight, in place."""
    for band, limit in enumerate(_SATURATION_NMGY):
        full = (bits & SATURATED_BITS[band]) != 0
        image[band][full] = limit
        invvar[band][full] = 0


def bad_line(
    rng: np.random.Generator, image: np.ndarray, invvar: np.ndarray, bits: np.ndarray
) -> None:
    """A line of bad pixels through one band that no exposure filled, in place.

    Columns, trails and hits of cosmic rays: the pixels stay as they were read, without weight.
    """
    size, band = image.shape[-1], int(rng.integers(len(BANDS)))
    y, x = _grid(size)
    half = stamp_center(size) * PIXEL_SCALE_ARCSEC
    angle = (rng.random() < 0.5) * math.pi / 2 + (rng.random() < 0.3) * rng.uniform(0, math.pi)
    across = (y * math.cos(angle) - x * math.sin(angle)) - rng.uniform(-half, half)
    line = np.abs(across) < PIXEL_SCALE_ARCSEC * rng.uniform(0.5, 1.2)
    sigma = 1 / math.sqrt(max(float(np.median(invvar[band])), 1e-12))
    image[band][line] += np.float32(sigma * rng.uniform(-3, 8))
    invvar[band][line] = 0
    bits[line] |= ALLMASK_BITS[band]


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """y (n, 1) and x (n,), arcsec from the stamp's centre."""
    at = ((np.arange(size) - stamp_center(size)) * PIXEL_SCALE_ARCSEC).astype(np.float32)
    return at[:, None], at
