"""Lensed images: rays from a stamp to the source, then the PSF, all bands at once."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from darkhaloscope.sim.blur import is_sharp, observe, transform_side
from darkhaloscope.sim.grid import FINE, Grid
from darkhaloscope.sim.psf import Moffat, Psf
from darkhaloscope.sim.rays import View
from darkhaloscope.sim.scene import Scenes
from darkhaloscope.sim.sources import Sources

_CELLS_AT_ONCE = {"cpu": 1 << 17, "gpu": 1 << 26}
"""Bounds memory, to some 30 MB on a CPU: work for its caches, enough to outweigh the calls."""

_MOFFAT = Moffat()


def render(
    scenes: Scenes, sources: Sources, grid: Grid, psf: Psf = _MOFFAT, *, compiled: bool = False
) -> Tensor:
    """Images of the scenes.

    sources : sources.Templates or sources.Sersics; psf : psf.Moffat, psf.Gaussian or psf.Images
    compiled : faster by a third after half a minute of compiling; the same to rounding, not to the
        bit, and eager with a warning where there is no compiler
    Returns (row, band, y, x) : nmgy per pixel, in the sources' dtype; empty for no rows
    Raises ValueError for a bad scene, see Scenes.check
    """
    scenes.check(len(sources), sources.parts)
    psf.check(scenes)
    view = View.of(scenes, sources, grid, compiled=compiled)
    side = transform_side(scenes, view.around, grid, psf)
    sharp = is_sharp(scenes, grid, psf)
    shape = (*scenes.flux.shape, grid.size, grid.size)
    images = torch.empty(shape, dtype=sources.dtype, device=sources.device)
    for rows, (rows_side, rows_sharp) in _chunks(view, side, sharp):
        some, seen = scenes[rows], view[rows]
        light = seen.fine_light()
        image = observe(light, seen.around, some, grid, psf, side=rows_side, sharp=bool(rows_sharp))
        images.index_copy_(0, rows, image)
    return images


def magnification(scenes: Scenes, sources: Sources, grid: Grid) -> Tensor:
    """Lensed over unlensed flux inside the grid and its margin, one number a row; of one part."""
    scenes.check(len(sources))
    view = View.of(scenes, sources, grid)
    totals = torch.empty(len(scenes), dtype=sources.dtype, device=sources.device)
    for rows, _ in _chunks(view):
        totals[rows] = view[rows].fine_light()[0].sum((-2, -1))
    return totals


def _chunks(view: View, *keys: Tensor) -> Iterator[tuple[Tensor, list[int]]]:
    """Indices of rows that go together, boxes of one size, and what `keys` say of all of them."""
    every = (view.around.side, view.lenses, *keys)
    kinds = np.array([key.cpu().numpy() for key in every], np.int64)
    order = np.lexsort(kinds)
    limit = _CELLS_AT_ONCE["cpu" if view.source.device.type == "cpu" else "gpu"]
    start = 0
    for end in range(1, len(order) + 1):
        if end < len(order):
            alike = (kinds[1:, order[end]] == kinds[1:, order[start]]).all()
            cells = (end + 1 - start) * (FINE * kinds[0, order[end]]) ** 2 * view.sources.parts
            if alike and cells <= limit:
                continue
        rows = torch.from_numpy(order[start:end]).to(view.source.device)
        yield rows, kinds[2:, order[start]].tolist()
        start = end
