"""Point-spread functions by their Fourier transform, exact and without a kernel to truncate."""

import math
from functools import lru_cache

import numpy as np
import torch
from scipy.special import gamma as gamma_function
from scipy.special import kv
from torch import Tensor

from darkhaloscope.units import SIGMA_PER_FWHM

MODELS = ("moffat", "gaussian")
_TABLE_STEP = 1 / 256
_TABLE_END = 40.0  # x**(beta-1) K(x) has fallen below 1e-12 for every beta in use


def transform(model: str, frequency: Tensor, fwhm: Tensor, beta: float) -> Tensor:
    """Fourier transform of a round PSF of unit flux.

    model : "moffat" or "gaussian"
    frequency : |k|, cycles per arcsec
    fwhm : arcsec, broadcastable against frequency, > 0
    beta : the Moffat's wing slope, > 1; ignored by the Gaussian
    Raises ValueError for an unknown model, a beta <= 1 or a FWHM that is not positive.
    Source: Moffat (1969); its transform 2 (x/2)^(beta-1) K_(beta-1)(x) / Gamma(beta-1) with
    x = 2 pi k r_d is that of GalSim's untruncated Moffat.
    """
    if not bool((fwhm > 0).all()):
        raise ValueError(f"PSF FWHM must be > 0 arcsec, got {float(fwhm.min())}")
    if model == "gaussian":
        return torch.exp(-2 * (math.pi * SIGMA_PER_FWHM * fwhm * frequency) ** 2)
    if model == "moffat":
        if beta <= 1:
            raise ValueError(f"moffat_beta must be > 1 for a finite flux, got {beta}")
        scale = fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))
        return _interpolate(_moffat_table(float(beta)), 2 * math.pi * frequency * scale)
    raise ValueError(f"psf model must be one of {MODELS}, got {model!r}")


@lru_cache(maxsize=16)
def _moffat_table(beta: float) -> Tensor:
    x = np.arange(0.0, _TABLE_END + _TABLE_STEP, _TABLE_STEP)
    nu = beta - 1
    with np.errstate(invalid="ignore"):
        table = 2 * (x / 2) ** nu * kv(nu, x) / gamma_function(nu)
    table[0] = 1.0
    return torch.from_numpy(table)


def _interpolate(table: Tensor, x: Tensor) -> Tensor:
    table = table.to(x)
    position = (x / _TABLE_STEP).clamp(max=len(table) - 1.001)
    below = position.int()
    weight = position - below
    return torch.lerp(table[below], table[below + 1], weight)
