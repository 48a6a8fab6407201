"""Whether entries of lens catalogues can be anchors: what is asked of each, and what is one lens.

Columns in and out are arrays of one value an entry; see `Entries`.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from darkhaloscope.evaluate.designations import Box, Impossible, box_of, same_name
from darkhaloscope.evaluate.places import (
    far_apart,
    groups,
    neighbours,
    place,
    separation,
    unit_vectors,
)
from darkhaloscope.flags import Flag

Columns = dict[str, np.ndarray]

LEAST_THETA_E_ARCSEC, MOST_THETA_E_ARCSEC = 0.1, 10.0
"""Beyond are no galaxies but clusters, or other units."""
_CANDIDATES = {"probable", "possible", "candidate", "b", "c", "d"}
_NO_GALAXIES = {"cluster", "group"}
_HOURS = 15.0

AGREES, NO_POSITION = "agrees", "no position in it"


@dataclass(frozen=True)
class NameCheck:
    """What a name says of its entry's position."""

    says: str  # AGREES, NO_POSITION, or what is wrong
    off_arcsec: float  # outside the box that the name tells; NaN if it tells none
    step_arcsec: float  # how precisely the name tells

    @property
    def disagrees(self) -> bool:
        return self.says not in (AGREES, NO_POSITION)


def check_name(name: str, ra_deg: float, dec_deg: float, slack_arcsec: float) -> NameCheck:
    """A name held against a position; `slack_arcsec` is what catalogues differ by."""
    try:
        box = box_of(name)
    except Impossible as error:
        return NameCheck(str(error), math.nan, math.nan)
    if box is None:
        return NameCheck(NO_POSITION, math.nan, math.nan)
    off = box.off_arcsec(ra_deg, dec_deg)
    if off <= slack_arcsec:
        return NameCheck(AGREES, off, box.step_arcsec)
    return NameCheck(
        f"{name} lies {far_apart(off)} from {place(ra_deg, dec_deg)}"
        + _hint(box, ra_deg, dec_deg, slack_arcsec),
        off,
        box.step_arcsec,
    )


def _hint(box: Box, ra_deg: float, dec_deg: float, slack: float) -> str:
    """What the position would have to be for the name to agree."""
    others = {
        "RA is in hours": (ra_deg * _HOURS, dec_deg),
        "RA and Dec are exchanged": (dec_deg, ra_deg),
        "the sign of Dec is wrong": (ra_deg, -dec_deg),
        "RA is in radians": (math.degrees(ra_deg), math.degrees(dec_deg)),
    }
    found = [why for why, at in others.items() if abs(at[1]) <= 90]
    right = [why for why in found if box.off_arcsec(*others[why]) <= slack]
    return f"; it would agree if {right[0]}" if right else ""


def impossible(ra: float, dec: float, theta_E: float, z_lens: float, z_source: float) -> str:
    """Which values cannot be, in words; empty if all can. NaN is not known, and can be."""
    low, high = LEAST_THETA_E_ARCSEC, MOST_THETA_E_ARCSEC
    asked = {
        f"position {ra:g} {dec:g} is none, in degrees": not (0 <= ra < 360 and abs(dec) <= 90),
        f"theta_E {theta_E:g} is outside {low} to {high:g} arcsec": not (
            math.isnan(theta_E) or low <= theta_E <= high
        ),
        f"z_lens {z_lens:g} is not positive": z_lens <= 0,
        f"z_source {z_source:g} is not behind z_lens {z_lens:g}": z_source <= z_lens,
    }
    return "; ".join(words for words, wrong in asked.items() if wrong)


@dataclass
class Judged:
    """What was found of every entry."""

    flags: np.ndarray  # bits of flags.Flag
    detail: list[str]  # what was met, in words
    names: list[NameCheck]
    separation_arcsec: np.ndarray  # to the nearest entry of another catalogue, NaN if there is none
    group: np.ndarray  # number of the lens that the entry is of

    def blame(self, i: int, flag: Flag, why: str) -> None:
        self.flags[i] |= int(flag)
        self.detail[i] = "; ".join(filter(None, (self.detail[i], why)))


def judge(
    rows: Columns,
    *,
    match_arcsec: float,
    alone: bool = False,
    candidates: bool = False,
    telescope: str = "both",
) -> Judged:
    """Every entry, asked everything; nothing is dropped.

    rows : name, ra_deg, dec_deg, theta_E_arcsec, z_lens, z_source, anchor_class, catalogue, grade,
        kind_of_lens, telescope
    alone : entries that no other catalogue has are let through; candidates : likewise
    telescope : of which sky; both takes all
    """
    n = len(rows["name"])
    judged = Judged(
        np.zeros(n, np.int64), [""] * n, [], np.full(n, np.nan), np.arange(n, dtype=np.int64)
    )
    for i in range(n):
        _ask_itself(judged, rows, i, match_arcsec, candidates, telescope)
    sound = np.flatnonzero((judged.flags & _UNSOUND) == 0)
    pairs = neighbours(rows["ra_deg"][sound], rows["dec_deg"][sound], match_arcsec)
    left, right, far = sound[pairs[0]], sound[pairs[1]], pairs[2]
    _confirm(judged, rows, left, right, far)
    judged.group[sound] = sound[groups(len(sound), pairs[0], pairs[1])]
    _one_class(judged, rows, left, right)
    _alone(judged, rows, sound, alone)
    return judged


_UNSOUND = int(Flag.BAD_VALUES | Flag.NAME_DISAGREES)
"""What such an entry says of a position confirms no other."""


def _ask_itself(judged, rows, i, slack, candidates, telescope) -> None:
    ra, dec = float(rows["ra_deg"][i]), float(rows["dec_deg"][i])
    values = (float(rows[name][i]) for name in ("theta_E_arcsec", "z_lens", "z_source"))
    if wrong := impossible(ra, dec, *values):
        judged.blame(i, Flag.BAD_VALUES, wrong)
    judged.names.append(check_name(str(rows["name"][i]), ra, dec, slack))
    if judged.names[i].disagrees:
        judged.blame(i, Flag.NAME_DISAGREES, judged.names[i].says)
    grade, kind = (str(rows[name][i]).lower() for name in ("grade", "kind_of_lens"))
    if grade in _CANDIDATES and not candidates:
        judged.blame(i, Flag.CANDIDATE, f"{rows['catalogue'][i]} grades it {grade}")
    if kind in _NO_GALAXIES:
        judged.blame(i, Flag.NOT_A_GALAXY, f"{rows['catalogue'][i]} calls it a {kind}")
    if telescope not in ("both", rows["telescope"][i]):
        judged.blame(i, Flag.OTHER_TELESCOPE, f"on the sky of {rows['telescope'][i]}")


def _confirm(judged: Judged, rows: Columns, left, right, far) -> None:
    """The nearest entry of another catalogue."""
    other = rows["catalogue"][left] != rows["catalogue"][right]
    for one in (left, right):
        np.fmin.at(judged.separation_arcsec, one[other], far[other])


def _one_class(judged: Judged, rows: Columns, left, right) -> None:
    """A lens in one catalogue is no hard negative of another."""
    classes = rows["anchor_class"]
    for a, b in zip(left, right, strict=True):
        if classes[a] != classes[b]:
            for i, j in ((a, b), (b, a)):
                judged.blame(
                    i,
                    Flag.CLASS_CONFLICT,
                    f"{classes[i]} here, {classes[j]} in {rows['catalogue'][j]}",
                )


def _alone(judged: Judged, rows: Columns, sound: np.ndarray, allowed: bool) -> None:
    """Entries that no other catalogue has: perhaps it has their name, at another place."""
    known = _by_name(rows, sound)
    alone = sound[np.isnan(judged.separation_arcsec[sound])]
    nearest = _nearest(rows, sound, alone)
    for i in alone:
        if twin := _twin(rows, known, i):
            judged.blame(i, Flag.ELSEWHERE, twin)
        elif not allowed:
            judged.blame(i, Flag.NOT_CONFIRMED, nearest[i])


def _nearest(rows: Columns, sound: np.ndarray, alone: np.ndarray) -> dict[int, str]:
    """What other catalogues have nearest to an entry, in words."""
    said = dict.fromkeys(alone.tolist(), "there is no other catalogue")
    of = rows["catalogue"]
    for catalogue in dict.fromkeys(of[alone]):
        mine, others = alone[of[alone] == catalogue], sound[of[sound] != catalogue]
        if not len(others):
            continue
        tree = cKDTree(unit_vectors(rows["ra_deg"][others], rows["dec_deg"][others]))
        chord, at = tree.query(unit_vectors(rows["ra_deg"][mine], rows["dec_deg"][mine]))
        for i, j, far in zip(mine, others[at], chord, strict=True):
            apart = far_apart(np.degrees(2 * np.arcsin(min(far / 2, 1))) * 3600)
            said[int(i)] = (
                f"the nearest entry of another catalogue, {rows['name'][j]}, is {apart} away"
            )
    return said


def _by_name(rows: Columns, sound: np.ndarray) -> dict[tuple[str, str], list[tuple[int, Box]]]:
    """Entries by HHMM and DDMM of their names."""
    known = defaultdict(list)
    for i in sound:
        if box := box_of(str(rows["name"][i])):
            known[_short(box)].append((int(i), box))
    return known


def _short(box: Box) -> tuple[str, str]:
    return box.digits[0][:4], box.digits[1][:5]


def _twin(rows: Columns, known, i: int) -> str:
    """The entry of another catalogue that has this name but another place, in words."""
    box = box_of(str(rows["name"][i]))
    if box is None:
        return ""
    at = float(rows["ra_deg"][i]), float(rows["dec_deg"][i])
    for j, other in known[_short(box)]:
        if rows["catalogue"][j] == rows["catalogue"][i] or not same_name(box, other):
            continue
        there = float(rows["ra_deg"][j]), float(rows["dec_deg"][j])
        apart = far_apart(separation(*at, *there))
        known_as = f"{rows['name'][j]} of {rows['catalogue'][j]}"
        return f"{known_as} stands {apart} away, at {place(*there)}"
    return ""
