"""Operating points: thresholds chosen on some negatives, and what they do on other rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from darkhaloscope.evaluate.roles import Roles
from darkhaloscope.evaluate.stats import Estimate, exact_rate, rate_by_host, threshold_at

LEAST_FALSE = 3.0
"""False positives that a rate must let expect: of fewer negatives even none at all could not show
that the rate is kept. Source: the rule of three, Hanley & Lippman-Hand (1983)"""

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Point:
    """A threshold on logits, and the rate at which it lets negatives of the reported split pass."""

    fpr: float
    threshold: float
    achieved: Estimate


@dataclass(frozen=True)
class Refused:
    """A false-positive rate that the negatives cannot show."""

    fpr: float
    chosen: int
    negatives: int

    @property
    def needed(self) -> int:
        return least_negatives(self.fpr)


def least_negatives(fpr: float) -> int:
    """Negatives, of either split, that a false-positive rate needs."""
    return math.ceil(LEAST_FALSE / fpr * (1 - 1e-12))


def points(columns: Columns, roles: Roles, fprs: Sequence[float]) -> list[Point | Refused]:
    """The operating point of each false-positive rate, or why there is none."""
    logit = columns["logit"]
    chosen, negatives = logit[roles.chosen], logit[roles.negatives]
    found: list[Point | Refused] = []
    for fpr in fprs:
        if min(len(chosen), len(negatives)) < least_negatives(fpr):
            found.append(Refused(fpr, len(chosen), len(negatives)))
            continue
        threshold = threshold_at(chosen, fpr)
        passed = int((negatives > threshold).sum())
        found.append(Point(fpr, threshold, exact_rate(passed, len(negatives))))
    return found


def strictest(found: Sequence[Point | Refused]) -> Point | None:
    """The point of the lowest false-positive rate that can be shown."""
    there = [point for point in found if isinstance(point, Point)]
    return min(there, key=lambda point: point.fpr) if there else None


def share_above(columns: Columns, rows: np.ndarray, threshold: float) -> Estimate:
    """Share of rows whose logit exceeds a threshold, by host. Raises ValueError without a row"""
    return rate_by_host(columns["logit"][rows] > threshold, columns["host_id"][rows])


def share_at_score(columns: Columns, rows: np.ndarray, score: float) -> Estimate:
    """Share of rows with at least such a score, by host. Raises ValueError without a row"""
    return rate_by_host(columns["score"][rows] >= score, columns["host_id"][rows])
