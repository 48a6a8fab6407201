"""Colour pictures of stamps, and contact sheets: each lens beside its matched controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from darkhaloscope.report.canvas import png_bytes
from darkhaloscope.report.colour import colour_excess, rgb, sky_level
from darkhaloscope.schema import KINDS, band_columns
from darkhaloscope.units import mag_from_flux, stamp_center

SELECTIONS = ("best", "median", "worst", "spread")
__all__ = [
    "MAX_PAIRS",
    "SELECTIONS",
    "Pair",
    "choose",
    "contact_sheet",
    "pairs_of",
    "rgb",
    "task_ids",
]

MAX_PAIRS = 60
COLUMNS = {
    "lens": "lens",
    "host": "control: host",
    "unlensed": "control: unlensed",
    "added": "lens \N{MINUS SIGN} host",
    "excess": "g \N{MINUS SIGN} k z,  θ$_E$ dashed",
}
"""Panels of a contact sheet, left to right, and their headings."""


def choose(columns: Mapping[str, np.ndarray], how: str, n: int) -> list[str]:
    """Pair ids of n lens rows by their arc S/N; the same whatever the order of rows.

    how : best (falling), worst (rising), median (around it, rising) or spread (even steps in rank,
        the faintest and the brightest included, rising)
    n : pairs wanted; all of them where there are fewer
    Raises ValueError if `how` is none of these, or n is below 1
    """
    if how not in SELECTIONS or n < 1:
        raise ValueError(f"how must be one of {SELECTIONS} and n >= 1, got {how!r} and {n}")
    lens = columns["kind"].astype(str) == "lens"
    snr, ids = columns["arc_snr"][lens].astype(float), columns["pair_id"][lens].astype(str)
    rising = ids[np.lexsort((ids, snr))]
    count = min(n, len(rising))
    start = (len(rising) - count) // 2
    picked = {
        "best": rising[::-1][:count],
        "worst": rising[:count],
        "median": rising[start : start + count],
        "spread": rising[np.linspace(0, max(len(rising) - 1, 0), count).round().astype(int)],
    }
    return picked[how].tolist()


@dataclass(frozen=True, eq=False)
class Pair:
    """The rows on one host with one source: pixels by kind, and what the caption says."""

    pair_id: str
    images: Mapping[str, np.ndarray]  # kind to (band, y, x), nmgy; controls may be absent
    pixel_scale_arcsec: float
    center_x_arcsec: float
    center_y_arcsec: float
    theta_E_arcsec: float
    magnification: float
    arc_mag_r: float
    arc_snr: float
    psf_fwhm_r_arcsec: float
    sky_sigma_nmgy: np.ndarray

    @property
    def caption(self) -> str:
        """Five lines beside the panels."""
        return (
            f"θ$_E$ {self.theta_E_arcsec:.2f}″   μ {self.magnification:.1f}\n"
            f"arc r {self.arc_mag_r:.1f} mag\n"
            f"arc S/N {self.arc_snr:.0f}\n"
            f"seeing r {self.psf_fwhm_r_arcsec:.2f}″"
        )


def task_ids(columns: Mapping[str, np.ndarray], pair_ids: Sequence[str]) -> list[str]:
    """The rows whose pixels a contact sheet of these pairs needs."""
    wanted = np.isin(columns["pair_id"].astype(str), list(pair_ids))
    return columns["task_id"][wanted].astype(str).tolist()


def pairs_of(
    columns: Mapping[str, np.ndarray], images: Mapping[str, np.ndarray], pair_ids: Sequence[str]
) -> list[Pair]:
    """Pairs in the order of `pair_ids`.

    columns : one value a row, names of schema.STAMPS
    images : task_id to (band, y, x), nmgy; at least the rows of `task_ids(columns, pair_ids)`
    Raises KeyError if a pair has no lens row, or its image is not there
    """
    rows: dict[str, dict[str, int]] = {}
    of_pair, kind = columns["pair_id"].astype(str), columns["kind"].astype(str)
    for i in np.flatnonzero(np.isin(of_pair, list(pair_ids))):
        rows.setdefault(of_pair[i], {})[kind[i]] = int(i)
    return [_pair(columns, images, rows[pair_id]) for pair_id in pair_ids]


def _pair(
    columns: Mapping[str, np.ndarray], images: Mapping[str, np.ndarray], rows: dict[str, int]
) -> Pair:
    row = rows["lens"]
    value = {name: column[row] for name, column in columns.items()}
    return Pair(
        str(value["pair_id"]),
        {kind: images[str(columns["task_id"][rows[kind]])] for kind in KINDS if kind in rows},
        float(value["pixel_scale_arcsec"]),
        float(value["lens_center_x_arcsec"]),
        float(value["lens_center_y_arcsec"]),
        float(value["theta_E_arcsec"]),
        float(value["magnification"]),
        float(mag_from_flux(value["arc_flux_r_nmgy"])),
        float(value["arc_snr"]),
        float(value["psf_fwhm_r_arcsec"]),
        np.array([value[name] for name in band_columns("sky_sigma_{b}_nmgy")], float),
    )


LABEL_PX, HEADING_PX, GAP_PX = 212, 50, 6
BACKGROUND, TEXT, DIM = "#12151c", "#eef1f6", "#b4bdcb"


def contact_sheet(pairs: Sequence[Pair], panel_px: int = 192) -> bytes:
    """PNG of one row a pair: lens, its controls, the light that was added, and g − k z.

    All panels of a row share stretch and sky level. k cancels the host's own colour in its core,
    so what stays is bluer (blue) or redder (red) than the host. Only that panel carries the
    Einstein radius (dashed). Pixels are enlarged by a whole number, never interpolated.

    pairs : 1 to 60
    panel_px : about how wide a panel is; rounded to whole pixels of the stamps
    Raises ValueError if there is no pair or more than 60, or their pixel grids differ
    """
    if not 0 < len(pairs) <= MAX_PAIRS:
        raise ValueError(
            f"a sheet shows 1 to {MAX_PAIRS} pairs, got {len(pairs)}; make several sheets"
        )
    grids = {(pair.images["lens"].shape[-1], pair.pixel_scale_arcsec) for pair in pairs}
    if len(grids) > 1:
        raise ValueError(f"pairs must share size and pixel scale, got {sorted(grids)}")
    n_pix, scale = grids.pop()
    side = max(1, round(panel_px / n_pix)) * n_pix
    width = LABEL_PX + len(COLUMNS) * (side + GAP_PX)
    height = HEADING_PX + len(pairs) * (side + GAP_PX)
    figure = Figure((width / 100, height / 100), dpi=100, facecolor=BACKGROUND)
    _headings(figure, side, 5 * side / (n_pix * scale))
    for i, pair in enumerate(pairs):
        bottom = height - HEADING_PX - i * (side + GAP_PX) - side
        _label(figure, pair, (bottom + side) / height)
        views = _views(pair)
        for j, name in enumerate(COLUMNS):
            left = LABEL_PX + j * (side + GAP_PX)
            axes = figure.add_axes(
                (left / width, bottom / height, side / width, side / height), facecolor="#1b1f29"
            )
            _panel(axes, views.get(name))
            if name == "excess":
                _einstein_circle(axes, pair)
    return png_bytes(figure)


def _views(pair: Pair) -> dict[str, np.ndarray]:
    """Pictures by panel name, (y, x, 3); those whose control is absent are left out."""
    lens, host = pair.images["lens"], pair.images.get("host")
    sky = sky_level(np.asarray(lens if host is None else host, float))
    views = {kind: rgb(image, pair.sky_sigma_nmgy, sky) for kind, image in pair.images.items()}
    if host is not None:
        views["added"] = rgb(lens - host, pair.sky_sigma_nmgy, np.zeros(3))
    light = np.asarray(lens, float) - sky[:, None, None]
    views["excess"] = colour_excess(light, pair.sky_sigma_nmgy, _core_ratio(pair, sky))
    return views


def _core_ratio(pair: Pair, sky: np.ndarray) -> float:
    """g over z flux in the host's core, from the host control where there is one."""
    image = np.asarray(pair.images.get("host", pair.images["lens"]), float)
    y, x = np.indices(image.shape[1:]) - stamp_center(image.shape[-1])
    scale = pair.pixel_scale_arcsec
    core = np.hypot(x - pair.center_x_arcsec / scale, y - pair.center_y_arcsec / scale) < 2.5
    g, z = (np.nansum(image[band, core] - sky[band]) for band in (0, 2))
    return float(max(g / z, 0.0)) if z > 0 else 0.0


def _panel(axes: Axes, picture: np.ndarray | None) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if picture is None:
        axes.text(0.5, 0.5, "not in this set", color=DIM, ha="center", fontsize=9)
    else:
        axes.imshow(picture, origin="lower", interpolation="nearest", aspect="auto")


def _einstein_circle(axes: Axes, pair: Pair) -> None:
    scale, center = pair.pixel_scale_arcsec, stamp_center(pair.images["lens"].shape[-1])
    at = (center + pair.center_x_arcsec / scale, center + pair.center_y_arcsec / scale)
    for colour, line in (("#10131a", (4, (4, 4))), ("white", (0, (4, 4)))):
        axes.add_patch(
            Circle(at, pair.theta_E_arcsec / scale, fill=False, ec=colour, lw=0.8, ls=line)
        )


def _headings(figure: Figure, side: int, bar_px: float) -> None:
    width, height = figure.get_size_inches() * 100
    for j, text in enumerate(COLUMNS.values()):
        x = (LABEL_PX + j * (side + GAP_PX) + side / 2) / width
        figure.text(x, 1 - 31 / height, text, color=TEXT, fontsize=12.5, ha="center")
    bar = figure.add_axes((14 / width, 1 - 26 / height, bar_px / width, 1.6 / height))
    bar.set(xticks=[], yticks=[], facecolor=TEXT)
    bar.set_axis_on()
    for spine in bar.spines.values():
        spine.set_visible(False)
    figure.text((22 + bar_px) / width, 1 - 31 / height, "5″   N ↑  E ←", color=TEXT, fontsize=11.5)


def _label(figure: Figure, pair: Pair, top: float) -> None:
    width, height = figure.get_size_inches() * 100
    name = pair.pair_id if len(pair.pair_id) <= 20 else pair.pair_id[:19] + "…"
    title = figure.text(14 / width, top - 12 / height, name, color=TEXT, parse_math=False)
    body = figure.text(14 / width, top - 38 / height, pair.caption, color=DIM, linespacing=1.5)
    for text in (title, body):
        text.set(va="top", fontsize=11.5)
