"""From light on fine cells to pixels behind a PSF."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from darkhaloscope.sim.boxes import Boxes
from darkhaloscope.sim.grid import FINE, Grid
from darkhaloscope.sim.psf import Frequencies, Psf
from darkhaloscope.sim.scene import Scenes

_PIXEL_MULTIPLE = 16
"""Of a transform's side: whole vectors keep a row's bits the same in any batch."""


def transform_side(scenes: Scenes, around: Boxes, grid: Grid, psf: Psf) -> Tensor:
    """Pixels on the side of each row's transform, so that no light wraps around onto the stamp."""
    clear = torch.ceil(psf.reach(scenes, grid.pixel_scale) / grid.pixel_scale).long()
    farthest = torch.zeros_like(clear)
    for first in (around.x, around.y):
        low = first - grid.margin
        farthest = farthest.maximum(low + around.side).maximum(grid.size - low)
    needed = (farthest + clear).maximum(around.side).clamp_min(grid.size)
    return -(-needed // _PIXEL_MULTIPLE) * _PIXEL_MULTIPLE


def is_sharp(scenes: Scenes, grid: Grid, psf: Psf) -> Tensor:
    """Rows with a PSF of frequencies that pixels cannot hold; they alias, as on the sky."""
    return psf.reaches_beyond(scenes, 0.5 / grid.pixel_scale)


def observe(
    fine: Tensor, around: Boxes, scenes: Scenes, grid: Grid, psf: Psf, *, side: int, sharp: bool
) -> Tensor:
    """Pixel images of light on the fine cells of boxes, in the scenes' flux.

    fine : (part, row, y, x), of unit flux; side : see transform_side; sharp : see is_sharp
    Returns (row, band, y, x) : nmgy per pixel, the margin cut off
    The cells' own response is divided out, so this is the true convolved image at the pixel
    centres, up to what the rays missed. A sharp PSF is applied to cells, any other to pixels.
    """
    per_pixel = FINE if sharp else 1
    frequencies = Frequencies(side * per_pixel, grid.pixel_scale / per_pixel)
    along_y = _axis(around.y, grid, psf, frequencies)
    along_x = _axis(around.x, grid, psf, frequencies)[:, : frequencies.n // 2]
    spectrum = _spectrum(fine, side * FINE, frequencies.n)
    spectrum = spectrum * along_y.to(spectrum.dtype)[:, :, None]
    spectrum = _in_bands(spectrum * along_x.to(spectrum.dtype)[:, None, :], scenes.shares)
    blur = psf.transform(scenes, frequencies, fine.dtype)
    size = per_pixel * grid.size
    rows = torch.fft.ifft(spectrum * blur, dim=-2)[..., :size:per_pixel, :]
    images = torch.fft.irfft(rows, n=frequencies.n)[..., :size:per_pixel]
    return images * (scenes.flux * per_pixel**2).to(images.dtype)[..., None, None]


def _in_bands(parts: Tensor, shares: Tensor | None) -> Tensor:
    """(part, row, ...) as (row, band or 1, ...): what the parts give together."""
    if shares is None:
        return parts[0, :, None]
    weights = shares.to(parts.real.dtype)[..., None, None]
    total = parts[0, :, None] * weights[:, :, 0]
    for i in range(1, len(parts)):
        total = total + parts[i, :, None] * weights[:, :, i]
    return total


def _spectrum(fine: Tensor, n: int, m: int) -> Tensor:
    """Transform of cells in the corner of n x n, its m x (m // 2) lowest frequencies."""
    rows = torch.fft.rfft(fine, n=n)[..., : m // 2]
    every = torch.fft.fft(rows, n=n, dim=-2)
    if m == n:
        return every
    return torch.cat([every[..., : m // 2, :], every[..., n - m // 2 :, :]], dim=-2)


def _axis(first: Tensor, grid: Grid, psf: Psf, frequencies: Frequencies) -> Tensor:
    """What one axis owes to the sampling, (row, k).

    The phase moves the box to its place, and from the centres of cells, a quarter of a pixel off,
    to those of pixels.
    """
    k, response = _response(frequencies, grid, psf.includes_pixel, first.device)
    shift = grid.pixel_scale * (first - grid.margin - 0.5 * (1 - 1 / FINE))
    return response * torch.exp(-2j * math.pi * shift[:, None] * k)


@lru_cache(maxsize=64)
def _response(
    frequencies: Frequencies, grid: Grid, psf_includes_pixel: bool, device: torch.device
) -> tuple[Tensor, Tensor]:
    """k, cycles per arcsec, and the response: (k,) each.

    Taking means over cells filtered the light with their sinc: divide it out. A PSF without the
    pixel gets the pixel's sinc. The highest frequency cannot hold a phase: leave it.
    """
    k, _ = frequencies.along(torch.empty(0, device=device))
    response = 1 / torch.sinc(k * grid.cell)
    if not psf_includes_pixel:
        response = response * torch.sinc(k * grid.pixel_scale)
    response[frequencies.n // 2] = 0
    return k, response
