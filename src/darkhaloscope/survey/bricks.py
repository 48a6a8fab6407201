"""The survey's bricks: which one holds a place, and where its coadds lie.

Bricks tile the sky in rows of 0.25 deg of declination; their coadds are TAN images of 3600 pixels
about the brick's centre, a little larger than the brick, so that they overlap.
Source: desiutil.brick, Legacy Surveys DR10 files description.
"""

import math
from dataclasses import dataclass

import numpy as np

from darkhaloscope.units import PIXEL_SCALE_ARCSEC, stamp_center

BRICK_DEG = 0.25
SIDE_PIX = 3600

_ROWS = round(180 / BRICK_DEG)


@dataclass(frozen=True)
class Brick:
    """One brick: its name, RRRr[pm]DDd of its centre, and the centre (deg)."""

    name: str
    ra_deg: float
    dec_deg: float


def brick_at(row: int, column: int) -> Brick:
    """The brick of a row (0 at the south pole) and a column (0 begins at RA 0, cyclic)."""
    n = _columns(row)
    ra, dec = (column % n + 0.5) * 360 / n, -90 + row * BRICK_DEG
    sign = "p" if dec >= 0 else "m"
    return Brick(f"{int(10 * ra):04d}{sign}{int(10 * abs(dec)):03d}", ra, dec)


def brick_of(ra_deg: float, dec_deg: float) -> Brick:
    """The brick in which a position lies."""
    row = _row(dec_deg)
    return brick_at(row, _column(row, ra_deg))


def _row(dec_deg: float) -> int:
    return min(max(math.floor((dec_deg + 90) / BRICK_DEG + 0.5), 0), _ROWS)


def _columns(row: int) -> int:
    """Bricks in a row: an even number, none wider than 0.25 deg anywhere; one at a pole."""
    if row in {0, _ROWS}:
        return 1
    widest = abs(-90 + row * BRICK_DEG) - BRICK_DEG / 2
    around = math.ceil(360 * math.cos(math.radians(max(widest, 0.0))) / BRICK_DEG)
    return around + around % 2


def _column(row: int, ra_deg: float) -> int:
    n = _columns(row)
    return int(ra_deg % 360 / 360 * n) % n


def pixel_of(ra_deg: float, dec_deg: float, brick: Brick) -> tuple[float, float]:
    """Pixel x, y (from 0) of a position in a brick's coadds: gnomonic, +x to the west."""
    ra, dec, dec0 = (math.radians(v) for v in (ra_deg - brick.ra_deg, dec_deg, brick.dec_deg))
    cosine = math.sin(dec0) * math.sin(dec) + math.cos(dec0) * math.cos(dec) * math.cos(ra)
    if cosine <= 0:
        return math.inf, math.inf
    east = math.cos(dec) * math.sin(ra) / cosine
    north = math.cos(dec0) * math.sin(dec) - math.sin(dec0) * math.cos(dec) * math.cos(ra)
    scale = math.degrees(1) * 3600 / PIXEL_SCALE_ARCSEC
    middle = stamp_center(SIDE_PIX)
    return middle - scale * east, middle + scale * north / cosine


def brick_holding(ra_deg: float, dec_deg: float, size: int) -> Brick | None:
    """The brick whose coadds hold a stamp of `size` pixels about a position whole.

    The position's own brick if it does, else the neighbour in which the stamp lies deepest, else
    None.
    """
    home = brick_of(ra_deg, dec_deg)
    if depth_in(ra_deg, dec_deg, size, home) >= 0:
        return home
    depth = {b: depth_in(ra_deg, dec_deg, size, b) for b in _neighbours(ra_deg, dec_deg)}
    best = max(depth, key=depth.__getitem__)
    return best if depth[best] >= 0 else None


def depth_in(ra_deg: float, dec_deg: float, size: int, brick: Brick) -> float:
    """Pixels between a stamp and the edge of a brick's coadds; negative if it is not whole."""
    x0, y0, _ = corner(*pixel_of(ra_deg, dec_deg, brick), size)
    return min(x0, y0, SIDE_PIX - size - x0, SIDE_PIX - size - y0)


def corner(x: float, y: float, size: int) -> tuple[float, float, tuple[float, float]]:
    """Lower left pixel of the stamp about pixel position x, y; what is left of x, y (arcsec).

    The left-over is the object's place from the stamp's centre, at most half a pixel an axis.
    """
    if not (math.isfinite(x) and math.isfinite(y)):
        return -math.inf, -math.inf, (math.nan, math.nan)
    (x0, rest_x), (y0, rest_y) = (_from_pixels(v - stamp_center(size)) for v in (x, y))
    return x0, y0, (rest_x, rest_y)


def _from_pixels(first: float) -> tuple[int, float]:
    """The nearest whole pixel, and what is left, arcsec."""
    whole = math.floor(first + 0.5)
    return whole, (first - whole) * PIXEL_SCALE_ARCSEC


def _neighbours(ra_deg: float, dec_deg: float) -> list[Brick]:
    home = _row(dec_deg)
    rows = [row for row in (home - 1, home, home + 1) if 0 <= row <= _ROWS]
    found = {brick_at(r, _column(r, ra_deg) + step) for r in rows for step in (-1, 0, 1)}
    return sorted(found, key=lambda brick: brick.name)


def coadd_path(brick: str, product: str, band: str = "") -> str:
    """Of a product such as image (of a band) or maskbits, from the root of a coadd tree."""
    end = f"-{band}" if band else ""
    return f"{brick[:3]}/{brick}/legacysurvey-{brick}-{product}{end}.fits.fz"


def names_of(ra_deg: np.ndarray, dec_deg: np.ndarray) -> list[str]:
    """The bricks' names of many positions."""
    return [brick_of(r, d).name for r, d in zip(ra_deg, dec_deg, strict=True)]
