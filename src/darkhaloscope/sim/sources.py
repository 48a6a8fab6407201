"""What is lensed: images of galaxies, or Sersic profiles; and how finely each must be sampled."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from scipy.special import gammainc, gammaincinv
from torch import Tensor
from torch.nn.functional import pad

from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.scene import Scenes

_BRIGHT_PER_TOLERANCE, _BRIGHT_AT_MOST = 60.0, 0.1
_DARK_PER_TOLERANCE = 0.45
_STEP_PER_DETAIL = 0.5
_BORDER = 3
"""Dark pixels around an image: one before, and two behind, where light beyond it is looked up."""


class Sources(Protocol):
    """Sources on axes of their own, in which positions are `t`; each of one or more parts."""

    @property
    def parts(self) -> int:
        """Of each source, such as a galaxy and its bulge, of unit flux; see Scenes.shares."""
        ...

    @property
    def extra_doublings(self) -> int:
        """Of rays, beyond the grid's, for profiles with cusps."""
        ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    def __len__(self) -> int: ...

    def axes(self, scenes: Scenes) -> Tensor:
        """(row, 2, 2) from arcsec on the sky to t."""
        ...

    def reach(self, scenes: Scenes, grid: Grid) -> Tensor:
        """Radius beyond which the rows' sources are dark, arcsec: (row,)."""
        ...

    def sharpness(self, distance: Tensor, source: Tensor, grid: Grid) -> Tensor:
        """Rays needed per unit of t at |t| >= distance, 0 where all parts are faint."""
        ...

    def brightness(self, u: Tensor, v: Tensor, source: Tensor, grid: Grid) -> Tensor:
        """Flux per unit area of t at t = (u, v), of each part: (part, *shape of u).

        `source` broadcasts against u and v
        """
        ...


def _coarsest_step(tolerance: float) -> float:
    """Of rays, in rms lengths of detail: finer ones alias by less than the tolerance.

    Samples a step h apart fold detail of Gaussian width s down by exp(-2 (pi s / h)**2).
    """
    return _STEP_PER_DETAIL * math.pi * math.sqrt(2 / math.log(1 / tolerance))


def _faint(tolerance: float) -> float:
    """Brightness over its peak below which one ray a fine cell will do."""
    return min(_BRIGHT_PER_TOLERANCE * tolerance, _BRIGHT_AT_MOST)


class Templates:
    """Images of galaxies (template, y, x), each of unit flux; t counts template pixels.

    Galaxies with parts of other colours are (template, part, y, x), each part of unit flux.
    """

    extra_doublings = 0

    def __init__(self, images: Tensor):
        if images.dim() not in (3, 4) or images.shape[-2] != images.shape[-1]:
            shape = tuple(images.shape)
            raise ValueError(
                f"templates must be square, (template, y, x) or (template, part, y, x); got {shape}"
            )
        if (images.shape[-1] + _BORDER) ** 2 * len(images) >= 2**31:
            raise ValueError(f"{len(images)} templates are too many to index; render in parts")
        if not bool(torch.isfinite(images.sum((-2, -1))).all()):  # a tenth of asking every pixel
            raise ValueError("templates must be finite")
        self.images = images
        self._of_parts = images = images[:, None] if images.dim() == 3 else images
        self.parts = images.shape[1]
        self._side = images.shape[-1] + _BORDER
        level = images.abs()
        self._radius = _radii(images)
        self._relative = level / level.amax((-2, -1), keepdim=True).clamp_min(1e-30)
        along_x, along_y = (_norm(images.diff(dim=d)) for d in (-1, -2))
        self._detail = _norm(images) / torch.hypot(along_x, along_y).clamp_min(1e-15)
        self._outside = _flux_outside(level, self._radius)
        self._cuts: dict[float, _Cut] = {}

    @property
    def dtype(self) -> torch.dtype:
        return self.images.dtype

    @property
    def device(self) -> torch.device:
        return self.images.device

    def __len__(self) -> int:
        return len(self.images)

    def axes(self, scenes: Scenes) -> Tensor:
        c, s = torch.cos(scenes.source_phi), torch.sin(scenes.source_phi)
        turned = torch.stack([c, s, -s, c], dim=-1).unflatten(-1, (2, 2))
        return turned / scenes.source_scale[:, None, None]

    def reach(self, scenes: Scenes, grid: Grid) -> Tensor:
        dark = self._cut(grid.tolerance).dark.amax(0).to(scenes.source_scale)
        return dark[scenes.template] * scenes.source_scale

    def sharpness(self, distance: Tensor, source: Tensor, grid: Grid) -> Tensor:
        cut = self._cut(grid.tolerance)
        return ((distance < cut.bright[:, source]) * cut.rays[:, source]).amax(0)

    def brightness(self, u: Tensor, v: Tensor, source: Tensor, grid: Grid) -> Tensor:
        """Bilinear in the image; 0 outside, and in its outermost flux, a part of the tolerance."""
        flat = self._cut(grid.tolerance).flat
        n = self._side
        middle, last = (n - 2) / 2, n - 1.001
        u, v = (u + middle).clamp(0, last), (v + middle).clamp(0, last)
        index = torch.add(u.int(), v.int(), alpha=n) + source * (n * n)
        u, v, index = u.frac(), v.frac(), index.reshape(-1)
        return torch.stack([_bilinear(part, n, index, u, v) for part in flat])

    def _cut(self, tolerance: float) -> "_Cut":
        if tolerance not in self._cuts:
            lit = self._relative > _faint(tolerance)
            dark = (self._outside > _DARK_PER_TOLERANCE * tolerance).sum(-1).to(self.dtype)
            kept = self._of_parts * (self._radius <= dark[..., None, None])
            self._cuts[tolerance] = _Cut(
                rays=1 / (_coarsest_step(tolerance) * self._detail.T),
                bright=torch.where(lit, self._radius, 0).amax((-2, -1)).T + 1,
                dark=dark.T + math.sqrt(2),  # light between pixels reaches a diagonal further
                flat=pad(kept.transpose(0, 1), (1, 2, 1, 2)).flatten(1),
            )
        return self._cuts[tolerance]


@dataclass(frozen=True)
class _Cut:
    """What of templates matters at one tolerance, part by part."""

    rays: Tensor  # (part, template) needed per template pixel where it is bright
    bright: Tensor  # (part, template) radius of all that must be sampled finely, template pixels
    dark: Tensor  # (part, template) radius beyond which nothing is left
    flat: Tensor  # (part, pixel) the images so cut, each within its border, one by one


def _bilinear(flat: Tensor, n: int, index: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Between the pixel `index` of images of side n and its neighbours, by the fractions u, v."""
    corner = [
        flat[start : len(flat) - n - 1 + start].index_select(0, index).view_as(u)
        for start in (0, 1, n, n + 1)
    ]
    lower, upper = torch.lerp(corner[0], corner[1], u), torch.lerp(corner[2], corner[3], u)
    return torch.lerp(lower, upper, v)


def _radii(images: Tensor) -> Tensor:
    n = images.shape[-1]
    axis = torch.arange(n, dtype=images.dtype, device=images.device) - (n - 1) / 2
    return torch.hypot(axis[:, None], axis[None, :])


def _norm(images: Tensor) -> Tensor:
    """Root of the sum of squares of each."""
    return torch.linalg.vector_norm(images, dim=(-2, -1))


def _flux_outside(level: Tensor, radius: Tensor) -> Tensor:
    """Fraction of |flux| beyond radii 0, 1, 2 ... pixels: (template, part, radius)."""
    ring = torch.ceil(radius).long().flatten()
    rings = level.new_zeros(*level.shape[:2], int(ring.max()) + 1)
    inside = rings.index_add_(2, ring, level.flatten(2)).cumsum(2)
    return 1 - inside / inside[..., -1:].clamp_min(1e-30)


_CORE = 0.0005
"""Of a Sersic profile, in half-light radii: what no telescope resolves, and rays need not."""


class Sersics:
    """Sersic profiles of unit flux, elliptical; t counts half-light radii along their axes.

    n : (source,) index, 0.3 to 8; q : (source,) minor/major
    Scenes give the half-light radius along the geometric mean axis as `source_scale`. Radii are
    softened by 0.0005 of that, and the flux normalised for it.
    Source: Ciotti & Bertin (1999) for b_n, here from the incomplete gamma function itself
    """

    parts, extra_doublings = 1, 2

    def __init__(self, n: Tensor, q: Tensor, dtype: torch.dtype = torch.float32):
        if not bool(((n >= 0.3) & (n <= 8) & (q > 0) & (q <= 1)).all()):
            raise ValueError("Sersic sources need 0.3 <= n <= 8 and 0 < q <= 1")
        n = n.double()
        self._q, self._n = q.double(), n
        b = torch.as_tensor(gammaincinv(2 * n.cpu().numpy(), 0.5)).to(n)
        core = torch.as_tensor(gammainc(2 * n.cpu().numpy(), (b * _CORE ** (1 / n)).cpu().numpy()))
        norm = 2 * n * torch.log(b) - torch.log(2 * math.pi * n) - torch.lgamma(2 * n)
        self._b = b
        self._packed = torch.stack([b, 0.5 / n, norm - torch.log1p(-core.to(n))]).to(dtype)

    @property
    def dtype(self) -> torch.dtype:
        return self._packed.dtype

    @property
    def device(self) -> torch.device:
        return self._packed.device

    def __len__(self) -> int:
        return len(self._n)

    def axes(self, scenes: Scenes) -> Tensor:
        c, s = torch.cos(scenes.source_phi), torch.sin(scenes.source_phi)
        q = torch.sqrt(self._q[scenes.template])
        turned = torch.stack([c * q, s * q, -s / q, c / q], dim=-1).unflatten(-1, (2, 2))
        return turned / scenes.source_scale[:, None, None]

    def reach(self, scenes: Scenes, grid: Grid) -> Tensor:
        outside = 1 - _DARK_PER_TOLERANCE * grid.tolerance
        n, b = self._n.cpu().numpy(), self._b.cpu().numpy()
        radius = torch.as_tensor((gammaincinv(2 * n, outside) / b) ** n).to(self._n)
        major = scenes.source_scale / torch.sqrt(self._q[scenes.template])
        return radius[scenes.template] * major

    def sharpness(self, distance: Tensor, source: Tensor, grid: Grid) -> Tensor:
        """Brightness falls by e over n/b r**(1 - 1/n): the finer, the nearer to a cusp."""
        b, power = self._packed[0][source], 2 * self._packed[1][source]
        bright = (1 - math.log(_faint(grid.tolerance)) / b) ** (1 / power)
        steepness = b * power * distance.clamp_min(_CORE) ** (power - 1)
        return (distance < bright) * steepness / _coarsest_step(grid.tolerance)

    def brightness(self, u: Tensor, v: Tensor, source: Tensor, grid: Grid) -> Tensor:
        b, power, norm = self._packed.index_select(1, source.reshape(-1)).unflatten(1, source.shape)
        squared = torch.addcmul(u * u, v, v) + _CORE**2
        return torch.exp(norm - b * squared**power)[None]
