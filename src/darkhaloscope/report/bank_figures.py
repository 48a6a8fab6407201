"""A source bank seen: templates by size and brightness, what they measure, what was turned away."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from darkhaloscope.report.canvas import (
    FAINT,
    INK,
    REFERENCE_COLOUR,
    SET_COLOUR,
    FigurePng,
    bin_edges,
    finish,
    plain_axes,
    png_bytes,
)

Columns = Mapping[str, np.ndarray]
ACROSS, PANEL_PX, TEXT_PX = 8, 128, 34
BACKGROUND, TEXT, DIM = "#12151c", "#eef1f6", "#b4bdcb"
_STRETCH = 0.04
"""Of the peak: where the arcsinh stretch turns from linear to logarithmic."""


def spread(columns: Columns, n: int) -> np.ndarray:
    """Up to n templates in rows from bright to faint, each row from small to large."""
    total = len(columns["hlr_arcsec"])
    n = min(n, total)
    brightness = np.where(np.isfinite(columns["mag"]), columns["mag"], -columns["snr"])
    rank = np.lexsort((np.arange(total), np.nan_to_num(brightness, neginf=0.0)))
    chosen = rank[np.unique(np.linspace(0, total - 1, n).astype(int))]
    rows = [chosen[i : i + ACROSS] for i in range(0, len(chosen), ACROSS)]
    return np.concatenate([row[np.argsort(columns["hlr_arcsec"][row])] for row in rows])


def contact_sheet(images: np.ndarray, columns: Columns, chosen: np.ndarray) -> bytes:
    """PNG of templates, with magnitude, half-light radius and clumpiness above its null."""
    labels = []
    for i in chosen:
        excess = columns["clumpiness"][i] - columns["clumpiness_null"][i]
        mag, snr = columns["mag"][i], columns["snr"][i]
        first = f"{mag:.1f} mag  S/N {snr:.0f}" if np.isfinite(mag) else str(columns["source"][i])
        labels.append(f"{first}\n{columns['hlr_arcsec'][i]:.2f}″  C {excess:+.3f}")
    return sheet(images, labels)


def reject_sheets(columns: Columns, images: np.ndarray) -> list[tuple[str, str, bytes]]:
    """A sheet for each reason: title, caption, PNG."""
    found = []
    reasons = columns["reason"].astype(str) if len(columns["reason"]) else np.array([], str)
    for reason in np.unique(reasons):
        of_it = reasons == reason
        shown = np.flatnonzero(of_it & (columns["picture"] >= 0))
        if not shown.size:
            continue
        labels = [_reject_label(columns, i) for i in shown]
        pictures = images[columns["picture"][shown].astype(int)]
        caption = f"{len(shown)} of {of_it.sum():,} that were turned away for this reason."
        found.append((f"Turned away: {reason}", caption, sheet(pictures, labels)))
    return found


def _reject_label(columns: Columns, i) -> str:
    words = [f"{columns['mag'][i]:.1f} mag" if np.isfinite(columns["mag"][i]) else ""]
    if np.isfinite(columns["snr"][i]):
        words.append(f"S/N {columns['snr'][i]:.1f}")
    size = columns["hlr_arcsec"][i]
    return "  ".join(words) + "\n" + (f"{size:.2f}″" if np.isfinite(size) else "")


def sheet(images: np.ndarray, labels: list[str]) -> bytes:
    """PNG of grey panels, pixels never interpolated between; row 0 is the bottom."""
    down = -(-len(images) // ACROSS)
    side, tall = PANEL_PX + 6, PANEL_PX + TEXT_PX
    width, height = ACROSS * side, down * tall
    figure = Figure((width / 100, height / 100), dpi=100, facecolor=BACKGROUND)
    for k, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, top = k % ACROSS * side, height - k // ACROSS * tall
        place = (left / width, (top - PANEL_PX) / height, PANEL_PX / width, PANEL_PX / height)
        axes = figure.add_axes(place)
        axes.set_axis_off()
        axes.imshow(stretched(image), origin="lower", cmap="gray", vmin=0, vmax=1,
                    interpolation="nearest", aspect="auto")  # fmt: skip
        figure.text(
            (left + 3) / width,
            (top - PANEL_PX - 3) / height,
            label,
            color=DIM,
            fontsize=7.2,
            va="top",
            linespacing=1.25,
        )
    return png_bytes(figure)


def stretched(image: np.ndarray) -> np.ndarray:
    """0 to 1 by arcsinh; dark grey is 0 flux, so that negative pixels show."""
    image = np.nan_to_num(np.asarray(image, float))
    peak = max(float(np.quantile(image, 0.9995)), 1e-30)
    scaled = np.arcsinh(image / (_STRETCH * peak)) / np.arcsinh(1 / _STRETCH)
    return np.clip(0.15 + 0.85 * scaled, 0, 1)


def distributions(columns: Columns, rejects: Columns) -> list[FigurePng]:
    """Figures of a bank, in the order an expert asks for them."""
    found = [_clumpiness(columns, rejects), _sizes(columns), _fluxes(columns)]
    found += [
        _histogram(columns["hlr_arcsec"], "Half-light radius", "half-light radius (arcsec)"),
        _histogram(columns["mag"], "Magnitude", "F814W (AB mag)"),
        _histogram(columns["z"], "Redshift", "redshift in the catalogue"),
        _histogram(columns["snr"], "Signal to noise", "S/N within the mask", log=True),
    ]
    return [figure for figure in found if figure is not None]


def _clumpiness(columns: Columns, rejects: Columns) -> FigurePng:
    figure, axes = plain_axes()
    null, rough = columns["clumpiness_null"], columns["clumpiness"]
    if len(rejects["reason"]):
        axes.plot(rejects["clumpiness_null"], rejects["clumpiness"], "x", color=FAINT, ms=3.5,
                  mew=0.8, label="turned away")  # fmt: skip
    axes.plot(null, rough, "o", color=SET_COLOUR, ms=3, alpha=0.6, mew=0, label="kept")
    top = float(max(np.nanmax(null), np.nanmax(rough), 0.1)) * 1.1
    axes.plot([0, top], [0, top], color=INK, lw=1, label="smooth")
    axes.axhline(0.15, color=REFERENCE_COLOUR, lw=1, ls=(0, (4, 3)), label="the plan's limit")
    axes.set(xlim=(0, top), ylim=(0, top))
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")
    finish(axes, "of a smooth fit with the same noise", "clumpiness, the plan's", False)
    excess = np.median(rough - null)
    caption = (
        f"Σ|I − G1*I| / ΣI of {len(rough):,} templates against what a smooth galaxy with the same "
        f"noise shows: noise moves along the line, clumps above it. Median {excess:+.3f} above."
    )
    return FigurePng("Clumpiness against its noise-null", caption, png_bytes(figure))


def _sizes(columns: Columns) -> FigurePng | None:
    ours, theirs = columns["hlr_arcsec"], columns["hlr_catalogue_arcsec"]
    known = np.isfinite(ours) & np.isfinite(theirs) & (theirs > 0)
    if not known.any():
        return None
    figure, axes = plain_axes()
    axes.plot(theirs[known], ours[known], "o", color=SET_COLOUR, ms=3, alpha=0.6, mew=0)
    top = float(max(theirs[known].max(), ours[known].max())) * 1.08
    axes.plot([0, top], [0, top], color=INK, lw=1)
    axes.set(xlim=(0, top), ylim=(0, top))
    finish(axes, "half-light radius of the catalogue (arcsec)", "of the template (arcsec)", False)
    ratio = np.quantile(ours[known] / theirs[known], (0.16, 0.5, 0.84))
    caption = (
        f"{known.sum():,} templates. Ratio 16/50/84%: {ratio[0]:.2f} / {ratio[1]:.2f} / "
        f"{ratio[2]:.2f}; rectified sky would raise it."
    )
    return FigurePng("Size against the catalogue", caption, png_bytes(figure))


def _fluxes(columns: Columns) -> FigurePng | None:
    off, mag = columns["mag_measured"] - columns["mag"], columns["mag"]
    known = np.isfinite(off)
    if not known.any():
        return None
    figure, axes = plain_axes()
    axes.plot(mag[known], off[known], "o", color=SET_COLOUR, ms=3, alpha=0.6, mew=0)
    axes.axhline(0, color=INK, lw=1)
    finish(axes, "magnitude of the catalogue (AB)", "measured − catalogue (mag)", False)
    caption = (
        f"{known.sum():,} templates, median {np.median(off[known]):+.3f} mag: light lost with the "
        "mask is above 0, light of neighbours below."
    )
    return FigurePng("Flux against the catalogue", caption, png_bytes(figure))


def _histogram(values: np.ndarray, title: str, label: str, log: bool = False) -> FigurePng | None:
    kept = values[np.isfinite(values)]
    if not kept.size:
        return None
    figure, axes = plain_axes()
    axes.hist(kept, bin_edges(kept, len(kept), log), color=SET_COLOUR, alpha=0.35)
    axes.hist(kept, bin_edges(kept, len(kept), log), histtype="step", color=SET_COLOUR, lw=1.4)
    finish(axes, label, "templates per bin", log)
    low, middle, high = np.percentile(kept, (16, 50, 84))
    caption = f"{len(kept):,} templates, 16/50/84% {low:.3g} / {middle:.3g} / {high:.3g}."
    return FigurePng(title, caption, png_bytes(figure))
