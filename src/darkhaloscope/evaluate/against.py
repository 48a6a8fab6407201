"""One finder against another on the same rows, each at its own threshold of one rate."""

from collections.abc import Mapping, Sequence

import numpy as np

from darkhaloscope.config import Evaluate
from darkhaloscope.evaluate.bootstrap import interval
from darkhaloscope.evaluate.conditions import thresholds
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.operating import Point, points
from darkhaloscope.evaluate.paired import (
    LEAST_DISCORDANT,
    McNemar,
    holm,
    mcnemar,
    one_a_host,
    p_said,
)
from darkhaloscope.evaluate.roles import Roles
from darkhaloscope.evaluate.stats import Estimate

Columns = Mapping[str, np.ndarray]

_SURELY = 0.05


def against(columns: Columns, other: Columns, roles: Roles, cfg: Evaluate) -> list[Finding]:
    """Exact McNemar tests of recall at every rate that the negatives can show, Holm-corrected.

    other : of the same rows in the same order
    """
    both = zip(points(columns, roles, cfg.fpr), points(other, roles, cfg.fpr), strict=True)
    asked: list[tuple[str, Estimate, McNemar]] = []
    for ours, theirs in both:
        if not (isinstance(ours, Point) and isinstance(theirs, Point)):
            continue
        for side, rows in (("anchors", roles.anchors), ("injected", roles.lenses)):
            if len(np.unique(columns["host_id"][rows].astype(str))) > 1:
                single = rows[one_a_host(columns["host_id"][rows])]
                a = columns["logit"][single] > ours.threshold
                b = other["logit"][single] > theirs.threshold
                difference = difference_of(columns, other, rows, roles.chosen, ours.fpr, cfg)
                gate = f"against.{side}.at_fpr_{ours.fpr:g}"
                asked.append((gate, difference, mcnemar(a, b)))
    return _findings(asked)


def difference_of(
    columns: Columns,
    other: Columns,
    rows: np.ndarray,
    chosen: np.ndarray,
    fpr: float,
    cfg: Evaluate,
) -> Estimate:
    """Of the shares found: hosts drawn anew, and the thresholds chosen anew among those drawn."""

    def of(weights: Sequence[np.ndarray]) -> np.ndarray:
        of_lenses, of_negatives = weights
        found = [
            (some["logit"][rows] > thresholds(some["logit"][chosen], of_negatives, fpr)[:, None])
            for some in (columns, other)
        ]
        step = found[0].astype(np.float32) - found[1]
        with np.errstate(invalid="ignore"):  # a resample may hold no lens
            return (step * of_lenses).sum(1) / of_lenses.sum(1)

    hosts = columns["host_id"]
    return interval(of, (hosts[rows], hosts[chosen]), cfg.resamples, by_spread=True)


def _findings(asked: Sequence[tuple[str, Estimate, McNemar]]) -> list[Finding]:
    """A difference is shown where the exact test, beside the others, and the interval both say so:
    the one knows chance among lenses exactly, the other that thresholds are chosen by chance."""
    adjusted = holm([test.p for _, _, test in asked])
    found = []
    for (gate, difference, test), p in zip(asked, adjusted, strict=True):
        surely = p < _SURELY and not difference.low <= 0 <= difference.high
        words = "difference shown" if surely else "not resolved"
        measured = (
            f"{words}: {difference.signed()}; of one lens a host {test.only_a} found by this "
            f"finder alone, {test.only_b} by the other alone, p {p_said(p)}"
        )
        level = Level.INFO if test.resolves else Level.SKIP
        advice = (
            f"With fewer than {LEAST_DISCORDANT} that one alone finds nothing can be shown: more "
            "lenses are needed."
        )
        about = (
            "Recall less that of the other finder, each at its own threshold, hosts and thresholds "
            f"resampled; exact McNemar test of one lens a host, corrected for {len(asked)} (Holm)."
        )
        found.append(Finding(gate, level, measured, "", difference.n, about, advice, difference))
    return found
