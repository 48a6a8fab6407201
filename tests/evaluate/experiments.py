"""Simulated experiments with a known truth: how often does each 95% interval hold it?

Each function makes one experiment from a generator and returns the interval and the truth.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import expit
from scipy.stats import beta, norm

from darkhaloscope.config import Evaluate
from darkhaloscope.evaluate.against import difference_of
from darkhaloscope.evaluate.bootstrap import interval
from darkhaloscope.evaluate.calibration import bins_of, calibration_error, purity
from darkhaloscope.evaluate.conditions import Trials, measured
from darkhaloscope.evaluate.stats import (
    Estimate,
    auc,
    exact_rate,
    mean_recall_of,
    rate,
    rate_by_host,
    recall_at,
    threshold_after,
    threshold_at,
)

Experiment = Callable[[np.random.Generator], tuple[Estimate, float]]
RESAMPLES = 400


def a_rate(rng):
    return rate(rng.binomial(120, 0.3), 120), 0.3


def a_rare_rate(rng):
    return exact_rate(rng.binomial(400_000, 2e-4), 400_000), 2e-4


def a_rate_by_host(rng):
    """One to five rows a host, which stand and fall together."""
    hosts = np.repeat(np.arange(120), rng.integers(1, 6, 120))
    found = rng.random(len(hosts)) < beta(1.2, 1.8).rvs(120, random_state=rng)[hosts]
    return rate_by_host(found, hosts), 0.4


def an_auc(rng):
    found = auc(rng.normal(0.7, 1, 80), rng.normal(0, 1, 120))
    return found, float(norm.cdf(0.7 / np.sqrt(2)))


def an_auc_by_host(rng):
    """Two lenses and two controls a host, which share its brightness."""
    host = rng.normal(0, 1, 100)
    hosts = np.repeat(np.arange(100), 2)
    lens, control = (host[hosts] + rng.normal(m, 1, 200) for m in (0.7, 0))
    truth = 0.99 * norm.cdf(0.7 / 2) + 0.01 * norm.cdf(0.7 / np.sqrt(2))
    return auc(lens, control, (hosts, hosts)), float(truth)


_FPR = 0.1
_AT = (np.arange(4000) + 0.5) / 4000 * _FPR
_MEAN_RECALL = float(norm.sf(norm.isf(_AT) - 1.2).mean())


def a_partial_auc(rng):
    lens, control = rng.normal(1.2, 1, 250), rng.normal(0, 1, 1000)
    hosts = np.arange(250), np.arange(1000) + 250
    return interval(mean_recall_of(lens, control, _FPR), hosts, RESAMPLES), _MEAN_RECALL


def a_recall_at_a_threshold_chosen_elsewhere(rng):
    threshold = threshold_at(rng.normal(0, 1, 2000), 0.01)
    lens = rng.normal(2.0, 1, 150)
    return rate_by_host(lens > threshold, np.arange(150)), float(norm.sf(threshold - 2.0))


def a_rate_achieved_elsewhere(rng):
    threshold = threshold_at(rng.normal(0, 1, 2000), 0.01)
    passed = int((rng.normal(0, 1, 20_000) > threshold).sum())
    return exact_rate(passed, 20_000), float(norm.sf(threshold))


def a_recall_after_ten_false_positives(rng):
    threshold = threshold_after(rng.normal(0, 1, 3000), 10)
    lens = rng.normal(2.0, 1, 150)
    return rate_by_host(lens > threshold, np.arange(150)), float(norm.sf(threshold - 2.0))


def a_recall_of_one_sample(rng):
    """Threshold and recall from the same lists: what that threshold truly finds."""
    lens, control = rng.normal(2.0, 1, 150), rng.normal(0, 1, 3000)
    return recall_at(lens, control, 0.01), float(norm.sf(threshold_at(control, 0.01) - 2.0))


def a_purity(rng):
    recall, fpr = (rate(rng.binomial(n, p), n) for n, p in ((150, 0.4), (30_000, 1e-3)))
    return purity(recall, fpr, 1e-3), 4e-4 / (4e-4 + 0.999e-3)


def _overconfident(rng, n):
    logit = rng.normal(0, 1.5, n)
    return expit(1.6 * logit), rng.random(n) < expit(logit)


def _truth_of_ece() -> float:
    score, _ = _overconfident(np.random.default_rng(0), 2_000_000)
    share = expit(np.log(score / (1 - score)) / 1.6)
    gap = np.bincount(bins_of(score), score - share) / len(score)
    return float(np.abs(gap).sum())


_ECE = _truth_of_ece()


def a_calibration_error(rng):
    score, lens = _overconfident(rng, 1200)
    return calibration_error(score, lens, np.arange(1200), RESAMPLES), _ECE


def a_difference_of_conditions(rng):
    """Three seeds each; hosts differ in how easy they are, seeds in how good they are."""
    easy, plain = rng.normal(0, 1, 150), rng.normal(0, 1, 600)
    shift = 1.6, 1.3
    trials = [
        Trials(
            easy + m + rng.normal(0, 0.25, (3, 1)) + rng.normal(0, 0.6, (3, 150)),
            plain + rng.normal(0, 0.6, (3, 600)),
        )
        for m in shift
    ]
    _, (difference,) = measured(trials, (np.arange(150), np.arange(600) + 150), 0.05, RESAMPLES)
    wide = np.hypot(1, 0.6)
    finds = [norm.sf((norm.isf(0.05) * wide - m) / np.hypot(wide, 0.25)) for m in shift]
    return difference.estimate, float(finds[1] - finds[0])


def a_difference_of_two_finders(rng):
    """Each at its own threshold, which is chosen on the same 600 negatives."""
    easy, plain = rng.normal(0, 1, 200), rng.normal(0, 1, 600)
    shift = 1.6, 1.2
    tables = [{"logit": np.concatenate([easy + m, plain]) + rng.normal(0, 0.6, 800)} for m in shift]
    tables[0]["host_id"] = np.arange(800)
    rows, cfg = np.split(np.arange(800), [200]), Evaluate(resamples=RESAMPLES)
    found = difference_of(tables[0], tables[1], *rows, 0.05, cfg)
    wide = np.hypot(1, 0.6)
    finds = [norm.sf(norm.isf(0.05) - m / wide) for m in shift]
    return found, float(finds[0] - finds[1])


EXPERIMENTS: dict[str, Experiment] = {
    "rate, Wilson": a_rate,
    "rare rate, Clopper-Pearson": a_rare_rate,
    "rate by host": a_rate_by_host,
    "AUC, DeLong": an_auc,
    "AUC by host": an_auc_by_host,
    "partial AUC, bootstrap": a_partial_auc,
    "recall, threshold chosen elsewhere": a_recall_at_a_threshold_chosen_elsewhere,
    "false-positive rate achieved elsewhere": a_rate_achieved_elsewhere,
    "recall after 10 false positives": a_recall_after_ten_false_positives,
    "recall and threshold of one sample": a_recall_of_one_sample,
    "purity": a_purity,
    "expected calibration error": a_calibration_error,
    "difference of two finders": a_difference_of_two_finders,
    "difference of conditions, 3 seeds": a_difference_of_conditions,
}


def coverage(experiment: Experiment, n: int, seed: int = 1) -> float:
    """Share of `n` experiments whose interval holds the truth."""
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(n):
        found, truth = experiment(rng)
        held += found.low <= truth <= found.high
    return held / n
