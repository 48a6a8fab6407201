"""Distributions of a stamp set beside what is known of real lenses and their sources."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from darkhaloscope.evaluate.completeness import VISIBLE_SNR_G
from darkhaloscope.evaluate.references import COLLETT, PERCENTS, SURVEY
from darkhaloscope.report.canvas import (
    BAND_COLOURS,
    BAND_LINES,
    FAINT,
    INK,
    REFERENCE_COLOUR,
    SET_COLOUR,
    FigurePng,
    bin_edges,
    finish,
    plain_axes,
    png_bytes,
    strip_axes,
)
from darkhaloscope.report.kinds import seeing, sky_noise
from darkhaloscope.units import BANDS, mag_from_flux

Columns = Mapping[str, np.ndarray]

_COLLETT_NAMES = ("Collett 2015", "discoverable lenses (Collett 2015)")
_SURVEY_NAMES = ("DR10 bricks", "the bricks of DR10")

LOCI = (
    ("0.7 < z < 1", (0.7, 1.0), (0.36, 0.53, 0.92), (0.69, 0.89, 1.27), "s", "#b3480a"),
    ("1 < z < 1.5", (1.0, 1.5), (0.20, 0.32, 1.16), (0.58, 0.72, 1.53), "D", "#00795a"),
    ("1.5 < z < 2.3", (1.5, 2.3), (0.06, 0.21, 0.26), (0.12, 0.32, 0.50), "o", "#0072b2"),
)
"""Name, redshifts, g-r and r-z at 16, 50, 84%, mark: spectroscopic galaxies in this imaging."""

SCATTER_MAX, RUG_MAX = 3000, 300


def distributions(columns: Columns) -> list[FigurePng]:
    """Figures of a stamp set, in the order an expert asks for them.

    columns : one value a row, names of schema.STAMPS, any number of rows and kinds;
        `metric.sky_sigma_<band>` (measured on the stamps) is used where it is there
    Raises ValueError if no row is of kind lens
    """
    lens = columns["kind"].astype(str) == "lens"
    if not lens.any():
        raise ValueError("no row of kind lens, so there is nothing to compare; pass a whole set")
    rows = {name: column[lens] for name, column in columns.items()}
    return [
        _theta_E(rows),
        _arc_mag(rows),
        _arc_minus_host(rows),
        _arc_snr(rows),
        _colours(rows),
        _source_size(rows),
        _magnification(rows),
        *_conditions(rows),
        seeing(columns),
        sky_noise(columns),
    ]


def _theta_E(rows: Columns) -> FigurePng:
    return _against_collett(
        rows, rows["theta_E_arcsec"], "theta_E", "Einstein radius", "θ$_E$ (arcsec)", "″"
    )


def _arc_mag(rows: Columns) -> FigurePng:
    mag = mag_from_flux(rows["arc_flux_r_nmgy"])
    label = "total r of the lensed light, as observed (AB mag)"
    return _against_collett(rows, mag, "arc_mag", "Arc brightness", label, " mag")


def _arc_minus_host(rows: Columns) -> FigurePng:
    difference = mag_from_flux(rows["arc_flux_r_nmgy"]) - rows["host_mag_r"]
    label = "arc $r$ $-$ host $r$ (mag); below 0 the arc is brighter"
    return _against_collett(rows, difference, "arc_minus_host", "Arc against host", label, " mag")


def _source_size(rows: Columns) -> FigurePng:
    label = "half-light radius before lensing (arcsec)"
    return _against_collett(
        rows, rows["source_hlr_arcsec"], "hlr", "Source size", label, "″", log=True
    )


def _magnification(rows: Columns) -> FigurePng:
    return _against_collett(
        rows, rows["magnification"], "magnification", "Magnification", "μ, total", "", log=True
    )


def _conditions(rows: Columns) -> list[FigurePng]:
    """Seeing, depth and dust over those of the survey, where they are known."""
    about = {
        "psf_fwhm_r_arcsec": ("Seeing over the survey", "PSF FWHM, r (arcsec)", "″", False),
        "psf_depth_r_mag": ("Depth over the survey", "5 sigma depth, r (AB mag)", " mag", False),
        "ebv_mag": ("Dust over the survey", "Milky Way E(B-V) (mag)", " mag", True),
    }  # fmt: skip
    return [
        _against(rows, rows[name], SURVEY[name], _SURVEY_NAMES, title, label, unit, log)
        for name, (title, label, unit, log) in about.items()
        if name in rows and np.isfinite(np.asarray(rows[name], float)).any()
    ]


def _against_collett(
    rows: Columns, values, key: str, title: str, label: str, unit: str, log: bool = False
) -> FigurePng:
    return _against(rows, values, COLLETT[key], _COLLETT_NAMES, title, label, unit, log)


def _against(
    rows: Columns,
    values,
    reference: tuple[float, ...],
    names: tuple[str, str],
    title: str,
    label: str,
    unit: str,
    log: bool,
) -> FigurePng:
    """Histogram of lens rows, under a strip that compares its percentiles with a reference.

    names : of the reference, beside the strip and in the caption
    """
    values = np.asarray(values, float)
    kept = values[np.isfinite(values) & ((values > 0) | (not log))]
    figure, strip, axes = strip_axes()
    _strip(strip, kept, reference, names[0])
    edges = bin_edges(np.concatenate([kept, reference]), len(kept), log)
    axes.hist(kept, edges, color=SET_COLOUR, alpha=0.25)
    axes.hist(kept, edges, histtype="step", color=SET_COLOUR, lw=1.4)
    if len(kept) <= RUG_MAX:
        axes.plot(kept, np.zeros(len(kept)), "|", color=INK, ms=9, mew=0.7, clip_on=False)
    finish(axes, label, "lens rows per bin", log)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    ours = _percentiles_in_words(kept, unit)
    theirs = _numbers(reference[1:4], unit)
    caption = (
        f"{_counts(rows, len(kept))} 16/50/84%: {ours}; {names[1]} {theirs}. Bars: median, 16 to "
        "84% (thick), 5 to 95% (thin)."
    )
    return FigurePng(title, caption, png_bytes(figure))


def _strip(axes: Axes, values: np.ndarray, reference: tuple[float, ...], name: str) -> None:
    """Two percentile bars: this set above, the reference below."""
    bars = [(0, reference, REFERENCE_COLOUR, "D", name)]
    if len(values):
        bars.append((1, tuple(np.percentile(values, PERCENTS)), SET_COLOUR, "o", "this set"))
    for y, (p5, p16, p50, p84, p95), colour, mark, _ in bars:
        axes.plot([p5, p95], [y, y], "|-", color=colour, lw=1.3, ms=7)
        axes.plot([p16, p84], [y, y], color=colour, lw=5, alpha=0.55, solid_capstyle="butt")
        axes.plot([p50], [y], mark, color=colour, mfc="white", mew=1.6, ms=6.5)
    axes.set(ylim=(-0.6, 1.6), yticks=[bar[0] for bar in bars])
    axes.set_yticklabels([bar[4] for bar in bars], fontsize=8.5, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", which="both", length=0, labelbottom=False)
    axes.spines[:].set_visible(False)


def _arc_snr(rows: Columns) -> FigurePng:
    """Matched S/N of the lensed light: the fraction of rows above it, all bands and each band."""
    figure, axes = plain_axes()
    _snr_curve(axes, rows["arc_snr"], "all bands", color=INK, lw=4.5, alpha=0.3)
    for band in BANDS:
        style = {"color": BAND_COLOURS[band], "ls": BAND_LINES[band], "lw": 1.8}
        _snr_curve(axes, rows[f"arc_snr_{band}"], band, **style)
    axes.axvline(VISIBLE_SNR_G, color=INK, lw=0.9, ls=(0, (2, 3)))
    axes.legend(frameon=False, fontsize=8.5, handlelength=3.2, loc="upper right")
    axes.set_ylim(0, 1.02)
    finish(
        axes,
        r"arc S/N, $\sqrt{\Sigma\, f^2\, \mathrm{invvar}}$",
        "fraction of lens rows above",
        True,
    )
    visible = np.mean(np.asarray(rows["arc_snr_g"], float) >= VISIBLE_SNR_G)
    caption = (
        f"{_counts(rows, len(rows['arc_snr']))} 16/50/84% of all bands: "
        f"{_percentiles_in_words(np.asarray(rows['arc_snr'], float), '')}. Dotted: g-band S/N 25, "
        f"below which experts rarely recover an arc (Rojas et al. 2023); "
        f"{visible:.0%} of the rows reach it in g."
    )
    return FigurePng("Arc signal to noise", caption, png_bytes(figure))


def _snr_curve(axes: Axes, snr, label: str, **style) -> None:
    """Complementary cumulative curve; rows without light count, at S/N below the axis."""
    rising = np.sort(np.nan_to_num(np.asarray(snr, float)))
    above = 1 - np.arange(len(rising)) / len(rising)
    lit = rising > 0
    axes.step(rising[lit], above[lit], where="pre", label=label, **style)


def _colours(rows: Columns) -> FigurePng:
    """Source colours before reddening, with where spectroscopic galaxies lie."""
    x, y, z = (
        np.asarray(rows[name], float)
        for name in ("source_r_minus_z", "source_g_minus_r", "z_source")
    )
    figure, axes = plain_axes()
    if len(x) > SCATTER_MAX:
        axes.hexbin(x, y, gridsize=60, bins="log", mincnt=1, cmap="Greys", linewidths=0)
    else:
        _scatter_by_redshift(axes, x, y, z)
    for name, _, (g16, g50, g84), (r16, r50, r84), mark, colour in LOCI:
        axes.errorbar(
            [r50],
            [g50],
            xerr=[[r50 - r16], [r84 - r50]],
            yerr=[[g50 - g16], [g84 - g50]],
            fmt=mark,
            color=colour,
            mfc="white",
            mew=2,
            ms=8,
            elinewidth=1.6,
            capsize=3.5,
            label=name,
            zorder=5,
        )
    axes.legend(
        fontsize=8.5, title="real galaxies", title_fontsize=8.5, loc="lower right", edgecolor="none"
    )
    axes.set_ylim(bottom=min(axes.get_ylim()[0], -0.6))  # room for the legend
    finish(axes, "$r - z$ of the source (mag)", "$g - r$ of the source (mag)", False)
    caption = (
        f"{_counts(rows, len(x))} AB colours before Milky Way reddening. Crosses: median and "
        "16 to 84% of spectroscopic galaxies in the same bands; small marks of the same shape: "
        "this set at those redshifts, dots: other redshifts."
        if len(x) <= SCATTER_MAX
        else f"{_counts(rows, len(x))} AB colours before Milky Way reddening; darker where more "
        "(log). Crosses: median and 16 to 84% of spectroscopic galaxies in the same bands."
    )
    return FigurePng("Source colours", caption, png_bytes(figure))


def _scatter_by_redshift(axes: Axes, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
    other = np.ones(len(z), bool)
    size = 16 if len(z) <= 500 else 7
    for _, (low, high), _, _, mark, colour in LOCI:
        here = (z >= low) & (z < high)
        other &= ~here
        axes.scatter(x[here], y[here], size, colour, marker=mark, alpha=0.5, linewidths=0)
    axes.scatter(x[other], y[other], size / 2, FAINT, marker=".", alpha=0.8, linewidths=0, zorder=0)


def _counts(rows: Columns, kept: int) -> str:
    n, hosts = len(rows["host_id"]), len(np.unique(rows["host_id"].astype(str)))
    missing = f" ({n - kept:,} without a value)" if kept < n else ""
    return f"{n:,} lens rows on {hosts:,} hosts{missing}."


def _percentiles_in_words(values: np.ndarray, unit: str) -> str:
    return _numbers(np.percentile(values, (16, 50, 84)), unit) if len(values) else "no value"


def _numbers(values, unit: str) -> str:
    return "/".join(f"{value:.{2 if abs(value) < 10 else 1}f}" for value in values) + unit
