"""What can be said of a finder: every figure with its interval and n, or why it is refused."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from darkhaloscope.config import Evaluate
from darkhaloscope.evaluate.bootstrap import interval
from darkhaloscope.evaluate.calibration import calibration_error, purity
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.operating import (
    Point,
    Refused,
    points,
    share_above,
    share_at_score,
    strictest,
)
from darkhaloscope.evaluate.roles import Roles
from darkhaloscope.evaluate.stats import Estimate, auc, mean_recall_of, threshold_after

Columns = Mapping[str, np.ndarray]

PLAN_RECALL, PLAN_CONTAMINATION = 0.30, 0.15
"""What the plan asks of anchors and of hard negatives, at score 0.5."""

_FALSE_POSITIVES = (0, 10)
_LEAST_AUC = 2


def judge(
    columns: Columns, roles: Roles, cfg: Evaluate, unscored: np.ndarray | None = None
) -> list[Finding]:
    """All that is said of one finder.

    columns, unscored : as io.scores.Scored has them
    """
    found = points(columns, roles, cfg.fpr)
    return [
        *_rows(columns, roles, unscored),
        *_recall(columns, roles, found, cfg),
        *_false_positives(columns, roles, found, cfg),
        *_contamination(columns, roles, strictest(found), cfg),
        *_ranking(columns, roles, cfg),
        *_calibration(columns, roles, cfg),
        *_purity(columns, roles, found, cfg),
    ]


def _rows(columns: Columns, roles: Roles, unscored: np.ndarray | None) -> Iterator[Finding]:
    """Whether the rows are what the figures take them for."""
    hosts = columns["host_id"].astype(str)
    both = np.intersect1d(hosts[roles.chosen], hosts[roles.negatives])
    yield Finding(
        "rows.splits",
        Level.FAIL if both.size else Level.PASS,
        f"{len(both)} galaxies",
        "0 in both splits",
        len(roles.chosen) + len(roles.negatives),
        "Thresholds are chosen on other galaxies than they are told of.",
        f"Such as {', '.join(both[:3])}: split by sky, so that a galaxy is in one split only.",
    )
    if unscored is not None and unscored.any():
        groups = {**_sides(roles), **roles.controls, "negatives to choose on": roles.chosen}
        counts = {name: int(unscored[rows].sum()) for name, rows in groups.items()}
        yield Finding(
            "rows.unscored", Level.WARN,
            ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "none that counts",
            "", int(unscored.sum()), "Rows without a score count as not found.",
            "See the column cause of the scores.",
        )  # fmt: skip


def _sides(roles: Roles) -> dict[str, np.ndarray]:
    """Lenses that recall is told of, by what they are; a side without any is told as missing."""
    seen = {"visible": roles.visible} if roles.visible.size else {}
    return {"anchors": roles.anchors, **seen, "injected": roles.lenses}


_WORDS = {
    "anchors": "real lenses",
    "visible": "real lenses that the ground can show",
    "injected": "injected lenses",
}


def _recall(
    columns: Columns, roles: Roles, found: Sequence[Point | Refused], cfg: Evaluate
) -> Iterator[Finding]:
    for side, rows in _sides(roles).items():
        words = _WORDS[side]
        if not rows.size:
            yield Finding(
                f"recall.{side}", Level.SKIP, "none scored", "", 0, f"Recall of {words}.",
                f"Score some {words} of the split {cfg.report_on} and give their table too.",
            )  # fmt: skip
            continue
        share = share_at_score(columns, rows, cfg.score_threshold)
        asked = PLAN_RECALL if side == "anchors" else None
        yield _told(
            f"recall.{side}.at_score",
            share,
            f"Recall of {words} at score {cfg.score_threshold:g}.",
            at_least=asked,
        )
        for point in found:
            yield _recall_at(columns, rows, point, side)
        for k in _FALSE_POSITIVES:
            if len(roles.negatives) > k:
                threshold = threshold_after(columns["logit"][roles.negatives], k)
                yield _told(
                    f"recall.{side}.tpr{k}",
                    share_above(columns, rows, threshold),
                    f"Recall of {words} at the threshold that lets {k} of "
                    f"{len(roles.negatives):,} negatives pass, taken as given.",
                )


def _recall_at(columns: Columns, rows: np.ndarray, point: Point | Refused, side: str) -> Finding:
    gate = f"recall.{side}.at_fpr_{point.fpr:g}"
    about = f"Recall of {_WORDS[side]} at false-positive rate {point.fpr:g}."
    if isinstance(point, Refused):
        return _refused(gate, point, about)
    share = share_above(columns, rows, point.threshold)
    return _told(gate, share, f"{about} Threshold chosen on another split.")


def _refused(gate: str, point: Refused, about: str) -> Finding:
    return Finding(
        gate,
        Level.SKIP,
        f"refused: {point.chosen:,} negatives to choose on, {point.negatives:,} to report",
        f"{point.needed:,} of each",
        min(point.chosen, point.negatives),
        about,
        f"So few cannot show a rate of {point.fpr:g}: even none of them would leave more possible. "
        f"Score {point.needed:,} galaxies of each split.",
    )


def _false_positives(
    columns: Columns, roles: Roles, found: Sequence[Point | Refused], cfg: Evaluate
) -> Iterator[Finding]:
    if not roles.negatives.size:
        return
    share = share_at_score(columns, roles.negatives, cfg.score_threshold)
    yield _told(
        "false_positives.at_score",
        share,
        f"Negatives with score {cfg.score_threshold:g} or more.",
        rare=True,
    )
    for point in found:
        if isinstance(point, Point):
            kept = point.achieved.low <= point.fpr
            level = Level.INFO if kept else Level.WARN
            yield Finding(
                f"false_positives.at_fpr_{point.fpr:g}",
                level,
                _said(point.achieved, rare=True),
                f"interval reaches down to {point.fpr:g}",
                point.achieved.n,
                "The rate that the threshold has on the reported split; Clopper-Pearson.",
                "The two splits' negatives differ, or thresholds were chosen on too few.",
                point.achieved,
            )


def _contamination(
    columns: Columns, roles: Roles, point: Point | None, cfg: Evaluate
) -> Iterator[Finding]:
    for kind, rows in roles.look_alikes.items():
        yield _told(
            f"contamination.{kind}.at_score",
            share_at_score(columns, rows, cfg.score_threshold),
            f"Look-alikes of kind {kind} taken for lenses at score {cfg.score_threshold:g}.",
            at_most=PLAN_CONTAMINATION,
        )
        if point is not None:
            yield _told(
                f"contamination.{kind}.at_fpr_{point.fpr:g}",
                share_above(columns, rows, point.threshold),
                f"Look-alikes of kind {kind} above the threshold of false-positive rate "
                f"{point.fpr:g}.",
            )


def _ranking(columns: Columns, roles: Roles, cfg: Evaluate) -> Iterator[Finding]:
    logit, host = columns["logit"], columns["host_id"]
    for side, rows in _sides(roles).items():
        for kind, others in roles.controls.items():
            if min(len(rows), len(others)) < _LEAST_AUC:
                continue
            yield _told(
                f"ranking.{side}.auc_{kind}",
                auc(logit[rows], logit[others], (host[rows], host[others])),
                f"AUC of {_WORDS[side]} against {kind}.",
            )
        if min(len(rows), len(roles.negatives)) >= _LEAST_AUC:
            yield _partial(logit, host, rows, roles.negatives, side, cfg)


def _partial(logit, host, rows, negatives, side: str, cfg: Evaluate) -> Finding:
    gate = f"ranking.{side}.partial_auc"
    about = f"Mean recall of {_WORDS[side]} up to false-positive rate {cfg.partial_fpr:g}."
    if len(negatives) * cfg.partial_fpr < 1:
        point = Refused(cfg.partial_fpr, len(negatives), len(negatives))
        return _refused(gate, point, about)
    statistic = mean_recall_of(logit[rows], logit[negatives], cfg.partial_fpr)
    found = interval(statistic, (host[rows], host[negatives]), cfg.resamples)
    return _told(gate, found, f"{about} Bootstrap by host.")


def _calibration(columns: Columns, roles: Roles, cfg: Evaluate) -> Iterator[Finding]:
    score, host = columns["score"], columns["host_id"]
    lenses = np.concatenate([roles.anchors, roles.lenses])
    for kind, others in roles.controls.items():
        rows = np.concatenate([lenses, others])
        gate, about = f"calibration.{kind}", f"Expected calibration error of lenses and {kind}."
        lens = np.arange(len(rows)) < len(lenses)
        try:
            found = calibration_error(score[rows], lens, host[rows], cfg.resamples)
        except ValueError as error:
            yield Finding(gate, Level.SKIP, "refused", "", len(rows), about, f"{error}.")
            continue
        share = f"{about} {lens.mean():.0%} of these rows are lenses; scores hold for that share."
        yield _told(gate, found, share)


def _purity(
    columns: Columns, roles: Roles, found: Sequence[Point | Refused], cfg: Evaluate
) -> Iterator[Finding]:
    side = "anchors" if roles.anchors.size else "injected"
    rows = _sides(roles)[side]
    for point in found:
        for prevalence in cfg.prevalence:
            if isinstance(point, Point) and rows.size:
                share = purity(
                    share_above(columns, rows, point.threshold), point.achieved, prevalence
                )
                yield _told(
                    f"purity.{side}.at_fpr_{point.fpr:g}.of_{prevalence:g}",
                    share,
                    f"Share of lenses in what is found, if one in {1 / prevalence:,.0f} galaxies "
                    f"is one, and all are found as {_WORDS[side]} are.",
                    rare=True,
                )


def _told(
    gate: str,
    found: Estimate,
    about: str,
    at_least: float | None = None,
    at_most: float | None = None,
    rare: bool = False,
) -> Finding:
    """A figure, judged where a bound is asked: it passes or fails only if its interval does."""
    level, limit = Level.INFO, ""
    if at_least is not None:
        level, limit = _side(found.low >= at_least, found.high < at_least), f">= {at_least:g}"
    if at_most is not None:
        level, limit = _side(found.high <= at_most, found.low > at_most), f"<= {at_most:g}"
    advice = "The interval holds the limit: more objects are needed." if level == "warn" else ""
    return Finding(gate, level, _said(found, rare), limit, found.n, about, advice, found)


def _side(surely: bool, surely_not: bool) -> Level:
    return Level.PASS if surely else Level.FAIL if surely_not else Level.WARN


def _said(found: Estimate, rare: bool = False) -> str:
    """rare : two figures of each, however small"""
    form = ".2g" if rare else ".3f"
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"
