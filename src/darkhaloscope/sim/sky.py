"""A made sky: luminous galaxies, their neighbours and the survey's noise, seeing and depth.

Distributions are those of EVIDENCE section 5 (DR10 bricks and LRG parents). One host a call, every
number from the generator that is handed in.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import correlate1d
from scipy.optimize import brentq

from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.inject import poisson_residual
from darkhaloscope.sim.render import render
from darkhaloscope.sim.scene import Scenes, stack
from darkhaloscope.sim.sources import Sersics
from darkhaloscope.units import (
    BANDS,
    ELECTRONS_PER_NMGY_PER_EXPOSURE,
    EXTINCTION_PER_EBV,
    PIXEL_SCALE_ARCSEC,
    SIGMA_PER_FWHM,
    flux_from_mag,
)

MEDIAN_PSF_FWHM_ARCSEC = (1.474, 1.352, 1.291)
"""g, r, z: median psfsize_r over bricks, times the median g/r 1.09 and z/r .955."""

MEDIAN_NEXP = (3, 3, 3)
"""A typical DECaLS depth."""

_PAINT_TOLERANCE = 4e-3
"""Of a galaxy's peak; the models of galaxies are cruder than that."""

_COUNTS_SLOPE = 0.35  # d log10 N / d mag of field galaxies at r 18 to 24.5
_COUNTS_RANGE = (18.0, 24.5)
_HOST_TYPES = (("DEV", 0.36, 4.0), ("REX", 0.26, 1.0), ("SER", 0.22, 2.5), ("EXP", 0.16, 1.0))


@dataclass(frozen=True)
class Conditions:
    """How one place was observed; per-band values in band order."""

    psf_fwhm: np.ndarray  # arcsec
    depth: np.ndarray  # 5 sigma point source, AB mag
    nexp: np.ndarray
    ebv: float  # mag


@dataclass(frozen=True)
class Galaxy:
    """A Sersic galaxy; place from the stamp's centre in arcsec, mags g r z before reddening."""

    x: float
    y: float
    mags: np.ndarray
    r_e: float
    n: float
    q: float
    phi: float


def draw_conditions(rng: np.random.Generator) -> Conditions:
    """Seeing, depth and reddening, jointly: worse seeing is shallower, depth is bimodal."""
    t = rng.standard_normal(8)
    fwhm_r = 1.352 * math.exp(0.135 * t[0])
    ratio_g = 1.09 * math.exp(0.12 * t[1] - 0.08 * t[0])
    ratio_z = 0.955 * math.exp(0.11 * t[2] - 0.04 * t[0])
    deep = rng.random() < 0.3
    depth_r = (25.15 if deep else 24.30) + 0.13 * t[3] - 0.10 * t[0]
    depth = depth_r + np.array([0.40 + 0.10 * t[4], 0.0, -1.02 + 0.09 * t[5]])
    nexp = 3.0 * 10 ** (0.8 * (depth_r - 24.30)) * np.exp(0.15 * np.array([t[6], 0.0, t[7]]))
    return Conditions(
        psf_fwhm=fwhm_r * np.array([ratio_g, 1.0, ratio_z]),
        depth=depth,
        nexp=np.clip(np.round(nexp), 1, None).astype(int),
        ebv=float(0.047 * math.exp(0.75 * rng.standard_normal())),
    )


def draw_host(rng: np.random.Generator) -> Galaxy:
    """A luminous red galaxy at the stamp's centre, up to half a pixel off as in real cutouts."""
    t = rng.standard_normal(5)
    z_mag = max(17.3, 20.42 - rng.exponential(0.52))
    r_minus_z = float(np.clip(1.23 * math.exp(0.30 * t[0]), 0.5, 2.4))
    g_minus_r = 1.62 + (0.28 if t[1] > 0 else 0.45) * t[1] + 0.12 * t[0]
    kind = rng.choice(len(_HOST_TYPES), p=[weight for _, weight, _ in _HOST_TYPES])
    q = 1.0 if _HOST_TYPES[kind][0] == "REX" else float(np.clip(0.74 + 0.15 * t[2], 0.3, 1.0))
    x, y = rng.uniform(-0.5, 0.5, 2) * PIXEL_SCALE_ARCSEC
    return Galaxy(
        x=float(x),
        y=float(y),
        mags=np.array([z_mag + r_minus_z + g_minus_r, z_mag + r_minus_z, z_mag]),
        r_e=float(np.clip(0.95 * math.exp(0.35 * t[3] - 0.28 * (z_mag - 20.0)), 0.35, 4.0)),
        n=_HOST_TYPES[kind][2],
        q=q,
        phi=float(rng.uniform(0, math.pi)),
    )


def draw_neighbours(rng: np.random.Generator, half_side: float, per_arcmin2: float) -> list[Galaxy]:
    """Field galaxies within a square of the given half side (arcsec).

    per_arcmin2 : galaxies brighter than r = 23.5
    """
    low, high = _COUNTS_RANGE
    density = per_arcmin2 * 10 ** (_COUNTS_SLOPE * (high - 23.5)) / 3600.0
    count = rng.poisson(density * (2 * half_side) ** 2)
    return [_draw_neighbour(rng, half_side, low, high) for _ in range(count)]


def _draw_neighbour(rng, half_side, low, high) -> Galaxy:
    t = rng.standard_normal(3)
    floor = 10 ** (_COUNTS_SLOPE * (low - high))
    r = high + math.log10(floor + (1 - floor) * rng.random()) / _COUNTS_SLOPE
    r_minus_z = 0.25 + 0.45 * math.exp(0.5 * t[0])
    g_minus_r = 0.35 + 0.45 * math.exp(0.5 * t[1])
    x, y = rng.uniform(-half_side, half_side, 2)
    return Galaxy(
        x=float(x),
        y=float(y),
        mags=np.array([r + g_minus_r, r, r - r_minus_z]),
        r_e=float(np.clip(0.45 * math.exp(0.45 * t[2] - 0.18 * (r - 23)), 0.08, 3.0)),
        n=float(rng.choice([1.0, 1.0, 1.0, 2.5])),
        q=float(rng.uniform(0.35, 1.0)),
        phi=float(rng.uniform(0, math.pi)),
    )


def paint(galaxies: list[Galaxy], conditions: Conditions, size: int) -> np.ndarray:
    """Noise-free image of the galaxies, (band, y, x), nmgy, dimmed by the Milky Way."""
    column = {
        name: stack([getattr(galaxy, name) for galaxy in galaxies])
        for name in ("x", "y", "r_e", "n", "q", "phi")
    }
    zero = torch.zeros_like(column["x"])
    mags = np.array([galaxy.mags for galaxy in galaxies]) + extinction(conditions.ebv)
    unlensed = Scenes(
        theta_E=zero, q=zero + 1, phi=zero, gamma1=zero, gamma2=zero,
        center_x=column["x"], center_y=column["y"], source_x=zero, source_y=zero,
        source_phi=column["phi"], source_scale=column["r_e"],
        template=torch.arange(len(galaxies)),
        flux=stack(flux_from_mag(mags)),
        psf_fwhm=stack(np.tile(conditions.psf_fwhm, (len(galaxies), 1))),
    )  # fmt: skip
    sources = Sersics(column["n"], column["q"])
    images = render(unlensed, sources, Grid(size, PIXEL_SCALE_ARCSEC, _PAINT_TOLERANCE))
    return images.sum(0, dtype=torch.float64).numpy()


def extinction(ebv: float) -> np.ndarray:
    """Milky Way extinction in band order, mag."""
    return np.array([EXTINCTION_PER_EBV[band] * ebv for band in BANDS])


def pixel_sigma(conditions: Conditions) -> np.ndarray:
    """Noise of a pixel per band before resampling, nmgy, from the 5 sigma point-source depth.

    N_eff = 1 / sum psf**2 is 4 pi sigma**2 for a Gaussian; a Moffat's of beta 3.5 is 1.52 times it.
    """
    n_eff = 1.52 * 4 * math.pi * (SIGMA_PER_FWHM * conditions.psf_fwhm / PIXEL_SCALE_ARCSEC) ** 2
    return flux_from_mag(conditions.depth) / 5 / np.sqrt(n_eff)


def expose(
    rng: np.random.Generator, light: np.ndarray, conditions: Conditions, noise_lag1: float
) -> tuple[np.ndarray, np.ndarray]:
    """A coadd of `light` (band, y, x): image and inverse variance, float32.

    As in the survey, resampling smooths the noise, while `invvar` keeps its value from before.
    """
    sigma = pixel_sigma(conditions)[:, None, None]
    gain = (conditions.nexp * ELECTRONS_PER_NMGY_PER_EXPOSURE)[:, None, None]
    sky = sigma * correlated_noise(rng, light.shape, noise_lag1)
    offset = rng.normal(0.0004, 0.0004, (len(BANDS), 1, 1))
    photons = poisson_residual(light, gain, rng)
    invvar = 1 / (sigma**2 + np.clip(light, 0, None) / gain)
    return (light + sky + photons + offset).astype(np.float32), invvar.astype(np.float32)


def correlated_noise(rng: np.random.Generator, shape, lag1: float) -> np.ndarray:
    """Unit white noise after a resampling whose neighbours along each axis correlate by `lag1`.

    The kernel is the survey's, Lanczos-3, at the sub-pixel phase that gives `lag1` (0 to 0.25). It
    keeps the power at long wavelengths, so a pixel's scatter falls below 1 (to 0.79 for 0.25),
    which is why sky noise measured on coadds lies below 1 / sqrt(invvar).
    """
    kernel = _resampling_kernel(lag1)
    *rest, ny, nx = shape
    edge = len(kernel) // 2
    white = rng.standard_normal((*rest, ny + 2 * edge, nx + 2 * edge))
    noise = correlate1d(correlate1d(white, kernel, axis=-1), kernel, axis=-2)
    return noise[..., edge:-edge, edge:-edge]


@lru_cache(maxsize=8)
def _resampling_kernel(lag1: float) -> np.ndarray:
    if lag1 == 0:
        return _lanczos3(0.0)
    return _lanczos3(brentq(lambda phase: _lag1(_lanczos3(phase)) - lag1, 0.0, 0.5))


def _lanczos3(phase: float) -> np.ndarray:
    """Taps of a shift by `phase` pixels, centred in seven."""
    x = np.arange(-3, 4) - phase
    taps = np.sinc(x) * np.sinc(x / 3) * (np.abs(x) < 3)
    return taps / taps.sum()


def _lag1(kernel: np.ndarray) -> float:
    return float((kernel[1:] * kernel[:-1]).sum() / (kernel**2).sum())
