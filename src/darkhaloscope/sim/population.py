"""The lens and source population, from uniform numbers: pure maps that a plan freezes.

Targets are the discoverable lenses of EVIDENCE section 4 (Collett 2015); colours come from
spectral types, see colours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import ndtr, ndtri

from darkhaloscope.config import Plan
from darkhaloscope.sim.colours import (
    ColourGrid,
    bulge_fractions,
    draw_colours,
    draw_types,
    moved_mag,
    moved_size,
    offset_colours,
)
from darkhaloscope.sim.masses import (
    dispersion_of,
    draw_dispersions,
    einstein_radius,
    redshifts_at,
)
from darkhaloscope.units import (
    BANDS,
    EXTINCTION_PER_EBV,
    flux_from_mag,
    mw_transmission,
)

_LEAST_BEHIND = 0.1
"""Least difference of the redshifts of source and lens."""

_USUAL_MAGNIFICATION = 10.0

_LEAST_CHANCE = 0.01
"""Of an Einstein radius within the plan's limits; hosts too light for that are drawn again."""

N_UNIFORMS = 20
"""Numbers one draw of a scene uses, whatever the settings, so that settings never shift keys."""


def truncated_normal(u, mean, sigma, low, high):
    """Normal within [low, high] from uniforms `u`; the mean itself where sigma is 0."""
    if sigma == 0:
        return np.clip(np.broadcast_to(mean, np.shape(u)), low, high)
    mean = np.clip(mean, low - 5 * sigma, high + 5 * sigma)  # beyond, both ends round to 1
    a, b = ndtr((low - mean) / sigma), ndtr((high - mean) / sigma)
    return np.clip(mean + sigma * ndtri(a + u * (b - a)), low, high)


def dereddened(host: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Host magnitudes g, r, z before the Milky Way's dust, from schema.HOST columns."""
    return {
        band: host[f"host_mag_{band}"] - EXTINCTION_PER_EBV[band] * host["ebv_mag"]
        for band in BANDS
    }


def draw_lenses(
    u: np.ndarray,
    host: Mapping[str, np.ndarray],
    redshifts: np.ndarray,
    cfg: Plan,
    grid: ColourGrid,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Lenses as heavy as their hosts' light says; mass follows light with scatter.

    u : (row, N_UNIFORMS) uniforms; host : schema.HOST columns, one value a row
    redshifts : of the hosts, masses.redshift_chances
    Returns which rows may well have an Einstein radius within the plan's limits, and the columns of
    all, whose Einstein radii lie there
    """
    z_lens = redshifts_at(u[:, 0], redshifts)
    z_source = _source_redshifts(u[:, 5], z_lens, cfg)
    limits = (
        dispersion_of(cfg.theta_E_min_arcsec, z_lens, z_source, grid),
        dispersion_of(cfg.theta_E_max_arcsec, z_lens, z_source, grid),
    )
    mag_r = dereddened(host)["r"]
    sigma_v, chance = draw_dispersions(
        u[:, 15], mag_r, z_lens, cfg.sigma_v_scatter_dex, limits, grid
    )
    drawn = {
        "z_lens": z_lens,
        "z_source": z_source,
        "sigma_v_kms": sigma_v,
        "theta_E_arcsec": einstein_radius(sigma_v, z_lens, z_source, grid),
        "lens_q": truncated_normal(u[:, 1], host["host_q"], cfg.q_scatter, 0.3, 1.0),
        **_as_light(u, host, cfg),
        "gamma1": cfg.shear_sigma * ndtri(u[:, 3]),
        "gamma2": cfg.shear_sigma * ndtri(u[:, 4]),
    }
    return chance > _LEAST_CHANCE, drawn


def cell_lenses(
    u: np.ndarray,
    host: Mapping[str, np.ndarray],
    redshifts: np.ndarray,
    cell: np.ndarray,
    cfg: Plan,
    grid: ColourGrid,
) -> dict[str, np.ndarray]:
    """Lenses of the cells of a grid: Einstein radius, ellipticity and shear are the cells'.

    cell : (row, cells.AXES); the rest as draw_lenses
    """
    z_lens = redshifts_at(u[:, 0], redshifts)
    z_source = _source_redshifts(u[:, 5], z_lens, cfg)
    theta_E, ellipticity, shear = cell[:, 0], cell[:, 3], cell[:, 4]
    return {
        "z_lens": z_lens,
        "z_source": z_source,
        "sigma_v_kms": dispersion_of(theta_E, z_lens, z_source, grid),
        "theta_E_arcsec": theta_E,
        "lens_q": (1 - ellipticity) / (1 + ellipticity),
        **_as_light(u, host, cfg),
        "gamma1": shear * np.cos(2 * math.pi * u[:, 3]),
        "gamma2": shear * np.sin(2 * math.pi * u[:, 3]),
    }


def _source_redshifts(u: np.ndarray, z_lens: np.ndarray, cfg: Plan) -> np.ndarray:
    least = np.maximum(0.5, z_lens + _LEAST_BEHIND)
    return truncated_normal(u, cfg.z_source_median, cfg.z_source_scatter, least, 4.0)


def _as_light(u: np.ndarray, host: Mapping[str, np.ndarray], cfg: Plan) -> dict[str, np.ndarray]:
    return {
        "lens_phi_rad": host["host_phi_rad"] + math.radians(cfg.phi_scatter_deg) * ndtri(u[:, 2]),
        "lens_center_x_arcsec": host["host_center_x_arcsec"],
        "lens_center_y_arcsec": host["host_center_y_arcsec"],
    }


@dataclass(frozen=True)
class SourceTemplates:
    """What is known of each row's template, one value a row; NaN where it is not."""

    hlr: np.ndarray  # arcsec
    z: np.ndarray
    mag: np.ndarray  # F814W, AB
    kind: np.ndarray  # spectral type, see colours
    bulge: np.ndarray  # share of the light in a bulge; 0 without

    def __getitem__(self, rows) -> "SourceTemplates":
        return SourceTemplates(*(getattr(self, f.name)[rows] for f in fields(self)))


def draw_sources(
    u: np.ndarray, z: np.ndarray, template: SourceTemplates, cfg: Plan, grid: ColourGrid
) -> dict[str, np.ndarray]:
    """Type, brightness, size and rotation of sources at redshift z.

    A template of known redshift and magnitude is moved: its size follows distance, epoch and
    luminosity. Others keep their size but for `size_factor_median`.
    """
    fitted = np.isfinite(template.kind) & (cfg.colour_model == "catalogue")
    kind = np.where(fitted, template.kind, draw_types(u[:, 9]))
    movable = np.isfinite(template.z) & np.isfinite(template.mag)
    z_from = np.where(movable, template.z, z)
    moved = moved_mag(np.nan_to_num(template.mag), kind, z_from, z, grid)
    mag = cfg.source_mag_r_median + cfg.source_mag_r_scatter * ndtri(u[:, 12])
    if cfg.source_mag_model == "catalogue":
        mag = np.where(movable, moved, mag)
    ratio = np.where(movable, 10 ** (-0.4 * (mag - moved)), 1.0)
    size = moved_size(template.hlr, z_from, z, ratio, grid)
    scatter = np.exp(cfg.size_factor_scatter * ndtri(u[:, 8]))
    factor = np.where(movable, 1.0, cfg.size_factor_median * scatter)
    return {
        "source_phi_rad": 2 * math.pi * u[:, 11],
        "source_hlr_arcsec": size * factor,
        "source_type": kind,
        "source_mag_r": mag,
    }


def source_colours(
    u: np.ndarray, source: Mapping[str, np.ndarray], cfg: Plan, grid: ColourGrid
) -> dict[str, np.ndarray]:
    """Colours of sources of known type and redshift."""
    kind, z = source["source_type"], source["z_source"]
    if cfg.colour_model == "offsets":
        g_minus_r, r_minus_z = offset_colours(z)
    else:
        g_minus_r, r_minus_z = draw_colours(kind, z, u[:, 10], u[:, 13], grid)
    return {"source_g_minus_r": g_minus_r, "source_r_minus_z": r_minus_z}


def source_bulges(
    source: Mapping[str, np.ndarray], template: SourceTemplates, cfg: Plan, grid: ColourGrid
) -> dict[str, np.ndarray]:
    """Share of the light of sources of known type and redshift that is in their bulges, by band."""
    kind, z = source["source_type"], source["z_source"]
    bulge = bulge_fractions(template.bulge, kind, z, cfg.bulge_redder, grid)
    return {f"bulge_fraction_{band}": share for band, share in bulge.items()}


def observed_fluxes(mag_r, g_minus_r, r_minus_z, ebv) -> dict[str, np.ndarray]:
    """nmgy of the unmagnified source behind the Milky Way, by band."""
    mags = {"g": mag_r + g_minus_r, "r": mag_r, "z": mag_r - r_minus_z}
    return {band: flux_from_mag(mag) * mw_transmission(ebv, band) for band, mag in mags.items()}


def source_window(
    magnification: np.ndarray, host: Mapping[str, np.ndarray], cfg: Plan
) -> tuple[np.ndarray, np.ndarray]:
    """Brightest and faintest source whose arc the plan wants: r, AB, before the Milky Way's dust.

    A host of unknown magnitude (NaN) puts no limit on its arc. The first may exceed the second.
    """
    brightest = np.fmax(cfg.arc_mag_r_min, host["host_mag_r"] + cfg.min_arc_minus_host_mag)
    shift = 2.5 * np.log10(magnification) - EXTINCTION_PER_EBV["r"] * host["ebv_mag"]
    return brightest + shift, cfg.arc_mag_r_max + shift


def chance_to_keep(
    mag: np.ndarray, magnification: np.ndarray, host: Mapping[str, np.ndarray], cfg: Plan
) -> np.ndarray:
    """Chance that a source so magnified is bright enough, over that of a well magnified one.

    mag : r, AB, drawn without regard to that; counts only where it is the template's own
    """
    low, high = source_window(magnification, host, cfg)
    if cfg.source_mag_model == "catalogue":
        return ((mag >= low) & (mag <= high)).astype(float)
    usual = _share(*source_window(np.full(len(mag), _USUAL_MAGNIFICATION), host, cfg), cfg)
    return _share(low, high, cfg) / np.maximum(usual, 1e-12)


def bright_sources(
    u: np.ndarray, mag: np.ndarray, low: np.ndarray, high: np.ndarray, cfg: Plan
) -> np.ndarray:
    """Source magnitudes within a window from uniforms; `mag` where templates bring their own."""
    if cfg.source_mag_model == "catalogue":
        return mag
    high = np.maximum(low, high)
    return truncated_normal(u, cfg.source_mag_r_median, cfg.source_mag_r_scatter, low, high)


def _share(low: np.ndarray, high: np.ndarray, cfg: Plan) -> np.ndarray:
    """Share of the sources whose magnitudes lie in a window."""
    middle, spread = cfg.source_mag_r_median, max(cfg.source_mag_r_scatter, 1e-6)
    return np.maximum(ndtr((high - middle) / spread) - ndtr((low - middle) / spread), 0)
