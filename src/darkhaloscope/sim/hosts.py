"""Luminous red galaxies as the survey's catalogue has them: type, magnitude, colours, size."""

import math

import numpy as np

from darkhaloscope.sim.paint import Galaxies
from darkhaloscope.sim.sky import extinction, from_quantiles
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC

TYPES = ("DEV", "REX", "SER", "EXP")
_SHARES = np.array([0.364, 0.241, 0.251, 0.144])
_LEVELS = np.array([0.5, 2.5, 5, 10, 16, 30, 50, 70, 84, 90, 95, 97.5, 99.5]) / 100

_Z, _GR, _RZ = np.moveaxis(np.array([
    [[18.312, 18.729, 18.966, 19.212, 19.389, 19.664, 19.964,
      20.153, 20.275, 20.321, 20.36, 20.377, 20.396],
     [0.477, 0.71, 0.831, 1.014, 1.184, 1.473, 1.685,
      1.808, 1.89, 1.948, 2.046, 2.149, 2.527],
     [0.553, 0.761, 0.841, 0.914, 0.98, 1.088, 1.244,
      1.411, 1.584, 1.69, 1.844, 1.941, 2.146]],
    [[18.663, 19.065, 19.241, 19.463, 19.62, 19.874, 20.092,
      20.238, 20.31, 20.346, 20.377, 20.386, 20.396],
     [0.271, 0.42, 0.499, 0.674, 0.851, 1.117, 1.428,
      1.695, 1.792, 1.834, 1.886, 1.95, 2.187],
     [0.203, 0.358, 0.473, 0.632, 0.743, 0.872, 0.987,
      1.124, 1.278, 1.393, 1.517, 1.673, 1.868]],
    [[17.693, 18.119, 18.362, 18.64, 18.839, 19.166, 19.557,
      19.861, 20.076, 20.18, 20.292, 20.342, 20.385],
     [0.462, 0.63, 0.744, 0.915, 1.047, 1.248, 1.512,
      1.73, 1.828, 1.869, 1.913, 1.985, 2.146],
     [0.386, 0.605, 0.694, 0.777, 0.847, 0.95, 1.072,
      1.216, 1.364, 1.462, 1.6, 1.699, 1.895]],
    [[18.251, 18.787, 19.097, 19.406, 19.561, 19.853, 20.068,
      20.227, 20.312, 20.351, 20.375, 20.388, 20.395],
     [0.291, 0.402, 0.48, 0.595, 0.731, 1.072, 1.247,
      1.414, 1.609, 1.701, 1.81, 1.892, 2.127],
     [0.186, 0.312, 0.386, 0.538, 0.665, 0.819, 0.94,
      1.06, 1.193, 1.289, 1.427, 1.554, 1.897]],
]), 1, 0)  # fmt: skip
"""By type, quantiles of z as seen, and of g-r and r-z without the Milky Way's dust, of 6,533 DR10
LRG parents; point sources and z < 17 are left out."""

_CORRELATIONS = np.array(
    [(-0.06, 0.27, 0.42), (0.12, 0.24, 0.64), (-0.14, 0.10, 0.61), (0.15, 0.25, 0.67)]
)
"""By type: of the normal scores of z and g-r, z and r-z, g-r and r-z."""

_RED_R_MINUS_Z = np.array([0.55, 0.65, 0.75, 0.88, 1.06, 1.30, 1.55, 1.75, 1.95, 2.10])
_REDSHIFT = np.array([0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90, 1.00])
_KPC_PER_ARCSEC = np.array([1.84, 3.30, 4.45, 5.37, 6.10, 6.69, 7.15, 7.51, 7.79, 8.01])
"""Passive galaxies' r-z rises with redshift; scale for H0 = 70, Omega_m = 0.3, flat."""

_TYPE_SIZE = np.array([1.0, 0.45, 1.1, 0.75])
"""Half-light radii over the mean relation: round exponentials are small, or they had a shape."""


def draw_host(rng: np.random.Generator, ebv: float) -> Galaxies:
    """A luminous red galaxy at the stamp's centre, up to half a pixel off as in real cutouts.

    Bands share a Gaussian copula; size follows from luminosity and redshift, as r - z tells it
    """
    t, u = rng.standard_normal(8), rng.random(4)
    kind = min(int(np.searchsorted(_SHARES.cumsum(), u[0])), len(TYPES) - 1)
    z_seen, g_minus_r, r_minus_z = _photometry(kind, t[:3])
    z_mag = z_seen - extinction(ebv)[BANDS.index("z")]
    redshift = float(np.interp(r_minus_z, _RED_R_MINUS_Z, _REDSHIFT))
    column = {
        "x": (u[1] - 0.5) * PIXEL_SCALE_ARCSEC,
        "y": (u[2] - 0.5) * PIXEL_SCALE_ARCSEC,
        "r_e": _radius(z_mag, redshift, t[3]) * _TYPE_SIZE[kind],
        "n": _index(kind, t[4]),
        "q": _axis_ratio(kind, t[5]),
        "phi": math.pi * u[3],
    }
    mags = np.array([[z_mag + r_minus_z + g_minus_r, z_mag + r_minus_z, z_mag]])
    return Galaxies(mags=mags, **{name: np.array([value]) for name, value in column.items()})


def _photometry(kind: int, t: np.ndarray) -> tuple[float, float, float]:
    z_gr, z_rz, gr_rz = _CORRELATIONS[kind]
    correlation = np.array([[1, z_gr, z_rz], [z_gr, 1, gr_rz], [z_rz, gr_rz, 1]])
    scores = np.linalg.cholesky(correlation) @ t
    tables = (_Z[kind], _GR[kind], _RZ[kind])
    drawn = [from_quantiles(s, _LEVELS, v) for s, v in zip(scores, tables, strict=True)]
    return float(drawn[0]), float(drawn[1]), float(drawn[2])


def _radius(z_mag: float, redshift: float, score: float) -> float:
    """Half-light radius in arcsec.

    Source: mass-size relation of early types of van der Wel et al. (2014), log r_e / kpc =
    0.60 - 0.36 (z - 0.25) + 0.75 (log M - 10.7), scatter 0.12 dex; mass from the z band
    """
    mean = 0.60 - 0.36 * (redshift - 0.25) + 0.75 * (_log_mass(z_mag, redshift) - 10.7)
    kpc_per_arcsec = float(np.interp(redshift, _REDSHIFT, _KPC_PER_ARCSEC))
    return float(np.clip(10 ** (mean + 0.12 * score) / kpc_per_arcsec, 0.25, 6.0))


def _log_mass(z_mag: float, redshift: float) -> float:
    """log10 of a passive galaxy's stellar mass in suns, to about 0.2 dex."""
    return 11.2 - 0.4 * (z_mag - 20.0) + 1.9 * math.log10(redshift / 0.55)


def _index(kind: int, score: float) -> float:
    """Sersic index: the catalogue's types are round numbers, galaxies scatter about them."""
    if TYPES[kind] == "SER":
        return float(np.clip(3.0 * math.exp(0.4 * score), 0.7, 6.0))
    middle, scatter = (4.0, 0.5) if TYPES[kind] == "DEV" else (1.1, 0.2)
    return float(np.clip(middle + scatter * score, 0.6, 6.0))


def _axis_ratio(kind: int, score: float) -> float:
    if TYPES[kind] == "REX":
        return float(np.clip(0.88 + 0.08 * score, 0.65, 1.0))
    return float(np.clip(0.74 + 0.15 * score, 0.25, 1.0))
