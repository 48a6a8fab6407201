"""Two finders asked of the same objects: exact tests, and what many of them are worth together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, binomtest

LEAST_DISCORDANT = 6
"""With fewer objects that only one of two finders finds, no difference can be shown at p < 0.05."""


@dataclass(frozen=True)
class McNemar:
    """only_a, only_b : objects that one alone finds; p : two-sided, exact"""

    both: int
    only_a: int
    only_b: int
    neither: int
    p: float

    @property
    def discordant(self) -> int:
        return self.only_a + self.only_b

    @property
    def resolves(self) -> bool:
        """Whether any outcome of so few objects could be told from chance."""
        return self.discordant >= LEAST_DISCORDANT

    @property
    def difference(self) -> float:
        """Of the shares found, a less b."""
        n = self.both + self.discordant + self.neither
        return (self.only_a - self.only_b) / n


def mcnemar(a: np.ndarray, b: np.ndarray) -> McNemar:
    """Exact McNemar test of two finders on the same objects.

    a, b : (object,) bool, found or not
    Raises ValueError for none, or unequal lengths
    Source: McNemar (1947); exact: of the discordant as many for either by chance, binomial
    """
    if len(a) != len(b) or not len(a):
        raise ValueError(f"both finders must be asked of the same objects, got {len(a)}, {len(b)}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    p = float(binomtest(only_a, n).pvalue) if n else 1.0
    return McNemar(int((a & b).sum()), only_a, only_b, int((~a & ~b).sum()), p)


def one_a_host(hosts: np.ndarray) -> np.ndarray:
    """The first row of each host: rows that no host ties together, as exact tests need them."""
    return np.sort(np.unique(hosts.astype(str), return_index=True)[1])


def p_said(p: float) -> str:
    """A p-value in words: three decimals, or that it is smaller."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def holm(p: Sequence[float]) -> list[float]:
    """p-values of several tests, each as it counts beside the others.

    Source: Holm (1979), step down
    """
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, float)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()


def power(difference: float, discordant: float, n: int) -> float:
    """Chance that the exact McNemar test finds a true difference at p < 0.05, of n objects.

    difference : of the shares found; discordant : share of objects that one alone finds
    Raises ValueError unless |difference| <= discordant <= 1
    """
    if not abs(difference) <= discordant <= 1:
        raise ValueError(
            f"a difference of {difference} needs as many discordant objects, got {discordant}"
        )
    share = (1 + difference / discordant) / 2 if discordant else 0.5
    found = 0.0
    for m, chance in enumerate(binom.pmf(np.arange(n + 1), n, discordant)):
        if chance > 1e-9 and m >= LEAST_DISCORDANT:
            found += chance * _rejects(m, share)
    return float(found)


def _rejects(m: int, share: float) -> float:
    """Chance of k of m so far out that p < 0.05."""
    low = int(binom.ppf(0.025, m, 0.5))
    while low >= 0 and 2 * binom.cdf(low, m, 0.5) >= 0.05:
        low -= 1
    return float(binom.cdf(low, m, share) + binom.sf(m - low - 1, m, share)) if low >= 0 else 0.0
