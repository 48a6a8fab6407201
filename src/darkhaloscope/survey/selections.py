"""Which galaxies of the survey's catalogue are taken as hosts, by name.

A selection is a function of catalogue columns (lower-case names of the sweeps) to a mask. A new one
is a new function in `SELECTIONS`, with the columns that it needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from darkhaloscope.survey.sed import colour_grid
from darkhaloscope.units import EXTINCTION_PER_EBV, mag_from_flux

Columns = Mapping[str, np.ndarray]

MASSIVE_M_R = -21.2
"""AB, rest frame: a velocity dispersion of about 160 km/s on the Faber-Jackson relation of
Bernardi et al. (2003), log sigma = 2.203 - 0.102 (M_r + 21.15). An isothermal sphere of that has
theta_E < 0.75 arcsec, and ground-based seeing hides less."""

_ELLIPTICAL = 3.0
_COLOUR_SCATTER = 0.35
"""mag in g-z: dust, age and photometric error about an old elliptical."""
_W1_PER_EBV = 0.184  # A_W1 / E(B-V), DR10 catalogues page


_DESI_MASK = 1 << 1 | 1 << 12 | 1 << 13  # BRIGHT, GALAXY, CLUSTER


@dataclass(frozen=True)
class Selection:
    """A named selection."""

    name: str
    needs: frozenset[str]  # columns
    mask: Callable[[Columns], np.ndarray]


def _dereddened(columns: Columns, band: str, flux: str = "flux") -> np.ndarray:
    """AB magnitude before the Milky Way, NaN where the flux is not positive."""
    transmission = columns.get(f"mw_transmission_{band}")
    if transmission is None:
        per_ebv = {**EXTINCTION_PER_EBV, "w1": _W1_PER_EBV}[band]
        transmission = 10 ** (-0.4 * per_ebv * columns["ebv"])
    return mag_from_flux(columns[f"{flux}_{band}"] / transmission)


def desi_lrg(columns: Columns) -> np.ndarray:
    """DESI luminous red galaxies, by the cuts of the south (DECam): 0.4 < z < 1.

    Their quality cuts on exposures, inverse variances, total fiber flux, Gaia stars and maskbits
    are made where the columns exist.
    Source: Zhou et al. (2023), AJ 165, 58; isLRG_colors and notinLRG_mask of desitarget.cuts
    """
    g, r, z, w1 = (_dereddened(columns, band) for band in ("g", "r", "z", "w1"))
    fiber = _dereddened(columns, "z", "fiberflux")
    with np.errstate(invalid="ignore"):
        galaxy = z - w1 > 0.8 * (r - z) - 0.6
        bright = fiber < 21.6
        red = (g - w1 > 2.9) | (r - w1 > 1.8)
        luminous = (r - w1 > 1.8 * (w1 - 17.14)) & (r - w1 > w1 - 16.33)
        chosen = galaxy & bright & red & (luminous | (r - w1 > 3.3))
        return chosen & _well_measured(columns)


def _well_measured(columns: Columns) -> np.ndarray:
    """The quality cuts of Zhou et al. (2023), of the columns that there are."""
    good = np.ones(len(columns["flux_z"]), bool)
    for name in ("flux_ivar_r", "flux_ivar_z", "flux_ivar_w1", "nobs_g", "nobs_r", "nobs_z"):
        if name in columns:
            good &= columns[name] > 0
    if "maskbits" in columns:
        good &= (columns["maskbits"].astype(int) & _DESI_MASK) == 0
    if "fibertotflux_z" in columns:
        total = mag_from_flux(columns["fibertotflux_z"])
        good &= ~(total <= 17.5)
    if "gaia_phot_g_mean_mag" in columns:
        gaia = columns["gaia_phot_g_mean_mag"]
        good &= ~((gaia > 0) & (gaia <= 18))
    return good


def plan(columns: Columns) -> np.ndarray:
    """The plan's own: z < 20.4, r - z > 0.4, z - W1 > 0.8, magnitudes as observed.

    Source: plan/cosmos_integration_review.md; on observed magnitudes all rows of its own parent
    catalogues pass.
    """
    r, z, w1 = (mag_from_flux(columns[f"flux_{band}"]) for band in ("r", "z", "w1"))
    with np.errstate(invalid="ignore"):
        return (z < 20.4) & (r - z > 0.4) & (z - w1 > 0.8)


def massive(columns: Columns) -> np.ndarray:
    """Massive early types from z 0.05 to 0.8, SLACS hosts among them; no infrared needed.

    g - z of an old elliptical tells its redshift; a galaxy of that colour is kept if it is as
    bright in z as an elliptical of `MASSIVE_M_R` there, with _COLOUR_SCATTER of room, z < 20.4,
    and if its r - z is that of an elliptical or redder within the same room.
    Spectra: Coleman, Wu & Weedman (1980), survey.sed.
    """
    g, r, z = (_dereddened(columns, band) for band in ("g", "r", "z"))
    colour, limit, redness = _elliptical_track()
    with np.errstate(invalid="ignore"):
        seen_as = g - z
        old = seen_as > colour[0] - _COLOUR_SCATTER
        bright = z < np.interp(seen_as + _COLOUR_SCATTER, colour, limit)
        red = r - z > np.interp(seen_as, colour, redness) - _COLOUR_SCATTER
        return old & bright & red & (z < 20.4)


@lru_cache(maxsize=1)
def _elliptical_track() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """g - z, z magnitude and r - z of an elliptical of MASSIVE_M_R from z 0.05 to 0.8."""
    grid = colour_grid()
    redshift = np.linspace(0.05, 0.8, 60)
    old = np.full(redshift.shape, _ELLIPTICAL)
    g, r, z = (grid.mag(band, old, redshift) for band in ("g", "r", "z"))
    rest = grid.mag("r", old[:1], np.zeros(1))[0]
    limit = MASSIVE_M_R - rest + z + grid.distance_modulus(redshift)
    rising = np.maximum.accumulate(g - z) + 1e-9 * np.arange(len(redshift))
    return rising, limit, r - z


_FLUXES = frozenset({"flux_g", "flux_r", "flux_z"})
SELECTIONS = {
    s.name: s
    for s in (
        Selection("desi_lrg", _FLUXES | {"flux_w1", "fiberflux_z", "ebv"}, desi_lrg),
        Selection("plan", _FLUXES | {"flux_w1"}, plan),
        Selection("massive", _FLUXES | {"ebv"}, massive),
    )
}
