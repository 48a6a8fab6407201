"""A study's table: each condition's recall at matched false-positive rates, and what differs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from darkhaloscope.evaluate.conditions import Measured, Trials, measured, recalls
from darkhaloscope.evaluate.operating import least_negatives
from darkhaloscope.evaluate.paired import McNemar, holm, mcnemar, one_a_host, p_said
from darkhaloscope.evaluate.roles import Roles
from darkhaloscope.evaluate.stats import Estimate, rate_by_host, threshold_at

Columns = Mapping[str, np.ndarray]

SURELY = 0.05
LEAST_HOSTS = 20
"""Lenses on fewer hosts are not compared: the spread between hosts would not be known."""
_WORDS = {"anchors": "real lenses", "injected": "injected lenses"}


@dataclass(frozen=True)
class Beside:
    """A condition against the first one.

    p : of no difference, over hosts and seeds; adjusted : beside all others of the study (Holm)
    exact : McNemar's test of the seeds' mean scores, one lens a host, thresholds as given
    resolvable : the true difference that would be shown with a chance of 80%
    """

    difference: Estimate
    p: float
    adjusted: float
    exact: McNemar
    resolvable: float

    @property
    def shown(self) -> bool:
        return self.adjusted < SURELY


@dataclass(frozen=True)
class Line:
    """One condition at one false-positive rate, on real or injected lenses.

    seeds : recall of each; beside : None for the first condition
    """

    condition: str
    side: str
    fpr: float
    recall: Estimate
    seeds: tuple[float, ...]
    lenses: int
    beside: Beside | None = None


@dataclass(frozen=True)
class Study:
    """Lines in order, and rates that the negatives cannot show: rate to negatives needed."""

    lines: tuple[Line, ...]
    refused: Mapping[float, int]
    negatives: int


def compared(
    columns: Columns,
    roles: Roles,
    logits: Mapping[str, np.ndarray],
    fprs: Sequence[float],
    resamples: int,
) -> Study:
    """The table of a study.

    columns : of the rows that all finders scored; logits : (seed, row) of each condition, the first
    being what others are compared with
    """
    negatives = min(len(roles.chosen), len(roles.negatives))
    refused = {fpr: least_negatives(fpr) for fpr in fprs if negatives < least_negatives(fpr)}
    lines = [
        line
        for side, rows in (("anchors", roles.anchors), ("injected", roles.lenses))
        if len(np.unique(columns["host_id"][rows].astype(str))) >= LEAST_HOSTS
        for fpr in fprs
        if fpr not in refused
        for line in _lines(columns, roles, rows, side, logits, fpr, resamples)
    ]
    return Study(tuple(_adjusted(lines)), refused, negatives)


def _adjusted(lines: Sequence[Line]) -> Iterator[Line]:
    adjusted = iter(holm([line.beside.p for line in lines if line.beside]))
    for line in lines:
        its = line.beside
        yield replace(line, beside=replace(its, adjusted=next(adjusted))) if its else line


def _lines(columns, roles: Roles, rows, side: str, logits, fpr: float, n: int) -> list[Line]:
    hosts = columns["host_id"][rows], columns["host_id"][roles.chosen]
    trials = [Trials(some[:, rows], some[:, roles.chosen]) for some in logits.values()]
    alone, beside = measured(trials, hosts, fpr, n)
    lines = [
        Line(
            name,
            side,
            fpr,
            _within(one, its, hosts[0]),
            tuple(recalls(its, fpr).tolist()),
            len(rows),
        )
        for name, one, its in zip(logits, alone, trials, strict=True)
    ]
    found = [_found(its, fpr) for its in trials]
    alone_rows = one_a_host(columns["host_id"][rows])
    for i, found_beside in enumerate(beside, start=1):
        exact = mcnemar(found[i][alone_rows], found[0][alone_rows])
        lines[i] = replace(lines[i], beside=_beside(found_beside, exact))
    return lines


def _beside(found: Measured, exact: McNemar) -> Beside:
    steps = student.ppf(0.975, found.freedom) + student.ppf(0.8, found.freedom)
    return Beside(found.estimate, found.p, found.p, exact, found.error * float(steps))


def _within(found: Measured, trials: Trials, hosts: np.ndarray) -> Estimate:
    """A share is between 0 and 1, and so is its interval; where all agree, that of one seed."""
    if found.error == 0:
        return rate_by_host(np.full(trials.lens.shape[1], found.value > 0), hosts)
    its = found.estimate
    return replace(its, low=max(0.0, its.low), high=min(1.0, its.high))


def _found(trials: Trials, fpr: float) -> np.ndarray:
    """Lenses above the threshold of the seeds' mean score: (lens,) bool."""
    return trials.lens.mean(0) > threshold_at(trials.chosen.mean(0), fpr)


def verdict(study: Study) -> str:
    """One sentence: what differs, or that nothing is resolved and what could have been."""
    tested = [(line, line.beside) for line in study.lines if line.beside]
    if not tested and not study.refused:
        return f"Not resolved: lenses on {LEAST_HOSTS} hosts or more are needed."
    if not tested:
        needed = ", ".join(f"{fpr:g} needs {n:,}" for fpr, n in study.refused.items())
        return f"Not resolved: {study.negatives:,} negatives of each split are too few; {needed}."
    shown = [_difference(line, beside) for line, beside in tested if beside.shown]
    if shown:
        said = "; ".join(shown)
        return f"{said[0].upper()}{said[1:]}; {_rest(len(tested), len(shown))}."
    line, beside = max(tested, key=lambda each: abs(each[1].difference.value))
    return (
        f"Not resolved: no condition differs from {study.lines[0].condition}; the largest "
        f"difference is {line.condition}'s, {beside.difference.signed(2)} of {_WORDS[line.side]} "
        f"at false-positive rate {line.fpr:g}, where {beside.resolvable:.2f} would have been shown "
        "with a chance of 80%."
    )


def _difference(line: Line, beside: Beside) -> str:
    more = "more" if beside.difference.value > 0 else "fewer"
    return (
        f"{line.condition} finds {more} {_WORDS[line.side]} at false-positive rate {line.fpr:g}, "
        f"{beside.difference.signed(2)}, p {p_said(beside.adjusted)}"
    )


def _rest(tested: int, shown: int) -> str:
    rest = tested - shown
    return f"{rest} of {tested} comparisons are not resolved" if rest else "all are resolved"
