"""Gates on the light that was added: as much, where and as sharp as the row's columns say."""

from collections.abc import Callable

import numpy as np
from scipy.special import i0e, i1e

from darkhaloscope.evaluate.findings import Finding, passed
from darkhaloscope.evaluate.sample import (
    Columns,
    by_band,
    median_and_error,
    of,
    unique_hosts,
    without_host_rows,
)
from darkhaloscope.evaluate.stats import quantiles
from darkhaloscope.sim.caustics import Caustics, Lens, Source, foreseen
from darkhaloscope.sim.mapping import half_kappa_area
from darkhaloscope.sim.rows import scenes_of
from darkhaloscope.units import BANDS, SIGMA_PER_FWHM

_ON_STAMP = 0.97
"""Share of a row's light on the stamp above which its centroid is taken."""


def flux_is_magnified(columns: Columns) -> Finding:
    lit = columns["kind"] == "lens"
    ratio = columns["flux_inside"][lit]
    worst = float(np.abs(np.median(ratio) - 1)) if lit.any() else np.nan
    low = quantiles(ratio, (1,))[0]
    return Finding(
        "physics.flux_is_magnified",
        passed(worst <= 0.01 and low > 0.9),
        f"median {np.median(ratio):.4f}, 1% of rows below {low:.3f}",
        "median within 0.01 of 1, 1% point above 0.9",
        unique_hosts(columns, "lens"),
        "Light added by a lens = magnification x source flux, but for wings outside the stamp.",
        "A wrong flux unit, a lost pixel-area factor, or stamps too small for their lenses.",
    )


def added_flux(columns: Columns) -> Finding:
    """What the pixels gained over the pair's host row is what the columns say."""
    gate, limit = "physics.added_flux", "within 0.01 of 1 in every band"
    about = "Lens minus host, summed over the stamp, is the flux in the columns, band by band."
    ratios = []
    for band in BANDS:
        said = of(columns, f"arc_flux_{band}_nmgy", "lens")
        added = of(columns, f"metric.added_{band}", "lens")
        ratios.append(median_and_error(added / np.where(said > 0, said, np.nan))[0])
    if np.isnan(ratios).all():
        return without_host_rows(gate, limit, about)
    return Finding(
        gate,
        passed(bool((np.abs(np.array(ratios) - 1) <= 0.01).all())),
        "pixels / columns " + by_band(ratios, ".4f"),
        limit,
        unique_hosts(columns, "lens"),
        about,
        "Pixels were altered after injection, bands swapped, or a column was not updated.",
    )


def nothing_else(columns: Columns) -> Finding:
    """Away from the arc, lens and host rows are the same to the bit, but for the arc's wings."""
    gate, limit = "physics.nothing_else", "<= 0.05 of the host's sky noise"
    about = "Beside its arc a lens has the very noise of its host: injection adds none."
    noise = of(columns, "metric.added_noise", "lens") / of(columns, "sky_sigma_r_nmgy", "lens")
    middle, _ = median_and_error(noise)
    if np.isnan(middle):
        return without_host_rows(gate, limit, about)
    return Finding(
        gate,
        passed(middle <= 0.05),
        f"noise of lens minus host in the outer annulus, r: median {middle:.4f}",
        limit,
        unique_hosts(columns, "lens"),
        about,
        "Noise was added to cutouts that bring their own, or the pair's rows are of other skies.",
    )


def light_centre(columns: Columns) -> Finding:
    """Sources that are not lensed lie where their columns say, in every band."""
    gate, limit = "physics.light_centre", "within 0.04 arcsec, three errors aside"
    about = "Light of unlensed rows lies at lens centre + source position: kernels are centred."
    whole = of(columns, "flux_inside", "unlensed") > _ON_STAMP
    off: dict[str, tuple[float, float]] = {}
    for band in BANDS:
        for axis in "xy":
            at = of(columns, f"metric.added_{axis}_{band}", "unlensed")
            want = of(columns, f"source_{axis}_arcsec", "unlensed")
            off[f"{axis} {band}"] = median_and_error((at - want)[whole])
    if np.isnan([middle for middle, _ in off.values()]).all():
        return without_host_rows(gate, limit, about, "no unlensed row with a host row")
    surely = {name: abs(middle) - 3 * error for name, (middle, error) in off.items()}
    worst = max(surely, key=surely.__getitem__)
    middle, error = off[worst]
    return Finding(
        gate,
        passed(surely[worst] <= 0.04),
        f"farthest off in {worst}: {middle:+.3f} ± {error:.3f} arcsec",
        limit,
        unique_hosts(columns, "unlensed"),
        about,
        "A kernel or a stamp's centre is off: half a pixel of 0.262 arcsec is 0.131.",
    )


def image_radius(columns: Columns) -> Finding:
    """Lensed images lie as far out as the columns' mass puts them; see caustics.foreseen."""
    gate, limit = "physics.image_radius", "within 0.03 of 1, three errors aside"
    about = "Images lie where an isothermal ellipsoid enclosing pi theta_E^2 puts them."
    lens = columns["kind"] == "lens"
    lens = lens & (columns["flux_inside"] > _ON_STAMP)
    rows = {name: values[lens] for name, values in columns.items()}
    ratio = rows["metric.added_radius"] / expected_radius(rows) if lens.any() else np.array([])
    middle, error = median_and_error(ratio)
    if np.isnan(middle):
        return without_host_rows(gate, limit, about)
    return Finding(
        gate,
        passed(abs(middle - 1) - 3 * error <= 0.03),
        f"mean distance of added light from the centre / expected {middle:.3f} ± {error:.3f}",
        limit,
        unique_hosts(columns, "lens"),
        about,
        "Another theta_E than the column's: a missing sqrt(q) makes lenses of q 0.7 20% larger.",
    )


_KAPPA_ROWS = 60


def kappa_area(columns: Columns) -> Finding:
    """The mass of some rows, as the renderer bends light by it, holds what the columns say."""
    lens = np.flatnonzero(columns["kind"] == "lens")
    some = lens[np.linspace(0, len(lens) - 1, min(_KAPPA_ROWS, len(lens))).astype(int)]
    rows = {name: values[some] for name, values in columns.items()}
    nothing = np.zeros(len(some), int)
    area = half_kappa_area(scenes_of(rows, nothing, np.ones(len(some)), 1.0)).numpy()
    ratio = area / (np.pi * rows["theta_E_arcsec"] ** 2)
    low, middle, high = quantiles(ratio, (0, 50, 100))
    return Finding(
        "physics.kappa_area",
        passed(bool(np.abs(ratio - 1).max(initial=0) <= 0.001)),
        f"area of kappa > 1/2 over pi theta_E^2: median {middle:.5f}, all from {low:.5f} to "
        f"{high:.5f}, {len(some)} rows",
        "within 0.001 of 1",
        len(np.unique(rows["host_id"].astype(str))),
        "The rays' convergence encloses the mass of the Einstein radius: kappa > 1/2 on "
        "pi theta_E^2.",
        "The renderer bends light by another mass: a missing sqrt(q) makes it 1/q too large.",
    )


def expected_radius(rows: Columns) -> np.ndarray:
    """Mean distance of lensed light from the mass centre, behind its PSF: (row,), arcsec."""
    names = ("theta_E_arcsec", "lens_q", "lens_phi_rad", "gamma1", "gamma2")
    caustics = Caustics.of(Lens(*(rows[name] for name in names)))
    hlr = rows["source_hlr_arcsec"]
    zero = np.zeros(len(hlr))
    place = rows["source_x_arcsec"], rows["source_y_arcsec"]
    arcs = foreseen(caustics, Source(*place, zero, zero, hlr))
    away = _rice_mean(arcs.radius, _WINGS * arcs.spread / 2 + _psf_variance(rows)[:, None])
    return (arcs.flux * away).sum(1) / np.maximum(arcs.flux.sum(1), 1e-12)


def _rice_mean(radius: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Mean distance of points scattered normally about one at `radius`. Source: Rice (1944)."""
    x = radius**2 / (4 * variance)
    return np.sqrt(np.pi * variance / 2) * ((1 + 2 * x) * i0e(x) + 2 * x * i1e(x))


_WINGS = 1.8
"""Variance of galaxies' light over that of Gaussians of their half-light radii: 1.5 of discs."""


def _psf_variance(rows: Columns) -> np.ndarray:
    """arcsec**2 along one axis, r band; of a Moffat where images are used."""
    fwhm, beta = rows["psf_fwhm_r_arcsec"], np.maximum(rows["moffat_beta"], 2.5)
    core = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    moffat = core**2 / (2 * (beta - 2))
    return np.where(rows["psf_model"] == "gaussian", (fwhm * SIGMA_PER_FWHM) ** 2, moffat)


def psf_applied(columns: Columns) -> Finding:
    """Nothing in the added light is sharper than the PSF lets through."""
    gate, limit = "physics.psf_applied", "<= 0.02 in every band"
    about = "Added light has no power at frequencies that the PSF cuts off, in any band."
    bright = of(columns, "arc_snr", "lens") > 20
    shares = [
        median_and_error(of(columns, f"metric.added_fine_{band}", "lens")[bright])[0]
        for band in BANDS
    ]
    if np.isnan(shares).all():
        return without_host_rows(gate, limit, about, "no bright lens with a host row")
    return Finding(
        gate,
        passed(bool(np.nanmax(shares) <= 0.02)),
        "share of power beyond 0.3 cycles a pixel, median: " + by_band(shares, ".4f"),
        limit,
        unique_hosts(columns, "lens"),
        about,
        "A band was injected without its PSF: its PSF FWHM was missing or 0.",
    )


PHYSICS: tuple[Callable[[Columns], Finding], ...] = (
    flux_is_magnified,
    added_flux,
    nothing_else,
    light_centre,
    image_radius,
    kappa_area,
    psf_applied,
)
