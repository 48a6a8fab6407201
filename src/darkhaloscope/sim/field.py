"""What stands around a host: field galaxies, the host's satellites, and stars of the Milky Way."""

import math

import numpy as np
from scipy.special import ndtri

from darkhaloscope.sim.paint import Galaxies, Stars

GALAXY_LIMIT_MAG = 23.5
STAR_LIMIT_MAG = 21.0
"""r magnitudes that the settings' counts refer to."""


class Counts:
    """Objects brighter than each magnitude, in any unit, of slopes d log10 N / d mag between."""

    def __init__(self, mags: np.ndarray, slopes: tuple[float, ...]):
        self.mags = np.linspace(mags[0], mags[-1], 200)
        slope = np.array(slopes)[np.clip(np.searchsorted(mags, self.mags) - 1, 0, len(slopes) - 1)]
        step = self.mags[1] - self.mags[0]
        density = 10.0 ** np.concatenate([[0.0], np.cumsum(slope[1:] * step)])
        mean = (density[1:] + density[:-1]) / 2
        self.brighter = np.concatenate([[0.0], np.cumsum(mean * step)])


_GALAXY_COUNTS = Counts(np.array([17.0, 21.0, 23.5, 26.0]), (0.45, 0.38, 0.31))
"""In r. Source: Metcalfe et al. (2001), Capak et al. (2004)."""

_STAR_COUNTS = Counts(np.array([12.5, 17.0, 24.0]), (0.22, 0.13))
"""In r, at galactic latitudes of 30 to 70 deg. Source: Bahcall & Soneira (1980)."""

_R = np.array([20.0, 21.0, 22.0, 23.0, 24.0])
_SCORES = ndtri(np.array([0.05, 0.16, 0.30, 0.50, 0.70, 0.84, 0.95]))
_G_MINUS_R = np.array([
    [0.38, 0.54, 0.69, 0.87, 1.04, 1.23, 1.45],
    [0.37, 0.50, 0.61, 0.74, 0.93, 1.19, 1.44],
    [0.31, 0.48, 0.55, 0.69, 0.86, 1.16, 1.46],
    [0.13, 0.30, 0.44, 0.59, 0.73, 0.89, 1.38],
    [0.09, 0.20, 0.32, 0.47, 0.64, 0.81, 1.31],
])  # fmt: skip
_R_MINUS_Z = np.array([
    [0.28, 0.43, 0.56, 0.69, 0.79, 0.89, 1.02],
    [0.22, 0.34, 0.44, 0.60, 0.82, 1.02, 1.32],
    [0.25, 0.35, 0.45, 0.64, 0.93, 1.21, 1.55],
    [0.21, 0.34, 0.47, 0.71, 0.97, 1.23, 1.69],
    [0.21, 0.37, 0.55, 0.75, 0.94, 1.16, 1.81],
])  # fmt: skip
"""Quantiles at 5 to 95 % of field galaxies' colours at each r. Source: VVDS-Deep (Le Fevre et al.
2013), 4,400 galaxies of I < 24 with spectroscopic redshifts."""

_COLOUR_CORRELATION = np.array([0.88, 0.78, 0.68, 0.58, 0.57])
"""Of g-r and r-z, at each r."""

_SATELLITE_REACH_ARCSEC = 14.0
_SATELLITES_NEAREST_ARCSEC = 1.2

_LOCUS_G_MINUS_R = np.array([0.1, 0.4, 0.8, 1.2, 1.4, 1.5])
_LOCUS_R_MINUS_Z = np.array([-0.05, 0.18, 0.40, 0.70, 1.05, 1.70])
"""Stellar locus. Source: Covey et al. (2007), to DECam's g r z."""


def draw_galaxies(rng: np.random.Generator, half_side: float, per_arcmin2: float) -> Galaxies:
    """Field galaxies to r = 26 within a square of the given half side (arcsec).

    per_arcmin2 : galaxies brighter than r = 23.5
    """
    count = _count(rng, _GALAXY_COUNTS, GALAXY_LIMIT_MAG, per_arcmin2, half_side)
    u, t = rng.random((5, count)), rng.standard_normal((4, count))
    r = _magnitudes(u[0], _GALAXY_COUNTS)
    return _galaxies(
        x=half_side * (2 * u[1] - 1), y=half_side * (2 * u[2] - 1), mags=_field_mags(r, t), u=u, t=t
    )


def draw_satellites(rng: np.random.Generator, host: Galaxies, mean: float) -> Galaxies:
    """Companions of a luminous galaxy, most of its colour, crowded towards it.

    mean : number 1 to 6 mag fainter than the host within 14 arcsec
    Projected density falls as 1 / R. Source: satellites of LRGs, Tal, Wake & van Dokkum (2012)
    """
    count = int(rng.poisson(mean))
    u, t = rng.random((5, count)), rng.standard_normal((4, count))
    span = _SATELLITE_REACH_ARCSEC - _SATELLITES_NEAREST_ARCSEC
    radius = _SATELLITES_NEAREST_ARCSEC + span * u[1]
    angle = 2 * math.pi * u[2]
    r = host.mags[0, 1] + 1 + 5 * np.sqrt(u[0])
    colour = host.mags[0] - host.mags[0, 1]
    red = r[:, None] + colour * (1 - 0.03 * (r - host.mags[0, 1])[:, None])
    mags = np.where((t[3] < 0.3)[:, None], red, _field_mags(r, t))
    x, y = host.x + radius * np.cos(angle), host.y + radius * np.sin(angle)
    return _galaxies(x=x, y=y, mags=mags, u=u, t=t)


def draw_stars(rng: np.random.Generator, half_side: float, per_arcmin2: float, ebv: float) -> Stars:
    """Stars of r 12.5 to 24 within a square of the given half side (arcsec).

    per_arcmin2 : stars brighter than r = 21 where E(B-V) is the survey's median; dust and stars lie
        at low latitudes alike
    """
    density = per_arcmin2 * (ebv / 0.047) ** 0.35
    count = _count(rng, _STAR_COUNTS, STAR_LIMIT_MAG, density, half_side)
    u, t = rng.random((4, count)), rng.standard_normal((2, count))
    r = _magnitudes(u[0], _STAR_COUNTS)
    dwarf = u[3] < np.interp(r, [14, 18, 21, 24], [0.1, 0.25, 0.55, 0.7])  # of type M
    g_minus_r = np.where(dwarf, 1.43 + 0.08 * t[0], np.clip(0.55 + 0.2 * np.abs(t[0]), 0.3, 1.35))
    locus = np.interp(g_minus_r, _LOCUS_G_MINUS_R, _LOCUS_R_MINUS_Z) + 0.03 * t[1]
    r_minus_z = np.where(dwarf, 1.15 + 0.35 * np.abs(t[1]), locus)
    return Stars(
        x=half_side * (2 * u[1] - 1),
        y=half_side * (2 * u[2] - 1),
        mags=np.stack([r + g_minus_r, r, r - r_minus_z], axis=1),
    )


def _field_mags(r: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(galaxy, band): colours by magnitude, redder with redder."""
    rho = np.interp(r, _R, _COLOUR_CORRELATION)
    other = rho * t[0] + np.sqrt(1 - rho**2) * t[1]
    g_minus_r, r_minus_z = _at(_G_MINUS_R, r, t[0]), _at(_R_MINUS_Z, r, other)
    return np.stack([r + g_minus_r, r, r - r_minus_z], axis=1)


def _at(table: np.ndarray, r: np.ndarray, score: np.ndarray) -> np.ndarray:
    """A colour by magnitude and normal score, between the table's rows."""
    position = np.clip((r - _R[0]) / (_R[1] - _R[0]), 0, len(_R) - 1.001)
    below = position.astype(int)
    rows = np.stack([np.interp(score, _SCORES, row) for row in table])
    each = np.arange(len(r))
    weight = position - below
    return rows[below, each] * (1 - weight) + rows[below + 1, each] * weight


def _galaxies(x, y, mags, u, t) -> Galaxies:
    """Shapes: most are discs; sizes fall with magnitude as in HST's COSMOS images."""
    disc = u[3] < 0.75
    index = np.where(disc, np.exp(0.25 * t[3]), 2.8 + 0.7 * t[3])
    radius = 0.30 * 10 ** (-0.125 * (mags[:, 1] - 24)) * np.exp(0.38 * t[2])
    return Galaxies(
        x=x,
        y=y,
        mags=mags,
        r_e=np.clip(radius, 0.06, 3.0),
        n=np.clip(index, 0.5, 5.0),
        q=0.25 + 0.75 * np.sqrt(u[4]),
        phi=math.pi * (1e3 * u[3] % 1),
    )


def _count(rng, counts: Counts, limit: float, per_arcmin2: float, half_side: float) -> int:
    above = counts.brighter[-1] / np.interp(limit, counts.mags, counts.brighter)
    return int(rng.poisson(per_arcmin2 * above * (2 * half_side / 60) ** 2))


def _magnitudes(u: np.ndarray, counts: Counts) -> np.ndarray:
    return np.interp(u * counts.brighter[-1], counts.brighter, counts.mags)
