"""What a scored row is to a judgement: anchor, injected lens, negative or look-alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from darkhaloscope.config import Evaluate
from darkhaloscope.evaluate.places import near

Columns = Mapping[str, np.ndarray]

PLAIN = ("host", "luminous")
"""Kinds that show a galaxy and nothing added: what a survey is full of."""

_SAME_ARCSEC = 3.0
"""Nearer than this two rows show one galaxy."""

SEEN = ("yes", "perhaps")
"""What evaluate.visibility says of lenses that the ground can show."""


@dataclass(frozen=True)
class Roles:
    """Row numbers. A galaxy without a lens is a negative once, in however many rows it is.

    anchors : real lenses; visible : those that the ground can show; lenses : injected ones
    negatives : what rates are told of
    chosen : negatives of another split, which thresholds are chosen on
    look_alikes : by kind; those of the sky as `ring_on_sky`
    """

    anchors: np.ndarray
    visible: np.ndarray
    lenses: np.ndarray
    negatives: np.ndarray
    chosen: np.ndarray
    look_alikes: Mapping[str, np.ndarray]

    @property
    def controls(self) -> dict[str, np.ndarray]:
        """Negatives and look-alikes, by kind."""
        return {"negatives": self.negatives, **self.look_alikes}


def roles_of(columns: Columns, cfg: Evaluate) -> Roles:
    """Rows by what they are. Rows without a split are taken as of the one that is reported."""
    kind, split = columns["kind"], columns["split"]
    real = columns["place"] == "sky"
    reported = (split == cfg.report_on) | (split == "")
    plain = np.isin(kind, PLAIN)
    named = np.where(real, kind + "_on_sky", kind)
    other = reported & ~plain & (kind != "lens") & (kind != "")
    anchors = np.flatnonzero(reported & real & (kind == "lens"))
    plain &= ~_at(columns, anchors)
    return Roles(
        anchors,
        anchors[np.isin(columns["visible"][anchors], SEEN)],
        np.flatnonzero(reported & ~real & (kind == "lens")),
        _once(columns, reported & plain),
        _once(columns, (split == cfg.choose_on) & plain),
        {name: np.flatnonzero(other & (named == name)) for name in sorted(set(named[other]))},
    )


def _at(columns: Columns, anchors: np.ndarray) -> np.ndarray:
    """Rows at the place of a real lens, or of its name, are no negatives: (row,) bool."""
    there = np.isin(columns["host_id"].astype(str), columns["host_id"][anchors].astype(str))
    ra, dec = columns["ra_deg"], columns["dec_deg"]
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    lens = anchors[np.isfinite(ra[anchors]) & np.isfinite(dec[anchors])]
    there[known[near(ra[known], dec[known], ra[lens], dec[lens], _SAME_ARCSEC)]] = True
    return there


def _once(columns: Columns, which: np.ndarray) -> np.ndarray:
    """The first row of each host, as the sky shows it where it does."""
    rows = np.flatnonzero(which)
    rows = rows[np.argsort(columns["place"][rows] != "sky", kind="stable")]
    _, first = np.unique(columns["host_id"][rows].astype(str), return_index=True)
    return np.sort(rows[first])
