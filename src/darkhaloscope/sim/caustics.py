"""What an isothermal ellipsoid with shear makes of a source, from lines instead of rays.

Its deflection depends on direction alone, so that the points of the image plane that lie in one
direction, at all radii, see the source plane along one straight line. A few dozen lines tell the
curves within which sources have several images; their integrals through a source, how it is
magnified and where its light goes. Frames are those of the lens's axes unless said otherwise.
Source: Kormann, Schneider & Bartelmann (1994) for the deflection; the rest follows from it.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.special import erf
from torch.nn.functional import grid_sample

N_CURVE = 72
"""Points of a caustic."""

_N_LINES, _N_STEPS = 80, 26
"""Lines through a source, and steps along each."""

_ROWS_AT_ONCE = 192
"""Rows integrated together; what they need fits the processor's caches."""

_REACH_HLR = 6.0
"""Half-light radii of a source that are integrated over; an exponential disc has 0.05 % beyond."""

_CROWDED = 0.45
"""Steps lie closer in the source's middle, by this factor."""

_BLIND = 0.02
"""Share of the lines that go where the source is not expected."""

_SQRT2 = math.sqrt(2)
_HLR_PER_SIGMA = math.sqrt(2 * math.log(2))
_MIN_FLATTENING2 = 1e-6
DIRECTIONS = 2 * math.pi * (np.arange(N_CURVE) + 0.5) / N_CURVE
"""rad from the lens's major axis, of the lines that caustics are made of."""


@dataclass(frozen=True)
class Lens:
    """Isothermal ellipsoids with shear, (row,) each, conventions as in sim.lens."""

    theta_E: np.ndarray  # arcsec
    q: np.ndarray
    phi: np.ndarray  # rad
    gamma1: np.ndarray
    gamma2: np.ndarray

    def __getitem__(self, rows) -> "Lens":
        return Lens(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def __len__(self) -> int:
        return len(self.theta_E)

    def own_shear(self) -> tuple[np.ndarray, np.ndarray]:
        """Shear along the lens's axes and along their diagonals."""
        c, s = np.cos(2 * self.phi), np.sin(2 * self.phi)
        return c * self.gamma1 + s * self.gamma2, c * self.gamma2 - s * self.gamma1

    def to_axes(self, x, y) -> np.ndarray:
        """Positions on the sky, from the mass centre, in the lens's frame: (row, 2)."""
        c, s = np.cos(self.phi), np.sin(self.phi)
        return np.stack([c * x + s * y, c * y - s * x], -1)

    def to_sky(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        c, s = np.cos(self.phi), np.sin(self.phi)
        return c * place[:, 0] - s * place[:, 1], s * place[:, 0] + c * place[:, 1]


@dataclass(frozen=True)
class Lines:
    """Directions of the image plane as lines of the source plane.

    A point at radius r in a direction sees the source plane at start + r * along.
    start, along : (row, line, 2), arcsec and 1; critical : (row, line), arcsec, radius of the
    tangential critical curve
    """

    start: np.ndarray
    along: np.ndarray
    critical: np.ndarray

    def __getitem__(self, rows) -> "Lines":
        return Lines(self.start[rows], self.along[rows], self.critical[rows])


def lines_of(lens: Lens, angle: np.ndarray) -> Lines:
    """Lines in directions `angle`, rad from the major axis: (line,) or (row, line)."""
    of_row = (lens.theta_E, lens.q, *lens.own_shear())
    theta_E, q, g1, g2 = (values.astype(angle.dtype)[:, None] for values in of_row)
    cos, sin = np.cos(angle), np.sin(angle)
    flattening = np.sqrt(np.maximum(1 - q * q, _MIN_FLATTENING2))
    radius = np.sqrt((q * cos) ** 2 + sin * sin)
    scale = theta_E * np.sqrt(q) / flattening
    bend_x = scale * torch.from_numpy(flattening * cos / radius).atan_().numpy()  # as NumPy's, in
    bend_y = scale * torch.from_numpy(flattening * sin / radius).atanh_().numpy()  # half the time
    critical = 1 - g1 * (cos * cos - sin * sin) - 2 * g2 * sin * cos
    critical = critical * (theta_E * np.sqrt(q) / (1 - g1 * g1 - g2 * g2)) / radius
    along_x, along_y = (1 - g1) * cos - g2 * sin, (1 + g1) * sin - g2 * cos
    return Lines(-np.stack([bend_x, bend_y], -1), np.stack([along_x, along_y], -1), critical)


@dataclass(frozen=True)
class Caustics:
    """Curves of the source plane, and the lines that they are made of.

    cut : within it sources have two images at least; convex; (row, N_CURVE, 2), arcsec
    astroid : the tangential caustic, two images more; a part of it may lie outside the cut
    """

    lens: Lens
    lines: Lines
    astroid: np.ndarray

    @classmethod
    def of(cls, lens: Lens) -> "Caustics":
        lines = lines_of(lens, DIRECTIONS)
        return cls(lens, lines, lines.start + lines.critical[..., None] * lines.along)

    def __getitem__(self, rows) -> "Caustics":
        return Caustics(self.lens[rows], self.lines[rows], self.astroid[rows])

    @property
    def cut(self) -> np.ndarray:
        return self.lines.start

    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """arcsec**2, (row,): with several images, and of the astroid if it reaches beyond the cut.

        The second is 0 for an astroid that lies within the cut.
        """
        cut = _fan(self.cut)
        within = _distance2(self.cut).min(1) > _distance2(self.astroid).max(1)
        beyond, astroid = np.zeros(len(cut)), np.zeros(len(cut))
        (some,) = np.nonzero(~within)
        if some.size:
            fan = _fan(self.astroid[some])
            outside = 1 - 1 / np.maximum(_gauge(self.cut[some], self.astroid[some]), 1) ** 2
            beyond[some] = (fan * outside).sum(1)
            astroid[some] = fan.sum(1) * (beyond[some] > 0)
        return cut.sum(1) + beyond, astroid

    def draw(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places with several images, uniform in area.

        u : (row, 3) uniforms; returns x, y : (row,), arcsec from the mass centre, on the sky
        """
        united, of_astroid = self.areas()
        place = _point(self.cut, u[:, 1], u[:, 2])
        # Drawn so often that its part beyond the cut is as dense; the rest is drawn in the cut.
        (some,) = np.nonzero(u[:, 0] * united < of_astroid)
        if some.size:
            tip = _point(self.astroid[some], u[some, 1], u[some, 2])
            outside = _gauge(self.cut[some], tip[:, None])[:, 0] > 1
            place[some[outside]] = tip[outside]
        return self.lens.to_sky(place)


def _distance2(points: np.ndarray) -> np.ndarray:
    """Squared distance from the middle; NumPy's own sum takes ten times as long on two values."""
    return points[..., 0] ** 2 + points[..., 1] ** 2


def _fan(curve: np.ndarray) -> np.ndarray:
    """Areas of the triangles from the middle to each side of a curve, (row, side)."""
    after = np.roll(curve, -1, axis=1)
    return 0.5 * np.abs(curve[..., 0] * after[..., 1] - curve[..., 1] * after[..., 0])


def _gauge(convex: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far out points lie, 1 on the curve: (row, point)."""
    side = np.roll(convex, -1, axis=1) - convex
    normal = np.stack([side[..., 1], -side[..., 0]], -1)
    normal = normal / (normal * convex).sum(-1, keepdims=True)
    return (points @ normal.transpose(0, 2, 1)).max(-1)


def _point(curve: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Points uniform within a curve that is seen whole from the middle: (row, 2)."""
    edge = _fan(curve).cumsum(1)
    wanted = u * edge[:, -1]
    which = np.minimum((edge <= wanted[:, None]).sum(1), curve.shape[1] - 1)
    row, after = np.arange(len(curve)), (which + 1) % curve.shape[1]
    below = np.where(which > 0, edge[row, which - 1], 0.0)
    share = ((wanted - below) / np.maximum(edge[row, which] - below, 1e-30))[:, None]
    return np.sqrt(v)[:, None] * ((1 - share) * curve[row, which] + share * curve[row, after])


@dataclass(frozen=True)
class Source:
    """What is lensed, (row,) each, on the sky."""

    x: np.ndarray  # arcsec from the mass centre
    y: np.ndarray
    phi: np.ndarray  # rad, rotation of the template
    scale: np.ndarray  # arcsec, side of a template pixel
    hlr: np.ndarray  # arcsec

    def __getitem__(self, rows) -> "Source":
        return Source(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class Arcs:
    """Light of lensed sources by direction from the mass centre, (row, N_CURVE) each.

    flux : over the flux of the source; radius : arcsec, where it lies; spread : arcsec**2, the
    variance of that
    """

    flux: np.ndarray
    radius: np.ndarray
    spread: np.ndarray

    def __getitem__(self, rows) -> "Arcs":
        return Arcs(*(getattr(self, f.name)[rows] for f in fields(self)))

    @property
    def magnification(self) -> np.ndarray:
        """Lensed over unlensed flux: (row,)."""
        return self.flux.sum(1)


def foreseen(caustics: Caustics, source: Source) -> Arcs:
    """Lensed light of round Gaussian sources of the same half-light radii, in closed form.

    For most sources within some percent of what `magnification` says of their images.
    """
    sigma = (source.hlr / _HLR_PER_SIGMA)[:, None]
    nearest, miss2, speed2 = _passes(caustics, source)
    width = sigma / np.sqrt(speed2)  # of the Gaussian along a line
    where = nearest / (_SQRT2 * width)
    whole = width**2 * np.exp(-(where**2))
    whole += nearest * width * math.sqrt(math.pi / 2) * (1 + erf(where))
    flux = np.exp(-0.5 * miss2 / sigma**2) / (2 * math.pi * sigma**2) * whole
    return Arcs(flux * (2 * math.pi / N_CURVE), np.maximum(nearest, 0), width**2)


def magnification(caustics: Caustics, source: Source, images: np.ndarray) -> np.ndarray:
    """Lensed over unlensed flux of sources, (row,), by integrals along lines.

    images : (row, y, x) of unit flux, float32
    """
    found = np.empty(len(images))
    for start in range(0, len(images), _ROWS_AT_ONCE):
        few = slice(start, start + _ROWS_AT_ONCE)
        found[few] = _magnification(caustics[few], source[few], images[few])
    return found


def _magnification(caustics: Caustics, source: Source, images: np.ndarray) -> np.ndarray:
    lens = caustics.lens
    angle, width = _directions(caustics, source)
    lines = lines_of(lens, angle.astype(np.float32))
    middle = lens.to_axes(source.x, source.y).astype(np.float32)[:, None]
    reach = _reach(source, images.shape[-1]).astype(np.float32)
    nearest, half = (values[..., None] for values in _chords(lines, middle, reach))
    edge = np.maximum(half * _EDGES + nearest, 0)  # a line begins at r = 0
    radius = 0.5 * (edge[..., 1:] + edge[..., :-1])
    area = (edge[..., 1:] - edge[..., :-1]) * radius  # the integral of r dr over a step
    light = _looked_up(images, lens, source, lines, middle, radius)
    flux = np.einsum("ijk,ijk->ij", light, area)
    return (flux * width).sum(1) / source.scale**2


def _reach(source: Source, n: int) -> np.ndarray:
    """arcsec from a source's middle beyond which it is dark: (row, 1)."""
    return np.minimum(_REACH_HLR * source.hlr, 0.5 * n * source.scale)[:, None]


def _chords(lines: Lines, middle: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radius at which a line is nearest to a source, and half the length of it within `reach`."""
    nearest, miss2, speed2 = _closest(lines, middle)
    return nearest, np.sqrt(np.maximum(reach**2 - miss2, 0) / speed2)


def _passes(caustics: Caustics, source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    middle = caustics.lens.to_axes(source.x, source.y)[:, None]
    return _closest(caustics.lines, middle)


def _closest(lines: Lines, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where lines are nearest to a source: radius, squared distance, squared speed."""
    to_x, to_y = (middle[..., i] - lines.start[..., i] for i in (0, 1))
    x, y = lines.along[..., 0], lines.along[..., 1]
    speed2 = x * x + y * y
    nearest = (to_x * x + to_y * y) / speed2
    across = to_x * y - to_y * x
    return nearest, across * across / speed2, speed2


def _directions(caustics: Caustics, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Directions that lie closest where lines pass the source's middle, and the angle of each.

    Returns angle, width : (row, _N_LINES), rad
    """
    nearest, miss2, speed2 = _passes(caustics, source)
    miss2 = miss2 + np.minimum(nearest, 0) ** 2 * speed2
    reached = miss2 / (4 * source.hlr**2)[:, None] + 1
    near = 1 / (reached * np.sqrt(reached))
    near = near + _BLIND * near.max(1, keepdims=True) + 0.5 * _neighbours(near)
    edges = np.zeros((len(near), N_CURVE + 1))
    np.cumsum(near, axis=1, out=edges[:, 1:])
    edges /= edges[:, -1:]
    angles = _inverse(edges)
    return angles[:, 1::2], angles[:, 2::2] - angles[:, :-1:2]


def _neighbours(values: np.ndarray) -> np.ndarray:
    ring = np.concatenate([values[:, -1:], values, values[:, :1]], axis=1)
    return np.maximum(ring[:, :-2], ring[:, 2:])


def _inverse(edges: np.ndarray) -> np.ndarray:
    """Angles at which rising functions, given at N_CURVE + 1 even angles, reach _LEVELS."""
    n, n_rows = edges.shape[1], len(edges)
    apart = 2.0 * np.arange(n_rows)[:, None]
    place = np.searchsorted((edges + apart).ravel(), (_LEVELS + apart).ravel(), side="right")
    place = place.reshape(n_rows, -1) - 1 - n * np.arange(n_rows)[:, None]
    place = np.clip(place, 0, n - 2)
    row = np.arange(n_rows)[:, None]
    low = edges[row, place]
    return (place + (_LEVELS - low) / (edges[row, place + 1] - low)) * (2 * math.pi / (n - 1))


def _crowded(t: np.ndarray) -> np.ndarray:
    return _CROWDED * t + (1 - _CROWDED) * t**3


_LEVELS = np.linspace(0, 1, 2 * _N_LINES + 1)
_EDGES = _crowded(np.linspace(-1, 1, _N_STEPS + 1)).astype(np.float32)


def _looked_up(images, lens: Lens, source: Source, lines: Lines, middle, radius) -> np.ndarray:
    """Images where the lines see them: (row, line, step) float32."""
    turn = source.phi - lens.phi
    c, s = (2 / (images.shape[-1] * source.scale) * t for t in (np.cos(turn), np.sin(turn)))
    turned = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2).astype(np.float32)
    first, step = (lines.start - middle) @ turned, lines.along @ turned
    at = np.empty((*radius.shape, 2), np.float32)
    for axis in (0, 1):
        np.multiply(radius, step[..., axis, None], out=at[..., axis])
        at[..., axis] += first[..., axis, None]
    seen = grid_sample(torch.from_numpy(images)[:, None], torch.from_numpy(at), align_corners=False)
    return seen[:, 0].numpy()
