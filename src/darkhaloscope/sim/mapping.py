"""From the image plane to the source plane: all deflectors, shear, and the source's own axes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from darkhaloscope.sim.lens import epl_deflection, sie_deflection
from darkhaloscope.sim.scene import Scenes


@dataclass(frozen=True)
class Mapping:
    """Rays of a batch of rows, each with a linear part and the deflectors' own.

    A point (x, y), arcsec from the main deflector, is seen at
    t = linear (x, y, 1) - sum over deflectors of back (alpha in the deflector's axes).
    Numbers are packed (what, row), so that one gather serves a list of rays.
    """

    packed: Tensor
    n_deflectors: int
    power_law: bool

    @classmethod
    def of(cls, scenes: Scenes, axes: Tensor | None, dtype: torch.dtype) -> "Mapping":
        """Positions from the source's centre in `axes` (row, 2, 2), which multiply arcsec.

        Without axes, positions on the sky from the main deflector, arcsec.
        """
        one, zero = torch.ones_like(scenes.theta_E), torch.zeros_like(scenes.theta_E)
        if axes is None:
            axes = torch.stack([one, zero, zero, one], dim=-1).unflatten(-1, (2, 2))
            place = torch.stack([zero, zero], dim=-1)
        else:
            place = torch.stack([scenes.source_x, scenes.source_y], dim=-1)
        shear = torch.stack(
            [1 - scenes.gamma1, -scenes.gamma2, -scenes.gamma2, 1 + scenes.gamma1], dim=-1
        ).unflatten(-1, (2, 2))
        linear = axes @ shear
        start = -(axes @ place[..., None])[..., 0]
        numbers = [linear[:, 0, 0], linear[:, 0, 1], start[:, 0]]
        numbers += [linear[:, 1, 0], linear[:, 1, 1], start[:, 1]]
        bend = scenes.deflectors()
        c, s = torch.cos(bend.phi), torch.sin(bend.phi)
        turn = torch.stack([c, -s, s, c], dim=-1).unflatten(-1, (2, 2))
        back = axes[:, None] @ turn
        for k in range(bend.q.shape[1]):
            x, y, c_k, s_k = bend.x[:, k], bend.y[:, k], c[:, k], s[:, k]
            numbers += [c_k, s_k, -(c_k * x + s_k * y), s_k * x - c_k * y]
            numbers += [bend.theta_E[:, k], bend.q[:, k], bend.slope[:, k]]
            numbers += [back[:, k, i, j] for i in (0, 1) for j in (0, 1)]
        power_law = bool((bend.slope != 2).any())
        return cls(torch.stack(numbers).to(dtype), bend.q.shape[1], power_law)

    def of_rows(self, row: Tensor) -> "Mapping":
        """One set of numbers for every entry of `row`."""
        return Mapping(self.packed.index_select(1, row), self.n_deflectors, self.power_law)

    def trailing(self, n: int) -> "Mapping":
        """With `n` dimensions of length one after the row's."""
        packed = self.packed[(..., *n * (None,))]
        return Mapping(packed, self.n_deflectors, self.power_law)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Where rays through (x, y), broadcast against each other and the rows, meet the source."""
        lxx, lxy, lx, lyx, lyy, ly, *rest = self.packed
        u, v = lxx * x + (lxy * y + lx), lyx * x + (lyy * y + ly)
        for k in range(self.n_deflectors):
            c, s, a0, b0, theta_E, q, slope, uu, uv, vu, vv = rest[11 * k : 11 * (k + 1)]
            a, b = c * x + (s * y + a0), (c * y + b0) - s * x
            if self.power_law:
                a, b = epl_deflection(a, b, theta_E=theta_E, q=q, slope=slope)
            else:
                a, b = sie_deflection(a, b, theta_E=theta_E, q=q)
            u = torch.addcmul(torch.addcmul(u, a, uu, value=-1), b, uv, value=-1)
            v = torch.addcmul(torch.addcmul(v, a, vu, value=-1), b, vv, value=-1)
        return u, v


def source_plane(scenes: Scenes, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays through image points meet the source plane, both arcsec from the main deflector.

    x, y : (row, ...), of the dtype that is worked in
    """
    return Mapping.of(scenes, None, x.dtype).trailing(x.dim() - 1)(x, y)


_STEP_ARCSEC = 1e-4


def half_kappa_area(scenes: Scenes) -> Tensor:
    """Area, arcsec**2, within which the convergence exceeds one half: pi theta_E**2 of an SIE.

    From the rays alone, by differences of where neighbours meet the source plane: (row,), float64
    """
    angle = torch.arange(256, dtype=torch.float64, device=scenes.theta_E.device) * (math.pi / 128)
    unit = torch.cos(angle), torch.sin(angle)
    low = torch.full((len(scenes), len(angle)), 1e-3, dtype=torch.float64, device=angle.device)
    high = 10 * scenes.theta_E.double().clamp_min(1e-3)[:, None].expand_as(low)
    for _ in range(40):
        radius = (low + high) / 2
        inside = _convergence(scenes, *(radius * u for u in unit)) > 0.5
        low, high = torch.where(inside, radius, low), torch.where(inside, high, radius)
    return math.pi * (low**2).mean(1)


def _convergence(scenes: Scenes, x: Tensor, y: Tensor) -> Tensor:
    """(row, ray), by central differences."""
    right, left = (source_plane(scenes, x + d, y)[0] for d in (_STEP_ARCSEC, -_STEP_ARCSEC))
    upper, lower = (source_plane(scenes, x, y + d)[1] for d in (_STEP_ARCSEC, -_STEP_ARCSEC))
    return 1 - (right - left + upper - lower) / (4 * _STEP_ARCSEC)


def einstein_radius(scenes: Scenes) -> Tensor:
    """Effective Einstein radius, arcsec: the mean convergence inside it is one; (row,).

    Around the main deflector, all deflectors counted. By Gauss's theorem the mean convergence in a
    circle is its mean outward deflection over its radius, to which a shear adds nothing.
    """
    angle = torch.arange(256, dtype=torch.float64, device=scenes.theta_E.device) * (math.pi / 128)
    unit = torch.cos(angle), torch.sin(angle)
    low = torch.full_like(scenes.theta_E, 1e-4)
    high = 10 * scenes.deflectors().theta_E.sum(1).clamp_min(1e-3)
    for _ in range(40):
        radius = (low + high) / 2
        x, y = (radius[:, None] * u for u in unit)
        beta_x, beta_y = source_plane(scenes, x, y)
        outward = ((x - beta_x) * unit[0] + (y - beta_y) * unit[1]).mean(1)
        dense = outward > radius
        low, high = torch.where(dense, radius, low), torch.where(dense, high, radius)
    return (low + high) / 2
