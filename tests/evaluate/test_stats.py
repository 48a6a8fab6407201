"""Intervals cover the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from darkhaloscope.evaluate.stats import auc, mean_recall, quantiles, rate, recall_at


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


def test_auc_interval_covers_its_truth():
    rng = np.random.default_rng(5)
    shift = 0.7
    truth = norm.cdf(shift / np.sqrt(2))
    inside = [
        found.low <= truth <= found.high
        for found in (auc(rng.normal(shift, 1, 80), rng.normal(0, 1, 120)) for _ in range(1500))
    ]
    assert 0.93 <= np.mean(inside) <= 0.97


def test_auc_refuses_what_it_cannot_rank():
    with pytest.raises(ValueError, match="two values"):
        auc(np.array([1.0]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="NaN"):
        auc(np.array([1.0, np.nan]), np.array([1.0, 2.0]))


def test_quantiles_ignore_what_is_not_finite():
    assert quantiles(np.array([1.0, np.nan, 3.0]), (50,)) == [2.0]
    assert np.isnan(quantiles(np.array([np.nan]), (50,))[0])


def test_auc_interval_of_values_that_hang_together_covers_its_truth():
    """Several lenses and controls on each host, all sharing its brightness."""
    rng = np.random.default_rng(8)
    truth = norm.cdf(0.7 / np.sqrt(2 * (1 + 1.0)))
    inside, naive = [], []
    for _ in range(600):
        host = rng.normal(0, 1, 60)
        hosts = np.repeat(np.arange(60), 4)
        lens = host[hosts] + rng.normal(0.7, 1, 240)
        control = host[hosts] + rng.normal(0, 1, 240)
        found = auc(lens, control, (hosts, hosts))
        inside.append(found.low <= truth <= found.high)
        plain = auc(lens, control)
        naive.append(plain.high - plain.low > found.high - found.low)
    assert 0.92 <= np.mean(inside) <= 0.98
    assert np.mean(naive) > 0.9, "pairs on one host are matched: treated as independent, too wide"


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
