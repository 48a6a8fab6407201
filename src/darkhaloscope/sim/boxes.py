"""Where the images of a source can lie."""

from dataclasses import dataclass

import torch
from torch import Tensor

from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.lens import max_deflection
from darkhaloscope.sim.scene import Scenes
from darkhaloscope.sim.sources import Sources

_BOX_MULTIPLE = 4
"""Vector units treat the leftovers of a loop differently: whole vectors keep a row's bits the same
in any batch."""


@dataclass(frozen=True)
class Boxes:
    """Squares of pixels that hold all images of each row's source, within the grid; (row,) each."""

    x: Tensor  # first pixel, counted from the edge of the margin
    y: Tensor
    side: Tensor

    def __getitem__(self, rows) -> "Boxes":
        return Boxes(self.x[rows], self.y[rows], self.side[rows])


def boxes(scenes: Scenes, sources: Sources, grid: Grid) -> Boxes:
    """Where to look: no ray from outside can be bent onto the source."""
    within = _images_within(scenes, sources.reach(scenes, grid)) / grid.pixel_scale
    side = torch.ceil((2 * within + 2) / _BOX_MULTIPLE).clamp_max(1e6).long() * _BOX_MULTIPLE
    side = side.clamp_max(-(-grid.full // _BOX_MULTIPLE) * _BOX_MULTIPLE)

    def first(center: Tensor) -> Tensor:
        middle = (center / grid.pixel_scale + (grid.full - side) / 2).round()
        return middle.clamp(min=0).minimum((grid.full - side).clamp_min(0)).long()

    x, y = scenes.center_x + scenes.source_x, scenes.center_y + scenes.source_y
    return Boxes(first(x), first(y), side)


def _images_within(scenes: Scenes, dark: Tensor) -> Tensor:
    """Radius around where the sources would be seen unlensed, arcsec, that holds all images.

    An image lies no further from there than the source reaches and its light is bent.
    """
    bend = scenes.deflectors()
    shear = torch.hypot(scenes.gamma1, scenes.gamma2).clamp_max(0.95)
    offset = torch.hypot(scenes.source_x, scenes.source_y)
    far = torch.hypot(bend.x, bend.y)
    most = bend.theta_E / torch.sqrt(bend.q)
    for _ in range(1 if scenes.slope is None and scenes.companions is None else 30):
        from_lens = (offset + dark + most.sum(1)) / (1 - shear)
        most = most.maximum(
            max_deflection(
                theta_E=bend.theta_E, q=bend.q, slope=bend.slope, within=from_lens[:, None] + far
            )
        )
    from_lens = (offset + dark + most.sum(1)) / (1 - shear)
    return dark + most.sum(1) + shear * from_lens
