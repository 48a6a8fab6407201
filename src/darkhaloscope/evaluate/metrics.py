"""Simple numbers of stamps, and of the light that tells a row from its pair's host."""

from functools import lru_cache

import numpy as np

from darkhaloscope.units import BANDS, stamp_center

CORE_ARCSEC = 0.8
ARC_ARCSEC = (0.8, 2.6)
OUTER_FRACTION = 0.8
"""The outer annulus starts at this fraction of half the stamp."""

_EVERY = 4
_SIGMA_PER_MAD = np.float32(1.4826)
_MIX = 0x9E3779B97F4A7C15


def stamp_metrics(images: np.ndarray, pixel_scale: float) -> dict[str, np.ndarray]:
    """One number a stamp and statistic, r band unless named.

    images : (row, band, y, x) float32, nmgy
    Returns core, arc and outer mean surface brightness (nmgy per pixel), total (nmgy),
    sky_sigma_<band> (nmgy, of the outer annulus, where no arc is), sky_corr (correlation of
    neighbouring pixels there), flat (pixels of one band's least or largest value, the first not
    counted), empty (bands of one value), bad_pixels (count), peak (nmgy, any band) and pixels
    (uint64, the same for the same pixels)
    """
    n, size = len(images), images.shape[-1]
    low, high = (edge(images, axis=(2, 3), keepdims=True) for edge in (np.min, np.max))
    bad = np.zeros(n, int)
    if not np.isfinite(low + high).all():
        bad = (~np.isfinite(images)).sum((1, 2, 3))
        images = np.nan_to_num(images, posinf=0.0, neginf=0.0)
        low, high = (edge(images, axis=(2, 3), keepdims=True) for edge in (np.min, np.max))
    red = np.ascontiguousarray(images[:, BANDS.index("r")])
    sums = red.reshape(n, -1) @ _weights(size, pixel_scale)
    counts = _weights(size, pixel_scale).sum(0)
    flat = np.maximum(*(np.count_nonzero(images == edge, axis=(2, 3)) for edge in (low, high))) - 1
    sky = _stripes(size)
    sigma = _sigma(images[..., sky])
    return {
        **{name: sums[:, i].astype(float) / counts[i] for i, name in enumerate(_REGIONS)},
        "total": sums[:, -1].astype(float),
        **{f"sky_sigma_{band}": sigma[:, i].astype(float) for i, band in enumerate(BANDS)},
        "sky_corr": _correlation(red, sky, sigma[:, BANDS.index("r")]),
        "flat": flat.max(axis=1),
        "empty": (low == high)[..., 0, 0].sum(axis=1),
        "bad_pixels": bad,
        "peak": high.max((1, 2, 3)).astype(float),
        "pixels": _prints(red),
    }


_REGIONS = ("core", "arc", "outer")


def regions(size: int, pixel_scale: float) -> dict[str, np.ndarray]:
    """Where core, arc and outer are: (y, x) bool each."""
    radius = np.hypot(*_places(size))
    arcsec = radius * pixel_scale
    return {
        "core": arcsec < CORE_ARCSEC,
        "arc": (arcsec >= ARC_ARCSEC[0]) & (arcsec < ARC_ARCSEC[1]),
        "outer": radius >= OUTER_FRACTION * size / 2,
    }


def _places(size: int) -> np.ndarray:
    """y and x of every pixel, from the stamp's centre: (2, y, x)."""
    return np.indices((size, size)) - stamp_center(size)


@lru_cache(maxsize=4)
def _weights(size: int, pixel_scale: float) -> np.ndarray:
    """(pixel, region): 1 where a region is; the last one is all."""
    where = regions(size, pixel_scale)
    flat = [where[name].ravel() for name in _REGIONS] + [np.ones(size * size, bool)]
    return np.stack(flat, axis=1).astype(np.float32)


@lru_cache(maxsize=4)
def _moments(size: int, pixel_scale: float) -> np.ndarray:
    """(pixel, 4): 1, x, y and distance from the stamp's centre, arcsec."""
    y, x = _places(size).reshape(2, -1) * pixel_scale
    return np.stack([np.ones_like(x), x, y, np.hypot(x, y)], axis=1).astype(np.float32)


@lru_cache(maxsize=4)
def _stripes(size: int) -> np.ndarray:
    """A quarter of the outer annulus, rows of neighbours: enough for a width, (y, x) bool."""
    outer = regions(size, 1.0)["outer"]
    return outer & (np.arange(size) % _EVERY == 0)[:, None]


def added_metrics(
    images: np.ndarray, host_row: np.ndarray, center: np.ndarray, pixel_scale: float
) -> dict[str, np.ndarray]:
    """What a row has that its pair's host row has not; NaN where there is no such host row.

    host_row : (row,) number of the host row of each row's pair, -1 without
    center : (row, 2) x and y of the lens, arcsec
    Returns added_<band> (nmgy), added_x_<band> and added_y_<band> (arcsec, centroid from the lens's
    centre), added_radius (arcsec, mean distance from the stamp's centre, r) and added_noise (nmgy,
    sigma of what was added in the outer annulus, r)
    """
    n, size = len(images), images.shape[-1]
    (rows,) = np.nonzero((host_row >= 0) & (host_row != np.arange(n)))
    added = images[rows] - images[host_row[rows]]
    moments = added.reshape(len(rows) * len(BANDS), size * size) @ _moments(size, pixel_scale)
    sums = np.full((n, len(BANDS), 4), np.nan)
    sums[rows] = moments.reshape(len(rows), len(BANDS), 4)
    noise = np.full(n, np.nan)
    noise[rows] = _sigma(added[:, BANDS.index("r"), _stripes(size)])
    flux = sums[..., 0]
    mean = sums[..., 1:] / np.where(flux > 0, flux, np.nan)[..., None]
    return {
        **{f"added_{band}": flux[:, i] for i, band in enumerate(BANDS)},
        **{f"added_x_{b}": mean[:, i, 0] - center[:, 0] for i, b in enumerate(BANDS)},
        **{f"added_y_{b}": mean[:, i, 1] - center[:, 1] for i, b in enumerate(BANDS)},
        "added_radius": mean[:, BANDS.index("r"), 2],
        "added_noise": noise,
    }


def _sigma(values: np.ndarray) -> np.ndarray:
    """Noise of the last axis, from the median absolute deviation."""
    return _SIGMA_PER_MAD * _median(np.abs(values - _median(values)[..., None]))


def _median(values: np.ndarray) -> np.ndarray:
    """Of the last axis, the upper one of two; NumPy sorts float32 faster than it divides it."""
    return np.sort(values, axis=-1)[..., values.shape[-1] // 2]


def _correlation(images: np.ndarray, where: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Of neighbours in a row, from the width of their differences: (row,)."""
    both = where[:, 1:] & where[:, :-1]
    apart = _sigma(images[:, :, 1:][:, both] - images[:, :, :-1][:, both])
    ratio = np.divide(apart, sigma, out=np.full(len(images), np.sqrt(2)), where=sigma > 0)
    return 1 - ratio**2 / 2


def _prints(images: np.ndarray) -> np.ndarray:
    """uint64 of each image's bytes: equal for equal pixels, and surely not for others."""
    words = np.ascontiguousarray(images, "<f4").view(np.uint32).reshape(len(images), -1)
    return words.astype(np.uint64) @ _factors(words.shape[1])


@lru_cache(maxsize=4)
def _factors(n: int) -> np.ndarray:
    mixed = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(_MIX)
    return (mixed ^ (mixed >> np.uint64(31))) * np.uint64(_MIX) | np.uint64(1)
