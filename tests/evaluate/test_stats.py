"""Intervals cover the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from darkhaloscope.evaluate.stats import (
    auc,
    exact_rate,
    mean_recall,
    quantiles,
    rate,
    rate_by_host,
    recall_at,
)


def test_rate_is_the_published_wilson_interval():
    found = rate(2, 68)  # EVIDENCE section 6: 2/68 is [.8, 10]%
    assert (found.value, found.n) == (2 / 68, 68)
    assert found.low == pytest.approx(0.008, abs=0.0005)
    assert found.high == pytest.approx(0.101, abs=0.0005)


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_rate_refuses_impossible_counts(k, n):
    with pytest.raises(ValueError, match="0 <= k <= n"):
        rate(k, n)


def test_auc_counts_pairs_and_halves_ties():
    positive, negative = np.array([1.0, 2.0, 2.0, 5.0]), np.array([0.0, 2.0, 3.0])
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert auc(positive, negative).value == pytest.approx(np.mean(pairs))


def test_auc_refuses_what_it_cannot_rank():
    with pytest.raises(ValueError, match="two values"):
        auc(np.array([1.0]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="NaN"):
        auc(np.array([1.0, np.nan]), np.array([1.0, 2.0]))


def test_quantiles_ignore_what_is_not_finite():
    assert quantiles(np.array([1.0, np.nan, 3.0]), (50,)) == [2.0]
    assert np.isnan(quantiles(np.array([np.nan]), (50,))[0])


def test_pairs_on_one_host_are_matched_so_that_an_auc_is_surer_than_of_independent_values():
    rng = np.random.default_rng(8)
    hosts = np.repeat(np.arange(60), 4)
    host = rng.normal(0, 1, 60)[hosts]
    lens, control = (host + rng.normal(m, 1, 240) for m in (0.7, 0))
    found, plain = auc(lens, control, (hosts, hosts)), auc(lens, control)
    assert found.n == 60 and found.high - found.low < plain.high - plain.low


def test_an_auc_of_sides_apart_has_an_interval_and_one_of_equal_pairs_none():
    names = np.arange(30), np.arange(30)
    apart = auc(np.ones(30), np.zeros(30), names)
    assert (apart.value, apart.high, apart.n) == (1.0, 1.0, 30)
    assert apart.low == pytest.approx(rate(30, 30).low)
    same = auc(np.arange(30.0), np.arange(30.0), names)  # what no pair differs in tells nothing
    assert (same.low, same.value, same.high) == pytest.approx((0.5, 0.5, 0.5), abs=1e-12)


def test_rows_of_one_host_count_less_than_as_many_hosts():
    hosts = np.repeat(np.arange(40), 5)
    found = np.repeat(np.arange(40) % 2 == 0, 5)
    together, apart = rate_by_host(found, hosts), rate_by_host(found, np.arange(200))
    assert (together.value, together.n) == (0.5, 40)
    assert together.high - together.low == pytest.approx(2.236 * (apart.high - apart.low), rel=0.05)
    alone = rate_by_host(found[::5], hosts[::5])
    wilson = rate(20, 40)
    assert (alone.low, alone.high) == pytest.approx((wilson.low, wilson.high), abs=0.01)
    none = rate_by_host(np.zeros(200, bool), hosts)
    assert none.high == pytest.approx(rate(0, 40).high)


def test_exact_rates_are_the_published_clopper_pearson_intervals():
    found = exact_rate(1, 10_000)  # EVIDENCE section 6: [2.5e-6, 5.6e-4]
    assert (found.low, found.high) == pytest.approx((2.5e-6, 5.6e-4), rel=0.02)


def test_recall_at_a_false_positive_rate_is_exact_on_ties():
    negative = np.array([0.9, 0.8, 0.8, 0.8, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    positive = np.array([0.95, 0.9, 0.8, 0.8, 0.6])
    # one false positive may pass: the threshold is 0.8, and what equals it does not pass
    assert recall_at(positive, negative, 0.1).value == 2 / 5
    # three more share 0.8: none of them passes until all may
    assert recall_at(positive, negative, 0.3).value == 2 / 5
    assert recall_at(positive, negative, 0.4).value == 5 / 5
    assert recall_at(positive, negative, 1.0).value == 1.0
    assert recall_at(positive, np.zeros(10), 0.5).value == 1.0


@given(st.integers(0, 10**6), st.sampled_from([0.01, 0.03, 0.1, 0.5]))
def test_recall_never_takes_more_false_positives_than_said(seed, fpr):
    rng = np.random.default_rng(seed)
    negative, positive = (np.round(rng.normal(m, 1, 300), 1) for m in (0, 1))
    found = recall_at(positive, negative, fpr)
    taken = [t for t in np.unique(np.r_[negative, positive, -9]) if (negative > t).mean() <= fpr]
    assert found.value == (positive > min(taken)).mean()
    assert found.n == 300 and found.low <= found.value <= found.high


def test_recall_is_refused_where_negatives_are_too_few():
    with pytest.raises(ValueError, match=r"0\.001 needs at least 1000 negatives, got 500"):
        recall_at(np.ones(5), np.zeros(500), 1e-3)


@given(st.integers(0, 10**6), st.sampled_from([0.01, 0.05, 0.3, 1.0]))
def test_mean_recall_is_scikit_learns_partial_auc(seed, max_fpr):
    rng = np.random.default_rng(seed)
    negative, positive = (np.round(rng.normal(m, 1, 200), 1) for m in (0, 1))
    truth = np.r_[np.zeros(200), np.ones(200)]
    theirs = roc_auc_score(truth, np.r_[negative, positive], max_fpr=max_fpr)
    if max_fpr < 1:  # McClish's correction taken back
        low = max_fpr**2 / 2
        theirs = ((2 * theirs - 1) * (max_fpr - low) + low) / max_fpr
    assert abs(mean_recall(positive, negative, max_fpr) - theirs) < 1e-9
