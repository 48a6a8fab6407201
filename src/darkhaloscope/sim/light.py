"""Light profiles of galaxies, and what is measured on their images."""

import math

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import gamma, gammaincinv

from darkhaloscope.units import stamp_center


def sersic(x, y, *, r_e, n, q=1.0, phi=0.0, softening=0.0):
    """Surface brightness of a Sersic profile of unit total flux at the origin.

    x, y : arrays of one shape, arcsec
    r_e : half-light radius along the geometric mean axis, arcsec
    n : index, 0.3 to 8
    q : minor/major; phi : rad, major axis counter-clockwise from +x
    softening : arcsec, added to the radius in quadrature so that a cusp survives sampling
    Returns array like x : flux per arcsec**2
    Raises ValueError for r_e <= 0, n outside [0.3, 8], q outside (0, 1]
    Source: Ciotti & Bertin (1999) for b_n, here from the incomplete gamma function itself
    """
    if not (r_e > 0 and 0.3 <= n <= 8 and 0 < q <= 1):
        raise ValueError(f"need r_e > 0, 0.3 <= n <= 8, 0 < q <= 1; got {r_e}, {n}, {q}")
    b = gammaincinv(2 * n, 0.5)
    major = math.cos(phi) * x + math.sin(phi) * y
    minor = math.cos(phi) * y - math.sin(phi) * x
    radius = np.sqrt(q * major**2 + minor**2 / q + softening**2) / r_e
    norm = b ** (2 * n) / (2 * math.pi * n * r_e**2 * gamma(2 * n))
    return norm * np.exp(-b * radius ** (1 / n))


def half_light_radius(image: np.ndarray, pixel_scale: float) -> float:
    """Radius around the centroid that holds half the flux, arcsec; NaN for no positive flux.

    image : (y, x), background removed
    """
    total = image.sum()
    if not total > 0:
        return math.nan
    y, x = np.indices(image.shape)
    cx, cy = (image * x).sum() / total, (image * y).sum() / total
    radius = np.hypot(x - cx, y - cy).ravel()
    order = np.argsort(radius, kind="stable")
    growth = np.cumsum(image.ravel()[order]) / total
    inside = int(np.searchsorted(np.maximum.accumulate(growth), 0.5))
    # a pixel is counted when its centre is inside; on average that is half a pixel's area late
    return float(math.sqrt((inside + 0.5) / math.pi) * pixel_scale)


CLUMP_SIGMA_PIX = 1.0
"""Of the Gaussian that the plan's clumpiness subtracts."""


def clumpiness(image: np.ndarray) -> float:
    """The plan's number: sum |I - G1 * I| / sum I with a Gaussian of one pixel. Noise raises it."""
    return float(np.abs(image - gaussian_filter(image, CLUMP_SIGMA_PIX)).sum() / image.sum())


def taper(size: int, width: float = 0.15) -> np.ndarray:
    """A round window: 1 inside, 0 from the edge on, cosine over the last `width` of the radius."""
    y, x = np.indices((size, size)) - stamp_center(size)
    edge = (1 - np.hypot(x, y) / (size / 2)) / width
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(edge, 0, 1))
