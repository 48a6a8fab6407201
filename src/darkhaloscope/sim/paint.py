"""Galaxies and stars behind the seeing, drawn in Fourier space; one stamp a call.

Each object is its transform, moved by a phase; a band's objects are summed and multiplied by the
band's PSF once. A stamp's bits never depend on what else is drawn beside it.
"""

import math
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from scipy.fft import ifft, irfft, next_fast_len

from darkhaloscope.sim.psf import Moffat
from darkhaloscope.sim.sersic import sersic_transform
from darkhaloscope.sim.sky import Conditions, extinction
from darkhaloscope.units import PIXEL_SCALE_ARCSEC, flux_from_mag

MARGIN_PIX = 8
"""Objects up to this far beside a stamp are drawn too."""

PSF = Moffat()
_PAD_PIX = 20
_CUT_CYCLES_PER_FWHM = 1.6
"""A Moffat's transform is 1e-3 there: nothing beyond is drawn."""

_REACH_R_E = 8.0
"""A de Vaucouleurs galaxy is 2e-3 of its seen peak there, which may wrap around."""


@dataclass(frozen=True)
class Objects:
    """Columns of equal length, one object a row."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, rows) -> Self:
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def __add__(self, other: Self) -> Self:
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return type(self)(**{name: np.concatenate(pair) for name, pair in pairs.items()})


@dataclass(frozen=True)
class Galaxies(Objects):
    """Sersic galaxies: place from the stamp's centre in arcsec, mags before the Milky Way's dust.

    mags : (galaxy, band) AB; r_e : half-light radius along the geometric mean axis, arcsec
    n : index; q : minor/major; phi : rad from +x
    """

    x: np.ndarray
    y: np.ndarray
    mags: np.ndarray
    r_e: np.ndarray
    n: np.ndarray
    q: np.ndarray
    phi: np.ndarray


@dataclass(frozen=True)
class Stars(Objects):
    """Points; as Galaxies."""

    x: np.ndarray
    y: np.ndarray
    mags: np.ndarray


def no_stars() -> Stars:
    return Stars(x=np.empty(0), y=np.empty(0), mags=np.empty((0, 3)))


def paint(galaxies: Galaxies, stars: Stars, conditions: Conditions, size: int) -> np.ndarray:
    """Noise-free image, (band, y, x) float32, nmgy, dimmed by the Milky Way.

    The PSF is the Moffat that `sim.psf` puts arcs behind, with the conditions' ellipticity
    """
    side = transform_side(galaxies, size)
    ky, kx = _frequencies(side, conditions)
    spectrum = _light(galaxies, stars, conditions.ebv, ky, kx, size) * _psf(conditions, ky, kx)
    rows = np.zeros((len(spectrum), side, len(kx)), np.complex64)
    half = len(ky) // 2 + 1
    rows[:, :half], rows[:, side - (len(ky) - half) :] = spectrum[:, :half], spectrum[:, half:]
    rows = ifft(rows, axis=-2, overwrite_x=True)[:, :size]
    return irfft(rows, n=side, axis=-1)[..., :size]


def transform_side(galaxies: Galaxies, size: int) -> int:
    """Pixels of the transform: wings of large galaxies must not wrap around onto the stamp."""
    major = np.max(galaxies.r_e / np.sqrt(galaxies.q) * np.minimum(galaxies.n / 4, 1), initial=0)
    wide = size / 2 + _REACH_R_E * major / PIXEL_SCALE_ARCSEC
    return next_fast_len(int(min(max(wide, size + 2 * _PAD_PIX), 4 * size)), real=True)


def _frequencies(side: int, conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies that pass the sharpest band's PSF, cycles per arcsec: k_y (both signs), k_x."""
    e = np.hypot(*conditions.psf_e.T)
    cut = _CUT_CYCLES_PER_FWHM / (conditions.psf_fwhm * np.sqrt((1 - e) / (1 + e))).min()
    count = min(math.ceil(cut * side * PIXEL_SCALE_ARCSEC), (side - 1) // 2)
    step = 1 / (side * PIXEL_SCALE_ARCSEC)
    kx = np.arange(count + 1) * step
    return np.concatenate([kx, -kx[:0:-1]]), kx


def _light(galaxies, stars, ebv, ky, kx, size) -> np.ndarray:
    """Transform of all objects before the PSF: (band, k_y, k_x), complex64."""
    shapes = np.ones((len(galaxies) + len(stars), len(ky), len(kx)), np.complex64)
    shapes.real[: len(galaxies)] = sersic_transform(_rounded(galaxies, ky, kx), galaxies.n)
    middle = (size - 1) / 2 * PIXEL_SCALE_ARCSEC
    shapes *= _phase(np.concatenate([galaxies.y, stars.y]) + middle, ky)[:, :, None]
    shapes *= _phase(np.concatenate([galaxies.x, stars.x]) + middle, kx)[:, None, :]
    mags = np.concatenate([galaxies.mags, stars.mags])
    flux = flux_from_mag(mags + extinction(ebv)).astype(np.float32)
    parts = shapes.reshape(len(shapes), len(ky) * len(kx)).view(np.float32)
    light = np.einsum("gb,gk->bk", flux, parts)
    return light.view(np.complex64).reshape(flux.shape[1], len(ky), len(kx))


def _phase(place: np.ndarray, k: np.ndarray) -> np.ndarray:
    return np.exp(-2j * math.pi * place[:, None] * k).astype(np.complex64)


def _rounded(galaxies: Galaxies, ky: np.ndarray, kx: np.ndarray) -> np.ndarray:
    """2 pi |k| r_e once the ellipse is made round: (galaxy, k_y, k_x)."""
    c, s, q = np.cos(galaxies.phi), np.sin(galaxies.phi), galaxies.q
    scale = (2 * math.pi * galaxies.r_e) ** 2
    xx, yy = scale * (c * c / q + s * s * q), scale * (s * s / q + c * c * q)
    xy = 2 * scale * c * s * (1 / q - q)
    column = (slice(None), None, None)
    squared = xy.astype(np.float32)[column] * np.multiply.outer(ky, kx).astype(np.float32)
    squared += np.multiply.outer(xx, kx * kx).astype(np.float32)[:, None, :]
    squared += np.multiply.outer(yy, ky * ky).astype(np.float32)[:, :, None]
    return np.sqrt(np.maximum(squared, 0, out=squared), out=squared)


def _psf(conditions: Conditions, ky: np.ndarray, kx: np.ndarray) -> np.ndarray:
    """(band, k_y, k_x), real."""
    e1, e2 = conditions.psf_e.T[..., None, None]
    xx, yy = np.square(kx), np.square(ky)[:, None]
    e = e1 * e1 + e2 * e2
    squared = (1 + e) * (xx + yy) + 2 * e1 * (xx - yy) + 4 * e2 * np.multiply.outer(ky, kx)
    k = torch.from_numpy(np.sqrt(np.clip(squared / (1 - e), 0, None)).astype(np.float32))
    fwhm = torch.from_numpy(conditions.psf_fwhm.astype(np.float32))[:, None, None]
    return PSF.profile(k, fwhm).numpy()
