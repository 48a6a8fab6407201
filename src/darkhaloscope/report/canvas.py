"""One way to turn a matplotlib figure into PNG bytes, and the report's marks."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK, FAINT, SET_COLOUR, REFERENCE_COLOUR = "#1f2430", "#8a92a3", "#0072b2", "#b3480a"
BAND_COLOURS = {"g": "#0072b2", "r": "#b3480a", "z": "#4d4d4d"}
BAND_LINES = {"g": (0, (5, 1.5)), "r": "-", "z": (0, (1, 1.2))}
"""A line style beside each colour, so that a grey print and every eye can tell them apart."""


@dataclass(frozen=True)
class FigurePng:
    """A figure ready for the page."""

    title: str
    caption: str
    png: bytes


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, without a date or version, so that equal data give equal bytes."""
    buffer = BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=figure.dpi,
        facecolor=figure.get_facecolor(),
        metadata={"Software": None},
    )
    return buffer.getvalue()


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header.

    Raises ValueError if the bytes are no PNG
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        raise ValueError(f"not a PNG (starts {png[:8]!r}); pass what contact_sheet returns")
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def bin_edges(values: np.ndarray, n: int, log: bool) -> list[float]:
    """Bin edges that hold every value; more bins for more rows."""
    low, high = float(np.min(values)), float(np.max(values))
    bins = int(np.clip(2.5 * n ** (1 / 3), 8, 60))
    if log:
        return np.geomspace(low * 0.97, high * 1.03, bins + 1).tolist()
    margin = 0.02 * (high - low) + 1e-6
    return np.linspace(low - margin, high + margin, bins + 1).tolist()


def _layout() -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07)


def plain_axes() -> tuple[Figure, Axes]:
    """A figure that reads at phone width, and its axes."""
    figure = Figure((5.2, 3.5), dpi=160, facecolor="white", layout=_layout())
    return figure, figure.add_subplot()


def strip_axes() -> tuple[Figure, Axes, Axes]:
    """The same size, with a strip above the axes that shares their x."""
    figure = Figure((5.2, 3.5), dpi=160, facecolor="white", layout=_layout())
    axes = figure.subplots(2, 1, sharex=True, height_ratios=[1, 4.2])
    return figure, axes[0], axes[1]


def finish(axes: Axes, x_label: str, y_label: str, log: bool) -> None:
    """Labels, and plain numbers on a logarithmic x axis."""
    axes.set_xlabel(x_label, color=INK, fontsize=10)
    axes.set_ylabel(y_label, color=INK, fontsize=10)
    axes.tick_params(labelsize=9, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
