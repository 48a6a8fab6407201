"""Light profiles of galaxies, and the clumpy galaxies of the embedded bank."""

import math

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import gamma, gammaincinv

from darkhaloscope.units import SIGMA_PER_FWHM, stamp_center


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


def hybrid_template(
    rng: np.random.Generator,
    *,
    size: int,
    pixel_scale: float,
    hlr_median: float,
    hlr_scatter: float,
    clump_count_mean: float,
    clump_flux_fraction_max: float,
    psf_fwhm: float,
) -> tuple[np.ndarray, float]:
    """A smooth inclined disc with bulge, and star-forming clumps strewn along it.

    Lengths in arcsec, fluxes relative; `clump_flux_fraction_max` is of integrated flux.
    Returns the (y, x) image of unit flux behind a Gaussian PSF, and its clump flux fraction.
    """
    y, x = (np.indices((size, size)) - stamp_center(size)) * pixel_scale
    reach = size * pixel_scale / 2
    r_e = min(hlr_median * math.exp(hlr_scatter * rng.standard_normal()), 0.3 * reach)
    q, phi = rng.uniform(0.35, 1.0), rng.uniform(0, math.pi)
    bulge = rng.uniform(0, 0.3)
    disc = sersic(x, y, r_e=r_e, n=rng.uniform(0.7, 1.4), q=q, phi=phi, softening=pixel_scale / 2)
    core = sersic(x, y, r_e=0.25 * r_e, n=2.0, q=max(q, 0.7), phi=phi, softening=pixel_scale / 2)
    smooth = (1 - bulge) * disc + bulge * core
    count = int(rng.poisson(clump_count_mean))
    fraction = rng.uniform(0, clump_flux_fraction_max) if count else 0.0
    image = (1 - fraction) * smooth / smooth.sum()
    if count:
        clumps = _clumps(rng, x, y, count=count, r_e=r_e, q=q, phi=phi)
        image = image + fraction * clumps / clumps.sum()
    image = gaussian_filter(image, SIGMA_PER_FWHM * psf_fwhm / pixel_scale) * taper(size)
    return image / image.sum(), fraction


def _clumps(rng, x, y, *, count, r_e, q, phi):
    """Gaussian knots with exponential radial distribution, power-law fluxes and sizes to match."""
    flux = 1 / (1 - rng.random(count))  # dN/dF ~ F^-2: Kennicutt, Edgar & Hodge (1989)
    radius = r_e * rng.gamma(2.0, 0.6, count)
    angle = rng.uniform(0, 2 * math.pi, count)
    u, v = radius * np.cos(angle) / math.sqrt(q), radius * np.sin(angle) * math.sqrt(q)
    cx, cy = math.cos(phi) * u - math.sin(phi) * v, math.sin(phi) * u + math.cos(phi) * v
    sigma = rng.uniform(0.02, 0.07, count) * (r_e / 0.3)
    total = np.zeros_like(x)
    for f, a, b, s in zip(np.minimum(flux, 12.0), cx, cy, sigma, strict=True):
        total += f / s**2 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * s * s))
    return total
