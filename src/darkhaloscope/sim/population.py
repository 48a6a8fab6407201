"""The lens and source population, from uniform numbers: pure maps that a plan freezes.

Targets are the discoverable lenses of EVIDENCE section 4 (Collett 2015) and the source colours of
its section 3. At 1 < z < 1.5 the widths are those of VVDS-Deep (complete to I = 24), because the
84% point of the spectroscopic sample is that of a few passive galaxies, unlike lensed sources.
"""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from darkhaloscope.config import Plan
from darkhaloscope.units import flux_from_mag, mw_transmission

N_UNIFORMS = 16
"""Numbers one draw of a scene uses, whatever the settings, so that settings never shift keys."""

_COLOUR_TABLE = (
    # z below which the row holds; g-r 16, 50, 84%; r-z 16, 50, 84% (DECam, AB)
    (1.0, (0.36, 0.53, 0.92), (0.69, 0.89, 1.27)),  # spectroscopic galaxies, 0.7 < z < 1
    (1.5, (0.15, 0.32, 0.69), (0.45, 0.72, 1.21)),  # medians spectroscopic, widths VVDS-Deep
    (2.3, (0.06, 0.21, 0.26), (0.12, 0.32, 0.50)),  # spectroscopic, 1.5 < z < 2.3
    (math.inf, (0.21, 0.30, 0.39), (0.19, 0.27, 0.54)),  # Im, Scd, Sbc templates at 2.5 to 3
)
_COLOUR_REACH = 2.0  # sigma; no galaxy is redder or bluer than any in the samples
_COLOUR_CORRELATION = 0.7  # of g-r and r-z at one redshift: both follow age and dust


def truncated_normal(u, mean, sigma, low, high):
    """Normal within [low, high] from uniforms `u`; the mean itself where sigma is 0."""
    if sigma == 0:
        return np.clip(np.broadcast_to(mean, np.shape(u)), low, high)
    mean = np.clip(mean, low - 5 * sigma, high + 5 * sigma)  # beyond, both ends round to 1
    a, b = ndtr((low - mean) / sigma), ndtr((high - mean) / sigma)
    return np.clip(mean + sigma * ndtri(a + u * (b - a)), low, high)


def split_normal(t, quantiles):
    """A two-sided normal through its 16, 50 and 84% points from standard normal `t`."""
    low, middle, high = quantiles
    return middle + t * np.where(t < 0, middle - low, high - middle)


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


def draw_sources(
    u: np.ndarray, theta_E: np.ndarray, template_hlr: np.ndarray, cfg: Plan
) -> dict[str, np.ndarray]:
    """Redshift, brightness, colour, size and place of the source; area-uniform behind the lens."""
    z = truncated_normal(u[:, 5], cfg.z_source_median, cfg.z_source_scatter, 0.5, 4.0)
    radius = cfg.max_offset * theta_E * np.sqrt(u[:, 6])
    angle = 2 * math.pi * u[:, 7]
    size = cfg.size_factor_median * np.exp(cfg.size_factor_scatter * ndtri(u[:, 8]))
    g_minus_r, r_minus_z = draw_colours(u[:, 9], u[:, 10], z, cfg.colour_model)
    return {
        "z_source": z,
        "source_x_arcsec": radius * np.cos(angle),
        "source_y_arcsec": radius * np.sin(angle),
        "source_phi_rad": 2 * math.pi * u[:, 11],
        "source_hlr_arcsec": size * template_hlr,
        "source_mag_r": cfg.source_mag_r_median + cfg.source_mag_r_scatter * ndtri(u[:, 12]),
        "source_g_minus_r": g_minus_r,
        "source_r_minus_z": r_minus_z,
    }


def draw_colours(u1, u2, z, model: str):
    """g-r and r-z of sources at redshift z, AB mag, before Milky Way reddening.

    model : "spectroscopic", correlated scatter about EVIDENCE section 3, or "offsets", the plan's
    fixed offsets (g -0.30, z +0.20, growing with z), kept for its ablation
    """
    if model == "offsets":
        growth = np.clip((z - 1) / 2, 0, 1)
        return -0.30 * (1 + 0.30 * growth), -0.20 * (1 + 0.20 * growth)
    if model != "spectroscopic":
        raise ValueError(f"colour_model must be spectroscopic or offsets, got {model!r}")
    rho = _COLOUR_CORRELATION
    t1 = truncated_normal(u1, 0.0, 1.0, -_COLOUR_REACH, _COLOUR_REACH)
    t2 = rho * t1 + math.sqrt(1 - rho * rho) * truncated_normal(
        u2, 0.0, 1.0, -_COLOUR_REACH, _COLOUR_REACH
    )
    row = np.searchsorted([limit for limit, _, _ in _COLOUR_TABLE], z, side="right")
    gr = np.array([quantiles for _, quantiles, _ in _COLOUR_TABLE])[row].T
    rz = np.array([quantiles for _, _, quantiles in _COLOUR_TABLE])[row].T
    return split_normal(t1, gr), split_normal(t2, rz)


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
