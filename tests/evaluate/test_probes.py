"""Probes: what they find on chance alone, and how surely they see a difference."""

import numpy as np
import pytest

from darkhaloscope.evaluate.probes import tell

PAIRS = 150


def _features(seed: int, shift: float, columns: int = 8) -> np.ndarray:
    """Pairs share most of what a host is; lenses come first, and differ in the first feature."""
    rng = np.random.default_rng(seed)
    host = rng.standard_normal((PAIRS, columns))
    one, two = (host + 0.3 * rng.standard_normal((PAIRS, columns)) for _ in range(2))
    one[:, 0] += shift
    return np.exp(np.concatenate([one, two]))


def _told(features, hosts=None):
    n = len(features) // 2
    names = np.arange(n).astype(str) if hosts is None else hosts
    return tell(features, np.arange(n), n + np.arange(n), np.concatenate([names, names]))


def test_chance_alone_is_seldom_taken_for_more():
    told = [_told(_features(seed, 0.0)) for seed in range(60)]
    assert np.mean([t.p <= 0.05 for t in told]) <= 0.12
    assert not any(t.auc.low > 0.55 and t.p <= 0.01 for t in told)
    assert abs(np.mean([t.auc.value for t in told]) - 0.5) < 0.02


def test_a_shift_is_seen():
    told = [_told(_features(seed, 1.0)) for seed in range(10)]
    assert all(t.auc.low > 0.55 and t.p <= 0.01 for t in told)


def test_a_change_of_width_is_seen():
    features = _features(3, 0.0)
    features[:PAIRS, 2] = np.exp(2.5 * np.log(features[:PAIRS, 2]))
    assert _told(features).auc.low > 0.55


def test_many_pairs_on_one_host_do_not_make_it_sure():
    """Ten copies of every pair are no more hosts: the interval stays about what it was."""
    features = _features(4, 0.4)
    few = _told(features)
    lens, control = np.split(features, 2)
    copies = np.concatenate([np.repeat(lens, 10, axis=0), np.repeat(control, 10, axis=0)])
    many = _told(copies, np.repeat(np.arange(PAIRS), 10).astype(str))
    assert many.auc.n == few.auc.n == PAIRS
    assert 0.7 < (many.auc.high - many.auc.low) / (few.auc.high - few.auc.low) < 1.4


def test_features_that_never_vary_tell_nothing():
    told = _told(np.ones((2 * PAIRS, 3)))
    assert told.auc.value == 0.5 and told.p == 1.0


def test_too_few_pairs_are_an_error():
    with pytest.raises(ValueError, match="20 pairs, got 5"):
        tell(np.ones((10, 2)), np.arange(5), np.arange(5, 10), np.arange(5).astype(str))
