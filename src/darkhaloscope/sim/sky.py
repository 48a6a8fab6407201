"""How a made sky was observed: seeing, depth, dust and exposures together, and the coadd's noise.

Distributions are those of EVIDENCE section 5 and of the 2,693 DR10 regions behind it. Every number
comes from the generator that is handed in.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import correlate1d
from scipy.optimize import brentq
from scipy.special import ndtri

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

_LEVELS = np.array(
    [0.2, 1, 2.5, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 97.5, 99, 99.8]
) / 100  # fmt: skip
_REGIONS = np.array(
    [
        [0.985, 1.035, 1.089, 1.123, 1.163, 1.215, 1.256, 1.300, 1.347,
         1.400, 1.459, 1.535, 1.641, 1.746, 1.841, 1.963, 2.232],
        [23.342, 23.632, 23.869, 23.976, 24.065, 24.156, 24.239, 24.322, 24.460,
         24.718, 24.971, 25.113, 25.228, 25.433, 25.769, 26.016, 26.242],
        [0.009, 0.011, 0.013, 0.015, 0.018, 0.025, 0.032, 0.039, 0.048,
         0.059, 0.074, 0.097, 0.152, 0.212, 0.290, 0.379, 0.506],
    ]
)  # fmt: skip
"""Quantiles of psfsize_r (arcsec), psfdepth_r (mag) and E(B-V) (mag) over DR10 regions."""

_REGION_CORRELATION = np.array([[1, -0.416, 0.263], [-0.416, 1, -0.194], [0.263, -0.194, 1]])
"""Of their normal scores: 2 sin(pi/6 rho) of Spearman's -0.400, 0.253 and -0.186."""

_SKY_OFFSET_NMGY = (0.0002, 0.0003, 0.0007)
_SKY_OFFSET_SCATTER = 0.7
_PSF_E_COMMON, _PSF_E_BAND = 0.012, 0.012


@dataclass(frozen=True)
class Conditions:
    """How one place was observed; per-band values in band order."""

    psf_fwhm: np.ndarray  # arcsec
    psf_e: np.ndarray  # (band, 2) e1, e2 of the PSF, (1 - q) / (1 + q)
    depth: np.ndarray  # 5 sigma point source, AB mag
    nexp: np.ndarray
    ebv: float  # mag


def draw_conditions(rng: np.random.Generator) -> Conditions:
    """Seeing, depth and reddening, jointly: worse seeing is shallower and dustier, depth bimodal.

    Bands differ by ratios that scatter; exposures follow from the depth.
    """
    t = rng.standard_normal(17)
    seeing, deep, dusty = _region_scores() @ t[:3]
    fwhm_r, depth_r, ebv = (
        from_quantiles(score, _LEVELS, table)
        for score, table in zip((seeing, deep, dusty), _REGIONS, strict=True)
    )
    ratio_g = 1.09 * math.exp(_two_sided(t[3] - 0.5 * seeing, 0.075, 0.17) / math.hypot(1, 0.5))
    ratio_z = 0.955 * math.exp(0.14 * (t[4] - 0.3 * seeing) / math.hypot(1, 0.3))
    depth = depth_r + np.array([0.38 + _two_sided(t[5], 0.061, 0.152), 0.0, -1.02 + 0.09 * t[6]])
    nexp = 3.0 * 10 ** (0.8 * (depth_r - 24.30)) * np.exp(0.15 * np.array([t[7], 0.0, t[8]]))
    return Conditions(
        psf_fwhm=fwhm_r * np.array([ratio_g, 1.0, ratio_z]),
        psf_e=_PSF_E_COMMON * t[9:11] + _PSF_E_BAND * t[11:17].reshape(3, 2),
        depth=depth,
        nexp=np.clip(np.round(nexp), 1, None).astype(int),
        ebv=float(ebv),
    )


def from_quantiles(score, levels: np.ndarray, values: np.ndarray):
    """What a normal score stands for in a distribution known by its quantiles."""
    return np.interp(score, ndtri(levels), values)


def _two_sided(score: float, below: float, above: float) -> float:
    return score * (below if score < 0 else above)


@lru_cache(maxsize=1)
def _region_scores() -> np.ndarray:
    return np.linalg.cholesky(_REGION_CORRELATION)


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

    As in the survey, resampling smooths the noise of sky and photons, while `invvar` keeps its
    value from before.
    """
    sigma = pixel_sigma(conditions)[:, None, None]
    gain = (conditions.nexp * ELECTRONS_PER_NMGY_PER_EXPOSURE)[:, None, None]
    variance = (sigma**2 + np.clip(light, 0, None) / gain).astype(np.float32)
    noise = correlated_noise(rng, light.shape, noise_lag1, np.sqrt(variance))
    scatter = 1 + _SKY_OFFSET_SCATTER * rng.standard_normal(len(BANDS))
    offset = (np.array(_SKY_OFFSET_NMGY) * scatter)[:, None, None]
    return (light + noise + offset).astype(np.float32), 1 / variance


def correlated_noise(rng: np.random.Generator, shape, lag1: float, sigma=None) -> np.ndarray:
    """White noise after a resampling whose neighbours along each axis correlate by `lag1`; float32.

    sigma : of `shape`, the scatter before the resampling; 1 if absent
    The kernel is the survey's, Lanczos-3, at the sub-pixel phase that gives `lag1` (0 to 0.25). It
    keeps the power at long wavelengths, so a pixel's scatter falls below `sigma` (to 0.79 of it for
    0.25), which is why sky noise measured on coadds lies below 1 / sqrt(invvar).
    """
    kernel = _resampling_kernel(lag1)
    *rest, ny, nx = shape
    edge = len(kernel) // 2
    white = rng.standard_normal((*rest, ny + 2 * edge, nx + 2 * edge), dtype=np.float32)
    if sigma is not None:
        white *= np.pad(sigma, [(0, 0)] * len(rest) + [(edge, edge)] * 2, mode="edge")
    across = correlate1d(white, kernel, axis=-1)[..., edge:-edge]
    return correlate1d(across, kernel, axis=-2)[..., edge:-edge, :]


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
