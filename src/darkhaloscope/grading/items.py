"""What is graded: objects and controls mixed, without a name that tells which, in each one's order.

Nothing here reads a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from darkhaloscope.config import GradeServe
from darkhaloscope.evaluate.places import near
from darkhaloscope.grading.places import Found
from darkhaloscope.keys import digest_of, generator

Role = Literal["object", "known", "blank"]
"""What is asked about, or a control: a known lens, or a plain galaxy without arcs."""

_OF_KIND: dict[str, Role] = {"lens": "known", "host": "blank"}
"""Stamps tell themselves what they are."""


@dataclass(frozen=True)
class Item:
    """One picture to grade. Of all this a grader's page knows the id alone."""

    id: str
    role: Role
    place: int
    """Which of the folders given: first what is graded, then those of known lenses, of blanks."""
    found: Found


@dataclass(frozen=True)
class Offered:
    """The objects of one place, and the parts that they can play."""

    place: int
    objects: Sequence[Found]
    is_stamps: bool

    def as_controls(self, role: Role) -> list[Found]:
        """Of a stamp set the rows of that nature only."""
        return [f for f in self.objects if not self.is_stamps or _OF_KIND.get(f.kind) == role]


def mix(
    asked: Offered,
    known: Sequence[Offered],
    blanks: Sequence[Offered],
    positions: np.ndarray,
    cfg: GradeServe,
    salt: str,
) -> list[Item]:
    """All that is asked about, and as many controls as make up their shares, or all there are.

    positions : (lens, 2) deg, right ascension and declination: objects there are known lenses
    salt : keeps ids from being computed from names
    An object that is also in a place of controls is shown once, and is a control.
    """
    pools: tuple[tuple[Role, Sequence[Offered], float], ...] = (
        ("known", known, cfg.known_share),
        ("blank", blanks, cfg.blank_share),
    )
    parts: dict[tuple, Role] = {
        _same(f): role for role, some, _ in pools for o in some for f in o.as_controls(role)
    }
    objects = _positions(asked.objects)
    listed = positions.reshape(-1, 2)
    at_lens = near(objects[:, 0], objects[:, 1], listed[:, 0], listed[:, 1], cfg.match_arcsec)
    items = [
        _item(salt, parts.get(_same(f), "known" if lens else _role(asked, f)), asked.place, f)
        for f, lens in zip(asked.objects, at_lens, strict=True)
    ]
    shown = len(items) / (1 - cfg.known_share - cfg.blank_share)
    asked_too = {_same(f) for f in asked.objects}
    for role, some, share in pools:
        pool = [
            (o.place, f) for o in some for f in o.as_controls(role) if _same(f) not in asked_too
        ]
        turns = generator(role, str(cfg.seed), "controls").permutation(len(pool))
        chosen = sorted(turns[: round(share * shown)])
        items += [_item(salt, role, *pool[i]) for i in chosen]
    return items


def _same(found: Found) -> tuple[str, float, float]:
    """What tells objects of different places apart."""
    return found.name, found.ra_deg, found.dec_deg


def _positions(objects: Sequence[Found]) -> np.ndarray:
    return np.array([(f.ra_deg, f.dec_deg) for f in objects]).reshape(-1, 2)


def _role(asked: Offered, found: Found) -> Role:
    return _OF_KIND.get(found.kind, "object") if asked.is_stamps else "object"


def _item(salt: str, role: Role, place: int, found: Found) -> Item:
    return Item(digest_of(salt, str(place), found.name)[:16], role, place, found)


def order(items: Sequence[Item], grader: str, seed: int) -> list[Item]:
    """The items in the order in which one grader sees them."""
    turns = generator(grader, str(seed), "order of grading").permutation(len(items))
    return [items[turn] for turn in turns]
