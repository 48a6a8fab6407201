"""Rates and ranks with their intervals and their n."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm, rankdata
from scipy.stats import t as student


@dataclass(frozen=True)
class Estimate:
    """A value, its 95% interval, and how many objects it rests on."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def signed(self, digits: int = 3) -> str:
        """A difference, with its sign."""
        form = f"+.{digits}f"
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"


def rate(k: int, n: int) -> Estimate:
    """k of n with its Wilson 95% interval. Raises ValueError for n < 1 or k outside [0, n]."""
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"a rate needs 0 <= k <= n and n >= 1, got k = {k}, n = {n}")
    interval = binomtest(k, n).proportion_ci(method="wilson")
    return Estimate(k / n, float(interval.low), float(interval.high), n)


def exact_rate(k: int, n: int) -> Estimate:
    """k of n with its Clopper-Pearson 95% interval, which covers at least so often, however rare.

    Raises ValueError for n < 1 or k outside [0, n]
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"a rate needs 0 <= k <= n and n >= 1, got k = {k}, n = {n}")
    interval = binomtest(k, n).proportion_ci(method="exact")
    return Estimate(k / n, float(interval.low), float(interval.high), n)


def rate_by_host(found: np.ndarray, hosts: np.ndarray) -> Estimate:
    """Share of rows that are found; rows on one host hang together.

    Wilson's interval for as many independent rows as the spread between hosts says, never more than
    there are, and fewer where few hosts tell that spread; where all or none are found no spread
    shows, and a host counts once. n is the number of hosts.
    found : (row,) bool; hosts : (row,) names
    Raises ValueError without a row
    Source: Dean & Pagano (2015), Wilson's interval with the effective sample size; for few hosts
    Korn & Graubard (1998)
    """
    if not len(found):
        raise ValueError("a share needs at least one row, got none")
    place = np.unique(hosts.astype(str), return_inverse=True)[1]
    n, size = len(found), int(place.max()) + 1
    value = float(found.mean())
    spread = value * (1 - value) / n
    pulls = np.bincount(place, found - value) / n
    variance = (pulls**2).sum() * size / max(size - 1, 1)
    rows = float(size)
    if spread > 0 and variance > 0 and size >= _LEAST_HOSTS:
        unsure = (norm.ppf(0.975) / student.ppf(0.975, size - 1)) ** 2
        rows = min(spread / variance, 1.0) * n * float(unsure)
    low, high = _wilson(value, rows)
    return Estimate(value, low, high, size)


_LEAST_HOSTS = 3
"""Of fewer the spread between them is not taken from them."""


def _wilson(value: float, n: float) -> tuple[float, float]:
    z = float(norm.ppf(0.975))
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(value * (1 - value) / n + (z / (2 * n)) ** 2)
    return min(value, max(0.0, middle - half)), max(value, min(1.0, middle + half))


def auc(
    positive: np.ndarray,
    negative: np.ndarray,
    hosts: tuple[np.ndarray, np.ndarray] | None = None,
) -> Estimate:
    """P(positive > negative), ties counting half, with DeLong's 95% interval.

    hosts : of each positive and each negative value; values on one host hang together, and the
    interval is that of as many independent hosts. Without them all values are independent.
    n is the number of hosts, or that of values, of the smaller sample; where all values of one side
    are above all of the other, the interval is Wilson's of so many
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
        every = len(by_host)
        variance = (by_host**2).sum() * every / max(every - 1, 1)
        size = min(len(np.unique(side.astype(str))) for side in hosts)
    if value in (0.0, 1.0):
        return Estimate(value, *_wilson(value, size), size)
    spread = math.sqrt(variance) * norm.ppf(0.975)
    return Estimate(value, max(0.0, value - spread), min(1.0, value + spread), size)


def quantiles(values: np.ndarray, at=(5, 16, 50, 84, 95)) -> list[float]:
    """Percentiles of the finite values; NaN where there is none."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    return np.percentile(finite, at).tolist() if finite.size else [math.nan] * len(at)


def threshold_at(negative: np.ndarray, fpr: float) -> float:
    """Lowest threshold that no more than `fpr` of negatives exceed.

    A value equal to the threshold does not exceed it, so ties never raise the false-positive rate.
    Raises ValueError where fewer than 1 / fpr negatives cannot show such a rate, or for NaN
    """
    allowed = int(fpr * len(negative) * (1 + 1e-12))
    if allowed < 1:
        raise ValueError(
            f"a false-positive rate of {fpr:g} needs at least {math.ceil(1 / fpr)} negatives, "
            f"got {len(negative)}"
        )
    return threshold_after(negative, allowed)


def threshold_after(negative: np.ndarray, k: int) -> float:
    """Lowest threshold that at most k negatives exceed. Raises ValueError for NaN"""
    _no_nan(negative)
    return float(np.sort(negative)[::-1][k]) if k < len(negative) else -math.inf


def recall_at(positive: np.ndarray, negative: np.ndarray, fpr: float) -> Estimate:
    """Share of positives that exceed `threshold_at` of these negatives, as if it were given.

    Raises ValueError as threshold_at does
    """
    _no_nan(positive)
    threshold = threshold_at(negative, fpr)
    return rate(int((positive > threshold).sum()), len(positive))


def mean_recall(positive: np.ndarray, negative: np.ndarray, max_fpr: float) -> float:
    """Mean recall over false-positive rates from 0 to max_fpr: the partial AUC over max_fpr.

    Ties are crossed on a straight line, as in the whole AUC.
    Raises ValueError for an empty side, NaN, or max_fpr outside (0, 1]
    """
    ones = [np.ones((1, len(values))) for values in (positive, negative)]
    return float(mean_recall_of(positive, negative, max_fpr)(ones)[0])


def mean_recall_of(positive: np.ndarray, negative: np.ndarray, max_fpr: float):
    """`mean_recall` as a function of rows' weights, (resample, row) of either side.

    Raises ValueError as mean_recall does
    """
    if not 0 < max_fpr <= 1 or not min(len(positive), len(negative)):
        raise ValueError(
            f"mean recall needs values on both sides and max_fpr in (0, 1]; got {len(positive)}, "
            f"{len(negative)} and {max_fpr}"
        )
    _no_nan(positive, negative)
    steps = np.unique(np.concatenate([positive, negative]))
    cuts = [_Cumulated(values, steps) for values in (positive, negative)]

    def of(weights) -> np.ndarray:
        tpr, fpr = (cut(some) for cut, some in zip(cuts, weights, strict=True))
        before, after = fpr[:, :-1], fpr[:, 1:]
        end = np.minimum(after, max_fpr)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(after > before, (end - before) / (after - before), 1.0)
        top = tpr[:, :-1] + share * (tpr[:, 1:] - tpr[:, :-1])
        area = (end - before).clip(0) * (tpr[:, :-1] + top) / 2
        return area.sum(1) / max_fpr

    return of


class _Cumulated:
    """Share of weight at or above each step, from above: (resample, step + 1), the first 0."""

    def __init__(self, values: np.ndarray, steps: np.ndarray):
        self._order = np.argsort(-values, kind="stable")
        self._ends = len(values) - np.searchsorted(np.sort(values), steps[::-1], side="left")

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        sums = np.cumsum(weights[:, self._order], axis=1, dtype=float)
        sums = np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)
        shares = sums[:, np.r_[0, self._ends]]
        return shares / sums[:, -1:]


def _no_nan(*samples: np.ndarray) -> None:
    if any(np.isnan(values).any() for values in samples):
        raise ValueError("scores must be numbers, got NaN")
