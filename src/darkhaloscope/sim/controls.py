"""Light that surrounds a galaxy as arcs do and was never lensed: one function a kind.

Each kind is drawn as soft knots, in units of the Einstein radius, about the galaxy's middle.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIZE = 96
"""Side of a painting, pixels."""

FRAME = 2.4
"""Half its side, Einstein radii."""

PIXEL = 2 * FRAME / SIZE


@dataclass(frozen=True)
class Knots:
    """Round Gaussians: place and sigma in Einstein radii, (knot,) each; light of any sum."""

    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray
    light: np.ndarray


def paint(kind: str, rng: np.random.Generator) -> np.ndarray:
    """An image of unit flux, (SIZE, SIZE) float32. Raises KeyError for a kind not in PAINTED."""
    knots = PAINTED[kind](rng)
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL
    across, up = (
        np.exp(-0.5 * ((axis - place[:, None]) / knots.sigma[:, None]) ** 2)
        for place in (knots.x, knots.y)
    )
    image = (up * (knots.light / knots.sigma**2)[:, None]).T @ across
    return (image / image.sum()).astype(np.float32)


def _ring(rng: np.random.Generator) -> Knots:
    """A nearly round ring of star formation, knotty and brighter on one side."""
    count, radius, q = 40, rng.uniform(0.8, 1.15), rng.uniform(0.75, 1.0)
    angle = 2 * math.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
    side = 1 + rng.uniform(0, 0.7) * np.cos(angle - rng.uniform(0, 2 * math.pi))
    x, y = _turned(radius * np.cos(angle), radius * q * np.sin(angle), rng.uniform(0, math.pi))
    sigma = rng.uniform(0.08, 0.16) * np.exp(rng.normal(0, 0.15, count))
    return Knots(x, y, sigma, side * rng.gamma(3.0, 1 / 3, count))


def _companion(rng: np.random.Generator) -> Knots:
    """Two to four galaxies around the host, drawn out along the circle that arcs would follow."""
    count, per = int(rng.integers(2, 5)), 5
    angle = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.uniform(0.6, 2.2, count))
    radius = rng.uniform(0.8, 1.4, count)
    tilt = angle + math.pi / 2 + rng.normal(0, 0.25, count)
    size = rng.uniform(0.08, 0.18, count)
    along = np.linspace(-1, 1, per) * (size * rng.uniform(1.0, 2.2, count))[:, None]
    x = radius[:, None] * np.cos(angle)[:, None] + along * np.cos(tilt)[:, None]
    y = radius[:, None] * np.sin(angle)[:, None] + along * np.sin(tilt)[:, None]
    light = rng.uniform(0.3, 1.0, count)[:, None] * np.exp(-0.5 * np.linspace(-1.5, 1.5, per) ** 2)
    return Knots(x.ravel(), y.ravel(), np.repeat(size, per), light.ravel())


def _spiral(rng: np.random.Generator) -> Knots:
    """Two or three arms that wind out of the host, with knots."""
    arms, per = int(rng.integers(2, 4)), 26
    pitch = math.radians(rng.uniform(14, 28)) * rng.choice([-1.0, 1.0])
    along = np.tile(np.linspace(0, 1, per), arms)
    first = np.repeat(2 * math.pi * np.arange(arms) / arms, per) + rng.uniform(0, 2 * math.pi)
    winding = 1.1 / math.tan(pitch)
    radius = rng.uniform(0.45, 0.6) * np.exp(1.1 * along)
    angle = first + winding * along + rng.normal(0, 0.05, arms * per)
    q = rng.uniform(0.7, 1.0)
    x, y = _turned(radius * np.cos(angle), radius * q * np.sin(angle), rng.uniform(0, math.pi))
    light = np.exp(-1.2 * along) * rng.gamma(2.0, 0.5, arms * per)
    return Knots(x, y, (0.07 + 0.07 * along) * rng.uniform(0.9, 1.4), light)


PAINTED: dict[str, Callable[[np.random.Generator], Knots]] = {
    "ring": _ring,
    "companion": _companion,
    "spiral": _spiral,
}


def _turned(x: np.ndarray, y: np.ndarray, phi: float) -> tuple[np.ndarray, np.ndarray]:
    c, s = math.cos(phi), math.sin(phi)
    return c * x - s * y, s * x + c * y
