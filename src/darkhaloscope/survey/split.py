"""Train, val or test by place on the sky, so that one piece of sky serves one purpose only."""

import astropy.units as u
import numpy as np
from astropy_healpix import HEALPix

from darkhaloscope.keys import unit_interval

NSIDE = 32
"""HEALPix pixels of 1.8 deg, many times a stamp."""

Fractions = tuple[float, float, float]
WORDS = np.array(["train", "val", "test"], object)

_DIRECTIONS = 16
"""Around a host; a corner of a pixel may reach past two of them by 2 % of the guard's width."""


def split_by_sky(ra_deg: float, dec_deg: float, fractions: Fractions, salt: str) -> str:
    """The split of the HEALPix pixel (nside 32, nested) that holds a position."""
    return splits_by_sky(np.array([ra_deg]), np.array([dec_deg]), fractions, salt)[0]


def splits_by_sky(
    ra_deg: np.ndarray, dec_deg: np.ndarray, fractions: Fractions, salt: str, nside: int = NSIDE
) -> np.ndarray:
    """The splits (words) of the pixels that hold positions.

    A pixel's split hangs on its number alone: the same sky has the same split in any table.
    """
    return _splits_of(sky_pixels(ra_deg, dec_deg, nside), fractions, salt, nside)


def sky_pixels(ra_deg: np.ndarray, dec_deg: np.ndarray, nside: int) -> np.ndarray:
    """Nested HEALPix numbers of positions."""
    grid = HEALPix(nside=nside, order="nested")
    return grid.lonlat_to_healpix(np.asarray(ra_deg) * u.deg, np.asarray(dec_deg) * u.deg)


def near_another_split(
    ra_deg: np.ndarray,
    dec_deg: np.ndarray,
    fractions: Fractions,
    salt: str,
    nside: int,
    guard_arcsec: float,
) -> np.ndarray:
    """Positions within the guard of a pixel of another split.

    Without them, any two positions of different splits are about 2 guard_arcsec apart, or more.
    """
    home = splits_by_sky(ra_deg, dec_deg, fractions, salt, nside)
    near = np.zeros(len(home), bool)
    for turn in 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS:
        ra, dec = _moved(ra_deg, dec_deg, guard_arcsec, turn)
        near |= splits_by_sky(ra, dec, fractions, salt, nside) != home
    return near


def _moved(ra_deg, dec_deg, by_arcsec: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions moved along great circles, `turn` (rad) from east to north."""
    ra, dec, far = np.radians(ra_deg), np.radians(dec_deg), np.radians(by_arcsec / 3600)
    at = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)])
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    x, y, z = np.cos(far) * at + np.sin(far) * (np.cos(turn) * east + np.sin(turn) * north)
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(np.clip(z, -1, 1)))


def expected_scatter(hosts_by_pixel: np.ndarray, fraction: float) -> float:
    """Standard deviation of a split's share of hosts, by which pixels fall to it at random."""
    weight = hosts_by_pixel / hosts_by_pixel.sum()
    return float(np.sqrt((weight**2).sum() * fraction * (1 - fraction)))


def _splits_of(pixels: np.ndarray, fractions: Fractions, salt: str, nside: int) -> np.ndarray:
    unique, place = np.unique(pixels, return_inverse=True)
    at = np.array([unit_interval(f"healpix-{nside}-{pixel}", salt) for pixel in unique])
    number = (at >= fractions[0]).astype(int) + (at >= fractions[0] + fractions[1])
    return WORDS[number[place]]
