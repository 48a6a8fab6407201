"""Grids of lens and source parameters, by name: what completeness is mapped on."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from darkhaloscope.config import Plan

AXES = ("theta_E", "delta_mag", "r_e", "ellipticity", "shear")
"""arcsec; r mag of arc or source minus that of the host; arcsec, half-light radius of the source;
(1-q)/(1+q) of the mass; strength of the external shear."""

GRIDS: Mapping[str, tuple[Sequence[float], ...]] = {
    "small": ((0.3, 0.6, 1.0), (1.0, 2.0), (0.08, 0.15), (0.0, 0.3), (0.0, 0.03)),
    "medium": (
        (0.25, 0.35, 0.5, 0.8, 1.2),
        (0.5, 1.0, 1.5, 2.0),
        (0.05, 0.1, 0.2),
        (0.0, 0.2, 0.4),
        (0.0, 0.03),
    ),
    "full": (
        np.linspace(0.2, 1.6, 8).round(3).tolist(),
        np.linspace(0.25, 2.5, 7).round(3).tolist(),
        np.linspace(0.04, 0.25, 6).round(3).tolist(),
        (0.0, 0.2, 0.4),
        (0.0, 0.02, 0.04),
    ),
    "sota": (
        (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5),
        (0.5, 1.0, 1.5, 2.0),
        (0.06, 0.10, 0.15, 0.20),
        (0.0, 0.2, 0.4),
        (0.0, 0.02, 0.04),
    ),
}
"""Values along AXES: the named grids that earlier injections were planned on."""


def cells(cfg: Plan) -> np.ndarray:
    """All cells of a plan's grid, (cell, AXES); the last axis changes fastest."""
    own = (
        cfg.grid_theta_E_arcsec,
        cfg.grid_delta_mag,
        cfg.grid_r_e_arcsec,
        cfg.grid_ellipticity,
        cfg.grid_shear,
    )
    axes = [mine or named for mine, named in zip(own, GRIDS[cfg.grid], strict=True)]
    return np.array(list(product(*axes)))
