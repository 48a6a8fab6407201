"""What a name says of a place: J091205.30+002901.1, J0912+0029, DESI-154.6972-01.3590, B0128+437.

Designations are cut off, not rounded (IAU), so that a name is a box on the sky: its digits are the
corner, and their last place the side. Source: cds.unistra.fr/Dic/iau-spec.html
"""

import math
import re
from dataclasses import dataclass

_ANGLE = re.compile(
    r"(?<![\d.])(?P<equinox>[JB]?)\s?(?P<ra>\d{4,9}(\.\d+)?)\s?(?P<sign>[+-])\s?(?P<dec>\d{2,9}(\.\d+)?)"
)
_DECIMAL = re.compile(r"(?<![\d.G])(?P<ra>\d{1,3}\.\d{3,})(?P<sign>[+-])(?P<dec>\d{1,2}\.\d{3,})")
_ARCSEC = 3600.0


@dataclass(frozen=True)
class Box:
    """Where a name says that its object stands."""

    ra_deg: tuple[float, float]
    dec_deg: tuple[float, float]
    digits: tuple[str, str]  # of RA, and of Dec with its sign
    equinox: str  # J, B, or empty where the name does not tell

    @property
    def step_arcsec(self) -> float:
        """The longer side: how precisely the name tells."""
        middle = math.radians(sum(self.dec_deg) / 2)
        width = (self.ra_deg[1] - self.ra_deg[0]) * math.cos(middle)
        return max(width, self.dec_deg[1] - self.dec_deg[0]) * _ARCSEC

    def off_arcsec(self, ra_deg: float, dec_deg: float) -> float:
        """How far outside the box a position lies, 0 inside; J2000.

        Names that do not say J may be of B1950: the nearer of both counts
        """
        places = [] if self.equinox == "B" else [(ra_deg, dec_deg)]
        if self.equinox != "J":
            places.append(_b1950(ra_deg, dec_deg))
        return min(_outside(self, *place) for place in places)


class Impossible(ValueError):
    """Digits that look like a place and can be none, such as 75 seconds."""


def box_of(name: str) -> Box | None:
    """The place in a name, None if there is none in it. Raises Impossible"""
    plain = re.sub("[\u2212\u2013]", "-", name)
    if found := _DECIMAL.search(plain):
        ra, dec = (_decimal(found[word]) for word in ("ra", "dec"))
        return _boxed(ra, dec, found, "J")
    if (found := _ANGLE.search(plain)) is None or int(found["ra"][:2]) >= 24:
        return None
    low, step = _sexagesimal(found["ra"], name)
    dec = _sexagesimal(found["dec"], name, tenths_of_first=True)
    return _boxed((15 * low, 15 * step), dec, found, found["equinox"])


def same_name(one: Box, other: Box) -> bool:
    """Whether two names are of one place, one of them perhaps shorter: J0912+0029 is short for
    J091205.30+002901.1."""
    pairs = zip(one.digits, other.digits, strict=True)
    return all(a.startswith(b) or b.startswith(a) for a, b in pairs)


def _boxed(ra: tuple[float, float], dec: tuple[float, float], found: re.Match, equinox: str) -> Box:
    sign = found["sign"]
    low, high = dec[0], dec[0] + dec[1]
    span = (low, high) if sign == "+" else (-high, -low)
    digits = (found["ra"].replace(".", ""), sign + found["dec"].replace(".", ""))
    return Box((ra[0], ra[0] + ra[1]), span, digits, equinox)


def _decimal(text: str) -> tuple[float, float]:
    """A number, and the worth of its last place."""
    return float(text), 10.0 ** -len(text.partition(".")[2])


def _sexagesimal(text: str, name: str, tenths_of_first: bool = False) -> tuple[float, float]:
    """HHMM, HHMMm, HHMMSS or HHMMSSss, with a point or without, in units of the first; its step.

    tenths_of_first : three digits are a degree and its tenth, DDd
    """
    whole, point, rest = text.partition(".")
    if tenths_of_first and len(whole) == 3 and not point:
        whole, rest = whole[:2], whole[2:]
    elif not point:
        keep = 6 if len(whole) > 6 else len(whole) - len(whole) % 2
        whole, rest = whole[:keep], whole[keep:]
    value, step = 0.0, 1.0
    for place in range(0, len(whole), 2):
        part = int(whole[place : place + 2])
        if place and part >= 60:
            raise Impossible(f"{name} says {part} in the place of minutes or seconds")
        step = 60.0 ** -(place // 2)
        value += part * step
    if rest:
        value, step = value + int(rest) * step / 10 ** len(rest), step / 10 ** len(rest)
    return value, step


def _outside(box: Box, ra_deg: float, dec_deg: float) -> float:
    middle, half = sum(box.ra_deg) / 2, (box.ra_deg[1] - box.ra_deg[0]) / 2
    east = max(abs((ra_deg - middle + 180) % 360 - 180) - half, 0) * math.cos(math.radians(dec_deg))
    north = max(box.dec_deg[0] - dec_deg, dec_deg - box.dec_deg[1], 0)
    return math.hypot(east, north) * _ARCSEC


def _b1950(ra_deg: float, dec_deg: float) -> tuple[float, float]:
    """A position of J2000 carried to the equinox of 1950, within two arcsec.

    Source: precession angles of Lieske (1979), T = -0.5 Julian centuries
    """
    t = -0.50000210
    zeta = math.radians((2306.2181 * t + 0.30188 * t * t) / _ARCSEC)
    z = math.radians((2306.2181 * t + 1.09468 * t * t) / _ARCSEC)
    theta = math.radians((2004.3109 * t - 0.42665 * t * t) / _ARCSEC)
    ra, dec = math.radians(ra_deg) + zeta, math.radians(dec_deg)
    x = math.cos(dec) * math.sin(ra)
    y = math.cos(theta) * math.cos(dec) * math.cos(ra) - math.sin(theta) * math.sin(dec)
    up = math.sin(theta) * math.cos(dec) * math.cos(ra) + math.cos(theta) * math.sin(dec)
    return math.degrees(math.atan2(x, y) + z) % 360, math.degrees(math.asin(max(-1, min(1, up))))
