"""Conditions of each kind of row, which must not tell lenses from their controls."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from darkhaloscope.report.canvas import (
    BAND_COLOURS,
    INK,
    FigurePng,
    finish,
    plain_axes,
    png_bytes,
)
from darkhaloscope.schema import KINDS
from darkhaloscope.units import BANDS

Columns = Mapping[str, np.ndarray]

KIND_STYLES: dict[str, dict[str, Any]] = {
    "lens": {"lw": 5.0, "ls": "-", "alpha": 0.35},
    "host": {"lw": 1.7, "ls": (0, (6, 2))},
    "unlensed": {"lw": 1.5, "ls": (0, (1, 3)), "color": INK},
    "ring": {"lw": 1.0, "ls": (0, (4, 1, 1, 1))},
    "companion": {"lw": 1.0, "ls": (0, (8, 3))},
    "spiral": {"lw": 1.0, "ls": (0, (2, 2))},
}
"""A wide pale line under thin broken ones: all stay visible where they coincide."""


def seeing(columns: Columns) -> FigurePng:
    """r-band PSF width of every kind of row."""
    values = {"r": np.asarray(columns["psf_fwhm_r_arcsec"], float)}
    return _by_kind(columns, values, "Seeing by kind", "PSF FWHM, r (arcsec)", False)


def sky_noise(columns: Columns) -> FigurePng:
    """Sky noise of every kind of row, as measured on the stamps where that is known."""
    measured = all(f"metric.sky_sigma_{band}" in columns for band in BANDS)
    pattern = "metric.sky_sigma_{}" if measured else "sky_sigma_{}_nmgy"
    values = {band: 1e3 * np.asarray(columns[pattern.format(band)], float) for band in BANDS}
    label = "sky noise of a pixel, " + ("measured on the stamps" if measured else "of the cutout")
    return _by_kind(columns, values, "Sky noise by kind", f"{label} (10⁻³ nmgy)", True)


def _by_kind(
    columns: Columns, values: dict[str, np.ndarray], title: str, label: str, log: bool
) -> FigurePng:
    """Cumulative fractions of each kind and band, and how far the kinds are apart."""
    figure, axes = plain_axes()
    kinds = columns["kind"].astype(str)
    log = log and any((value > 0).any() for value in values.values())
    present = [kind for kind in KINDS if (kinds == kind).any()]
    apart = 0.0
    for band, value in values.items():
        usable = np.isfinite(value) & ((value > 0) | (not log))
        samples = {kind: np.sort(value[usable & (kinds == kind)]) for kind in present}
        for kind, sample in samples.items():
            if len(sample):
                axes.ecdf(sample, **_style(band, kind))
                apart = max(apart, _cdf_distance(samples["lens"], sample))
        if len(values) > 1 and usable.any():
            _name_curve(axes, band, float(np.median(value[usable])))
    for kind in present:
        axes.plot([], [], label=kind, **_style("r", kind))
    axes.legend(frameon=False, fontsize=8.5, handlelength=3.2, loc="upper left")
    axes.set_ylim(0, 1.02)
    finish(axes, label, "fraction of rows below", log)
    hosts = len(np.unique(columns["host_id"].astype(str)))
    counts = ", ".join(f"{np.sum(kinds == kind):,} {kind}" for kind in present)
    caption = (
        f"{counts} rows on {hosts:,} hosts. The lines must lie on top of one another, or the kind "
        f"can be told without looking at arcs; largest distance from lens {apart:.3f}."
    )
    return FigurePng(title, caption, png_bytes(figure))


def _style(band: str, kind: str) -> dict[str, Any]:
    return {"color": BAND_COLOURS[band], **KIND_STYLES[kind]}


def _name_curve(axes: Axes, band: str, at: float) -> None:
    """The band's letter right of its curve, so that colour alone need not tell it."""
    axes.annotate(
        band,
        (at, 0.46),
        xytext=(9, -6),
        textcoords="offset points",
        color=BAND_COLOURS[band],
        fontsize=11,
        fontweight="bold",
    )


def _cdf_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference of two cumulative fractions (Kolmogorov-Smirnov); a, b sorted."""
    if not (len(a) and len(b)):
        return 0.0
    at = np.concatenate([a, b])
    below = [np.searchsorted(sample, at, side="right") / len(sample) for sample in (a, b)]
    return float(np.abs(below[0] - below[1]).max())
