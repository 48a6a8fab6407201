"""Any first part of the order is a fair sample."""

import numpy as np
import pytest

from darkhaloscope.sim.strata import fair_order


def _sample(n=3000, seed=1):
    rng = np.random.default_rng(seed)
    mag = rng.gamma(3.0, 1.0, n)
    return mag, 0.3 * mag + rng.normal(0, 0.3, n), rng.random(n)


@pytest.mark.parametrize("n", [1, 2, 3, 17, 3000])
def test_it_is_a_permutation(n):
    mag, size, shuffle = _sample(n)
    assert sorted(fair_order([mag, size], shuffle)) == list(range(n))


@pytest.mark.parametrize("part", [100, 700])
def test_a_prefix_has_the_distribution_of_all(part):
    """Closer than a random choice: 25 strata are each visited in proportion."""
    mag, size, shuffle = _sample()
    order = fair_order([mag, size], shuffle)
    chosen = np.quantile(mag[order[:part]], (0.1, 0.5, 0.9))
    worst = np.abs(chosen - np.quantile(mag, (0.1, 0.5, 0.9))).max()
    random = [
        np.abs(
            np.quantile(np.random.default_rng(i).choice(mag, part, False), (0.1, 0.5, 0.9))
            - np.quantile(mag, (0.1, 0.5, 0.9))
        ).max()
        for i in range(40)
    ]
    assert worst < np.median(random)


def test_what_is_not_known_is_a_class_of_its_own():
    mag, size, shuffle = _sample(1000)
    mag[:300] = np.nan
    order = fair_order([mag, size], shuffle)
    assert abs(np.isnan(mag[order[:100]]).sum() - 30) <= 5


def test_the_shuffle_decides_within_a_stratum():
    mag, size, shuffle = _sample(1000)
    other = np.random.default_rng(9).random(1000)
    one, two = (fair_order([mag, size], s)[:50] for s in (shuffle, other))
    assert len(set(one) & set(two)) < 25
