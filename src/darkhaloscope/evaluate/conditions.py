"""Ways of making finders, each trained with several seeds, compared on the same objects."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from darkhaloscope.evaluate.bootstrap import RESAMPLES, resampled
from darkhaloscope.evaluate.stats import Estimate

LEAST_SEEDS = 3


@dataclass(frozen=True)
class Trials:
    """Scores that one condition's finders give, a row of scores a seed.

    lens : (seed, lens); chosen : (seed, negative), which the threshold of each seed is chosen on
    """

    lens: np.ndarray
    chosen: np.ndarray

    def __post_init__(self):
        if len(self.lens) < LEAST_SEEDS or len(self.chosen) != len(self.lens):
            raise ValueError(
                f"a condition needs {LEAST_SEEDS} seeds or more, got {len(self.lens)}: redrawing "
                "the same recipe moves recall by points"
            )


@dataclass(frozen=True)
class Measured:
    """A mean over seeds and objects: its standard error, and the degrees of freedom of that."""

    value: float
    error: float
    freedom: float
    n: int  # hosts of the lenses

    @property
    def estimate(self) -> Estimate:
        half = self.error * float(student.ppf(0.975, self.freedom))
        return Estimate(self.value, self.value - half, self.value + half, self.n)

    @property
    def p(self) -> float:
        """Two-sided, of a true value of 0."""
        if self.error == 0:  # the same on all hosts: as seldom as all fall on one side
            return 1.0 if self.value == 0 else 2 * 0.5 ** min(self.n, 1000)
        return float(2 * student.sf(abs(self.value) / self.error, self.freedom))


def recalls(trials: Trials, fpr: float) -> np.ndarray:
    """Share of lenses above each seed's threshold at that false-positive rate: (seed,)."""
    return _recalls(trials, fpr, [np.ones((1, trials.lens.shape[1])), np.ones((1, 1))])[0]


def measured(
    conditions: Sequence[Trials],
    hosts: tuple[np.ndarray, np.ndarray],
    fpr: float,
    n: int = RESAMPLES,
) -> tuple[list[Measured], list[Measured]]:
    """Recall of each condition at a false-positive rate, and its difference from the first's.

    hosts : of the lenses and of the chosen negatives, which all conditions share
    Both kinds of chance are in the errors: which hosts there are, by `n` resamples of them, and
    which seeds, by the spread among these. Seeds of two conditions are taken as independent.
    Source: Satterthwaite (1946) for the degrees of freedom
    """
    found = np.stack([recalls(trials, fpr) for trials in conditions])
    drawn = np.concatenate(
        [
            np.stack([_recalls(trials, fpr, weights).mean(1) for trials in conditions], axis=1)
            for weights in resampled(hosts, n, "conditions")
        ]
    )
    drawn = drawn[np.isfinite(drawn).all(1)]  # a resample may hold no lens
    size = len(np.unique(hosts[0].astype(str)))
    seeds = found.shape[1]
    spread = found.var(1, ddof=1) / seeds
    alone = [
        _measured(found[i].mean(), drawn[:, i].var(), [spread[i]], seeds, size)
        for i in range(len(conditions))
    ]
    beside = [
        _measured(
            found[i].mean() - found[0].mean(),
            (drawn[:, i] - drawn[:, 0]).var(),
            [spread[i], spread[0]],
            seeds,
            size,
        )
        for i in range(1, len(conditions))
    ]
    return alone, beside


def _measured(value, of_hosts: float, of_seeds: list[float], seeds: int, size: int) -> Measured:
    variance = float(of_hosts) + sum(of_seeds)
    weight = of_hosts**2 / max(size - 1, 1) + sum(v**2 for v in of_seeds) / (seeds - 1)
    freedom = variance**2 / weight if weight > 0 else float(size - 1)
    return Measured(float(value), math.sqrt(variance), float(freedom), size)


def _recalls(trials: Trials, fpr: float, weights: Sequence[np.ndarray]) -> np.ndarray:
    """(resample, seed), thresholds chosen anew on each resample's negatives."""
    of_lenses, of_negatives = weights
    found = []
    for lens, chosen in zip(trials.lens, trials.chosen, strict=True):
        threshold = thresholds(chosen, of_negatives, fpr)
        above = lens[None] > threshold[:, None]
        with np.errstate(invalid="ignore"):
            found.append((above * of_lenses).sum(1) / of_lenses.sum(1))
    return np.stack(found, axis=1)


def thresholds(negative: np.ndarray, weights: np.ndarray, fpr: float) -> np.ndarray:
    """Lowest threshold that no more than `fpr` of the weight exceeds: (resample,).

    negative : (row,); weights : (resample, row)
    """
    falling = np.argsort(-negative, kind="stable")
    shape = (len(weights), len(negative))
    above = np.cumsum(np.broadcast_to(weights, shape)[:, falling], axis=1, dtype=float)
    first = (above > fpr * above[:, -1:] * (1 + 1e-12)).argmax(1)
    return negative[falling][first]
