"""How well scores rank lenses above each kind of control: what training stops on."""

from dataclasses import dataclass

import numpy as np

from darkhaloscope.evaluate.stats import Estimate, auc, mean_recall
from darkhaloscope.schema import KINDS

_LEAST_FALSE = 30
"""Controls that a false-positive rate must let pass, so that epochs differ by more than chance."""

_SURE = 1e-4
"""Scores this near 0 or 1 are saturated: at a low false-positive rate they would be ties."""


@dataclass(frozen=True)
class Validation:
    """mean_recall : over false-positive rates up to max_fpr; aucs : by kind of control
    saturated : share of scores within 1e-4 of 0 or 1; distinct : share of logits unlike any other
    """

    mean_recall: float
    max_fpr: float
    aucs: dict[str, Estimate]
    saturated: float
    distinct: float
    loss: float
    n_lens: int
    n_control: int


def resolvable(fpr: float, controls: int) -> float:
    """The false-positive rate, or the lowest at which some controls would pass."""
    return min(1.0, max(fpr, _LEAST_FALSE / max(controls, 1)))


def validation(
    logit: np.ndarray, kind: np.ndarray, host: np.ndarray, fpr: float, loss: float
) -> Validation:
    """Of validation rows: logit, kind of row and host, (row,) each."""
    lens = kind == "lens"
    max_fpr = resolvable(fpr, int((~lens).sum()))
    score = 1 / (1 + np.exp(-logit.astype(float)))
    return Validation(
        mean_recall(logit[lens], logit[~lens], max_fpr),
        max_fpr,
        {
            name: auc(logit[lens], logit[kind == name], (host[lens], host[kind == name]))
            for name in KINDS
            if name != "lens" and (kind == name).sum() > 1 and lens.sum() > 1
        },
        float(((score < _SURE) | (score > 1 - _SURE)).mean()),
        len(np.unique(logit)) / len(logit),
        loss,
        int(lens.sum()),
        int((~lens).sum()),
    )
