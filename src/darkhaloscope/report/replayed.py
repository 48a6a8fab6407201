"""The picture of a row that was made again: host, added light, stamp, and what differs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from darkhaloscope.report.canvas import png_bytes
from darkhaloscope.report.colour import EXCESS_COLOURS, EXCESS_STOPS, rgb, sky_level
from darkhaloscope.report.pictures import BACKGROUND, DIM, GAP_PX, TEXT
from darkhaloscope.schema import band_columns
from darkhaloscope.units import BANDS, mag_from_flux, stamp_center

_HEADINGS = ("host", "light added", "stamp, as stored", "stored \N{MINUS SIGN} replayed")
_LEFT_PX, _TOP_PX, _BOTTOM_PX = 76, 118, 14
_SKY, _LINEAR, _WHITE = 2.0, 4.0, 0.9
"""Black lies so many sigma below the sky, the arcsinh is linear up to so many, and white is at this
share of the brightest pixel."""

_APART = LinearSegmentedColormap.from_list(
    "apart", list(zip((EXCESS_STOPS + 1) / 2, EXCESS_COLOURS / 255, strict=True))
)


@dataclass(frozen=True, eq=False)
class Replayed:
    """A stored stamp beside what its columns make."""

    row: Mapping[str, Any]  # schema.STAMPS
    host: np.ndarray  # all (band, y, x), nmgy
    light: np.ndarray  # noise-free
    stored: np.ndarray
    again: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        """Stored minus replayed."""
        return self.stored - self.again

    @property
    def equal(self) -> bool:
        """Whether every pixel is the same, to the bit."""
        return bool((self.difference == 0).all())

    @property
    def verdict(self) -> str:
        """The outcome as a sentence."""
        worst, size = np.abs(self.difference).max(axis=(1, 2)), self.stored.shape[-1]
        if self.equal:
            return f"equal: stored and replayed differ by 0 nmgy in all 3 x {size} x {size} pixels"
        each = ", ".join(f"{band} {value:.3g}" for band, value in zip(BANDS, worst, strict=True))
        pixels = int((self.difference != 0).sum())
        return (
            f"NOT EQUAL: largest difference {np.max(worst):.3g} nmgy ({each}) in {pixels} pixels; "
            "a column or the stamp was altered, or another version made the set"
        )


def replay_sheet(done: Replayed, panel_px: int = 232) -> bytes:
    """PNG: a row of colour pictures, and one of each band.

    A row's first three panels share sky level and stretch (arcsinh). The last column shows the
    difference on a scale of its own, written on it; dark is no difference.
    panel_px : about how wide a panel is; rounded to whole pixels of the stamp
    """
    n = done.stored.shape[-1]
    side = max(1, round(panel_px / n)) * n
    width = _LEFT_PX + len(_HEADINGS) * (side + GAP_PX)
    height = _TOP_PX + (1 + len(BANDS)) * (side + GAP_PX) + _BOTTOM_PX
    figure = Figure((width / 100, height / 100), dpi=100, facecolor=BACKGROUND)
    _title(figure, done, side)
    for i, (label, panels) in enumerate(_rows(done).items()):
        top = _TOP_PX + i * (side + GAP_PX)
        middle = 1 - (top + side / 2) / height
        figure.text(20 / width, middle, label, color=TEXT, fontsize=13, va="center")
        for j, panel in enumerate(panels):
            left = _LEFT_PX + j * (side + GAP_PX)
            place = (left / width, 1 - (top + side) / height, side / width, side / height)
            axes = figure.add_axes(place, facecolor="#1b1f29")
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(False)
            panel(axes)
    return png_bytes(figure)


def _rows(done: Replayed) -> dict[str, list]:
    """What draws each panel, by the label of its row."""
    sigma = np.array([done.row[name] for name in band_columns("sky_sigma_{b}_nmgy")], float)
    sky = sky_level(done.host)
    colours = [
        _picture(rgb(image, sigma, level))
        for image, level in ((done.host, sky), (done.light, np.zeros(3)), (done.stored, sky))
    ]
    colours[1] = _with_circle(colours[1], done)
    rows = {"g r z": [*colours, _words(done, sigma)]}
    for band, host, light, stored, apart, level, noise in zip(
        BANDS, done.host, done.light, done.stored, done.difference, sky, sigma, strict=True
    ):
        white = _WHITE * max(np.nanmax(host), np.nanmax(stored)) - level
        planes = [
            _picture(_grey(plane, noise, white)) for plane in (host - level, light, stored - level)
        ]
        rows[band] = [*planes, _difference(apart, noise)]
    return rows


def _grey(light: np.ndarray, sigma: float, white: float) -> np.ndarray:
    """(y, x) from 0 to 1: arcsinh, linear within the noise."""
    unit = _LINEAR * sigma
    low, high = np.arcsinh(-_SKY / _LINEAR), np.arcsinh(max(white / unit, 1.0))
    value = (np.arcsinh(light / unit) - low) / (high - low)
    return np.repeat(np.nan_to_num(value)[..., None], 3, axis=-1).clip(0, 1)


def _picture(image: np.ndarray):
    def draw(axes: Axes) -> None:
        axes.imshow(image, origin="lower", interpolation="nearest", aspect="auto")

    return draw


def _with_circle(draw, done: Replayed):
    """The Einstein radius, dashed, on the light of a lens."""

    def both(axes: Axes) -> None:
        draw(axes)
        row, middle = done.row, stamp_center(done.stored.shape[-1])
        scale = row["pixel_scale_arcsec"]
        x, y = (middle + row[f"lens_center_{axis}_arcsec"] / scale for axis in "xy")
        radius = row["theta_E_arcsec"] / scale
        if row["label"] == 1:
            axes.add_patch(Circle((x, y), radius, fill=False, ec=TEXT, lw=0.8, ls=(0, (4, 4))))

    return both


def _difference(apart: np.ndarray, sigma: float):
    def draw(axes: Axes) -> None:
        most = float(np.nanmax(np.abs(apart), initial=0.0))
        axes.imshow(
            np.nan_to_num(apart),
            cmap=_APART,
            vmin=-(most or sigma),
            vmax=most or sigma,
            origin="lower",
            interpolation="nearest",
            aspect="auto",
        )
        said = (
            f"up to ±{most:.2g} nmgy\n= {most / sigma:.2g} of the sky noise"
            if most
            else "0 everywhere"
        )
        axes.text(0.04, 0.96, said, color=TEXT, va="top", fontsize=10.5, transform=axes.transAxes)

    return draw


def _words(done: Replayed, sigma: np.ndarray):
    """The row's figures, where a colour picture of nothing would stand."""
    row = done.row
    lit = row["arc_flux_r_nmgy"] > 0
    said = [
        f"θ$_E$  {row['theta_E_arcsec']:.2f}″    μ  {row['magnification']:.1f}",
        f"added r  {mag_from_flux(row['arc_flux_r_nmgy']):.2f} mag" if lit else "nothing added",
        f"S/N  {row['arc_snr']:.0f}" if lit else "",
        f"host r  {row['host_mag_r']:.2f} mag",
        f"z$_s$  {row['z_source']:.2f}",
        f"seeing r  {row['psf_fwhm_r_arcsec']:.2f}″",
        f"sky noise r  {sigma[1]:.2g} nmgy",
    ]

    def draw(axes: Axes) -> None:
        text = "\n".join(line for line in said if line)
        axes.text(
            0.08, 0.92, text, color=DIM, va="top", fontsize=12, linespacing=1.6,
            transform=axes.transAxes,
        )  # fmt: skip

    return draw


def _title(figure: Figure, done: Replayed, side: int) -> None:
    width, height = figure.get_size_inches() * 100
    name = figure.text(
        20 / width, 1 - 34 / height, str(done.row["task_id"]), color=TEXT, fontsize=16
    )
    name.set_parse_math(False)
    colour = "#7fd1a0" if done.equal else "#ffb07a"
    outcome = done.verdict.partition(";")[0]
    figure.text(20 / width, 1 - 62 / height, outcome, color=colour, fontsize=11.5)
    for j, text in enumerate(_HEADINGS):
        x = (_LEFT_PX + j * (side + GAP_PX) + side / 2) / width
        figure.text(x, 1 - 106 / height, text, color=TEXT, fontsize=12.5, ha="center")
    bar = 5 / done.row["pixel_scale_arcsec"] * side / done.stored.shape[-1]
    right = _LEFT_PX + len(_HEADINGS) * (side + GAP_PX) - GAP_PX
    axes = figure.add_axes(((right - bar) / width, 1 - 36 / height, bar / width, 1.6 / height))
    axes.set(xticks=[], yticks=[], facecolor=TEXT)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.text(
        (right - bar - 10) / width, 1 - 40 / height, "N ↑  E ←   5″", color=TEXT, fontsize=11.5,
        ha="right",
    )  # fmt: skip
