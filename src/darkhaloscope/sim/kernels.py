"""The arithmetic of rays, on tensors alone: eager, or compiled where there is a compiler.

Compiled, the steps of a ray are one loop. Results agree to rounding, not to the last bit, and the
last bits may depend on the batch: stored stamps are rendered eagerly.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from darkhaloscope.sim.grid import FINE, Grid
from darkhaloscope.sim.mapping import Mapping
from darkhaloscope.sim.sources import Sources

RINGS_A_PIXEL = 2
HEART_PIXELS = 2
"""Around a deflector's centre, where neighbouring rays are bent apart."""


@dataclass(frozen=True)
class Kernels:
    """The functions below, as they are or compiled."""

    see: Callable[..., tuple[Tensor, Tensor, Tensor]]
    doublings: Callable[..., Tensor]
    cell_means: Callable[..., Tensor]


@lru_cache(maxsize=2)
def kernels(compiled: bool) -> Kernels:
    """Compiling takes half a minute the first time; torch keeps the result on disk."""
    if compiled and not can_compile():
        warnings.warn("no C++ compiler is found: rendering eagerly", stacklevel=3)
        compiled = False
    if not compiled:
        return Kernels(see, doublings, cell_means)
    compile_ = partial(torch.compile, dynamic=True)
    return Kernels(compile_(see), compile_(doublings), compile_(cell_means))


def can_compile() -> bool:
    """Whether torch finds a C++ compiler, or a GPU for which it brings its own."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError, OSError):
        return torch.cuda.is_available()
    return True


def see(
    mapping: Mapping, sources: Sources, source: Tensor, grid: Grid, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Brightness of all parts along rays through (x, y), arcsec, and where the rays end."""
    u, v = mapping(x, y)
    return sources.brightness(u, v, source, grid), u, v


def doublings(
    sources: Sources, source: Tensor, grid: Grid, hearts: Tensor,
    u: Tensor, v: Tensor, x: Tensor, y: Tensor,
) -> Tensor:  # fmt: skip
    """How often each pixel's rays must be doubled, as floats: (row, y, x).

    hearts : (row, deflector, 3 + rings), each centre, the radius of all that is seen around it, and
        the nearest to the source that pixels see whose middle is 0, 1/2, 1 ... pixels away, or more
    u, v : what the centres of fine cells see, (row, cell y, cell x, y, x)
    x, y : of the pixels, arcsec, (row, pixel)
    What a point of a cell sees lies within half the steps to the next cells of what its centre
    sees. Around the centre of a deflector, where images end abruptly, steps say too little: there
    it is no nearer to the source than what is seen on rings around that centre, and rays a step
    apart at a radius see what is the step over the radius of that apart.
    """
    corner = [[(u[:, i, j], v[:, i, j]) for j in range(FINE)] for i in range(FINE)]
    (top_left, top_right), (low_left, low_right) = corner
    across = torch.maximum(_squared(top_left, top_right), _squared(low_left, low_right))
    down = torch.maximum(_squared(top_left, low_left), _squared(top_right, low_right))
    nearest = torch.addcmul(u * u, v, v).amin((1, 2)).sqrt()
    distance = nearest - ((across + down) / 2).sqrt()
    step = torch.maximum(across, down).sqrt()
    for k in range(hearts.shape[1]):
        heart_x, heart_y, jump = hearts[:, k, :3, None].unbind(1)
        away = (x - heart_x).square()[:, None, :] + (y - heart_y).square()[:, :, None]
        away = away.sqrt() / grid.pixel_scale
        ring = (away * RINGS_A_PIXEL).long().clamp_max(HEART_PIXELS * RINGS_A_PIXEL - 1)
        seen = hearts[:, k, 3:].gather(1, ring.flatten(1)).view_as(away)
        distance = torch.where(away < HEART_PIXELS, torch.minimum(nearest, seen), distance)
        near = jump[..., None] / FINE / (away - 0.7).clamp_min(0.25 / FINE)
        step = torch.where(away < HEART_PIXELS, torch.maximum(step, near), step)
    needed = step * sources.sharpness(distance, source[:, None, None], grid)
    at_most = grid.doublings + sources.extra_doublings
    return needed.clamp_min(1).log2().ceil().clamp_max(at_most)


def cell_means(fine: Tensor, doubled: Tensor) -> Tensor:
    """Means of cells (part, row, y, x), of which `fine` has means over their rays.

    doubled : (row, y, x) of the pixels
    The curvature around a cell tells by how much its mean differs from its middle; a quarter of
    that is missing for every time that the rays were doubled.
    """
    around = torch.nn.functional.pad(fine, (1, 1, 1, 1))
    up_down = around[..., 2:, 1:-1] + around[..., :-2, 1:-1]
    bulge = up_down + around[..., 1:-1, 2:] + around[..., 1:-1, :-2]
    missing = torch.exp2(-2 * doubled) / 24
    weight = missing[:, :, None, :, None].expand(-1, -1, FINE, -1, FINE).reshape(fine.shape[1:])
    return fine + (bulge - 4 * fine) * weight


def _squared(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
    """Squared distance of two sets of points."""
    dx, dy = a[0] - b[0], a[1] - b[1]
    return torch.addcmul(dx * dx, dy, dy)
