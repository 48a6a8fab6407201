"""What a classifier sees that is shown one thing only: features of stamps, a group a probe.

Each group leaves out what a finder should look at. `arc` is the other way round: it shows where
arcs are, and a probe that is shown it must succeed.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from scipy.fft import rfft2

from darkhaloscope.evaluate.metrics import regions
from darkhaloscope.schema import band_columns
from darkhaloscope.units import BANDS, stamp_center

_RINGS_ARCSEC = (0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.6, 3.4, 4.6, 6.4)
_QUANTILES = (0.01, 0.16, 0.5, 0.84, 0.99)
_BLOCK = 16
"""Side of the corner blocks whose power spectra are taken, pixels."""

_FREQUENCIES = (0.03, 0.1, 0.2, 0.3, 0.4, 0.72)
"""Edges of bins, cycles a pixel."""

_CUT_OFF = 0.3
"""Cycles a pixel beyond which seeing of 1 arcsec lets nothing through."""

_METADATA = (
    *band_columns("host_mag_{b}"),
    *band_columns("psf_fwhm_{b}_arcsec"),
    *band_columns("psf_depth_{b}_mag"),
    *band_columns("sky_sigma_{b}_nmgy"),
    *band_columns("nexp_{b}"),
    *("ebv_mag", "ra_deg", "dec_deg", "host_q", "host_r_e_arcsec"),
)


def features(
    images: np.ndarray, columns: Mapping[str, np.ndarray], pixel_scale: float
) -> dict[str, np.ndarray]:
    """(row, feature) of each group of features.

    images : (row, band, y, x), nmgy; columns : of the same rows
    """
    size = images.shape[-1]
    known = np.isfinite(images)
    finite = images if known.all() else np.where(known, images, np.float32(0))
    where = regions(size, pixel_scale)
    outer = finite[..., where["outer"]]
    rings = _rings(finite, pixel_scale)
    core = [_mean(finite, where["core"]), _mean(finite, _disc(size, 0.4 / pixel_scale))]
    total = np.arcsinh(finite.sum((2, 3), dtype=np.float64))
    at = [round(share * (outer.shape[-1] - 1)) for share in _QUANTILES]
    spread = np.moveaxis(np.sort(outer, axis=-1)[..., at], -1, 0)
    arc = finite[..., where["arc"]]
    return {
        "core": np.concatenate(core, axis=1),
        "outer": np.concatenate([outer.mean(-1), outer.std(-1), *spread], axis=1),
        "total": np.concatenate([total, total[:, :1] - total[:, 1:]], axis=1),
        "metadata": _table(columns),
        "noise": _noise_power(finite),
        "normalisation": np.concatenate(
            [spread[2], spread[3] - spread[1], finite.min((2, 3))], axis=1
        ),
        "masks": _masks((~known, images == 0), where),
        "profile": rings[:, BANDS.index("r")],
        "arc": np.concatenate([arc.mean(-1), arc.max(-1), arc.std(-1)], axis=1),
    }


def fine_shares(added: np.ndarray) -> np.ndarray:
    """Share of the power of images beyond the PSF's cut-off: (row, band); NaN for dark ones."""
    spectrum = np.abs(rfft2(added)) ** 2
    size = added.shape[-1]
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    spectrum[..., 0, 0] = 0.0
    whole = spectrum.sum((-2, -1))
    fine = spectrum[..., frequency > _CUT_OFF].sum(-1)
    return np.divide(fine, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _mean(images: np.ndarray, where: np.ndarray) -> np.ndarray:
    return images[..., where].mean(-1)


def _disc(size: int, radius: float) -> np.ndarray:
    y, x = np.indices((size, size)) - stamp_center(size)
    return np.hypot(x, y) <= max(radius, 1.0)


def _rings(images: np.ndarray, pixel_scale: float) -> np.ndarray:
    """Mean in rings about the centre: (row, band, ring)."""
    size = images.shape[-1]
    y, x = np.indices((size, size)) - stamp_center(size)
    ring = np.digitize(np.hypot(x, y) * pixel_scale, _RINGS_ARCSEC[1:]).ravel()
    n = len(_RINGS_ARCSEC) - 1
    weight = (ring[:, None] == np.arange(n)).astype(float)
    weight = (weight / np.maximum(weight.sum(0), 1)).astype(images.dtype)
    flat = images.reshape(len(images) * images.shape[1], size * size)
    return (flat @ weight).reshape(*images.shape[:2], n)


def _table(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Columns and where they are empty."""
    there = [np.asarray(columns[n], float) for n in _METADATA if n in columns]
    values = np.stack(there or [np.zeros(len(columns["kind"]))], axis=1)
    return np.concatenate([np.nan_to_num(values), np.isnan(values)], axis=1)


def _noise_power(images: np.ndarray) -> np.ndarray:
    """log power of the corners, by frequency and band."""
    block = min(_BLOCK, images.shape[-1] // 4)
    ends = (slice(None, block), slice(-block, None))
    corners = np.stack([images[..., y, x] for y in ends for x in ends], axis=2)
    power = np.abs(rfft2(corners - corners.mean((-2, -1), keepdims=True))) ** 2
    frequency = np.hypot(np.fft.fftfreq(block)[:, None], np.fft.rfftfreq(block))
    power = np.median(power, axis=2)  # a corner with a galaxy in it does not count
    within = [(frequency >= low) & (frequency < high) for low, high in pairwise(_FREQUENCIES)]
    bins = [power[..., some].mean(-1) for some in within if some.any()]
    return np.log(np.concatenate(bins, axis=1) + 1e-30)


def _masks(lost: tuple[np.ndarray, ...], where: dict[str, np.ndarray]) -> np.ndarray:
    """Counts of pixels without data, by cause, band and region."""
    counts = [
        np.count_nonzero(which[..., there], axis=-1) if which.any() else np.zeros(which.shape[:2])
        for which in lost
        for there in where.values()
    ]
    return np.concatenate(counts, axis=1).astype(float)
