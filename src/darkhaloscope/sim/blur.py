"""From samples of the light to pixels behind a PSF."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from darkhaloscope.sim import psf
from darkhaloscope.sim.grid import FINE, Grid

_PIXEL_MULTIPLE = 32
_NEGLIGIBLE = 1e-3
"""A PSF's transform below this at the pixels' highest frequency is cut off there."""


def observe(
    light: Tensor,
    psf_fwhm: Tensor,
    grid: Grid,
    *,
    psf_model: str = "moffat",
    moffat_beta: float = 3.5,
    psf_includes_pixel: bool = True,
) -> Tensor:
    """Pixel images of light on the grid's fine cells, margin included.

    light : (row, 1 or band, y, x), flux per fine cell, as rays.fine_light or `to_cells` give it
    psf_fwhm : (row, band), arcsec
    psf_includes_pixel : the PSF is an effective one that already holds the pixel's response
    Returns (row, band, y, x) : flux per pixel, the margin cut off
    The sampling grid's own response is divided out, so this is the true convolved image at the
    pixel centres, up to what the samples missed.
    """
    sharp = _reaches_beyond_pixels(psf_model, psf_fwhm, moffat_beta, grid)
    images = light.new_empty((*psf_fwhm.shape, grid.size, grid.size))
    for rows, fold in ((~sharp, False), (sharp, True)):
        if bool(rows.any()):
            transfer = _transfer(grid, psf_includes_pixel, fold)
            blur = transfer.response * psf.transform(
                psf_model,
                transfer.frequency.to(light.dtype),
                psf_fwhm[rows].to(light.dtype)[..., None, None],
                moffat_beta,
            )
            images[rows] = _convolve(light[rows], blur, grid, fold)
    return images


def to_cells(samples: Tensor, grid: Grid) -> Tensor:
    """Samples of the light (..., y, x), flux each, summed into fine cells."""
    factor = grid.supersampling // FINE
    *rows, ny, nx = samples.shape
    return samples.reshape(*rows, ny // factor, factor, nx // factor, factor).sum((-3, -1))


def _reaches_beyond_pixels(model: str, fwhm: Tensor, beta: float, grid: Grid) -> Tensor:
    """Rows whose PSF passes frequencies that pixels cannot hold; they alias, as on the sky."""
    nyquist = torch.full_like(fwhm, 0.5 / grid.pixel_scale)
    return (psf.transform(model, nyquist, fwhm, beta) > _NEGLIGIBLE).any(dim=1)


def _convolve(light: Tensor, blur: Tensor, grid: Grid, fold: bool) -> Tensor:
    n = _fft_size(grid)
    spectrum = torch.fft.rfft2(light, s=(n, n))
    if fold:
        fine = torch.fft.irfft2(spectrum * blur.to(spectrum.dtype), s=(n, n)) * FINE**2
        return fine[..., *2 * (slice(FINE * grid.margin, FINE * (grid.margin + grid.size), FINE),)]
    half = n // FINE // 2
    kept = spectrum[..., : half + 1]
    kept = torch.cat([kept[..., : n // FINE - half, :], kept[..., n - half :, :]], dim=-2)
    images = torch.fft.irfft2(kept * blur.to(kept.dtype), s=2 * (n // FINE,))
    return images[..., *2 * (slice(grid.margin, grid.margin + grid.size),)]


@dataclass(frozen=True)
class _Transfer:
    """|k| (cycles per arcsec), and what must multiply the PSF's transform there: (ky, kx) each."""

    frequency: Tensor
    response: Tensor


@lru_cache(maxsize=32)
def _transfer(grid: Grid, psf_includes_pixel: bool, fold: bool) -> _Transfer:
    n, spacing = _fft_size(grid), grid.pixel_scale / FINE
    if not fold:
        n, spacing = n // FINE, grid.pixel_scale
    ky = torch.fft.fftfreq(n, d=spacing, dtype=torch.float64)
    kx = torch.fft.rfftfreq(n, d=spacing, dtype=torch.float64)
    along_y = _axis_response(ky, grid, psf_includes_pixel)
    along_x = _axis_response(kx, grid, psf_includes_pixel)
    along_y[n // 2], along_x[-1] = 0, 0  # the highest frequency cannot hold the phase
    return _Transfer(
        torch.hypot(ky[:, None], kx[None, :]),
        along_y[:, None] * along_x[None, :],
    )


def _axis_response(k: Tensor, grid: Grid, psf_includes_pixel: bool) -> Tensor:
    """What one axis owes to the sampling.

    Binning samples into a fine cell filtered the light with a Dirichlet kernel: divide it out.
    A PSF without the pixel gets the pixel's sinc. The phase moves from the centres of fine
    cells, a quarter of a pixel off, to those of pixels.
    """
    cell = grid.pixel_scale / FINE
    pixel = torch.sinc(k * grid.pixel_scale) if not psf_includes_pixel else torch.ones_like(k)
    dirichlet = torch.sinc(k * cell) / torch.sinc(k * grid.step)
    return pixel / dirichlet * torch.exp(2j * math.pi * k * grid.pixel_scale / 4)


def _fft_size(grid: Grid) -> int:
    """Fine cells on a side; whole vectors of pixels keep a row's bits the same in any batch."""
    return FINE * _PIXEL_MULTIPLE * -(-(grid.size + 2 * grid.margin + grid.pad) // _PIXEL_MULTIPLE)
