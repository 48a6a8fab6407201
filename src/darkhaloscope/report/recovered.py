"""Completeness as figures: along each axis with intervals, and as a surface of two."""

from collections.abc import Mapping

import numpy as np
from matplotlib.patches import Rectangle

from darkhaloscope.evaluate.completeness import AXES, THIN, Axis, Cell, completeness
from darkhaloscope.report.canvas import INK, SET_COLOUR, FigurePng, finish, plain_axes, png_bytes

_SIZE, _SNR, _DEPTH, _SOURCE = AXES
_SURFACES = ((_SOURCE, _SIZE), (_SNR, _SIZE), (_DEPTH, _SIZE))
"""Axes along and up."""


def completeness_figures(
    columns: Mapping[str, np.ndarray], recovered: np.ndarray, what: str
) -> list[FigurePng]:
    """Surfaces of theta_E over PSF with source brightness, S/N and depth, and one figure an axis.

    columns : of lenses; recovered : (lens,) bool; what : what recovered means, in words
    """
    curves = [_curve(axis, completeness(columns, recovered, (axis,)), what) for axis in AXES]
    surfaces = [_surface(axes, completeness(columns, recovered, axes), what) for axes in _SURFACES]
    return [*surfaces, *curves]


def _label(axis: Axis) -> str:
    return f"{axis.name} ({axis.unit})" if axis.unit else axis.name


def _curve(axis: Axis, cells: list[Cell], what: str) -> FigurePng:
    figure, axes = plain_axes()
    for cell in cells:
        low, high = cell.low[0], cell.high[0]
        if cell.share is None:
            axes.axvspan(low, high, color="#d9dde5", alpha=0.5, hatch="///", lw=0)
            continue
        style = {"color": SET_COLOUR, "lw": 2.0, "ls": (0, (2, 2)) if cell.thin else "-"}
        axes.plot([low, high], [cell.share.value] * 2, **style)
        middle = np.sqrt(low * high) if axis.name == "arc S/N" else (low + high) / 2
        axes.plot([middle] * 2, [cell.share.low, cell.share.high], color=INK, lw=1)
        axes.text(middle, 1.04, f"{cell.n}", ha="center", fontsize=6.5, color=INK)
    axes.set(ylim=(-0.02, 1.1), xlim=(axis.edges[0], axis.edges[-1]))
    finish(axes, _label(axis), "share recovered", axis.name == "arc S/N")
    caption = (
        f"Recovered: {what}. Wilson 95% intervals; above, lenses in the bin. Broken: fewer than "
        f"{THIN}; hatched: none."
    )
    return FigurePng(f"Completeness by {axis.name}", caption, png_bytes(figure))


def _surface(both: tuple[Axis, Axis], cells: list[Cell], what: str) -> FigurePng:
    figure, axes = plain_axes()
    along, up = both
    log = along is _SNR
    for cell in cells:
        (x0, y0), (x1, y1) = cell.low, cell.high
        value = cell.share.value if cell.share else 0.0
        face = str(1 - 0.75 * value) if cell.share else "white"
        hatch = "///" if cell.share is None else "..." if cell.thin else None
        axes.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fc=face, ec="#8a92a3", lw=0.4, hatch=hatch)
        )
        if cell.share:
            ink = "white" if value > 0.55 else INK
            words = f"{value:.2f}\nn {cell.n}"
            middle = np.sqrt(x0 * x1) if log else (x0 + x1) / 2
            axes.text(middle, (y0 + y1) / 2, words, ha="center", va="center", fontsize=5.5,
                      color=ink)  # fmt: skip
    axes.set(xlim=(along.edges[0], along.edges[-1]), ylim=(up.edges[0], up.edges[-1]))
    finish(axes, _label(along), _label(up), log)
    caption = (
        f"Share recovered and lenses in each cell; darker where more. Recovered: {what}. Dotted: "
        f"fewer than {THIN}; hatched: none."
    )
    title = f"Completeness by {along.name} and {up.name}"
    return FigurePng(title, caption, png_bytes(figure))
