"""Rays only where they matter: the light of scenes on the fine cells of a box.

A first pass sends one ray through every fine cell of a box that holds all images of the source.
Pixels that look at what the source says must be sampled finely, or where the mapping folds, are
sampled again, 2, 4, 8 or 16 times as densely along each axis; the faint smooth rest keeps its ray.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from darkhaloscope.sim.grid import FINE, Grid
from darkhaloscope.sim.lens import max_deflection
from darkhaloscope.sim.mapping import Mapping
from darkhaloscope.sim.scene import Scenes
from darkhaloscope.sim.sources import Sources

_BOX_MULTIPLE, _LIST_MULTIPLE = 4, 32
"""Vector units treat the leftovers of a loop differently: whole vectors keep a row's bits the same
in any batch."""

_HEART_PIXELS = 1.5
"""Around a deflector's centre, where neighbouring rays are bent apart."""


@dataclass(frozen=True)
class Boxes:
    """Squares of pixels that hold all images of each row's source, within the grid; (row,) each."""

    x: Tensor  # first pixel, counted from the edge of the margin
    y: Tensor
    side: Tensor

    def __getitem__(self, rows) -> "Boxes":
        return Boxes(self.x[rows], self.y[rows], self.side[rows])


def boxes(scenes: Scenes, sources: Sources, grid: Grid) -> Boxes:
    """Where to look: no ray from further out can be bent onto the source."""
    within = _images_within(scenes, sources.reach(scenes, grid)) / grid.pixel_scale
    side = torch.ceil((2 * within + 2) / _BOX_MULTIPLE).clamp_max(1e6).long() * _BOX_MULTIPLE
    side = side.clamp_max(-(-grid.full // _BOX_MULTIPLE) * _BOX_MULTIPLE)

    def first(center: Tensor) -> Tensor:
        middle = (center / grid.pixel_scale + (grid.full - side) / 2).round()
        return middle.clamp(min=0).minimum((grid.full - side).clamp_min(0)).long()

    return Boxes(first(scenes.center_x), first(scenes.center_y), side)


def _images_within(scenes: Scenes, dark: Tensor) -> Tensor:
    """Radius around the main deflector, arcsec, that holds all images of the sources."""
    bend = scenes.deflectors()
    shear = torch.hypot(scenes.gamma1, scenes.gamma2).clamp_max(0.95)
    fixed = torch.hypot(scenes.source_x, scenes.source_y) + dark
    far = torch.hypot(bend.x, bend.y)
    radius = (fixed + (bend.theta_E / torch.sqrt(bend.q)).sum(1)) / (1 - shear)
    for _ in range(1 if scenes.slope is None and scenes.companions is None else 30):
        most = max_deflection(
            theta_E=bend.theta_E, q=bend.q, slope=bend.slope, within=radius[:, None] + far
        )
        radius = ((fixed + most.sum(1)) / (1 - shear)).maximum(radius)
    return radius


@dataclass(frozen=True)
class View:
    """How the rows of a batch see their sources; made once, used in parts."""

    mapping: Mapping
    sources: Sources
    grid: Grid
    around: Boxes
    source: Tensor  # (row,) int32
    center_x: Tensor  # (row,) arcsec
    center_y: Tensor
    area: Tensor  # (row,) of a pixel, in the sources' own units
    power_law: Tensor  # (row,) whether a deflector is not isothermal
    heart: Tensor  # (row, deflector, 3) x, y, arcsec, and the nearest to the source seen there

    @classmethod
    def of(cls, scenes: Scenes, sources: Sources, grid: Grid) -> "View":
        """Raises nothing: the scenes are checked before."""
        axes = sources.axes(scenes)
        area = (axes[:, 0, 0] * axes[:, 1, 1] - axes[:, 0, 1] * axes[:, 1, 0]).to(sources.dtype)
        mapping = Mapping.of(scenes, axes, sources.dtype)
        return cls(
            mapping=mapping,
            sources=sources,
            grid=grid,
            around=boxes(scenes, sources, grid),
            source=scenes.template.int(),
            center_x=scenes.center_x,
            center_y=scenes.center_y,
            area=area * grid.pixel_scale**2,
            power_law=(scenes.deflectors().slope != 2).any(1),
            heart=_hearts(scenes, mapping, grid),
        )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: Tensor) -> "View":
        power_law = self.power_law[rows]
        mapping = replace(self.mapping.of_rows(rows), power_law=bool(power_law.any()))
        return View(
            mapping, self.sources, self.grid, self.around[rows],
            self.source[rows], self.center_x[rows], self.center_y[rows],
            self.area[rows], power_law, self.heart[rows],
        )  # fmt: skip

    def fine_light(self) -> Tensor:
        """Flux of unit-flux sources in the fine cells of their boxes; no PSF, no band.

        Returns (row, y, x), FINE cells a pixel and axis, all as wide as the widest box. A row's
        values do not depend on its batch.
        """
        n = int(self.around.side.max())
        points, level = self._first_pass(n)
        fine = points.permute(0, 3, 1, 4, 2).reshape(len(self), n * FINE, n * FINE)
        (todo,) = level.flatten().nonzero(as_tuple=True)
        wanted = level.flatten().index_select(0, todo)
        for doubled in range(1, self._doublings + 1):
            pixel = todo[wanted == doubled]
            if len(pixel):
                fine.view(-1).index_copy_(0, *self._refined(pixel, n, doubled))
        bulge = _mean_less_middle(fine).unflatten(2, (n, FINE)).unflatten(1, (n, FINE))
        fine += (bulge * torch.exp2(-2 * level)[:, :, None, :, None]).view_as(fine)
        return fine * _on_grid(self.around, n, self.grid) if n > self.grid.full else fine

    @property
    def _doublings(self) -> int:
        return self.grid.doublings + self.sources.extra_doublings

    def _first_pass(self, n: int) -> tuple[Tensor, Tensor]:
        """Flux by one ray a cell, (row, cell y, cell x, y, x), and what each pixel still needs."""
        device = self.source.device
        cell, pixel = torch.arange(FINE, device=device), torch.arange(n, device=device)
        steps = ((cell + 0.5) / FINE - 0.5)[:, None] + pixel
        x = self._position(self.around.x[:, None, None] + steps, self.center_x[:, None, None])
        y = self._position(self.around.y[:, None, None] + steps, self.center_y[:, None, None])
        u, v = self.mapping.trailing(4)(x[:, None, :, None, :], y[:, :, None, :, None])
        each = (..., *4 * (None,))
        light = self.sources.brightness(u, v, self.source[each], self.grid)
        return light * (self.area / FINE**2)[each], self._level(u, v, x.mean(1), y.mean(1))

    def _level(self, u: Tensor, v: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """How often each pixel's rays must be doubled: (row, y, x).

        u, v : what the centres of fine cells see, (row, cell y, cell x, y, x)
        x, y : of the pixels, arcsec, (row, pixel)
        What a point of a cell sees lies within half the steps to the next cells of what its centre
        sees. Around the centre of a deflector, where images end abruptly, steps say nothing: there
        it is no nearer to the source than what is seen on rings around that centre.
        """
        corner = [[(u[:, i, j], v[:, i, j]) for j in range(FINE)] for i in range(FINE)]
        (top_left, top_right), (low_left, low_right) = corner
        across = torch.maximum(_squared(top_left, top_right), _squared(low_left, low_right))
        down = torch.maximum(_squared(top_left, low_left), _squared(top_right, low_right))
        nearest = torch.addcmul(u * u, v, v).amin((1, 2)).sqrt()
        distance = nearest - ((across + down) / 2).sqrt()
        for heart_x, heart_y, seen in self.heart[..., None].permute(1, 2, 0, 3):
            away = (x - heart_x).square()[:, None, :] + (y - heart_y).square()[:, :, None]
            at_heart = away < (_HEART_PIXELS * self.grid.pixel_scale) ** 2
            distance = torch.where(at_heart, torch.minimum(nearest, seen[..., None]), distance)
        sharpness = self.sources.sharpness(distance, self.source[:, None, None], self.grid)
        return _doublings(torch.maximum(across, down).sqrt() * sharpness, self._doublings)

    def _refined(self, pixel: Tensor, n: int, doubled: int) -> tuple[Tensor, Tensor]:
        """Fine cells of some of the (row, y, x) pixels, and their flux by more rays, both flat."""
        filled = pad(pixel, (0, -len(pixel) % _LIST_MULTIPLE))
        row, place = filled // (n * n), filled % (n * n)
        iy, ix = place // n, place % n
        per_axis = FINE << doubled
        offset = (torch.arange(per_axis, device=row.device)[:, None] + 0.5) / per_axis - 0.5
        x = self._position(self.around.x[row] + ix + offset, self.center_x[row])
        y = self._position(self.around.y[row] + iy + offset, self.center_y[row])
        u, v = self.mapping.of_rows(row)(x[None, :, :], y[:, None, :])
        light = self.sources.brightness(u, v, self.source[row], self.grid)
        for _ in range(doubled):
            light = light[0::2] + light[1::2]
            light = light[:, 0::2] + light[:, 1::2]
        light *= self.area[row] / per_axis**2
        first = FINE * ((row * n + iy) * (n * FINE) + ix)
        step = torch.arange(FINE, device=row.device)[:, None]
        cells = first + step[:, None] * (n * FINE) + step
        some = slice(0, len(pixel))
        return cells[..., some].flatten(), light[..., some].flatten()

    def _position(self, pixel: Tensor, center: Tensor) -> Tensor:
        """arcsec from the mass centre, of pixel indices counted from the margin's edge."""
        middle = (self.grid.full - 1) / 2
        return ((pixel - middle) * self.grid.pixel_scale - center).to(self.sources.dtype)


def _doublings(needed: Tensor, at_most: int) -> Tensor:
    """How often one ray must be doubled to be `needed` rays."""
    return needed.clamp_min(1).log2().ceil().clamp_max(at_most)


def _mean_less_middle(points: Tensor) -> Tensor:
    """Of cells (row, y, x), by the curvature of what is around them; a quarter of it is missing
    for every time that a cell's rays were doubled."""
    around = -4 * points
    around[:, 1:] += points[:, :-1]
    around[:, :-1] += points[:, 1:]
    around[:, :, 1:] += points[:, :, :-1]
    around[:, :, :-1] += points[:, :, 1:]
    return around / 24


def _hearts(scenes: Scenes, mapping: Mapping, grid: Grid) -> Tensor:
    """The deflectors' centres and the least |t| that is seen around them: (row, deflector, 3)."""
    bend = scenes.deflectors()
    angle = torch.arange(64, device=bend.x.device) * (math.pi / 32)
    radius = grid.pixel_scale * torch.tensor([0.02, 0.5, 1.0], device=bend.x.device)
    ring_x, ring_y = ((radius[:, None] * turn(angle)).flatten() for turn in (torch.cos, torch.sin))
    x, y = ((c[..., None] + ring).flatten(1) for c, ring in ((bend.x, ring_x), (bend.y, ring_y)))
    u, v = mapping.trailing(1)(x.to(mapping.packed.dtype), y.to(mapping.packed.dtype))
    seen = torch.hypot(u, v).unflatten(1, (-1, len(ring_x))).amin(2)
    return torch.stack([bend.x, bend.y, seen], dim=-1).to(mapping.packed.dtype)


def _squared(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
    """Squared distance of two sets of points."""
    dx, dy = a[0] - b[0], a[1] - b[1]
    return torch.addcmul(dx * dx, dy, dy)


def _on_grid(around: Boxes, n: int, grid: Grid) -> Tensor:
    """True for the fine cells of boxes that lie on the grid: (row, y, x)."""
    cell = torch.arange(n * FINE, device=around.x.device) // FINE
    x, y = (first[:, None] + cell < grid.full for first in (around.x, around.y))
    return y[:, :, None] & x[:, None, :]
