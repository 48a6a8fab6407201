"""Train, val or test by place on the sky, so that one piece of sky serves one purpose only."""

import astropy.units as u
from astropy_healpix import HEALPix

from darkhaloscope.keys import unit_interval

NSIDE = 32
"""HEALPix pixels of 1.8 deg, many times a stamp."""


def split_by_sky(
    ra_deg: float, dec_deg: float, fractions: tuple[float, float, float], salt: str
) -> str:
    """The split of the HEALPix pixel (nside 32, nested) that holds a position."""
    pixel = HEALPix(nside=NSIDE, order="nested").lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg)
    place = unit_interval(f"healpix-{NSIDE}-{int(pixel)}", salt)
    if place < fractions[0]:
        return "train"
    return "val" if place < fractions[0] + fractions[1] else "test"
