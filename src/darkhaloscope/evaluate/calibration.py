"""Whether scores are probabilities: expected calibration error, and what purity they mean."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from darkhaloscope.evaluate.bootstrap import RESAMPLES, resampled
from darkhaloscope.evaluate.stats import Estimate

BINS = 10
_LEAST_A_BIN = 10


@dataclass(frozen=True)
class Bin:
    """Scores of about as many rows in each bin: their mean, and the share of lenses among them."""

    score: float
    share: float
    n: int


def bins_of(score: np.ndarray, n: int = BINS) -> np.ndarray:
    """The bin of each row, with about as many rows in each; rows with one score are together."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, n + 1)[1:-1]))
    return np.searchsorted(edges, score, side="left")


def reliability(score: np.ndarray, lens: np.ndarray) -> list[Bin]:
    """Mean score and share of lenses, bin by bin. lens : (row,) bool"""
    place = bins_of(score)
    n = np.bincount(place)
    rows = zip(np.bincount(place, score), np.bincount(place, lens), n, strict=True)
    return [Bin(float(s / k), float(y / k), int(k)) for s, y, k in rows if k]


def calibration_error(
    score: np.ndarray, lens: np.ndarray, hosts: np.ndarray, n: int = RESAMPLES, salt: str = ""
) -> Estimate:
    """Expected calibration error: |mean score - share of lenses| over bins of as many rows.

    Chance alone makes it larger than it is. Of all errors of the bins' pattern the value is the
    one whose chance would as often give more as less than was found, and the low end the one that
    would give as much in one of forty; so 0 is in the interval where chance explains it all. The
    high end is the plain one, by the spread of resampled hosts.
    score : (row,) probabilities; lens : (row,) bool; hosts : (row,)
    Raises ValueError for scores outside [0, 1], or too few rows for the bins
    Source: Naeini, Cooper & Hauskrecht (2015) for the error; intervals by inverting a test
    """
    if len(score) < _LEAST_A_BIN * BINS:
        raise ValueError(f"calibration needs {_LEAST_A_BIN * BINS} rows, got {len(score)}")
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError("calibration needs scores in [0, 1]; give probabilities, not logits")
    place = bins_of(score)
    gap = ((place[:, None] == np.arange(place.max() + 1)) * (score - lens)[:, None]).astype("f4")
    gaps = gap.mean(0)
    drawn = [some[0] @ gap / some[0].sum(1, keepdims=True) for some in resampled([hosts], n, salt)]
    noise = np.concatenate(drawn) - gaps
    found = float(np.abs(gaps).sum())
    value, low = _explained(gaps, noise, (0.5, 0.975))
    high = found + float(norm.ppf(0.975)) * float((noise @ np.sign(gaps)).std())
    return Estimate(value, low, max(high, value), len(np.unique(hosts.astype(str))))


_SCALES = np.linspace(0, 1.5, 46)


def _explained(gaps: np.ndarray, noise: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """Errors of which chance gives less than was found in these shares of cases; 0 if none does.

    gaps : (bin,); noise : (resample, bin)
    """
    found = np.abs(gaps).sum()
    seen = np.abs(_SCALES[:, None, None] * gaps + noise).sum(-1)
    less = (seen < found).mean(1)
    return [
        float(np.interp(-share, -less, _SCALES) * found) if less[0] >= share else 0.0
        for share in shares
    ]


def purity(recall: Estimate, fpr: Estimate, prevalence: float) -> Estimate:
    """Share of lenses among what is above the threshold, where `prevalence` of objects are lenses.

    Its interval follows from those of recall and false-positive rate, of independent samples.
    n is that of the smaller
    Raises ValueError for a prevalence outside (0, 1)
    Source: Donner & Zou (2012), the method of variance estimates recovery, for the ratio of both
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must lie in (0, 1), got {prevalence}")

    def of(ratio: float) -> float:
        """ratio : false-positive rate over recall"""
        return prevalence / (prevalence + (1 - prevalence) * ratio)

    if recall.value == 0:
        return Estimate(0.0, 0.0, 1.0, min(recall.n, fpr.n))
    ratio = fpr.value / recall.value
    low, high = _ratio_interval(fpr, recall)
    return Estimate(of(ratio), of(high), of(low), min(recall.n, fpr.n))


def _ratio_interval(over: Estimate, under: Estimate) -> tuple[float, float]:
    """95% interval of the ratio of two independent estimates, under.value > 0."""
    product = over.value * under.value

    def end(top: float, bottom: float, sign: int) -> float:
        below = bottom * (2 * under.value - bottom)
        if below == 0:
            return math.inf if sign > 0 else 0.0
        inner = product**2 - top * (2 * over.value - top) * below
        return max(0.0, (product + sign * math.sqrt(max(inner, 0.0))) / below)

    return end(over.low, under.high, -1), end(over.high, under.low, +1)
