"""One finder against another on the same rows, each at its own threshold of one rate."""

from collections.abc import Mapping, Sequence

import numpy as np

from darkhaloscope.config import Evaluate
from darkhaloscope.evaluate.bootstrap import interval
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.operating import Point, points
from darkhaloscope.evaluate.paired import LEAST_DISCORDANT, McNemar, holm, mcnemar
from darkhaloscope.evaluate.roles import Roles

Columns = Mapping[str, np.ndarray]

_SURELY, _LEAST_TOLD = 0.05, 0.001


def against(columns: Columns, other: Columns, roles: Roles, cfg: Evaluate) -> list[Finding]:
    """Exact McNemar tests of recall at every rate that the negatives can show, Holm-corrected.

    other : of the same rows in the same order
    """
    both = zip(points(columns, roles, cfg.fpr), points(other, roles, cfg.fpr), strict=True)
    asked: list[tuple[str, np.ndarray, McNemar, str]] = []
    for ours, theirs in both:
        if not (isinstance(ours, Point) and isinstance(theirs, Point)):
            continue
        for side, rows in (("anchors", roles.anchors), ("injected", roles.lenses)):
            if rows.size:
                a = columns["logit"][rows] > ours.threshold
                b = other["logit"][rows] > theirs.threshold
                gate = f"against.{side}.at_fpr_{ours.fpr:g}"
                asked.append((gate, rows, mcnemar(a, b), _difference(a, b, columns, rows, cfg)))
    return _findings(asked)


def _difference(a, b, columns: Columns, rows: np.ndarray, cfg: Evaluate) -> str:
    """Of the shares found, with its interval by host."""
    step = a.astype(np.float32) - b
    found = interval(
        lambda weights: weights[0] @ step / weights[0].sum(1),
        [columns["host_id"][rows]],
        cfg.resamples,
    )
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _findings(asked: Sequence[tuple[str, np.ndarray, McNemar, str]]) -> list[Finding]:
    adjusted = holm([test.p for _, _, test, _ in asked])
    found = []
    for (gate, rows, test, difference), p in zip(asked, adjusted, strict=True):
        words = "difference shown" if p < _SURELY else "not resolved"
        measured = (
            f"{words}: {difference}; {test.only_a} found by this finder alone, {test.only_b} by "
            f"the other alone, p {f'{p:.3f}' if p >= _LEAST_TOLD else '< 0.001'}"
        )
        level = Level.INFO if test.resolves else Level.SKIP
        advice = (
            f"With fewer than {LEAST_DISCORDANT} that one alone finds nothing can be shown: more "
            "lenses are needed."
        )
        about = (
            "Recall less that of the other finder, each at its own threshold; exact McNemar test, "
            f"corrected for {len(asked)} tests (Holm)."
        )
        found.append(Finding(gate, level, measured, "", len(rows), about, advice))
    return found
