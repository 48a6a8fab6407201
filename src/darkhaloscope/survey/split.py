"""Train, val or test by place on the sky, so that one piece of sky serves one purpose only."""

from collections.abc import Sequence

import astropy.units as u
import numpy as np
from astropy.coordinates import angular_separation
from astropy_healpix import HEALPix

from darkhaloscope.keys import unit_interval
from darkhaloscope.units import SKY_PIXEL_ARCSEC

NSIDE = 32
"""HEALPix pixels of 1.8 deg, many times a stamp."""

Fractions = tuple[float, float, float]
WORDS = np.array(["train", "val", "test"], object)

PIXELS_PER_GUARD = 4
"""A sky pixel must be wider than so many guards, or one could lie between two looks at the sky."""

_DIRECTIONS = 16
_CORNER_GUARDS = 3
"""A pixel beyond a corner comes no nearer than a third of the corner's distance."""


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


def pixel_side_arcsec(nside: int) -> float:
    """Of a square of a sky pixel's area."""
    return SKY_PIXEL_ARCSEC / nside


def pixel_area_deg2(nside: int) -> float:
    return (pixel_side_arcsec(nside) / 3600) ** 2


def near_another_split(
    ra_deg: np.ndarray,
    dec_deg: np.ndarray,
    fractions: Fractions,
    salt: str,
    nside: int,
    guard_arcsec: float,
) -> np.ndarray:
    """Positions within the guard of a pixel of another split.

    Without them, any two positions of different splits are 2 guard_arcsec apart or more: the way
    from one to the other leaves the first one's split, and enters the second one's. A border is
    straight on this scale and is met on a ring about the position; a corner may reach between two
    looks, so that near one all pixels that meet there are asked.
    Raises ValueError if a sky pixel is narrower than PIXELS_PER_GUARD guards
    """
    if PIXELS_PER_GUARD * guard_arcsec > pixel_side_arcsec(nside):
        raise ValueError(
            f"guard_arcsec = {guard_arcsec:g} needs sky pixels of {PIXELS_PER_GUARD} guards, those "
            f"of nside {nside} are {pixel_side_arcsec(nside):.0f} arcsec; lower nside or the guard"
        )
    ra, dec = np.asarray(ra_deg, float), np.asarray(dec_deg, float)
    home = splits_by_sky(ra, dec, fractions, salt, nside)
    sky = (fractions, salt, nside)
    near = _differs_around(ra, dec, guard_arcsec / np.cos(np.pi / _DIRECTIONS), home, sky)
    corner_ra, corner_dec, far = _nearest_corner(ra, dec, nside)
    close = far < _CORNER_GUARDS * guard_arcsec
    near[close] |= _differs_around(
        corner_ra[close], corner_dec[close], guard_arcsec / 4, home[close], sky
    )
    return near


def _differs_around(ra, dec, by_arcsec: float, home: np.ndarray, sky: tuple) -> np.ndarray:
    """Whether a ring about a position meets a split other than `home`."""
    differs = np.zeros(len(home), bool)
    for turn in 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS:
        differs |= splits_by_sky(*_moved(ra, dec, by_arcsec, turn), *sky) != home
    return differs


def _nearest_corner(ra, dec, nside: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest corner of a position's own pixel (deg), and how far off it is (arcsec)."""
    grid = HEALPix(nside=nside, order="nested")
    pixel, *within = grid.lonlat_to_healpix(ra * u.deg, dec * u.deg, return_offsets=True)
    east, north = grid.healpix_to_lonlat(pixel, *(np.round(offset) for offset in within))
    far = angular_separation(ra * u.deg, dec * u.deg, east, north)
    return east.to_value("deg"), north.to_value("deg"), far.to_value("arcsec")


def _moved(ra_deg, dec_deg, by_arcsec: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions moved along great circles, `turn` (rad) from east to north."""
    ra, dec, far = np.radians(ra_deg), np.radians(dec_deg), np.radians(by_arcsec / 3600)
    at = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)])
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    x, y, z = np.cos(far) * at + np.sin(far) * (np.cos(turn) * east + np.sin(turn) * north)
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(np.clip(z, -1, 1)))


def salt_of(seed: int) -> str:
    """The salt that gives a seed's splits, in every stage."""
    return f"sky-{seed}"


def worst_miss(hosts: Sequence[int], fractions: Fractions) -> float:
    """The largest difference of a split's share of hosts from its fraction."""
    return float(np.abs(np.array(hosts) / sum(hosts) - fractions).max())


def expected_scatter(hosts_by_pixel: np.ndarray, fraction: float) -> float:
    """Standard deviation of a split's share of hosts, by which pixels fall to it at random."""
    weight = hosts_by_pixel / hosts_by_pixel.sum()
    return float(np.sqrt((weight**2).sum() * fraction * (1 - fraction)))


def _splits_of(pixels: np.ndarray, fractions: Fractions, salt: str, nside: int) -> np.ndarray:
    unique, place = np.unique(pixels, return_inverse=True)
    at = np.array([unit_interval(f"healpix-{nside}-{pixel}", salt) for pixel in unique])
    number = (at >= fractions[0]).astype(int) + (at >= fractions[0] + fractions[1])
    return WORDS[number[place]]
