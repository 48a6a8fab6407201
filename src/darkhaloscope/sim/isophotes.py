"""The smooth light of the galaxy at a cutout's centre, from its own isophotes."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize

from darkhaloscope.sim.measure import measure_host
from darkhaloscope.units import BANDS, stamp_center

_CENTER_ARCSEC, _SHAPE_ARCSEC, _BODY_ARCSEC = 1.3, 3.0, 2.0
"""How far the light goes that decides the centre, and the shapes; and where the body begins."""

_OUTER_FRACTION = 0.8
"""Sky is measured beyond this fraction of half the side, as in evaluate.metrics."""

_SMALLEST_RING = 5
_LARGEST_E = 0.6
_CLIP_SIGMA, _CLIPS = 2.0, 4


def smooth_galaxy(image: np.ndarray, pixel_scale: float) -> np.ndarray:
    """Light that is the same all along an ellipse around the central galaxy, and falls outwards.

    Each ellipse takes the median of its pixels, brighter ones such as an arc's left out; and none
    is brighter than those within, so that a whole ring does not count as the galaxy's. All bands
    share the ellipses along which r changes least.

    image : (band, y, x) g r z, nmgy; NaN counts as sky
    Returns (band, y, x), nmgy, without the sky
    """
    image = np.nan_to_num(np.asarray(image, float))
    light = image - outer_sky(image)[:, None, None]
    n = image.shape[-1]
    y, x = (np.indices((n, n)) - stamp_center(n)) * pixel_scale
    return _along_ellipses(light, _ellipses(light, x, y, pixel_scale).radius(x, y))


def outer_sky(image: np.ndarray) -> np.ndarray:
    """Median of each band's outskirts."""
    n = image.shape[-1]
    y, x = np.indices((n, n)) - stamp_center(n)
    return np.median(image[:, np.hypot(x, y) >= _OUTER_FRACTION * n / 2], axis=1)


@dataclass(frozen=True)
class Ellipses:
    """Concentric ellipses, of one shape in the core, which seeing rounds, and another farther out.

    center : x, y in arcsec; core, body : (e1, e2), |e| = (1 - q) / (1 + q)
    """

    center: np.ndarray
    core: np.ndarray
    body: np.ndarray

    def radius(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Of every place, the radius of the circle that has its ellipse's area."""
        x, y = x - self.center[0], y - self.center[1]
        round_ = np.hypot(x, y)
        outer = (round_ / _BODY_ARCSEC).clip(0, 1)
        e1, e2 = (a + outer * (b - a) for a, b in zip(self.core, self.body, strict=True))
        e = e1 * e1 + e2 * e2
        squared = (1 + e) * round_**2 - 2 * e1 * (x * x - y * y) - 4 * e2 * x * y
        return np.sqrt(squared.clip(0) / (1 - e))


def _ellipses(light: np.ndarray, x: np.ndarray, y: np.ndarray, pixel_scale: float) -> Ellipses:
    """Those on which r changes least: first of the core, with the centre, then of all near it."""
    red = light[BANDS.index("r")]
    seen = measure_host(light, pixel_scale)
    e = (1 - seen.q) / (1 + seen.q) * np.array([np.cos(2 * seen.phi), np.sin(2 * seen.phi)])

    def best(image, within: float, made, first: np.ndarray, step: np.ndarray) -> Ellipses:
        near = np.hypot(x, y) < within
        of = x[near], y[near]

        def unrest(values) -> float:
            """How much light differs between pixels that follow each other in radius."""
            shape = made(values)
            if max(np.hypot(*shape.core), np.hypot(*shape.body)) > _LARGEST_E:
                return np.inf
            order = np.argsort(shape.radius(*of))
            return float(np.abs(np.diff(image[near][order])).sum())

        simplex = first + np.vstack([np.zeros(len(first)), np.diag(step)])
        patience = {
            "initial_simplex": simplex,
            "maxfev": 40 * len(first),
            "xatol": 2e-3,
            "fatol": 0,
        }
        return made(minimize(unrest, first, method="Nelder-Mead", options=patience).x)

    some = best(
        red,
        _CENTER_ARCSEC,
        lambda v: Ellipses(v[:2], v[2:], v[2:]),
        np.array([seen.center_x, seen.center_y, *e]),
        np.array([0.08, 0.08, 0.1, 0.1]),
    )
    return best(
        _on_both_sides(red, some.center / pixel_scale),
        _SHAPE_ARCSEC,
        lambda v: Ellipses(some.center, v[:2], v[2:]),
        np.concatenate([some.core, some.core]),
        np.array([-0.05, -0.05, 0.1, 0.1]),
    )


def _on_both_sides(image: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Of every pixel and the one across the centre the fainter: a neighbour on one side is gone.

    center : x, y in pixels from the stamp's
    """
    n = len(image)
    across = [(np.rint(2 * c) + n - 1 - np.arange(n)).clip(0, n - 1).astype(int) for c in center]
    return np.minimum(image, image[np.ix_(across[1], across[0])])


def _along_ellipses(light: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Every band's light by radius alone, from rings of growing width."""
    order = np.argsort(radius, axis=None, kind="stable")
    places, values = radius.ravel()[order], light.reshape(len(light), -1)[:, order]
    rings = np.split(np.arange(len(order)), _ring_edges(len(order)))
    middle = np.array([np.median(places[ring]) for ring in rings])
    level = np.array([[_faint_median(band[ring]) for ring in rings] for band in values])
    inner = (middle[0] / middle[1]) ** 2
    peak = (level[:, :1] - inner * level[:, 1:2]) / (1 - inner)  # of the parabola through both
    middle, level = np.append(0.0, middle), np.append(peak, level, axis=1)
    falling = np.minimum.accumulate(level.clip(0), axis=1)
    return PchipInterpolator(middle, falling, axis=1)(radius.clip(0, middle[-1]))


def _faint_median(values: np.ndarray) -> float:
    """Median of what is not far above it, by the spread of what is below it."""
    values = np.sort(values)
    n = len(values)
    for _ in range(_CLIPS):
        middle = values[n // 2] if n % 2 else 0.5 * (values[n // 2 - 1] + values[n // 2])
        spread = 1.4826 * (middle - values[n // 4])
        kept = int(np.searchsorted(values, middle + _CLIP_SIGMA * spread, side="right"))
        if kept >= n:
            break
        n = max(kept, 3)
    return float(np.median(values[:n]))


def _ring_edges(n: int) -> np.ndarray:
    """Where rings of a few pixels, then of about a pixel's width, end in the order of radius."""
    edges, last = [], 0
    while last < n:
        last += max(_SMALLEST_RING, round(2 * np.sqrt(np.pi * last) * 0.7) | 1)
        edges.append(last)
    return np.array(edges[:-1])
