"""Rays only where they matter: the light of scenes on the fine cells of a box.

A first pass sends one ray through every fine cell of a box that holds all images of the source.
Pixels that look at what the source says must be sampled finely, or where the mapping folds, are
sampled again, 2, 4, 8 or 16 times as densely along each axis; the faint smooth rest keeps its ray.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from darkhaloscope.sim.boxes import Boxes, boxes
from darkhaloscope.sim.grid import FINE, Grid
from darkhaloscope.sim.kernels import HEART_PIXELS, RINGS_A_PIXEL, Kernels, kernels
from darkhaloscope.sim.mapping import Mapping
from darkhaloscope.sim.scene import Scenes
from darkhaloscope.sim.sources import Sources

_AROUND = 64
_HALF_DIAGONAL = 0.75
"""Pixels; of a pixel."""

_LIST_MULTIPLE = 32
"""Whole vectors, see boxes."""


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
    lenses: Tensor  # (row,) no mass 0, isothermal 1, power law 2; a chunk is of one kind
    hearts: Tensor  # (row, deflector, 2) the deflectors' centres, arcsec from the main one's
    kernels: Kernels

    @classmethod
    def of(cls, scenes: Scenes, sources: Sources, grid: Grid, *, compiled: bool = False) -> "View":
        """Raises nothing: the scenes are checked before."""
        axes = sources.axes(scenes)
        area = (axes[:, 0, 0] * axes[:, 1, 1] - axes[:, 0, 1] * axes[:, 1, 0]).to(sources.dtype)
        mapping, bend = Mapping.of(scenes, axes, sources.dtype), scenes.deflectors()
        return cls(
            mapping=mapping,
            sources=sources,
            grid=grid,
            around=boxes(scenes, sources, grid),
            source=scenes.template.int(),
            center_x=scenes.center_x,
            center_y=scenes.center_y,
            area=area * grid.pixel_scale**2,
            lenses=_kinds(scenes),
            hearts=torch.stack([bend.x, bend.y], dim=-1),
            kernels=kernels(compiled),
        )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: Tensor) -> "View":
        lenses = self.lenses[rows]
        mapping, kind = self.mapping.of_rows(rows), int(lenses.max())
        mapping = replace(
            mapping, power_law=kind == 2, n_deflectors=mapping.n_deflectors * (kind > 0)
        )
        return View(
            mapping, self.sources, self.grid, self.around[rows],
            self.source[rows], self.center_x[rows], self.center_y[rows],
            self.area[rows], lenses, self.hearts[rows, : mapping.n_deflectors], self.kernels,
        )  # fmt: skip

    def fine_light(self) -> Tensor:
        """Flux of sources' parts, of unit flux, in the fine cells of their boxes; no PSF, no band.

        Returns (part, row, y, x), FINE cells a pixel and axis, all as wide as the widest box. A
        row's values do not depend on its batch.
        """
        n = int(self.around.side.max())
        fine, doubled = self._first_pass(n)
        (todo,) = doubled.flatten().nonzero(as_tuple=True)
        wanted = doubled.flatten().index_select(0, todo)
        for times in range(1, self.grid.doublings + self.sources.extra_doublings + 1):
            pixel = todo[wanted == times]
            if len(pixel):
                fine.view(len(fine), -1).index_copy_(1, *self._refined(pixel, n, times))
        fine = self.kernels.cell_means(fine, doubled)
        return fine * _on_grid(self.around, n, self.grid) if n > self.grid.full else fine

    def _first_pass(self, n: int) -> tuple[Tensor, Tensor]:
        """Flux by one ray a fine cell, (part, row, y, x), and how often pixels' must be doubled."""
        device = self.source.device
        cell, pixel = torch.arange(FINE, device=device), torch.arange(n, device=device)
        steps = ((cell + 0.5) / FINE - 0.5)[:, None] + pixel
        x = self._position(self.around.x[:, None, None] + steps, self.center_x[:, None, None])
        y = self._position(self.around.y[:, None, None] + steps, self.center_y[:, None, None])
        each = (..., *4 * (None,))
        light, u, v = self.kernels.see(
            self.mapping.trailing(4), self.sources, self.source[each], self.grid,
            x[:, None, :, None, :], y[:, :, None, :, None],
        )  # fmt: skip
        doubled = self.kernels.doublings(
            self.sources, self.source, self.grid, _hearts(self.mapping, self.hearts, self.grid),
            u, v, x.mean(1), y.mean(1),
        )  # fmt: skip
        fine = (light * (self.area / FINE**2)[each]).permute(0, 1, 4, 2, 5, 3)
        return fine.reshape(len(light), len(self), n * FINE, n * FINE), doubled

    def _refined(self, pixel: Tensor, n: int, times: int) -> tuple[Tensor, Tensor]:
        """Fine cells of some of the (row, y, x) pixels, and their parts' flux by more rays, flat.

        times : how often the rays are doubled along both axes
        """
        filled = pad(pixel, (0, -len(pixel) % _LIST_MULTIPLE))
        row, place = filled // (n * n), filled % (n * n)
        iy, ix = place // n, place % n
        per_axis = FINE << times
        offset = (torch.arange(per_axis, device=row.device)[:, None] + 0.5) / per_axis - 0.5
        x = self._position(self.around.x[row] + ix + offset, self.center_x[row])
        y = self._position(self.around.y[row] + iy + offset, self.center_y[row])
        light, _, _ = self.kernels.see(
            self.mapping.of_rows(row), self.sources, self.source[row], self.grid,
            x[None, :, :], y[:, None, :],
        )  # fmt: skip
        for _ in range(times):
            light = light[:, 0::2] + light[:, 1::2]
            light = light[:, :, 0::2] + light[:, :, 1::2]
        light *= self.area[row] / per_axis**2
        first = FINE * ((row * n + iy) * (n * FINE) + ix)
        step = torch.arange(FINE, device=row.device)[:, None]
        cells = first + step[:, None] * (n * FINE) + step
        some = slice(0, len(pixel))
        return cells[..., some].flatten(), light[..., some].flatten(1)

    def _position(self, pixel: Tensor, center: Tensor) -> Tensor:
        """arcsec from the mass centre, of pixel indices counted from the margin's edge."""
        middle = (self.grid.full - 1) / 2
        return ((pixel - middle) * self.grid.pixel_scale - center).to(self.sources.dtype)


def _kinds(scenes: Scenes) -> Tensor:
    bend = scenes.deflectors()
    return (bend.theta_E > 0).any(1).long() * (1 + (bend.slope != 2).any(1).long())


def _hearts(mapping: Mapping, centres: Tensor, grid: Grid) -> Tensor:
    """What kernels.doublings takes of the deflectors' centres: (row, deflector, 3 + rings)."""
    rings = _rings(grid.pixel_scale, centres.device)
    x, y = ((centres[..., i, None] + ring.flatten()).flatten(1) for i, ring in enumerate(rings.at))
    u, v = mapping.trailing(1)(x.to(mapping.packed.dtype), y.to(mapping.packed.dtype))
    u, v = (a.unflatten(1, (-1, *rings.at.shape[1:])) for a in (u, v))
    between = torch.hypot(u - u.roll(1, -1), v - v.roll(1, -1)).amax(-1) / 2
    seen = torch.hypot(u, v).amin(-1) - between
    within = slice(RINGS_A_PIXEL + 1)
    u, v = u[..., within, :].flatten(2), v[..., within, :].flatten(2)
    jump = torch.hypot(u - u.mean(2, keepdim=True), v - v.mean(2, keepdim=True)).amax(2)
    nearest = torch.where(rings.near, seen[..., None, :], math.inf).amin(-1)
    return torch.cat([centres.to(jump.dtype), jump[..., None], nearest.to(jump.dtype)], dim=-1)


@dataclass(frozen=True)
class _Rings:
    """Around a deflector's centre, 0, 1/2, 1 ... pixels wide."""

    at: Tensor  # (axis, ring, angle) arcsec
    near: Tensor  # (distance, ring) those that a pixel reaches whose middle is 0, 1/2 ... away


@lru_cache(maxsize=8)
def _rings(pixel_scale: float, device: torch.device) -> _Rings:
    n_rings = math.ceil((HEART_PIXELS + _HALF_DIAGONAL) * RINGS_A_PIXEL) + 1
    pixels = torch.arange(n_rings, device=device) / RINGS_A_PIXEL
    angle = torch.arange(_AROUND, device=device) * (2 * math.pi / _AROUND)
    radius = pixel_scale * pixels.clamp_min(0.02)
    middle = torch.arange(HEART_PIXELS * RINGS_A_PIXEL, device=device) / RINGS_A_PIXEL
    away = (pixels - middle[:, None] - 0.5 / RINGS_A_PIXEL).abs()
    return _Rings(
        at=torch.stack([radius[:, None] * torch.cos(angle), radius[:, None] * torch.sin(angle)]),
        near=away <= _HALF_DIAGONAL + 0.5 / RINGS_A_PIXEL,
    )


def _on_grid(around: Boxes, n: int, grid: Grid) -> Tensor:
    """True for the fine cells of boxes that lie on the grid: (row, y, x)."""
    cell = torch.arange(n * FINE, device=around.x.device) // FINE
    x, y = (first[:, None] + cell < grid.full for first in (around.x, around.y))
    return y[:, :, None] & x[:, None, :]
