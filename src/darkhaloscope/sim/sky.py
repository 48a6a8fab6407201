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
from scipy.special import ndtr, ndtri

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

_DEPTH_LEVELS = np.array(
    [0.2, 1, 2.5, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 97.5, 99, 99.8]
) / 100  # fmt: skip
_DEPTH = np.array(
    [23.342, 23.632, 23.869, 23.976, 24.065, 24.156, 24.239, 24.322, 24.460,
     24.718, 24.971, 25.113, 25.228, 25.433, 25.769, 26.016, 26.242]
)  # fmt: skip
"""Quantiles of psfdepth_r (mag) over 2,693 DR10 regions, each of a brick or more."""

_DEPTH_RANKS = np.array([0.06, 0.185, 0.325, 0.475, 0.615, 0.74, 0.86, 0.96])
_LEVELS = np.array([1, 5, 16, 30, 50, 70, 84, 95, 99]) / 100
_FWHM_BY_DEPTH = np.array(
    [
        [1.038, 1.156, 1.260, 1.386, 1.505, 1.632, 1.800, 2.010, 2.284],
        [1.059, 1.171, 1.271, 1.343, 1.438, 1.524, 1.593, 1.741, 1.886],
        [1.011, 1.120, 1.214, 1.296, 1.417, 1.501, 1.615, 1.744, 1.845],
        [1.036, 1.115, 1.220, 1.281, 1.378, 1.455, 1.549, 1.680, 1.771],
        [1.043, 1.120, 1.187, 1.268, 1.352, 1.485, 1.593, 1.747, 1.955],
        [1.113, 1.154, 1.202, 1.234, 1.283, 1.344, 1.419, 1.552, 1.644],
        [1.079, 1.118, 1.158, 1.194, 1.233, 1.286, 1.334, 1.416, 1.555],
        [1.024, 1.080, 1.157, 1.215, 1.275, 1.336, 1.413, 1.547, 1.820],
    ]
)
_EBV_BY_DEPTH = np.array(
    [
        [0.0136, 0.0185, 0.0268, 0.0400, 0.0541, 0.0951, 0.1792, 0.3080, 0.4604],
        [0.0131, 0.0174, 0.0243, 0.0323, 0.0434, 0.0597, 0.0785, 0.1239, 0.2427],
        [0.0137, 0.0196, 0.0281, 0.0361, 0.0500, 0.0687, 0.0917, 0.1379, 0.1856],
        [0.0132, 0.0251, 0.0342, 0.0479, 0.0660, 0.0925, 0.1227, 0.2042, 0.3068],
        [0.0141, 0.0203, 0.0324, 0.0455, 0.0737, 0.1062, 0.1594, 0.2948, 0.4801],
        [0.0104, 0.0135, 0.0172, 0.0222, 0.0310, 0.0468, 0.0795, 0.2202, 0.3825],
        [0.0089, 0.0107, 0.0151, 0.0182, 0.0261, 0.0407, 0.0857, 0.1829, 0.3051],
        [0.0090, 0.0117, 0.0156, 0.0243, 0.0386, 0.0685, 0.1193, 0.1947, 0.3303],
    ]
)
"""Quantiles at _LEVELS of psfsize_r (arcsec) and E(B-V) (mag) of those regions, by depth's rank."""

_SEEING_DUST = 0.2
"""Correlation of their normal scores where depth is the same."""

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
    seeing = t[0]
    dusty = _SEEING_DUST * seeing + math.sqrt(1 - _SEEING_DUST**2) * t[2]
    depth_r, rank = from_quantiles(t[1], _DEPTH_LEVELS, _DEPTH), ndtr(t[1])
    fwhm_r = from_quantiles(seeing, _LEVELS, _at_rank(rank, _FWHM_BY_DEPTH))
    ebv = from_quantiles(dusty, _LEVELS, _at_rank(rank, _EBV_BY_DEPTH))
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


def _at_rank(rank: float, table: np.ndarray) -> np.ndarray:
    """A row of quantiles at a depth's rank, between the table's rows."""
    position = np.interp(rank, _DEPTH_RANKS, np.arange(len(table)))
    below = min(int(position), len(table) - 2)
    weight = position - below
    return table[below] * (1 - weight) + table[below + 1] * weight


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
