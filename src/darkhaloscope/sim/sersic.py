"""Sersic profiles by their Fourier transform: a table over index and frequency, made once."""

import math
from functools import lru_cache

import numpy as np
from scipy.fft import fht, fhtoffset
from scipy.special import gammaincinv, gammaln

SERSIC_N = (0.5, 6.0)
"""Indices that the table covers: from a Gaussian to the steepest of galaxies."""

_N_STEP = 0.1
_POINTS = 3072
_SMALLEST = 1e-3  # 2 pi k r_e below which the transform is 1
_ROOT_END = 14.0  # of sqrt(2 pi k r_e); beyond it the transform is taken as there


def sersic_transform(k_r_e: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Transform of round Sersic profiles of unit flux, float32 of the shape of `k_r_e`.

    k_r_e : (galaxy, ...) 2 pi k r_e, k in cycles per unit of the half-light radius r_e
    n : (galaxy,) index within SERSIC_N
    Raises ValueError for an index outside
    Errors, of interpolation, are below 5e-4; it is even in frequency and 1 at 0
    """
    low, high = SERSIC_N
    if not ((n >= low) & (n <= high)).all():
        raise ValueError(f"a Sersic index must lie in [{low}, {high}], got {n}")
    position = np.sqrt(k_r_e.astype(np.float32))
    position *= np.float32((_POINTS - 1) / _ROOT_END)
    np.minimum(position, np.float32(_POINTS - 1.01), out=position)
    below = position.astype(np.intp)
    position -= below
    for i, row in enumerate(_between(n)):
        position[i] *= np.diff(row).take(below[i])
        position[i] += row.take(below[i])
    return position


def _between(n: np.ndarray) -> np.ndarray:
    """The table at indices between its own, (galaxy, point)."""
    table = _table()
    position = (n - SERSIC_N[0]) / _N_STEP
    below = np.minimum(position.astype(int), len(table) - 2)
    weight = (position - below).astype(np.float32)[:, None]
    return table[below] * (1 - weight) + table[below + 1] * weight


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """(n, point), uniform in sqrt(2 pi k r_e)."""
    wanted = np.linspace(0, _ROOT_END, _POINTS) ** 2
    log_wanted = np.log(np.clip(wanted, _SMALLEST, None))
    low, high = SERSIC_N
    indices = np.arange(low, high + _N_STEP / 2, _N_STEP)
    table = np.array([np.interp(log_wanted, *_hankel(n)) for n in indices], np.float32)
    table[:, wanted <= _SMALLEST] = 1
    return table


def _hankel(n: float) -> tuple[np.ndarray, np.ndarray]:
    """ln(2 pi k r_e) and the transform there.

    Source: the logarithmic Hankel transform of Hamilton (2000), of Ciotti & Bertin's (1999) profile
    """
    log_r, step = np.linspace(-22, 18, 8192, retstep=True)
    b = gammaincinv(2 * n, 0.5)
    r = np.exp(log_r)
    log_norm = 2 * n * np.log(b) - math.log(2 * math.pi * n) - gammaln(2 * n)
    profile = np.exp(np.clip(log_norm - b * r ** (1 / n), -700, None))
    offset = fhtoffset(step, mu=0)
    transform = 2 * math.pi * fht(r * profile, step, mu=0, offset=offset)
    log_k = offset - log_r[::-1]
    return log_k, transform / np.exp(log_k)
