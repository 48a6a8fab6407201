"""Completeness: the share of lenses that are recovered, by what makes them hard."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from darkhaloscope.evaluate.stats import Estimate, rate

Columns = Mapping[str, np.ndarray]

THIN = 10
"""Lenses below which a cell's share is told as thin: its interval is half the axis wide."""

VISIBLE_SNR_G, VISIBLE_SEEINGS = 25.0, 1.2
"""Experts rarely recover arcs below this g-band S/N, or Einstein radii of fewer PSF widths. Source:
Rojas et al. (2023)."""


@dataclass(frozen=True)
class Axis:
    """What completeness hangs on: its name, unit, edges of bins, and each row's value."""

    name: str
    unit: str
    edges: tuple[float, ...]
    values: Callable[[Columns], np.ndarray]


AXES = (
    Axis(
        "theta_E / PSF FWHM",
        "",
        (0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0),
        lambda c: c["theta_E_arcsec"] / c["psf_fwhm_r_arcsec"],
    ),
    Axis("arc S/N", "", (5, 10, 15, 25, 40, 60, 100, 200, 500), lambda c: c["arc_snr"]),
    Axis(
        "depth, r",
        "mag",
        (23.6, 23.9, 24.2, 24.5, 24.8, 25.1, 25.4, 25.8),
        lambda c: c["psf_depth_r_mag"],
    ),
    Axis(
        "source, r, not magnified",
        "mag",
        (21.0, 22.0, 22.8, 23.6, 24.4, 25.2, 26.0, 27.5),
        lambda c: c["source_mag_r"],
    ),
)


@dataclass(frozen=True)
class Cell:
    """One bin of one or of two axes: how many lenses it holds, and the share recovered."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    n: int
    share: Estimate | None  # None where there is no lens

    @property
    def thin(self) -> bool:
        return self.n < THIN


def visible(columns: Columns) -> np.ndarray:
    """The proxy: would an expert see it? g-band S/N and size against seeing."""
    large = columns["theta_E_arcsec"] >= VISIBLE_SEEINGS * columns["psf_fwhm_r_arcsec"]
    return (columns["arc_snr_g"] >= VISIBLE_SNR_G) & large


def completeness(columns: Columns, recovered: np.ndarray, axes: tuple[Axis, ...]) -> list[Cell]:
    """Cells of one or more axes, the last one running fastest, with Wilson 95% intervals.

    columns : of lenses; recovered : (lens,) bool. Lenses beyond the edges are in no cell.
    """
    place = np.zeros(len(recovered), int)
    inside = np.ones(len(recovered), bool)
    for axis in axes:
        which = np.digitize(axis.values(columns), axis.edges) - 1
        inside &= (which >= 0) & (which < len(axis.edges) - 1)
        place = place * (len(axis.edges) - 1) + np.clip(which, 0, len(axis.edges) - 2)
    shape = tuple(len(axis.edges) - 1 for axis in axes)
    n = np.bincount(place[inside], minlength=int(np.prod(shape)))
    k = np.bincount(place[inside & recovered], minlength=len(n))
    cells = []
    for number in range(len(n)):
        at = np.unravel_index(number, shape)
        low, high = (
            tuple(axis.edges[i + step] for axis, i in zip(axes, at, strict=True)) for step in (0, 1)
        )
        share = rate(int(k[number]), int(n[number])) if n[number] else None
        cells.append(Cell(low, high, int(n[number]), share))
    return cells


def told(columns: Columns, recovered: np.ndarray, what: str) -> dict[str, Any]:
    """Completeness along every axis as plain values, and what recovered means, in words."""
    cells = {axis.name: completeness(columns, recovered, (axis,)) for axis in AXES}
    return {"recovered": what} | {
        name: [asdict(cell) for cell in row] for name, row in cells.items()
    }
