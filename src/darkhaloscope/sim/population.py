"""The lens and source population, from uniform numbers: pure maps that a plan freezes.

Targets are the discoverable lenses of EVIDENCE section 4 (Collett 2015); colours come from
spectral types, see colours.
"""

import math
from dataclasses import dataclass

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
from darkhaloscope.units import flux_from_mag, mw_transmission

N_UNIFORMS = 16
"""Numbers one draw of a scene uses, whatever the settings, so that settings never shift keys."""


def truncated_normal(u, mean, sigma, low, high):
    """Normal within [low, high] from uniforms `u`; the mean itself where sigma is 0."""
    if sigma == 0:
        return np.clip(np.broadcast_to(mean, np.shape(u)), low, high)
    mean = np.clip(mean, low - 5 * sigma, high + 5 * sigma)  # beyond, both ends round to 1
    a, b = ndtr((low - mean) / sigma), ndtr((high - mean) / sigma)
    return np.clip(mean + sigma * ndtri(a + u * (b - a)), low, high)


def draw_lenses(u: np.ndarray, host: dict[str, np.ndarray], cfg: Plan) -> dict[str, np.ndarray]:
    """Mass that follows the host's light in centre, axis ratio and angle, with scatter.

    u : (row, N_UNIFORMS) uniforms; host : schema.HOST columns, one value a row
    """
    theta_E = np.exp(
        truncated_normal(
            u[:, 0],
            math.log(cfg.theta_E_median_arcsec),
            cfg.theta_E_scatter,
            math.log(cfg.theta_E_min_arcsec),
            math.log(cfg.theta_E_max_arcsec),
        )
    )
    return {
        "theta_E_arcsec": theta_E,
        "lens_q": truncated_normal(u[:, 1], host["host_q"], cfg.q_scatter, 0.3, 1.0),
        "lens_phi_rad": host["host_phi_rad"] + math.radians(cfg.phi_scatter_deg) * ndtri(u[:, 2]),
        "lens_center_x_arcsec": host["host_center_x_arcsec"],
        "lens_center_y_arcsec": host["host_center_y_arcsec"],
        "gamma1": cfg.shear_sigma * ndtri(u[:, 3]),
        "gamma2": cfg.shear_sigma * ndtri(u[:, 4]),
    }


@dataclass(frozen=True)
class SourceTemplates:
    """What is known of each row's template, one value a row; NaN where it is not."""

    hlr: np.ndarray  # arcsec
    z: np.ndarray
    mag: np.ndarray  # F814W, AB
    kind: np.ndarray  # spectral type, see colours
    bulge: np.ndarray  # share of the light in a bulge; 0 without


def draw_sources(
    u: np.ndarray, theta_E: np.ndarray, template: SourceTemplates, cfg: Plan, grid: ColourGrid
) -> dict[str, np.ndarray]:
    """Redshift, brightness, colour, size and place of the source; area-uniform behind the lens.

    A template of known redshift and magnitude is moved: its size follows distance, epoch and
    luminosity. Others keep their size but for `size_factor_median`.
    """
    z = truncated_normal(u[:, 5], cfg.z_source_median, cfg.z_source_scatter, 0.5, 4.0)
    radius = cfg.max_offset * theta_E * np.sqrt(u[:, 6])
    angle = 2 * math.pi * u[:, 7]
    fitted = np.isfinite(template.kind) & (cfg.colour_model == "catalogue")
    kind = np.where(fitted, template.kind, draw_types(u[:, 9]))
    if cfg.colour_model == "offsets":
        g_minus_r, r_minus_z = offset_colours(z)
    else:
        g_minus_r, r_minus_z = draw_colours(kind, z, u[:, 10], u[:, 13], grid)
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
    bulge = bulge_fractions(template.bulge, kind, z, cfg.bulge_redder, grid)
    return {
        "z_source": z,
        "source_x_arcsec": radius * np.cos(angle),
        "source_y_arcsec": radius * np.sin(angle),
        "source_phi_rad": 2 * math.pi * u[:, 11],
        "source_hlr_arcsec": size * factor,
        "source_type": kind,
        "source_mag_r": mag,
        "source_g_minus_r": g_minus_r,
        "source_r_minus_z": r_minus_z,
        **{f"bulge_fraction_{band}": share for band, share in bulge.items()},
    }


def observed_fluxes(mag_r, g_minus_r, r_minus_z, ebv) -> dict[str, np.ndarray]:
    """nmgy of the unmagnified source behind the Milky Way, by band."""
    mags = {"g": mag_r + g_minus_r, "r": mag_r, "z": mag_r - r_minus_z}
    return {band: flux_from_mag(mag) * mw_transmission(ebv, band) for band, mag in mags.items()}


def discoverable(magnification, arc_mag_r, host_mag_r, cfg: Plan) -> np.ndarray:
    """Which draws the plan keeps: bright and magnified enough, and not outshining the host.

    A host of unknown magnitude (NaN) puts no limit on its arc.
    """
    outshines = arc_mag_r - host_mag_r < cfg.min_arc_minus_host_mag
    return (
        (magnification >= cfg.min_magnification)
        & (arc_mag_r >= cfg.arc_mag_r_min)
        & (arc_mag_r <= cfg.arc_mag_r_max)
        & ~outshines
    )
