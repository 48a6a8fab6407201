"""A finder's figures: recall against false positives, scores by class, and their calibration."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import LogFormatterMathtext, LogLocator

from darkhaloscope.evaluate.calibration import reliability
from darkhaloscope.evaluate.operating import Point, share_above
from darkhaloscope.evaluate.roles import Roles
from darkhaloscope.evaluate.stats import exact_rate
from darkhaloscope.report.canvas import (
    FAINT,
    INK,
    REFERENCE_COLOUR,
    SET_COLOUR,
    FigurePng,
    finish,
    plain_axes,
    png_bytes,
)

Columns = Mapping[str, np.ndarray]

_SIDES = {"real lenses": (SET_COLOUR, "-", "o"), "injected lenses": (REFERENCE_COLOUR, "--", "s")}


def judged_figures(columns: Columns, roles: Roles, found: Sequence[Point]) -> list[FigurePng]:
    """Those that the rows allow, in the order of the page. found : points that are shown"""
    drawn = []
    if roles.negatives.size:
        drawn.append(_recall_curve(columns, roles, found))
    drawn.append(_score_distributions(columns, roles))
    lenses = np.concatenate([roles.anchors, roles.lenses])
    if lenses.size and roles.negatives.size:
        drawn.append(_reliability(columns, lenses, roles.negatives))
    return drawn


def _sides(roles: Roles) -> dict[str, np.ndarray]:
    both = dict(zip(_SIDES, (roles.anchors, roles.lenses), strict=True))
    return {name: rows for name, rows in both.items() if rows.size}


def _recall_curve(columns: Columns, roles: Roles, found: Sequence[Point]) -> FigurePng:
    figure, axes = plain_axes()
    negative = np.sort(columns["logit"][roles.negatives])
    least = 1 / len(negative)
    top = exact_rate(0, len(negative)).high
    axes.axvspan(least / 3, top, color="#d9dde5", alpha=0.5, lw=0)
    for name, rows in _sides(roles).items():
        colour, line, mark = _SIDES[name]
        steps = np.unique(columns["logit"][rows])[::-1]
        passed = 1 - np.searchsorted(negative, steps, side="left") / len(negative)
        share = 1 - np.searchsorted(np.sort(columns["logit"][rows]), steps) / len(rows)
        axes.step(
            np.maximum(passed, least / 2), share, line, where="post", color=colour, lw=1.4,
            label=f"{name}, n {len(rows)}",
        )  # fmt: skip
        for point in found:
            at = share_above(columns, rows, point.threshold)
            x = max(point.achieved.value, least / 2)
            axes.plot([x, x], [at.low, at.high], color=colour, lw=1)
            axes.plot([point.achieved.low, point.achieved.high], [at.value] * 2, color=colour, lw=1)
            axes.plot([x], [at.value], mark, color=colour, ms=4.5)
    axes.set(ylim=(-0.02, 1.02), xlim=(least / 3, 1))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    finish(axes, "false-positive rate", "recall", True)
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(LogFormatterMathtext())
    caption = (
        f"Marks: thresholds chosen on another split, with 95% intervals both ways. Grey: rates "
        f"that {len(negative):,} negatives cannot tell from none."
    )
    return FigurePng("Recall against false positives", caption, png_bytes(figure))


def _score_distributions(columns: Columns, roles: Roles) -> FigurePng:
    figure, axes = plain_axes()
    groups = {**_sides(roles), **{k: r for k, r in roles.controls.items() if r.size}}
    figure.set_size_inches(5.2, 0.42 * len(groups) + 1.1)
    for i, (name, rows) in enumerate(groups.items()):
        logit = columns["logit"][rows]
        low, quarter, middle, three, high = np.percentile(logit, [5, 25, 50, 75, 95])
        colour = _SIDES[name][0] if name in _SIDES else INK
        axes.plot([low, high], [i, i], color=colour, lw=1)
        axes.plot([quarter, three], [i, i], color=colour, lw=4.5, solid_capstyle="butt")
        axes.plot([middle], [i], "o", color="white", mec=colour, ms=5)
    axes.axvline(0, color=FAINT, lw=0.8, ls=(0, (2, 3)), zorder=0)
    axes.set(yticks=np.arange(len(groups)), ylim=(len(groups) - 0.4, -0.6))
    axes.set_yticklabels([f"{name}, n {len(rows):,}" for name, rows in groups.items()])
    finish(axes, "logit of the score", "", False)
    caption = "Median, quartiles, and 5 to 95%. Dotted: score 0.5."
    return FigurePng("Scores by class", caption, png_bytes(figure))


def _reliability(columns: Columns, lenses: np.ndarray, negatives: np.ndarray) -> FigurePng:
    figure, axes = plain_axes()
    rows = np.concatenate([lenses, negatives])
    bins = reliability(columns["score"][rows], np.arange(len(rows)) < len(lenses))
    axes.plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls=(0, (2, 3)))
    for one in bins:
        share = exact_rate(round(one.share * one.n), one.n)
        axes.plot([one.score] * 2, [share.low, share.high], color=INK, lw=1)
    axes.plot([b.score for b in bins], [b.share for b in bins], "o-", color=SET_COLOUR, lw=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    finish(axes, "mean score", "share of lenses", False)
    caption = (
        f"Lenses and negatives in bins of as many rows, with exact 95% intervals; "
        f"{len(lenses) / len(rows):.0%} are lenses here, far fewer on the sky."
    )
    return FigurePng("Calibration", caption, png_bytes(figure))
