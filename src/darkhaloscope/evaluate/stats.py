"""Rates and ranks with their intervals and their n."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm, rankdata


@dataclass(frozen=True)
class Estimate:
    """A value, its 95% interval, and how many objects it rests on."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def rate(k: int, n: int) -> Estimate:
    """k of n with its Wilson 95% interval. Raises ValueError for n < 1 or k outside [0, n]."""
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"a rate needs 0 <= k <= n and n >= 1, got k = {k}, n = {n}")
    interval = binomtest(k, n).proportion_ci(method="wilson")
    return Estimate(k / n, float(interval.low), float(interval.high), n)


def auc(
    positive: np.ndarray,
    negative: np.ndarray,
    hosts: tuple[np.ndarray, np.ndarray] | None = None,
) -> Estimate:
    """P(positive > negative), ties counting half, with DeLong's 95% interval.

    hosts : of each positive and each negative value; values on one host hang together, and the
    interval is that of as many independent hosts. Without them all values are independent.
    n is the number of hosts, or that of values of the smaller sample
    Raises ValueError for fewer than two values a side, or NaN
    Source: DeLong, DeLong & Clarke-Pearson (1988), by ranks as in Sun & Xu (2014); for values that
    hang together Obuchowski (1997)
    """
    m, n = len(positive), len(negative)
    if min(m, n) < 2:
        raise ValueError(f"an AUC needs two values a side, got {m} and {n}")
    _no_nan(positive, negative)
    both = np.concatenate([positive, negative])
    ranks = rankdata(both)
    above = (ranks[:m] - rankdata(positive)) / n  # share of negatives below each positive
    below = 1 - (ranks[m:] - rankdata(negative)) / m  # share of positives above each negative
    value = float(above.mean())
    if hosts is None:
        variance, size = above.var(ddof=1) / m + below.var(ddof=1) / n, min(m, n)
    else:
        pull = np.concatenate([(above - value) / m, (below - value) / n])
        place = np.unique(np.concatenate(hosts).astype(str), return_inverse=True)[1]
        by_host = np.bincount(place, pull)
        size = len(by_host)
        variance = (by_host**2).sum() * size / max(size - 1, 1)
    spread = math.sqrt(variance) * norm.ppf(0.975)
    return Estimate(value, max(0.0, value - spread), min(1.0, value + spread), size)


def quantiles(values: np.ndarray, at=(5, 16, 50, 84, 95)) -> list[float]:
    """Percentiles of the finite values; NaN where there is none."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    return np.percentile(finite, at).tolist() if finite.size else [math.nan] * len(at)


def recall_at(positive: np.ndarray, negative: np.ndarray, fpr: float) -> Estimate:
    """Share of positives above the lowest threshold that no more than `fpr` of negatives exceed.

    A value equal to the threshold does not exceed it, so ties never raise the false-positive rate.
    Raises ValueError where fewer than 1 / fpr negatives cannot show such a rate, or for NaN
    """
    allowed = int(fpr * len(negative) * (1 + 1e-12))
    if allowed < 1:
        raise ValueError(
            f"a false-positive rate of {fpr:g} needs at least {math.ceil(1 / fpr)} negatives, "
            f"got {len(negative)}"
        )
    _no_nan(positive, negative)
    threshold = np.sort(negative)[::-1][allowed] if allowed < len(negative) else -math.inf
    return rate(int((positive > threshold).sum()), len(positive))


def mean_recall(positive: np.ndarray, negative: np.ndarray, max_fpr: float) -> float:
    """Mean recall over false-positive rates from 0 to max_fpr: the partial AUC over max_fpr.

    Ties are crossed on a straight line, as in the whole AUC.
    Raises ValueError for an empty side, NaN, or max_fpr outside (0, 1]
    """
    if not 0 < max_fpr <= 1 or not min(len(positive), len(negative)):
        raise ValueError(
            f"mean recall needs values on both sides and max_fpr in (0, 1]; got {len(positive)}, "
            f"{len(negative)} and {max_fpr}"
        )
    _no_nan(positive, negative)
    steps = np.unique(np.concatenate([positive, negative]))[::-1]

    def share_from(values):
        """Of those at or above each step."""
        return 1 - np.searchsorted(np.sort(values), steps, side="left") / len(values)

    fpr, tpr = (np.r_[0.0, share_from(values)] for values in (negative, positive))
    end = np.interp(max_fpr, fpr, tpr) if max_fpr < 1 else 1.0
    inside = fpr < max_fpr
    return float(np.trapezoid(np.r_[tpr[inside], end], np.r_[fpr[inside], max_fpr]) / max_fpr)


def _no_nan(*samples: np.ndarray) -> None:
    if any(np.isnan(values).any() for values in samples):
        raise ValueError("scores must be numbers, got NaN")
