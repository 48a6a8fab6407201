"""Redshift and velocity dispersion of a luminous red galaxy, from its magnitudes."""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from darkhaloscope.sim.colours import ColourGrid

KIND = 2.7
"""Spectral type whose r-z runs with redshift as that of the survey's luminous red galaxies does
(sim.hosts), to 0.1 mag from z 0.1 to 1, and g-r as their medians do."""

_COLOUR_SCATTER = (0.25, 0.12)
"""mag, of g-r and r-z about that type at one redshift: age, dust and photometric error."""

_REDSHIFTS = np.arange(0.06, 1.101, 0.02)
_BRIGHTEST, _FAINT_SLOPE = -21.6, -0.5
"""Schechter function of red galaxies, M_r (AB, H0 = 67.7) today. Source: Cool et al. (2008)."""

_FADING = 0.85
"""mag in r per unit of redshift by which old galaxies were brighter. Source: Bernardi et al.
(2003)."""

_SLOPE = (2.203 - 0.102 * 21.15, -0.102)
"""log10 of sigma in km/s against M_r. Source: Bernardi et al. (2003)."""

_LENSING_OVER_STELLAR = 0.020
"""dex, of the isothermal lens's dispersion over that of the stars: median of 59 SLACS lenses, whose
Einstein radii are 1.10 times those of their stars' dispersions."""

_USUAL_SOURCE, _USUAL_THETA_E = 1.85, 0.66
"""Redshift of a lensed source, and arcsec, root mean square of the Einstein radii that usual
dispersions give DR10's luminous red galaxies: so that they have weight 1 on average."""

_LEVELS = (0.05, 0.16, 0.50, 0.84, 0.95)
_COLLETT_Z = (0.16, 0.24, 0.43, 0.71, 0.94)
_COLLETT_SIGMA, _COLLETT_SCATTER_DEX = 270.0, 0.063
"""km/s. Of discoverable lenses: EVIDENCE section 4, Collett (2015)."""

_LN10 = math.log(10)
SIS_ARCSEC = 4 * math.pi / 299792.458**2 * math.degrees(1) * 3600
"""Einstein radius of an isothermal sphere of 1 km/s, infinitely far before its source."""


def redshift_chances(mags: dict[str, np.ndarray], grid: ColourGrid) -> np.ndarray:
    """What colours, brightness and the number of such galaxies say of their redshifts.

    mags : (row,) g, r, z, AB, before the Milky Way's dust
    Returns (row, redshift) cumulative chances, for `redshifts_at`. Galaxies of unknown magnitudes
    (NaN) have redshifts of discoverable lenses.
    """
    g, r, z = (mags[band][:, None] for band in "grz")
    track = {band: grid.mag(band, np.full(_REDSHIFTS.shape, KIND), _REDSHIFTS) for band in "grz"}
    off = (g - r - track["g"] + track["r"], r - z - track["r"] + track["z"])
    like = -0.5 * ((off[0] / _COLOUR_SCATTER[0]) ** 2 + (off[1] / _COLOUR_SCATTER[1]) ** 2)
    brightness = 10 ** (-0.4 * (_absolute(r, _REDSHIFTS, grid) - _BRIGHTEST))
    number = (_FAINT_SLOPE + 1) * np.log(brightness) - brightness
    distance = grid.comoving_distance(_REDSHIFTS)
    chance = like + number + 2 * np.log(distance) + np.log(np.gradient(distance))
    known = np.isfinite(chance).all(axis=1)
    chance = np.exp(chance - chance.max(1, keepdims=True))
    among_lenses = np.gradient(np.interp(_REDSHIFTS, _COLLETT_Z, _LEVELS, left=0, right=1))
    share = np.where(np.expand_dims(known, 1), chance, among_lenses).cumsum(1)
    return share / share[:, -1:]


def redshifts_at(u: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Redshifts at levels `u`, (row,), of cumulative chances, (row, redshift)."""
    place = np.minimum((share <= u[:, None]).sum(1), len(_REDSHIFTS) - 1)
    row = np.arange(len(u))
    below = np.where(place > 0, share[row, place - 1], 0.0)
    within = (u - below) / np.maximum(share[row, place] - below, 1e-12)
    step = _REDSHIFTS[1] - _REDSHIFTS[0]
    return _REDSHIFTS[place] + step * (within.clip(0, 1) - 0.5)


def cross_sections(mag_r: np.ndarray, share: np.ndarray, grid: ColourGrid) -> np.ndarray:
    """How much likelier galaxies lens than the survey's luminous red ones do on average: (row,).

    Goes as theta_E**2 for a source at redshift 1.85, from brightness and most likely redshift.
    mag_r : AB, before the Milky Way's dust; share : of redshift_chances. 1 where mag_r is NaN.
    """
    z = redshifts_at(np.full(len(share), 0.5), share)
    usual = 10 ** _usual_dispersion(mag_r, z, grid)
    theta_E = einstein_radius(usual, z, np.full(len(z), _USUAL_SOURCE), grid)
    return np.where(np.isfinite(theta_E), (theta_E / _USUAL_THETA_E) ** 2, 1.0)


def draw_dispersions(
    u: np.ndarray,
    mag_r: np.ndarray,
    z: np.ndarray,
    scatter_dex: float,
    limits: tuple[np.ndarray, np.ndarray],
    grid: ColourGrid,
) -> tuple[np.ndarray, np.ndarray]:
    """Velocity dispersions of those that lens, within limits; and the chance of lying there.

    u : (row,) uniforms; mag_r : AB, before the Milky Way's dust; z : redshift
    scatter_dex : of log10 sigma at one luminosity. A galaxy lenses with a cross-section that goes
    as sigma**4, so that of one luminosity the heavier ones are found.
    limits : least and largest, (row,) each, km/s. Galaxies of unknown magnitude (NaN) have the
    dispersions of discoverable lenses.
    Returns km/s and a share, (row,) each
    """
    relation = _usual_dispersion(mag_r, z, grid) + 4 * _LN10 * scatter_dex**2
    known = np.isfinite(relation)
    spread = np.where(known, max(scatter_dex, 1e-6), _COLLETT_SCATTER_DEX)
    middle = np.where(known, relation, math.log10(_COLLETT_SIGMA))
    low, high = (ndtr((np.log10(limit) - middle) / spread) for limit in limits)
    inside = np.clip(low + u * (high - low), 1e-12, 1 - 1e-12)
    return 10 ** (middle + spread * ndtri(inside)), high - low


def einstein_radius(sigma_v, z_lens, z_source, grid: ColourGrid) -> np.ndarray:
    """arcsec, of an isothermal lens of `sigma_v` km/s: 4 pi (sigma/c)**2 D_ls/D_s; flat space."""
    return SIS_ARCSEC * sigma_v**2 * grid.lensing_efficiency(z_lens, z_source)


def dispersion_of(theta_E, z_lens, z_source, grid: ColourGrid) -> np.ndarray:
    """km/s, of the isothermal lens whose Einstein radius is `theta_E` arcsec."""
    return np.sqrt(theta_E / (SIS_ARCSEC * grid.lensing_efficiency(z_lens, z_source)))


def _usual_dispersion(mag_r, z, grid: ColourGrid) -> np.ndarray:
    """log10 of km/s, of the isothermal lens that a galaxy of this brightness is on average."""
    return _SLOPE[0] + _SLOPE[1] * _absolute(mag_r, z, grid) + _LENSING_OVER_STELLAR


def _absolute(mag_r, z, grid: ColourGrid) -> np.ndarray:
    """M_r, AB, that the galaxy will have today, faded with its stars."""
    z = np.asarray(z, float)
    kind = np.full(z.shape, KIND)
    shift = grid.mag("r", kind, z) - grid.mag("r", kind[..., :1], np.zeros(1))
    return mag_r - grid.distance_modulus(z) - shift + _FADING * z
