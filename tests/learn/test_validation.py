"""What training stops on, and when its scores are said to be worthless."""

import numpy as np
import pytest

from darkhaloscope.learn.curves import numbers, say
from darkhaloscope.learn.validation import resolvable, validation


def _found(logit, fpr=0.01):
    n = len(logit) // 2
    kind = np.array(["lens"] * n + ["host"] * (len(logit) - n))
    host = np.arange(len(logit)).astype(str)
    return validation(np.asarray(logit, float), kind, host, fpr, 0.5)


def test_a_rate_that_the_controls_cannot_resolve_is_raised():
    assert resolvable(0.01, 10_000) == 0.01
    assert resolvable(0.01, 600) == 0.05
    assert resolvable(0.01, 3) == 1.0
    assert _found(np.r_[np.ones(100), np.zeros(100)]).max_fpr == 0.3


def test_a_finder_that_knows_is_better_than_chance_and_chance_is_its_rate():
    rng = np.random.default_rng(1)
    knows = _found(np.r_[rng.normal(4, 1, 5000), rng.normal(0, 1, 5000)])
    guesses = _found(rng.normal(0, 1, 10_000))
    assert knows.mean_recall > 0.9 and knows.aucs["host"].low > 0.99
    assert guesses.mean_recall == pytest.approx(0.005, abs=0.003)  # half the rate


@pytest.mark.parametrize(
    ("logit", "said"),
    [(np.r_[np.full(50, 30.0), np.full(50, -30.0)], True), (np.linspace(-3, 3, 100), False)],
)
def test_scores_that_saturate_are_said(capfd, logit, said):
    found = _found(logit)
    say(numbers(found, epoch=1, step=2, lr=1e-3, loss=0.1, rows_per_s=9.0), found, True)
    assert ("scores saturate" in capfd.readouterr().err) is said
    assert (found.saturated > 0.5) is said
