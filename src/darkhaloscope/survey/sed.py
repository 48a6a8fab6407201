"""Magnitudes of galaxies of known spectral type at any redshift, through real bandpasses.

The spectra are those of Coleman, Wu & Weedman (1980), extended, as GalSim ships them; the
intergalactic medium is Madau's (1995), from synphot; bandpasses are speclite's and GalSim's;
distances are those of Planck18.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import astropy.units as u
import galsim
import numpy as np
from astropy.cosmology import Planck18
from speclite.filters import load_filter
from synphot import etau_madau

from darkhaloscope.sim.colours import TYPES, ColourGrid

_REST = np.geomspace(900.0, 25000.0, 3000)  # Angstrom
_PIVOT = 5500.0
_REDSHIFTS = np.arange(0.0, 5.01, 0.05)
_BLUER_SLOPE = 1.5
"""Below Im spectra grow bluer as lambda**(slope * type): younger than any of the four."""
_FILTERS = {
    **{band: f"decam2014-{band}" for band in "grz"},
    **{f"hsc_{band}": f"hsc2017-{band}" for band in "griz"},
}

Bandpass = tuple[np.ndarray, np.ndarray]
"""Wavelength (Angstrom) and response per photon."""


@lru_cache(maxsize=1)
def colour_grid() -> ColourGrid:
    """Magnitudes in DECam g r z, HSC g r i z (as hsc_g ...) and ACS F814W (as f814w)."""
    filters = {name: load_filter(full) for name, full in _FILTERS.items()}
    bands = {name: (f.wavelength, f.response) for name, f in filters.items()}
    acs = np.loadtxt(Path(galsim.meta_data.share_dir) / "bandpasses" / "ACS_wfc_F814W.dat")
    return synthesize(bands | {"f814w": (acs[:, 0] * 10, acs[:, 1])})  # nm


def synthesize(bands: Mapping[str, Bandpass], redshifts: np.ndarray = _REDSHIFTS) -> ColourGrid:
    """Magnitudes of all types at all redshifts.

    bands : by name; redshifts : (k,) increasing
    """
    spectra = np.array([_spectrum(t) for t in TYPES])
    mags = {name: np.empty((len(TYPES), len(redshifts))) for name in bands}
    for k, z in enumerate(redshifts):
        observed = _REST * (1 + z)
        through = etau_madau(observed * u.AA, z)(observed * u.AA).value if z > 0 else 1.0
        for name, band in bands.items():
            mags[name][:, k] = _ab_mag(observed, spectra * through / (1 + z), *band)
    modulus = np.array([Planck18.distmod(z).value if z > 0 else -np.inf for z in redshifts])
    return ColourGrid(redshifts, mags, modulus)


def _ab_mag(wavelength, spectra, band_wavelength, response) -> np.ndarray:
    """AB magnitudes of (type, wavelength) spectra, f_lambda, up to one constant for all."""
    use = response > 0
    at = band_wavelength[use]
    seen = np.array([np.interp(at, wavelength, s, left=0, right=0) for s in spectra])
    flux = np.trapezoid(seen * response[use] * at, at)
    return -2.5 * np.log10(np.maximum(flux, 1e-30) / np.trapezoid(response[use] / at, at))


@lru_cache(maxsize=1)
def _templates() -> np.ndarray:
    """Im, Scd, Sbc, E on _REST, each 1 at the pivot."""
    folder = Path(galsim.meta_data.share_dir) / "SEDs"
    found = []
    for name in ("Im", "Scd", "Sbc", "E"):
        wavelength, flux = np.loadtxt(folder / f"CWW_{name}_ext_more.sed").T
        flux = np.interp(_REST, wavelength, flux)
        found.append(np.maximum(flux / np.interp(_PIVOT, _REST, flux), 1e-12))
    return np.array(found)


def _spectrum(kind: float) -> np.ndarray:
    """Between the templates spectra are geometric means; below Im they grow bluer."""
    every = _templates()
    if kind < 0:
        return every[0] * (_REST / _PIVOT) ** (_BLUER_SLOPE * kind)
    first = min(int(kind), len(every) - 2)
    share = kind - first
    return every[first] ** (1 - share) * every[first + 1] ** share
