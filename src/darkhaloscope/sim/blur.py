"""From samples of the light to pixels behind a PSF."""

import math

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from darkhaloscope.sim import psf
from darkhaloscope.sim.grid import FINE, Grid


def observe(
    samples: Tensor,
    psf_fwhm: Tensor,
    grid: Grid,
    *,
    psf_model: str = "moffat",
    moffat_beta: float = 3.5,
    psf_includes_pixel: bool = True,
) -> Tensor:
    """Pixel images of light sampled on the grid, margin included.

    samples : (row, 1 or band, y, x), flux per sample
    psf_fwhm : (row, band), arcsec
    psf_includes_pixel : the PSF is an effective one that already holds the pixel's response
    Returns (row, band, y, x) : flux per pixel, the margin cut off
    The sampling grid's own response is divided out, so this is the true convolved image at the
    pixel centres, up to what the samples missed.
    """
    frequency, response = _transfer(grid, psf_includes_pixel)
    blur = response * psf.transform(
        psf_model, frequency, psf_fwhm.double()[..., None, None], moffat_beta
    )
    light = _bin(samples, grid.supersampling // FINE)
    spectrum = torch.fft.rfft2(light, s=2 * (_fft_size(grid),))
    fine = torch.fft.irfft2(spectrum * blur.to(spectrum.dtype), s=2 * (_fft_size(grid),))
    inside = slice(FINE * grid.margin, FINE * (grid.margin + grid.size), FINE)
    return fine[..., inside, inside] * FINE**2


def _bin(samples: Tensor, factor: int) -> Tensor:
    *rows, ny, nx = samples.shape
    return samples.reshape(*rows, ny // factor, factor, nx // factor, factor).sum((-3, -1))


def _transfer(grid: Grid, psf_includes_pixel: bool) -> tuple[Tensor, Tensor]:
    """|k| in cycles per arcsec, and what must multiply the PSF's transform: (ky, kx) each."""
    n, cell = _fft_size(grid), grid.pixel_scale / FINE
    ky = torch.fft.fftfreq(n, d=cell, dtype=torch.float64)
    kx = torch.fft.rfftfreq(n, d=cell, dtype=torch.float64)
    along_y = _axis_response(ky, grid, psf_includes_pixel)
    along_x = _axis_response(kx, grid, psf_includes_pixel)
    return torch.hypot(ky[:, None], kx[None, :]), along_y[:, None] * along_x[None, :]


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
    n = next_fast_len(FINE * (grid.size + 2 * grid.margin + grid.pad), real=True)
    return n + n % 2
