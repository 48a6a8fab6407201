"""Tests of two finders on the same objects, against statsmodels and against chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as theirs
from statsmodels.stats.multitest import multipletests

from darkhaloscope.evaluate.paired import LEAST_DISCORDANT, holm, mcnemar, power


def _found(both, only_a, only_b, neither):
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


@given(*(st.integers(0, 40) for _ in range(3)), st.integers(1, 40))
def test_mcnemar_is_statsmodels_exact_test(both, only_a, only_b, neither):
    found = mcnemar(*_found(both, only_a, only_b, neither))
    assert (found.both, found.only_a, found.only_b, found.neither) == (
        both, only_a, only_b, neither,
    )  # fmt: skip
    table = [[both, only_a], [only_b, neither]]
    assert found.p == pytest.approx(min(theirs(table, exact=True).pvalue, 1.0), rel=1e-9)
    n = both + only_a + only_b + neither
    assert found.difference == pytest.approx((only_a - only_b) / n)


def test_too_few_discordant_objects_show_nothing_whatever_they_are():
    for n in range(1, 12):
        found = mcnemar(*_found(10, n, 0, 10))
        assert found.resolves == (n >= LEAST_DISCORDANT) == (found.p < 0.05)


def test_holm_is_statsmodels():
    rng = np.random.default_rng(6)
    for n in [1, 2, 3, 12] * 2:
        p = np.round(rng.random(n) ** 4, 2).tolist()  # small ones, ties and zeros among them
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist(), abs=1e-12)


def test_mcnemar_refuses_other_objects():
    with pytest.raises(ValueError, match="the same objects, got 3, 2"):
        mcnemar(np.ones(3, bool), np.ones(2, bool))


def test_a_finder_no_better_is_seldom_called_better():
    rng = np.random.default_rng(3)
    p = [mcnemar(rng.random(68) < 0.3, rng.random(68) < 0.3).p for _ in range(2000)]
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize(("difference", "discordant"), [(0.08, 0.12), (0.22, 0.30)])
def test_power_is_how_often_simulated_finders_are_told_apart(difference, discordant):
    rng = np.random.default_rng(4)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2]
    counts = rng.multinomial(68, [*shares, 1 - sum(shares)], 4000)
    told = [mcnemar(*_found(0, a, b, rest)).p < 0.05 for a, b, rest in counts]
    assert power(difference, discordant, 68) == pytest.approx(np.mean(told), abs=0.03)


def test_power_refuses_a_difference_larger_than_the_discordant_share():
    with pytest.raises(ValueError, match=r"0\.3 needs as many discordant"):
        power(0.3, 0.2, 68)
