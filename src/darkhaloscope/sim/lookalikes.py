"""What is taken for a lens and is none: one function a kind, all from galaxies, stars and glare."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from darkhaloscope.sim.hosts import draw_host
from darkhaloscope.sim.paint import Galaxies, Stars, no_stars

_BLUE = ((0.15, 0.7), (0.05, 0.5))  # ranges of g-r and r-z, as of star-forming galaxies


@dataclass(frozen=True)
class LookAlike:
    """What stands at the centre; the first galaxy is the one that is measured.

    ghost : peak of a ghost's surface brightness, nmgy per pixel and band; none if absent
    """

    galaxies: Galaxies
    stars: Stars
    ghost: np.ndarray | None = None


def draw_look_alike(kind: str, rng: np.random.Generator, ebv: float) -> LookAlike:
    """A look-alike of a kind. Raises KeyError if there is no such kind."""
    return _KINDS[kind](rng, ebv)


def _ring(rng: np.random.Generator, ebv: float) -> LookAlike:
    """A red galaxy in a blue ring, brighter on one side and knotty, seen nearly face on."""
    host = draw_host(rng, ebv)
    radius, q, phi = rng.uniform(2.0, 3.8), rng.uniform(0.75, 1.0), rng.uniform(0, math.pi)
    count = 48
    angle = 2 * math.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
    side = 1 + 0.5 * np.cos(angle - rng.uniform(0, 2 * math.pi))
    light = side * rng.gamma(3.0, 1 / 3, count)
    x, y = _turned(radius * np.cos(angle), radius * q * np.sin(angle), phi)
    tangent = angle + math.pi / 2 + phi
    ring = _blobs(
        rng, x, y, light, host.mags[0, 1] + rng.uniform(-0.2, 1.0), 0.28, 0.5, tangent % math.pi
    )
    return LookAlike(_around(host, ring), no_stars())


def _spiral(rng: np.random.Generator, ebv: float) -> LookAlike:
    """A disc seen face on: red bulge, blue arms with knots, two or three of them."""
    bulge = draw_host(rng, ebv)
    r, scale = rng.uniform(17.8, 19.4), rng.uniform(2.2, 3.6)
    bulge = replace(
        bulge,
        mags=_mags(r + rng.uniform(1.2, 2.0), 1.05, 0.7),
        r_e=np.array([0.22 * scale]),
        n=np.array([2.0]),
        q=np.array([rng.uniform(0.8, 1.0)]),
    )
    disc = replace(bulge, mags=_mags(r + 1.0, 0.7, 0.45), r_e=np.array([scale]), n=np.array([1.0]))
    arms, per_arm = int(rng.integers(2, 4)), 28
    along = np.tile(np.linspace(0.0, 1.0, per_arm), arms)
    first = np.repeat(2 * math.pi * np.arange(arms) / arms, per_arm) + rng.uniform(0, 2 * math.pi)
    pitch = math.radians(rng.uniform(14, 26)) * (1 if rng.random() < 0.5 else -1)
    radius = 0.5 * scale * np.exp(1.35 * along)
    angle = first + 1.35 * along / math.tan(pitch) + rng.normal(0, 0.05, len(along))
    light = np.exp(-1.1 * along) * rng.gamma(2.0, 0.5, len(along))
    turn = angle + math.copysign(math.pi / 2, pitch) - pitch
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    width = 0.14 + 0.06 * scale
    knots = _blobs(rng, x, y, light, r + rng.uniform(0.2, 0.6), width, 0.4, turn % math.pi)
    return LookAlike(_around(bulge + disc, knots), no_stars())


def _merger(rng: np.random.Generator, ebv: float) -> LookAlike:
    """Two galaxies a few arcsec apart, each with a curved tidal tail."""
    host = draw_host(rng, ebv)
    apart, angle = rng.uniform(1.2, 2.8), rng.uniform(0, 2 * math.pi)
    fainter = rng.uniform(0.1, 1.5)
    other = replace(
        host,
        x=host.x + apart * math.cos(angle),
        y=host.y + apart * math.sin(angle),
        mags=host.mags + fainter - np.array([0.2, 0.0, -0.1]) * rng.uniform(0, 1.5),
        r_e=host.r_e * rng.uniform(0.5, 0.9),
        phi=np.array([rng.uniform(0, math.pi)]),
    )
    tails = [
        _tail(rng, galaxy, start, host.mags[0, 1] + rng.uniform(1.4, 2.4))
        for galaxy, start in ((host, angle + math.pi), (other, angle))
    ]
    return LookAlike(host + other + tails[0] + tails[1], no_stars())


def _tail(rng, galaxy: Galaxies, start: float, r: float) -> Galaxies:
    count, bend = 22, rng.choice([-1.0, 1.0]) * rng.uniform(0.8, 1.6)
    along = np.linspace(0.15, 1.0, count)
    length = rng.uniform(3.0, 6.0)
    angle = start + bend * along
    x = galaxy.x + length * along * np.cos(angle)
    y = galaxy.y + length * along * np.sin(angle)
    turn = np.arctan2(np.gradient(y), np.gradient(x))
    light = (1 - 0.7 * along) * rng.gamma(6.0, 1 / 6, count)
    return _blobs(rng, x, y, light, r, 0.45, 0.5, turn % math.pi, blue=((0.5, 1.1), (0.3, 0.7)))


def _companions(rng: np.random.Generator, ebv: float) -> LookAlike:
    """A red galaxy with two to four small blue ones around it, stretched along the circle."""
    host = draw_host(rng, ebv)
    count, radius = int(rng.integers(2, 5)), rng.uniform(1.5, 3.0)
    angle = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.uniform(0.5, 2.2, count))
    distance = radius * rng.uniform(0.85, 1.15, count)
    x, y = host.x + distance * np.cos(angle), host.y + distance * np.sin(angle)
    tangent = (angle + math.pi / 2 + rng.normal(0, 0.25, count)) % math.pi
    light = rng.uniform(0.4, 1.0, count)
    r = host.mags[0, 1] + rng.uniform(0.4, 1.6)
    return LookAlike(host + _blobs(rng, x, y, light, r, 0.35, 0.35, tangent), no_stars())


def _edge_on(rng: np.random.Generator, ebv: float) -> LookAlike:
    """A disc seen edge on, thin and blue, with a red bulge."""
    host = draw_host(rng, ebv)
    r, phi = rng.uniform(18.8, 20.6), np.array([rng.uniform(0, math.pi)])
    bulge = replace(
        host,
        mags=_mags(r + rng.uniform(0.7, 1.6), 1.2, 0.8),
        r_e=np.array([rng.uniform(0.35, 0.7)]),
        n=np.array([2.5]),
        q=np.array([rng.uniform(0.6, 0.9)]),
        phi=phi,
    )
    q = rng.uniform(0.09, 0.16)
    disc = replace(
        bulge,
        mags=_mags(r, rng.uniform(0.5, 0.9), rng.uniform(0.3, 0.6)),
        r_e=np.array([rng.uniform(1.8, 3.4) * math.sqrt(q)]),
        n=np.array([1.0]),
        q=np.array([q]),
    )
    return LookAlike(bulge + disc, no_stars())


def _spike(rng: np.random.Generator, ebv: float) -> LookAlike:
    """A red galaxy that a diffraction spike of a bright star beside the stamp runs past."""
    host = draw_host(rng, ebv)
    vane = math.radians(45) + rng.integers(4) * math.pi / 2
    away, past = rng.uniform(12.0, 18.0), rng.choice([-1, 1]) * rng.uniform(0.8, 2.2)
    x = away * math.cos(vane) - past * math.sin(vane)
    y = away * math.sin(vane) + past * math.cos(vane)
    star = Stars(x=np.array([x]), y=np.array([y]), mags=_mags(rng.uniform(12.4, 14.0), 0.55, 0.25))
    return LookAlike(host, star)


def _ghost(rng: np.random.Generator, ebv: float) -> LookAlike:
    """A red galaxy with the edge of a ghost across it, an arc that follows no galaxy."""
    peak = 0.008 * math.exp(rng.normal(0, 0.3)) * np.exp(rng.normal(0, 0.25, 3))
    return LookAlike(draw_host(rng, ebv), no_stars(), ghost=peak * np.array([0.7, 1.0, 1.6]))


_KINDS: dict[str, Callable[[np.random.Generator, float], LookAlike]] = {
    "ring": _ring,
    "spiral": _spiral,
    "merger": _merger,
    "companions": _companions,
    "edge_on": _edge_on,
    "spike": _spike,
    "ghost": _ghost,
}


def _blobs(rng, x, y, light, r, r_e, q, phi, blue=_BLUE) -> Galaxies:
    """Smooth blobs that share the light of r magnitude `r` as `light` says."""
    count = len(x)
    colours = (rng.uniform(*blue[0]), rng.uniform(*blue[1]))
    mags = _mags(r, *colours) - 2.5 * np.log10(light / light.sum())[:, None]
    return Galaxies(
        x=x,
        y=y,
        mags=mags + rng.normal(0, 0.08, (count, 1)) * np.array([1.0, 0.0, -1.0]),
        r_e=r_e * np.exp(rng.normal(0, 0.2, count)),
        n=np.full(count, 0.7),
        q=np.full(count, float(q)),
        phi=np.broadcast_to(phi, count).astype(float),
    )


def _around(host: Galaxies, parts: Galaxies) -> Galaxies:
    """Parts placed about the host's centre, joined to it."""
    return host + replace(parts, x=parts.x + host.x[0], y=parts.y + host.y[0])


def _turned(x, y, phi: float):
    c, s = math.cos(phi), math.sin(phi)
    return c * x - s * y, s * x + c * y


def _mags(r: float, g_minus_r: float, r_minus_z: float) -> np.ndarray:
    return np.array([[r + g_minus_r, r, r - r_minus_z]])
