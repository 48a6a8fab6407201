"""Resampling by host: the same hosts drawn again for every statistic and every finder."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.stats import norm

from darkhaloscope.evaluate.stats import Estimate
from darkhaloscope.keys import generator

RESAMPLES = 1000
_NUMBERS_AT_ONCE = 4_000_000

Statistic = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Of the weights of each sample's rows, (resample, row) a sample: (resample,)."""


def resampled(samples: Sequence[np.ndarray], n: int, salt: str = "") -> Iterator[list[np.ndarray]]:
    """How often each row is drawn where hosts are drawn with replacement, some resamples at once.

    samples : host of each row, (row,) a sample; a host is drawn as often in every sample
    Yields (resample, row) float32 a sample, n resamples in all; equal hosts and salt, equal draws
    """
    names, place = np.unique(np.concatenate(samples).astype(str), return_inverse=True)
    rows = np.split(place, np.cumsum([len(hosts) for hosts in samples])[:-1])
    rng = generator(f"{len(names)}", salt, "bootstrap by host")
    many = max(1, _NUMBERS_AT_ONCE // max(len(names), len(place)))
    for start in range(0, n, many):
        size = min(many, n - start)
        drawn = rng.integers(0, len(names), (size, len(names)))
        drawn += np.arange(size)[:, None] * len(names)
        times = np.bincount(drawn.ravel(), minlength=size * len(names)).astype(np.float32)
        times = times.reshape(size, len(names))
        yield [times[:, some] for some in rows]


def interval(
    statistic: Statistic,
    samples: Sequence[np.ndarray],
    n: int = RESAMPLES,
    salt: str = "",
    by_spread: bool = False,
) -> Estimate:
    """A statistic with the 95% interval between percentiles of its resamples.

    by_spread : take the resamples' standard deviation, for statistics that move in steps
    samples : host of each row, (row,) a sample. n is the number of hosts of the smallest
    Raises ValueError for fewer than two hosts
    """
    hosts = min(len(np.unique(some.astype(str))) for some in samples)
    if hosts < 2:
        raise ValueError(f"an interval needs two hosts to draw from, got {hosts}")
    value = float(statistic([np.ones((1, len(some)), np.float32) for some in samples])[0])
    drawn = np.concatenate([statistic(some) for some in resampled(samples, n, salt)])
    if by_spread:
        half = float(norm.ppf(0.975) * np.nanstd(drawn))
        return Estimate(value, value - half, value + half, hosts)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Estimate(value, float(low), float(high), hosts)
