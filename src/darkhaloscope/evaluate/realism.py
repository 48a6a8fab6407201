"""Gates on what the sky shows: noise, brightness, colours, sizes, seeing and depth."""

from collections.abc import Callable

import numpy as np

from darkhaloscope.evaluate.findings import Finding, Level, passed
from darkhaloscope.evaluate.references import COLLETT, SURVEY
from darkhaloscope.evaluate.sample import (
    Columns,
    by_band,
    median_and_error,
    of,
    paired,
    unique_hosts,
    without_host_rows,
)
from darkhaloscope.evaluate.stats import quantiles, rate
from darkhaloscope.units import BANDS, mag_from_flux

SPECTROSCOPIC_MEDIANS = np.array(
    [
        (0.85, 0.50, 0.95),
        (1.13, 0.33, 0.93),
        (1.25, 0.32, 0.75),
        (2.0, 0.21, 0.32),
        (2.75, 0.30, 0.27),
    ]
)
"""Redshift, g-r and r-z (DECam, AB): EVIDENCE section 3, spectroscopic galaxies and VVDS-Deep
(MegaCam, carried to DECam); beyond 2.3 of templates."""

_COLLETT_16_84 = {
    "theta_E": (COLLETT["theta_E"][1], COLLETT["theta_E"][3]),
    "source_size": (COLLETT["hlr"][1], COLLETT["hlr"][3]),
}
"""arcsec."""

NOISE_CORRELATION = (0.02, 0.45)
"""Of neighbouring pixels in DR10's coadds 0.10 to 0.33 (EVIDENCE section 5); single stamps and
bands scatter about that."""


def _of_population(columns: Columns, holds: bool) -> Level:
    """Whether lenses are as the sky has them; a grid of parameters is not meant to be."""
    grid = "grid_cell" in columns and bool((columns["grid_cell"] >= 0).any())
    return Level.INFO if grid else passed(holds)


def sky_noise(columns: Columns) -> Finding:
    """Noise of lenses over that of their own host rows."""
    gate, limit = "realism.sky_noise", "0.97 to 1.03, three errors aside"
    about = "Injection leaves the sky's noise as it was."
    lens, host = paired(columns)
    if not lens.size:
        return without_host_rows(gate, limit, about)
    ratios, near = [], []
    for band in BANDS:
        sigma = columns[f"metric.sky_sigma_{band}"]
        ratio = sigma[lens] / np.where(sigma[host] > 0, sigma[host], np.nan)
        middle, error = median_and_error(ratio, columns["host_id"][lens])
        ratios.append(middle)
        near.append(abs(middle - 1) - 3 * error <= 0.03)
    return Finding(
        gate,
        passed(all(near)),
        "lens / host " + by_band(ratios, ".3f"),
        limit,
        unique_hosts(columns, "lens"),
        about,
        "Noise was added to cutouts that bring their own.",
    )


def noise_correlation(columns: Columns) -> Finding:
    low, high = NOISE_CORRELATION
    gate = "realism.noise_correlation"
    limit = f"{low} to {high}, lens and host within 0.02, three errors aside"
    about = "Neighbouring pixels are correlated as resampling leaves them, in lenses as in hosts."
    (ours, error), (before, other) = (
        median_and_error(of(columns, "metric.sky_corr", kind), of(columns, "host_id", kind))
        for kind in ("lens", "host")
    )
    if np.isnan(before):
        return without_host_rows(gate, limit, about, "no row of kind host")
    surely = abs(ours - before) - 3 * float(np.hypot(error, other))
    return Finding(
        gate,
        passed(surely <= 0.02 and low <= ours <= high),
        f"lens {ours:.3f} ± {error:.3f}, host {before:.3f} ± {other:.3f}",
        limit,
        unique_hosts(columns, "lens"),
        about,
        "White noise was added, or stamps were resampled or smoothed once more.",
    )


def noise_units(columns: Columns) -> Finding:
    """The noise in the pixels is that of the columns: a check of units.

    Columns are from whole cutouts, whose galaxies widen them by some percent.
    """
    ratios = [
        median_and_error(columns[f"metric.sky_sigma_{b}"] / columns[f"sky_sigma_{b}_nmgy"])[0]
        for b in BANDS
    ]
    return Finding(
        "realism.noise_units",
        passed(bool((np.abs(np.array(ratios) - 0.95) <= 0.25).all())),
        "pixels / columns " + by_band(ratios, ".3f"),
        "0.7 to 1.2",
        unique_hosts(columns),
        "Sky noise of the outer annulus is the noise that the columns give the cutout.",
        "Pixels and columns have other units, bands were swapped, or pixels were rescaled.",
    )


def clipping(columns: Columns) -> Finding:
    """Noise never repeats a band's least or largest value; clipping does."""
    share = rate(int((columns["metric.flat"] > _REPEATS).sum()), len(columns["metric.flat"]))
    return Finding(
        "realism.clipping",
        passed(share.low <= 0.02),
        f"{share} of rows repeat a band's least or largest value in more than {_REPEATS} pixels",
        "<= 0.02 of rows, interval aside",
        unique_hosts(columns),
        "Pixels are neither clipped nor saturated nor filled.",
        "Negative pixels were clipped to 0, or bright ones to a limit: keep them all.",
        share,
    )


_REPEATS = 3


def arc_snr(columns: Columns) -> Finding:
    snr = of(columns, "arc_snr", "lens")
    share = rate(int((snr > 3).sum()), len(snr))
    return Finding(
        "realism.arc_snr",
        passed(share.value >= 0.95),
        f"{share} of lenses above 3; median {np.median(snr):.1f}",
        ">= 0.95 above 3",
        unique_hosts(columns, "lens"),
        "Lensed light can be seen: matched S/N, sqrt(sum f^2 invvar) over bands.",
        "Raise source brightness or lower arc_mag_r_max.",
        share,
    )


def arc_host(columns: Columns) -> Finding:
    arc = mag_from_flux(of(columns, "arc_flux_r_nmgy", "lens"))
    difference = arc - of(columns, "host_mag_r", "lens")
    known = np.isfinite(difference)
    if not known.any():
        return Finding(
            "realism.arc_host", Level.SKIP, "host magnitudes unknown", "> 0 mag", 0,
            "Arcs are fainter than their hosts.", "Give host_mag_r with the cutouts.",
        )  # fmt: skip
    low, middle = quantiles(difference, (5, 50))
    return Finding(
        "realism.arc_host",
        _of_population(columns, middle > 0 and low > -0.75),
        f"arc minus host r: median {middle:.2f}, 5% {low:.2f} mag",
        "median > 0, 5% > -0.75 mag",
        unique_hosts(columns, "lens"),
        "Arcs are fainter than their hosts, as discoverable lenses are (median 3.0, 5% -0.7 mag).",
        "Sources were tied to the host's magnitude, or drawn too bright.",
    )


def theta_E(columns: Columns) -> Finding:
    radii = of(columns, "theta_E_arcsec", "lens")
    middle = float(np.median(radii))
    error = float(np.std(radii) * np.sqrt(np.pi / 2 / max(len(radii), 1)))
    return _discoverable(
        columns,
        "theta_E",
        (middle, error),
        "Einstein radii are those of discoverable lenses (Collett 2015, 16 to 84%).",
        "Raise theta_E_min_arcsec or choose heavier hosts; unresolved lenses teach nothing.",
    )


def source_size(columns: Columns) -> Finding:
    return _discoverable(
        columns,
        "source_size",
        median_and_error(of(columns, "source_hlr_arcsec", "lens")),
        "Sources are as large as those of discoverable lenses (Collett 2015, 16 to 84%).",
        "Templates keep their noise (a bank of rectified sky has 1.08 arcsec), or their pixel "
        "scale is wrong; see `dhs bank check`.",
    )


def _discoverable(
    columns: Columns, name: str, median: tuple[float, float], about: str, advice: str
) -> Finding:
    """A median, arcsec, with its error, within 16 to 84% of discoverable lenses."""
    (middle, error), (low, high) = median, _COLLETT_16_84[name]
    return Finding(
        f"realism.{name}",
        _of_population(columns, low <= middle + 2 * error and middle - 2 * error <= high),
        f"median {middle:.2f} ± {error:.2f} arcsec",
        f"{low} to {high} arcsec, two errors aside",
        unique_hosts(columns, "lens"),
        about,
        advice,
    )


def source_colours(columns: Columns) -> Finding:
    """Median colours against spectroscopic galaxies of the same redshifts."""
    z = of(columns, "z_source", "lens")
    off, error = [], []
    for name, medians in zip(
        ("source_g_minus_r", "source_r_minus_z"), SPECTROSCOPIC_MEDIANS.T[1:], strict=True
    ):
        left = of(columns, name, "lens") - np.interp(z, SPECTROSCOPIC_MEDIANS[:, 0], medians)
        off.append(float(np.median(left)))
        error.append(float(np.std(left) * np.sqrt(np.pi / 2 / max(len(left), 1))))
    surely = max(abs(o) - 2 * e for o, e in zip(off, error, strict=True))
    return Finding(
        "realism.source_colours",
        passed(surely <= 0.2),
        f"g-r off by {off[0]:+.2f} ± {error[0]:.2f}, r-z off by {off[1]:+.2f} ± {error[1]:.2f} mag",
        "within 0.20 mag, two errors aside",
        unique_hosts(columns, "lens"),
        "Sources have the colours of galaxies at their redshift.",
        "Use colour_model = catalogue or template; no known galaxy has the plan's offsets.",
    )


def survey_conditions(columns: Columns) -> Finding:
    """Seeing, depth and dust within what the survey has; a part of it may well be one-sided."""
    inside = {}
    for name, (low, *_, high) in SURVEY.items():
        values = of(columns, name, "lens")
        known = values[np.isfinite(values)]
        if known.size:
            inside[name] = float(((known >= low) & (known <= high)).mean())
    least = min(inside.values(), default=np.nan)
    level = Level.SKIP if np.isnan(least) else passed(least >= 0.3)
    if level is Level.PASS and least < 0.7:
        level = Level.WARN
    return Finding(
        "realism.survey_conditions",
        level,
        "; ".join(f"{name} {share:.0%}" for name, share in inside.items()) or "none is known",
        ">= 30% of lenses within the survey's 5 to 95%; below 70% to look at",
        unique_hosts(columns, "lens"),
        "Seeing, depth and reddening are those of Legacy Surveys DR10.",
        "A part of the sky with other conditions, or another survey's cutouts, or another unit.",
    )


REALISM: tuple[Callable[[Columns], Finding], ...] = (
    sky_noise,
    noise_correlation,
    noise_units,
    clipping,
    arc_snr,
    arc_host,
    theta_E,
    source_size,
    source_colours,
    survey_conditions,
)
