"""Made galaxies: Sersic disc and bulge, star-forming clumps, spiral arms."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from darkhaloscope.sim.light import sersic, taper
from darkhaloscope.units import SIGMA_PER_FWHM, stamp_center

_BULGE_SIZE, _BULGE_INDEX, _BULGE_MAX = 0.25, 2.0, 0.3
_ARM_START = 0.3
"""Arms begin at this part of the half-light radius."""


@dataclass(frozen=True)
class Hybrid:
    """A made galaxy behind a Gaussian PSF, and the parts it is made of."""

    image: np.ndarray  # (y, x), flux 1
    bulge: np.ndarray  # (y, x), flux 1
    bulge_fraction: float  # of the integrated flux
    clump_fraction: float  # of the integrated flux
    arm_strength: float  # 0 without arms


def hybrid(
    rng: np.random.Generator,
    *,
    size: int,
    pixel_scale: float,
    hlr_median: float,
    hlr_scatter: float,
    clump_count_mean: float,
    clump_flux_fraction_max: float,
    psf_fwhm: float,
    clump_sigma: tuple[float, float] = (0.02, 0.07),
    clump_reach: float = math.inf,
    arm_probability: float = 0.0,
    arm_strength_max: float = 0.6,
) -> Hybrid:
    """A smooth inclined disc with bulge, star-forming clumps strewn along it, and arms in some.

    Lengths in arcsec; `clump_flux_fraction_max` is of integrated flux
    clump_sigma : range of the clumps' Gaussian widths at a half-light radius of 0.3 arcsec
    clump_reach : half-light radii beyond which there is no clump
    arm_probability : share of discs with two logarithmic arms, of which the strength is uniform
    up to arm_strength_max
    """
    y, x = (np.indices((size, size)) - stamp_center(size)) * pixel_scale
    reach = size * pixel_scale / 2
    r_e = min(hlr_median * math.exp(hlr_scatter * rng.standard_normal()), 0.3 * reach)
    q, phi = rng.uniform(0.35, 1.0), rng.uniform(0, math.pi)
    bulge = rng.uniform(0, _BULGE_MAX)
    soft = pixel_scale / 2
    disc = sersic(x, y, r_e=r_e, n=rng.uniform(0.7, 1.4), q=q, phi=phi, softening=soft)
    core = sersic(
        x, y, r_e=_BULGE_SIZE * r_e, n=_BULGE_INDEX, q=max(q, 0.7), phi=phi, softening=soft
    )
    smooth = (1 - bulge) * disc + bulge * core
    count = int(rng.poisson(clump_count_mean))
    fraction = rng.uniform(0, clump_flux_fraction_max) if count else 0.0
    share = (1 - fraction) / smooth.sum()
    clumps = np.zeros_like(x)
    if count:
        clumps = _clumps(rng, x, y, count, clump_sigma, clump_reach, r_e=r_e, q=q, phi=phi)
        clumps *= fraction / clumps.sum()
    strength = 0.0
    if arm_probability > 0 and rng.random() < arm_probability:
        strength = rng.uniform(0.2, 1.0) * arm_strength_max
        armed = disc * _arms(rng, x, y, r_e=r_e, q=q, phi=phi, strength=strength)
        smooth = (1 - bulge) * armed * (disc.sum() / armed.sum()) + bulge * core
    width = SIGMA_PER_FWHM * psf_fwhm / pixel_scale
    window = taper(size)
    image = gaussian_filter(share * smooth + clumps, width) * window
    centre = gaussian_filter(share * bulge * core, width) * window
    total = image.sum()
    return Hybrid(
        image / total, centre / centre.sum(), float(centre.sum() / total), fraction, strength
    )


def hybrid_template(rng: np.random.Generator, **settings) -> tuple[np.ndarray, float]:
    """The (y, x) image of unit flux of a hybrid galaxy, and its clump flux fraction."""
    made = hybrid(rng, **settings)
    return made.image, made.clump_fraction


def _on_disc(x, y, q: float, phi: float):
    """Coordinates in the plane of the disc, where it is round."""
    major = math.cos(phi) * x + math.sin(phi) * y
    minor = math.cos(phi) * y - math.sin(phi) * x
    return major * math.sqrt(q), minor / math.sqrt(q)


def _arms(rng, x, y, *, r_e, q, phi, strength):
    """Brightness of two logarithmic arms over that of the disc, around 1."""
    u, v = _on_disc(x, y, q, phi)
    radius = np.hypot(u, v) / r_e
    pitch = math.radians(rng.uniform(12, 30)) * rng.choice((-1, 1))
    turn = np.log(np.maximum(radius, 0.05)) / math.tan(pitch)
    wave = np.cos(2 * (np.arctan2(v, u) - turn) + rng.uniform(0, 2 * math.pi))
    rise = 1 - np.exp(-((radius / _ARM_START) ** 2))
    return 1 + strength * rise * wave


def _clumps(rng, x, y, count, sigma, reach, *, r_e, q, phi):
    """Gaussian knots with exponential radial distribution, power-law fluxes and sizes to match."""
    flux = 1 / (1 - rng.random(count))  # dN/dF ~ F^-2: Kennicutt, Edgar & Hodge (1989)
    radius = rng.gamma(2.0, 0.6, count)
    radius = r_e * np.where(radius < reach, radius, radius % 1.0 * min(reach, 1e9))
    angle = rng.uniform(0, 2 * math.pi, count)
    u, v = radius * np.cos(angle) / math.sqrt(q), radius * np.sin(angle) * math.sqrt(q)
    cx, cy = math.cos(phi) * u - math.sin(phi) * v, math.sin(phi) * u + math.cos(phi) * v
    widths = rng.uniform(*sigma, count) * (r_e / 0.3)
    total = np.zeros_like(x)
    for f, a, b, s in zip(np.minimum(flux, 12.0), cx, cy, widths, strict=True):
        total += f / s**2 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * s * s))
    return total
