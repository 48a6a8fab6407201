"""95% intervals hold the truth as often as they say; `make bench-intervals` asks 2,000 times."""

import pytest

from evaluate.experiments import EXPERIMENTS, coverage

OFTEN = {
    "partial AUC, bootstrap": 0,
    "expected calibration error": 0,
    "difference of two finders": 100,
    "difference of conditions, 3 seeds": 100,
    "rare rate, Clopper-Pearson": 0,
    "false-positive rate achieved elsewhere": 0,
}
"""Experiments here, where they are slow; 0 leaves them to the bench."""


@pytest.mark.parametrize("name", [n for n in EXPERIMENTS if OFTEN.get(n, 400)])
def test_an_interval_covers_its_truth(name):
    n = OFTEN.get(name, 400)
    chance = (0.05 * 0.95 / n) ** 0.5
    assert abs(coverage(EXPERIMENTS[name], n, seed=2) - 0.95) < 0.02 + 2 * chance
