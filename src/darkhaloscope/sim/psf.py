"""Point-spread functions by their Fourier transform, exact and without a kernel to truncate."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from scipy.special import gamma as gamma_function
from scipy.special import kv
from torch import Tensor
from torch.nn.functional import pad

from darkhaloscope.sim.scene import Scenes
from darkhaloscope.units import SIGMA_PER_FWHM

_TABLE_STEP = 1 / 256
_TABLE_END = 40.0  # x**(beta-1) K(x) has fallen below 1e-12 for every beta in use
_REACH_FWHM = 4.0
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class Frequencies:
    """Of `n` samples an axis, half of them along x, in cycles per arcsec."""

    n: int
    spacing: float  # arcsec

    def along(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """k_y (n,) and k_x (n // 2,), the highest k_x left out, in float64."""
        ky = torch.fft.fftfreq(self.n, d=self.spacing, dtype=torch.float64, device=like.device)
        return ky, ky[: self.n // 2]


class Psf(Protocol):
    """A family of PSFs; a row and band of the scenes picks one."""

    @property
    def includes_pixel(self) -> bool:
        """It is an effective PSF, which already holds the pixel's response."""
        ...

    def check(self, scenes: Scenes) -> None:
        """Raise ValueError if the scenes do not say which PSF."""
        ...

    def reach(self, scenes: Scenes, pixel_scale: float) -> Tensor:
        """Radius beyond which a row's PSFs are dark, arcsec: (row,)."""
        ...

    def reaches_beyond(self, scenes: Scenes, frequency: float) -> Tensor:
        """Rows of which a PSF passes more than 1e-3 at a frequency, cycles per arcsec: (row,)."""
        ...

    def transform(self, scenes: Scenes, frequencies: Frequencies, dtype: torch.dtype) -> Tensor:
        """(row, band, k_y, k_x), 1 at k = 0, real or complex."""
        ...


class _Analytic:
    """PSFs of an elliptical radius, given by FWHM and ellipticity."""

    def profile(self, frequency: Tensor, fwhm: Tensor) -> Tensor:
        """Transform of the round one: frequency in cycles per arcsec, FWHM in arcsec."""
        raise NotImplementedError

    def check(self, scenes: Scenes) -> None:
        if scenes.psf_image is not None:
            raise ValueError(f"psf_image is given but the PSF is {self}; use psf.Images")

    def reach(self, scenes: Scenes, pixel_scale: float) -> Tensor:
        return _REACH_FWHM * scenes.psf_fwhm.amax(1)

    def reaches_beyond(self, scenes: Scenes, frequency: float) -> Tensor:
        narrow = scenes.psf_fwhm
        if scenes.psf_e1 is not None and scenes.psf_e2 is not None:
            e = torch.hypot(scenes.psf_e1, scenes.psf_e2)
            narrow = narrow * torch.sqrt((1 - e) / (1 + e))
        passed = self.profile(torch.full_like(narrow, frequency), narrow)
        return (passed > _NEGLIGIBLE).any(1)

    def transform(self, scenes: Scenes, frequencies: Frequencies, dtype: torch.dtype) -> Tensor:
        fwhm = scenes.psf_fwhm.to(dtype)[..., None, None]
        if scenes.psf_e1 is not None:
            return self.profile(_elliptical(scenes, frequencies, dtype), fwhm)
        # a round one is the same at k_y and -k_y; whole vectors, see blur
        half, frequency = frequencies.n // 2, _round(frequencies, dtype, scenes.flux.device)
        upper = self.profile(frequency[: half + 4], fwhm)
        return torch.cat([upper[..., : half + 1, :], upper[..., 1:half, :].flip(-2)], dim=-2)


@dataclass(frozen=True)
class Moffat(_Analytic):
    """Moffat (1969) of wing slope `beta` > 1, untruncated.

    Its transform is 2 (x/2)^(beta-1) K_(beta-1)(x) / Gamma(beta-1), x = 2 pi k r_d, as GalSim's.
    """

    beta: float = 3.5
    includes_pixel: bool = True

    def __post_init__(self):
        if not self.beta > 1:
            raise ValueError(f"moffat_beta must be > 1 for a finite flux, got {self.beta}")

    def profile(self, frequency: Tensor, fwhm: Tensor) -> Tensor:
        scale = fwhm * (math.pi / math.sqrt(2 ** (1 / self.beta) - 1))
        table = _moffat_table(float(self.beta), frequency.dtype, frequency.device)
        position = (frequency * (scale / _TABLE_STEP)).clamp_max(len(table) - 1.001)
        below, weight = position.int().reshape(-1), position.frac()
        lower, upper = (part.index_select(0, below) for part in (table[:-1], table[1:]))
        return torch.lerp(lower.view_as(weight), upper.view_as(weight), weight)


@dataclass(frozen=True)
class Gaussian(_Analytic):
    """Gaussian of the scenes' FWHM."""

    includes_pixel: bool = True

    def profile(self, frequency: Tensor, fwhm: Tensor) -> Tensor:
        return torch.exp(-2 * (math.pi * SIGMA_PER_FWHM * fwhm * frequency) ** 2)


class Images:
    """PSFs given as images (image, y, x) on the stamps' pixels, such as a survey's coadd PSFs.

    Each is centred on its middle, (side - 1) / 2, of any size, and is normalised to unit flux.
    Scenes pick one for each band with `psf_image`. Between pixels it is what its samples hold,
    nothing beyond their highest frequency.
    """

    def __init__(self, images: Tensor, *, includes_pixel: bool = True):
        if images.dim() != 3 or images.shape[1] != images.shape[2]:
            raise ValueError(f"PSF images must be square, (image, y, x); got {tuple(images.shape)}")
        if not bool(torch.isfinite(images).all()) or not bool((images.sum((-2, -1)) > 0).all()):
            raise ValueError("PSF images must be finite and of positive flux")
        self.images = images / images.sum((-2, -1), keepdim=True)
        self.includes_pixel = includes_pixel

    def check(self, scenes: Scenes) -> None:
        wanted = scenes.psf_image
        if wanted is None or wanted.shape != scenes.flux.shape:
            raise ValueError("a PSF of images needs psf_image (row, band) in the scenes")
        if wanted.numel() and not (0 <= int(wanted.min()) <= int(wanted.max()) < len(self.images)):
            raise ValueError(
                f"psf_image must lie in [0, {len(self.images)}), got "
                f"{int(wanted.min())} to {int(wanted.max())}"
            )

    def reach(self, scenes: Scenes, pixel_scale: float) -> Tensor:
        half = self.images.shape[-1] / 2 * pixel_scale
        return torch.full_like(scenes.theta_E, half)

    def reaches_beyond(self, scenes: Scenes, frequency: float) -> Tensor:
        return torch.zeros_like(scenes.theta_E, dtype=torch.bool)

    def transform(self, scenes: Scenes, frequencies: Frequencies, dtype: torch.dtype) -> Tensor:
        if scenes.psf_image is None:
            raise ValueError("a PSF of images needs psf_image (row, band) in the scenes")
        n, side = frequencies.n, self.images.shape[-1]
        image = self.images[scenes.psf_image].to(dtype)
        image = pad(image, 2 * (0, -side % n))  # wrapped onto n pixels, as the transform is
        image = image.unflatten(-1, (-1, n)).unflatten(-3, (-1, n)).sum((-4, -2))
        ky, kx = frequencies.along(image)
        turn = 2j * math.pi * frequencies.spacing * (side - 1) / 2
        centred = torch.exp(turn * ky)[:, None] * torch.exp(turn * kx)[None, :]
        spectrum = torch.fft.rfft2(image)[..., : n // 2]
        return spectrum * centred.to(spectrum.dtype)


def named(model: str, moffat_beta: float, includes_pixel: bool) -> Psf:
    """The PSF of a row's columns."""
    if model == "moffat":
        return Moffat(moffat_beta, includes_pixel)
    if model == "gaussian":
        return Gaussian(includes_pixel)
    raise ValueError(f"psf model must be moffat or gaussian, got {model!r}")


def _elliptical(scenes: Scenes, frequencies: Frequencies, dtype: torch.dtype) -> Tensor:
    """|k| after the PSF is made round at its FWHM: (row, band, k_y, k_x)."""
    ky, kx = (k.to(dtype) for k in frequencies.along(scenes.flux))
    ky = ky[:, None]
    e1, e2 = (
        torch.as_tensor(e, dtype=dtype)[..., None, None] for e in (scenes.psf_e1, scenes.psf_e2)
    )
    e = e1 * e1 + e2 * e2
    squared = (1 + e) * (kx * kx + ky * ky) + 2 * e1 * (kx * kx - ky * ky) + 4 * e2 * (kx * ky)
    return torch.sqrt((squared / (1 - e)).clamp_min(0))


@lru_cache(maxsize=32)
def _round(frequencies: Frequencies, dtype: torch.dtype, device: torch.device) -> Tensor:
    ky, kx = frequencies.along(torch.empty(0, device=device))
    return torch.hypot(ky[:, None], kx[None, :]).to(dtype)


@lru_cache(maxsize=16)
def _moffat_table(beta: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    x = np.arange(0.0, _TABLE_END + _TABLE_STEP, _TABLE_STEP)
    nu = beta - 1
    with np.errstate(invalid="ignore"):
        table = 2 * (x / 2) ** nu * kv(nu, x) / gamma_function(nu)
    table[0] = 1.0
    return torch.from_numpy(table).to(device, dtype)
