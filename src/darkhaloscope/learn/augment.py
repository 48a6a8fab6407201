"""What is done anew to a stamp each time it is shown: nothing that would change its label."""

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn.functional import pad

from darkhaloscope.config import Train
from darkhaloscope.learn.batch import Batch
from darkhaloscope.units import SIGMA_PER_FWHM


@dataclass(frozen=True)
class Draws:
    """What befalls each row.

    turn : 0 to 7, of the square's symmetries; shift : (row, 2), pixels along y and x
    blur : FWHM added in quadrature, of the row's own; rough : noise added, of the sky's
    """

    turn: Tensor
    shift: Tensor
    blur: Tensor
    rough: Tensor

    @classmethod
    def of(cls, n: int, cfg: Train, rng: torch.Generator) -> Self:
        """From a generator on the CPU, so that they are the same on every device."""
        whole = torch.randint(-cfg.shift_pix, cfg.shift_pix + 1, (n, 2), generator=rng)
        part = torch.rand(n, 2, generator=rng) - 0.5
        wider = 1 + cfg.psf_jitter * torch.rand(n, generator=rng)
        return cls(
            turn=torch.randint(8, (n,), generator=rng),
            shift=whole + part * cfg.subpixel,
            blur=torch.sqrt(wider**2 - 1),
            rough=cfg.noise_jitter * torch.rand(n, generator=rng),
        )

    def to(self, device: torch.device) -> Self:
        return type(self)(*(of.to(device) for of in (self.turn, self.shift, self.blur, self.rough)))


def augment(batch: Batch, cfg: Train, rng: torch.Generator) -> Batch:
    """The rows turned, shifted, blurred and roughened, with the PSF and noise they then have.

    rng : a generator on the CPU. Edges are mirrored where the sky beyond them comes in.
    Meta columns stay what they were: they tell of the survey, and jitter stands for their errors
    """
    draws = Draws.of(len(batch.images), cfg, rng).to(batch.images.device)
    images = turned(batch.images, draws.turn)
    images = moved(images, draws.shift, draws.blur[:, None] * batch.psf_fwhm, batch.pixel_scale)
    noise = torch.randn(images.shape, generator=rng).to(images)
    added = draws.rough[:, None] * batch.sky_sigma
    return replace(
        batch,
        images=images + added[..., None, None] * noise,
        psf_fwhm=batch.psf_fwhm * torch.sqrt(1 + draws.blur**2)[:, None],
        sky_sigma=torch.hypot(batch.sky_sigma, added),
    )


def turned(images: Tensor, turn: Tensor) -> Tensor:
    """Each by one of the eight symmetries of the square: mirrored along y, along x, transposed."""
    for bit, change in enumerate((_flip_y, _flip_x, _transposed)):
        where = (turn >> bit & 1).bool()[:, None, None, None]
        images = torch.where(where, change(images), images)
    return images.contiguous()


def _flip_y(images: Tensor) -> Tensor:
    return images.flip(-2)


def _flip_x(images: Tensor) -> Tensor:
    return images.flip(-1)


def _transposed(images: Tensor) -> Tensor:
    return images.transpose(-2, -1)


def moved(images: Tensor, shift: Tensor, fwhm: Tensor, pixel_scale: float) -> Tensor:
    """Shifted by any part of a pixel and convolved with a Gaussian, in Fourier space.

    shift : (row, 2), pixels along y and x; fwhm : (row, band), arcsec, 0 for none
    """
    if not bool(shift.any()) and not bool(fwhm.any()):
        return images
    size = images.shape[-1]
    sigma = float(fwhm.amax()) * SIGMA_PER_FWHM / pixel_scale
    margin = min(math.ceil(float(shift.abs().amax()) + 4 * sigma) + 2, size - 1)
    side = next_fast_len(size + 2 * margin, real=True)
    behind = side - size - margin
    mirrored = pad(images, (margin, min(behind, size - 1)) * 2, mode="reflect")
    side = mirrored.shape[-1]
    ky = torch.fft.fftfreq(side, dtype=images.dtype, device=images.device)
    kx = torch.fft.rfftfreq(side, dtype=images.dtype, device=images.device)
    spectrum = torch.fft.rfft2(mirrored)
    spectrum = spectrum * _phase(ky, shift[:, 0])[:, None, :, None]
    spectrum = spectrum * _phase(kx, shift[:, 1])[:, None, None, :]
    if bool(fwhm.any()):
        width = (2 * math.pi**2 * (fwhm * SIGMA_PER_FWHM / pixel_scale) ** 2)[..., None, None]
        spectrum = spectrum * torch.exp(-width * (ky[:, None] ** 2 + kx**2))
    back = torch.fft.irfft2(spectrum, s=(side, side))
    inside = slice(margin, margin + size)
    return back[..., inside, inside].contiguous()


def _phase(k: Tensor, shift: Tensor) -> Tensor:
    """(row, k)"""
    angle = -2 * math.pi * shift[:, None] * k
    return torch.complex(torch.cos(angle), torch.sin(angle))
