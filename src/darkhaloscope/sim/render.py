"""Lensed images: rays from a stamp to the source, then the PSF, all bands at once."""

from collections.abc import Iterator

import torch
from torch import Tensor

from darkhaloscope.sim.blur import observe
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.rays import Shapes, fine_light
from darkhaloscope.sim.scene import Scenes

_ROWS_AT_ONCE = 8
"""Bounds memory to some 10 MB, and keeps the working arrays in a core's cache."""


def render(scenes: Scenes, templates: Tensor, grid: Grid, **psf) -> Tensor:
    """Images of the scenes.

    templates : (template, y, x), each of unit flux
    psf : psf_model, moffat_beta and psf_includes_pixel, as `blur.observe` takes them
    Returns (row, band, y, x) : nmgy per pixel, in the templates' dtype; empty for no rows
    Raises ValueError for a bad scene, see Scenes.check
    """
    images = [templates.new_empty((0, scenes.flux.shape[1], grid.size, grid.size))]
    for rows, light in _lights(scenes, templates, grid):
        image = observe(light[:, None], rows.psf_fwhm, grid, **psf)
        images.append(image * rows.flux.to(image.dtype)[..., None, None])
    return torch.cat(images)


def magnification(scenes: Scenes, templates: Tensor, grid: Grid) -> Tensor:
    """Lensed over unlensed flux inside the grid and its margin, one number a row."""
    totals = [light.sum((-2, -1)) for _, light in _lights(scenes, templates, grid)]
    return torch.cat([templates.new_empty(0), *totals])


def _lights(scenes: Scenes, templates: Tensor, grid: Grid) -> Iterator[tuple[Scenes, Tensor]]:
    """The scenes in chunks, each with its light on the grid's fine cells."""
    scenes.check(len(templates))
    shapes = Shapes.of(templates)
    for start in range(0, len(scenes), _ROWS_AT_ONCE):
        rows = scenes[start : start + _ROWS_AT_ONCE]
        yield rows, fine_light(rows, templates, shapes, grid)
