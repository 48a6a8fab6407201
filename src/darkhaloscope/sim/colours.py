"""Colours of sources: one spectral type a galaxy, carried to any redshift.

A type is a number: 0 irregular (Im), 1 Scd, 2 Sbc, 3 elliptical, below 0 bluer than any of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.special import ndtri

TYPES = np.linspace(-1.0, 3.0, 41)

TYPE_QUANTILES = (
    (0.0, 0.025, 0.05, 0.16, 0.30, 0.50, 0.70, 0.84, 0.95, 1.0),
    (-0.6, -0.5, -0.4, -0.2, 0.0, 0.3, 0.7, 1.4, 2.5, 2.7),
)
"""Of the types of galaxies at 1 < z < 4 with I < 24.

Source: fitted here to g-r and r-z of 847 galaxies of VVDS-Deep with very reliable redshifts
(Le Fevre et al. 2013); the distributions at 1 < z < 1.4 and beyond agree to 0.3 in type."""

TYPE_SCATTER = (0.08, 0.05)
"""mag, of g-r and r-z about one type: what the same fit leaves over."""

SIZE_EVOLUTION, SIZE_LUMINOSITY = -0.75, 0.22
"""Half-light radius of late types ~ (1 + z)**-0.75 L**0.22. Source: van der Wel et al. (2014)."""

_FIT_ERROR = 0.1


@dataclass(frozen=True)
class ColourGrid:
    """Magnitudes of TYPES at redshifts, for one luminosity at 5500 Angstrom in the rest frame."""

    redshifts: np.ndarray  # (k,) evenly spaced
    mags: Mapping[str, np.ndarray]  # (type, k) by band, without the distance modulus
    modulus: np.ndarray  # (k,) distance modulus

    def mag(self, band: str, kind: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Magnitude in a band, without the distance modulus; beyond the grid its edge."""
        return map_coordinates(self.mags[band], self._place(kind, z), order=1, mode="nearest")

    def distance_modulus(self, z: np.ndarray) -> np.ndarray:
        return np.interp(z, self.redshifts, self.modulus)

    def comoving_distance(self, z: np.ndarray) -> np.ndarray:
        """Mpc, at redshift z."""
        known = 10 ** (self.modulus / 5 - 5) / (1 + self.redshifts)
        return np.interp(z, self.redshifts, known)

    def lensing_efficiency(self, z_lens: np.ndarray, z_source: np.ndarray) -> np.ndarray:
        """D_ls / D_s in a flat universe; 0 for a source before its lens."""
        ratio = self.comoving_distance(z_lens) / self.comoving_distance(z_source)
        return np.maximum(1 - ratio, 0)

    def fit(self, mags: Mapping[str, np.ndarray], z: np.ndarray) -> np.ndarray:
        """The type whose colours are nearest; NaN where z or all but one magnitude is unknown.

        mags : (galaxy,) by band of this grid, NaN where not known
        """
        measured = np.stack([np.asarray(values, float) for values in mags.values()])
        known = np.isfinite(measured)
        kinds = np.broadcast_to(TYPES[:, None], (len(TYPES), len(z)))
        at = np.broadcast_to(np.nan_to_num(z), kinds.shape)
        model = np.stack([self.mag(band, kinds, at) for band in mags])
        left = np.where(known[:, None], np.nan_to_num(measured)[:, None] - model, 0.0)
        count = np.maximum(known.sum(0), 1)
        left = np.where(known[:, None], left - left.sum(0) / count, 0.0)
        best = TYPES[(left**2 / _FIT_ERROR**2).sum(0).argmin(0)]
        return np.where((known.sum(0) > 1) & np.isfinite(z), best, np.nan)

    def _place(self, kind, z):
        step = self.redshifts[1] - self.redshifts[0]
        row = (np.asarray(kind, float) - TYPES[0]) / (TYPES[1] - TYPES[0])
        column = (np.asarray(z, float) - self.redshifts[0]) / step
        return np.stack(np.broadcast_arrays(row, column))


def draw_types(u: np.ndarray) -> np.ndarray:
    """Types from uniforms, as galaxies at the redshifts of lensed sources have them."""
    return np.interp(u, *TYPE_QUANTILES)


def draw_colours(
    types: np.ndarray, z: np.ndarray, u1: np.ndarray, u2: np.ndarray, grid: ColourGrid
) -> tuple[np.ndarray, np.ndarray]:
    """g-r and r-z (DECam, AB) of types at redshift z, with scatter from two uniforms."""
    g, r, red = (grid.mag(band, types, z) for band in "grz")
    return (
        g - r + TYPE_SCATTER[0] * ndtri(np.clip(u1, 0.01, 0.99)),
        r - red + TYPE_SCATTER[1] * ndtri(np.clip(u2, 0.01, 0.99)),
    )


def bulge_fractions(
    in_r: np.ndarray, kind: np.ndarray, z: np.ndarray, redder: float, grid: ColourGrid
) -> dict[str, np.ndarray]:
    """Share of a source's light in its bulge by band (DECam), the bulge of a redder type.

    in_r : share in r; kind : type of the disc; redder : by how many types, up to elliptical
    """
    old = np.minimum(kind + redder, TYPES[-1])
    found = {}
    for band in "grz":
        bluer = [grid.mag(band, t, z) - grid.mag("r", t, z) for t in (old, kind)]
        ratio = 10 ** (-0.4 * (bluer[0] - bluer[1]))
        found[band] = in_r * ratio / (1 - in_r + in_r * ratio)
    return found


def offset_colours(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The plan's fixed offsets (g -0.30, z +0.20, growing with z), kept for its ablation.

    They make sources bluer than any known galaxy: EVIDENCE section 1.
    """
    growth = np.clip((z - 1) / 2, 0, 1)
    return -0.30 * (1 + 0.30 * growth), -0.20 * (1 + 0.20 * growth)


def moved_mag(
    mag: np.ndarray, types: np.ndarray, z_from: np.ndarray, z_to: np.ndarray, grid: ColourGrid
) -> np.ndarray:
    """r magnitude (DECam) at z_to of a galaxy of F814W magnitude `mag` at z_from."""
    spectrum = grid.mag("r", types, z_to) - grid.mag("f814w", types, z_from)
    return mag + spectrum + grid.distance_modulus(z_to) - grid.distance_modulus(z_from)


def moved_size(
    hlr: np.ndarray,
    z_from: np.ndarray,
    z_to: np.ndarray,
    luminosity_ratio: np.ndarray,
    grid: ColourGrid,
) -> np.ndarray:
    """Half-light radius on the sky once a galaxy is moved, and its luminosity changed.

    hlr : at z_from, in any angular unit
    """
    distance = (grid.distance_modulus(z_from) - grid.distance_modulus(z_to)) / 5
    stretch = (1 + z_to) / (1 + z_from)  # angular diameter distance = D_L / (1 + z)**2
    angle = 10**distance * stretch**2
    return hlr * angle * stretch**SIZE_EVOLUTION * luminosity_ratio**SIZE_LUMINOSITY
