"""Rays only where they matter: the light of scenes on the fine cells of their grid.

A first pass sends one ray through every fine cell of a box that holds all images of the source.
Pixels that look at the bright part of the source, or where the mapping folds, are then sampled
`supersampling` times an axis, more often for a source of fine detail; the faint smooth rest keeps
its first ray.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from darkhaloscope.sim.grid import FINE, Grid
from darkhaloscope.sim.lens import max_sie_deflection, rotate, source_plane
from darkhaloscope.sim.scene import Scenes

_BRIGHT, _DARK = 1e-2, 1e-4
"""Of a template's peak: refined above the first, taken for nothing below the second."""

_DETAIL_PER_STEP = 1.2
"""Rays may lie this many lengths of a source's detail apart: aliases stay below 1e-5 of it."""

_REFINEMENTS = (1, 2, 4)

_BOX_MULTIPLE, _LIST_MULTIPLE = 4, 32
"""Vector units treat the leftovers of a loop differently: whole vectors keep a row's bits the same
in any batch."""


@dataclass(frozen=True)
class Shapes:
    """What the sampling needs to know of templates, in template pixels, (template,) each."""

    bright: Tensor  # radius beyond which a template is below _BRIGHT of its peak
    dark: Tensor  # and below _DARK
    detail: Tensor  # rms length of its detail: sigma, for a Gaussian

    @classmethod
    def of(cls, templates: Tensor) -> "Shapes":
        """Measured on (template, y, x)."""
        n = templates.shape[-1]
        axis = torch.arange(n, dtype=templates.dtype, device=templates.device) - (n - 1) / 2
        radius = torch.hypot(axis[:, None], axis[None, :])
        level = templates.abs() / templates.abs().amax((-2, -1), keepdim=True)
        slope = sum(templates.diff(dim=d).square().sum((-2, -1)) for d in (-2, -1))
        return cls(
            bright=(radius * (level > _BRIGHT)).amax((-2, -1)) + 1,
            dark=(radius * (level > _DARK)).amax((-2, -1)) + 1,
            detail=torch.sqrt(templates.square().sum((-2, -1)) / slope),
        )


def fine_light(scenes: Scenes, templates: Tensor, shapes: Shapes, grid: Grid) -> Tensor:
    """Flux of unit-flux sources in every fine cell, margin included; no PSF, no band.

    templates : (template, y, x), each of unit flux; shapes : theirs
    Returns (row, y, x), FINE cells a pixel and axis. A row's values do not depend on its batch.
    """
    view = _View(scenes, pad(templates[scenes.template], (1, 1, 1, 1)), grid)
    scale = scenes.source_scale
    dark = scale * shapes.dark[scenes.template]
    first_x, first_y, n = _box(scenes, dark, grid)
    every = torch.arange(len(scenes), device=templates.device)
    cell = torch.arange(n * FINE, device=templates.device)
    x = view.position(first_x[:, None] + _offsets(cell, FINE), scenes.center_x[:, None])
    y = view.position(first_y[:, None] + _offsets(cell, FINE), scenes.center_y[:, None])
    beta_x, beta_y = view.source(x[:, None, :], y[:, :, None], every[:, None, None])
    radius = torch.sqrt(beta_x * beta_x + beta_y * beta_y)
    light = view.brightness(beta_x, beta_y, every[:, None, None]) / FINE**2
    light = torch.where(radius < _each(dark, light), light, 0.0)
    cells = light.unflatten(2, (n, FINE)).unflatten(1, (n, FINE))

    bright = _each(scale * shapes.bright[scenes.template], light)
    row, iy, ix = _worth_refining(beta_x, beta_y, radius, bright).nonzero(as_tuple=True)
    for factor, chosen in _refinements(scale * shapes.detail[scenes.template], grid, row):
        filled = pad(chosen, (0, _rounded_up(len(chosen), _LIST_MULTIPLE) - len(chosen)))
        r, jy, jx = row[filled], iy[filled], ix[filled]
        refined = view.pixels(first_x[r] + jx, first_y[r] + jy, r, factor * grid.supersampling)
        cells[row[chosen], iy[chosen], :, ix[chosen], :] = refined[: len(chosen)]
    return _placed(light, first_x, first_y, n, grid)


@dataclass(frozen=True)
class _View:
    """How points of the image plane, in any layout, see the sources of a batch."""

    scenes: Scenes
    images: Tensor  # (row, y, x), a border of zeros around each
    grid: Grid

    def position(self, pixel: Tensor, center: Tensor) -> Tensor:
        """arcsec from the mass centre, of pixel indices counted from the margin's edge."""
        middle = (self.grid.size + 2 * self.grid.margin - 1) / 2
        return ((pixel - middle) * self.grid.pixel_scale - center).to(self.images.dtype)

    def source(self, x: Tensor, y: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """Where rays of the given rows meet the source plane, arcsec from the source's centre."""
        beta_x, beta_y = source_plane(
            *torch.broadcast_tensors(x, y),
            **{name: self._of(name, row) for name in ("theta_E", "q", "phi", "gamma1", "gamma2")},
        )
        return beta_x - self._of("source_x", row), beta_y - self._of("source_y", row)

    def brightness(self, beta_x: Tensor, beta_y: Tensor, row: Tensor) -> Tensor:
        """Flux per pixel of the grid: bilinear in the template, 0 outside."""
        n = self.images.shape[-1]
        scale = self._of("source_scale", row)
        u, v = rotate(beta_x, beta_y, self._of("source_phi", row))
        u = (u / scale + (n - 1) / 2).clamp(0, n - 1.001)
        v = (v / scale + (n - 1) / 2).clamp(0, n - 1.001)
        left, below = u.floor(), v.floor()
        u, v = u - left, v - below
        index = (left + n * below).int() + n * n * row.int()
        flat, index = self.images.reshape(-1), index.reshape(-1)
        corner = [flat[index + step].view_as(u) for step in (0, 1, n, n + 1)]
        lower, upper = torch.lerp(corner[0], corner[1], u), torch.lerp(corner[2], corner[3], u)
        return torch.lerp(lower, upper, v) * (self.grid.pixel_scale / scale) ** 2

    def pixels(self, pixel_x: Tensor, pixel_y: Tensor, row: Tensor, per_axis: int) -> Tensor:
        """Flux in the fine cells of single pixels, `per_axis` rays an axis: (pixel, FINE, FINE)."""
        offset = _offsets(torch.arange(per_axis, device=row.device), per_axis)[:, None]
        x = self.position(pixel_x + offset, self.scenes.center_x[row])
        y = self.position(pixel_y + offset, self.scenes.center_y[row])
        beta = self.source(x[None, :, :], y[:, None, :], row)
        light = self.brightness(*beta, row).unflatten(1, (FINE, -1)).unflatten(0, (FINE, -1))
        return light.sum((1, 3)).permute(2, 0, 1) / per_axis**2

    def _of(self, name: str, row: Tensor) -> Tensor:
        return getattr(self.scenes, name).to(self.images.dtype)[row]


def _offsets(sample: Tensor, per_pixel: int) -> Tensor:
    """Positions, in pixels from the first pixel's centre, of samples counted from its edge."""
    return (sample.double() + 0.5) / per_pixel - 0.5


def _box(scenes: Scenes, dark: Tensor, grid: Grid) -> tuple[Tensor, Tensor, int]:
    """First pixels and side of squares, within the grid, that hold all images of the sources."""
    bend = max_sie_deflection(theta_E=scenes.theta_E, q=scenes.q)
    shear = torch.hypot(scenes.gamma1, scenes.gamma2).clamp_max(0.9)
    offset = torch.hypot(scenes.source_x, scenes.source_y)
    reach = (offset + dark + bend) / (1 - shear) / grid.pixel_scale
    full = grid.size + 2 * grid.margin
    n = _rounded_up(min(full, int(torch.ceil(2 * reach.max())) + 2), _BOX_MULTIPLE)

    def first(center: Tensor) -> Tensor:
        middle = center / grid.pixel_scale + (full - n) / 2
        return middle.round().long().clamp(0, max(0, full - n))

    return first(scenes.center_x), first(scenes.center_y), n


def _worth_refining(beta_x: Tensor, beta_y: Tensor, radius: Tensor, bright: Tensor) -> Tensor:
    """Pixels from some point of which the bright part of the source may be seen: (row, y, x).

    What a point of a cell sees lies within half the steps to the next cells of what its centre
    sees; where the mapping folds inside a pixel the steps are large and the pixel is refined.
    """
    (top_left, top_right), (low_left, low_right) = (
        [(beta_x[:, i::FINE, j::FINE], beta_y[:, i::FINE, j::FINE]) for j in range(FINE)]
        for i in range(FINE)
    )
    across = torch.maximum(_squared(top_left, top_right), _squared(low_left, low_right))
    down = torch.maximum(_squared(top_left, low_left), _squared(top_right, low_right))
    reach = torch.sqrt((across + down) / 2)
    nearest = -max_pool2d(-radius[:, None], FINE)[:, 0]
    return nearest < bright + reach


def _squared(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
    """Squared distance of two sets of points."""
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2


def _refinements(detail: Tensor, grid: Grid, row: Tensor):
    """Pairs (factor, which pixels): how much finer than the grid a source must be sampled."""
    needed = grid.step / (_DETAIL_PER_STEP * detail)
    limits = torch.tensor(_REFINEMENTS[:-1], dtype=needed.dtype, device=needed.device)
    level = torch.bucketize(needed, limits)[row]
    for i, factor in enumerate(_REFINEMENTS):
        chosen = (level == i).nonzero(as_tuple=True)[0]
        if len(chosen):
            yield factor, chosen


def _placed(light: Tensor, first_x: Tensor, first_y: Tensor, n: int, grid: Grid) -> Tensor:
    """Boxes of fine cells put into the whole, dark grid."""
    side = FINE * (grid.size + 2 * grid.margin)
    whole = light.new_zeros(len(light), side, side)
    for row, (x, y) in enumerate(zip(first_x.tolist(), first_y.tolist(), strict=True)):
        part = whole[row, FINE * y : FINE * (y + n), FINE * x : FINE * (x + n)]
        part.copy_(light[row, : part.shape[0], : part.shape[1]])
    return whole


def _rounded_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _each(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype)[:, None, None]
