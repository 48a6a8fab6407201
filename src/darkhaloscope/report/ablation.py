"""A study as a table, and as a figure of recalls with their seeds."""

from collections.abc import Sequence

from darkhaloscope.evaluate.ablation import Beside, Line, Study
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.paired import p_said
from darkhaloscope.report.canvas import (
    FAINT,
    INK,
    SET_COLOUR,
    FigurePng,
    finish,
    plain_axes,
    png_bytes,
)


def study_findings(study: Study) -> list[Finding]:
    """One a line of the table, and one for each rate that is refused."""
    found = [_finding(line) for line in study.lines]
    for fpr, needed in study.refused.items():
        found.append(
            Finding(
                f"refused.fpr_{fpr:g}", Level.SKIP, f"{study.negatives:,} negatives",
                f"{needed:,} of each split", study.negatives,
                f"Recall at false-positive rate {fpr:g}.",
                "Even none of so few above the threshold would leave a higher rate possible; "
                "give more hosts.",
            )
        )  # fmt: skip
    return found


def _finding(line: Line) -> Finding:
    words = f"recall {line.recall}; seeds {', '.join(f'{s:.3f}' for s in line.seeds)}"
    if (its := line.beside) is not None:
        words += (
            f"; difference {its.difference.signed()}, p {p_said(its.p)}, beside the others "
            f"{p_said(its.adjusted)}; mean scores, one lens a host: {its.exact.only_a} found by "
            f"it alone, {its.exact.only_b} by the first alone, McNemar p {p_said(its.exact.p)}"
        )
    return Finding(
        f"{line.side}.at_fpr_{line.fpr:g}.{line.condition}",
        Level.INFO,
        words,
        "",
        line.recall.n,
        f"Recall of {line.lenses} {'real' if line.side == 'anchors' else 'injected'} lenses at "
        f"false-positive rate {line.fpr:g}, thresholds chosen on another split.",
        "",
        line.recall,
    )


def study_table(study: Study) -> str:
    """Markdown, a line a condition."""
    lines = [
        "| lenses | FPR | condition | recall | difference | p, Holm | McNemar |",
        "|---|---|---|---|---|---|---|",
    ]
    for x in study.lines:
        cells = ("–", "–", "–") if x.beside is None else _cells(x.beside)
        lines.append(f"| {x.side} | {x.fpr:g} | {x.condition} | {x.recall} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cells(its: Beside) -> tuple[str, str, str]:
    exact = f"{its.exact.only_a}:{its.exact.only_b}, p {p_said(its.exact.p)}"
    return its.difference.signed(), p_said(its.adjusted), exact


def study_figures(study: Study) -> list[FigurePng]:
    """Recall of every condition, a figure for each kind of lens and rate."""
    sides = dict.fromkeys((line.side, line.fpr) for line in study.lines)
    return [
        _figure([x for x in study.lines if (x.side, x.fpr) == which], *which) for which in sides
    ]


def _figure(lines: Sequence[Line], side: str, fpr: float) -> FigurePng:
    figure, axes = plain_axes()
    figure.set_size_inches(5.2, 0.5 * len(lines) + 1.1)
    for i, line in enumerate(lines):
        axes.plot([line.recall.low, line.recall.high], [i, i], color=INK, lw=1.2)
        axes.plot(line.seeds, [i] * len(line.seeds), "|", color=FAINT, ms=9)
        face = SET_COLOUR if line.beside is None or line.beside.shown else "white"
        axes.plot([line.recall.value], [i], "o", color=SET_COLOUR, mfc=face, ms=6)
    axes.axvline(lines[0].recall.value, color=FAINT, lw=0.8, ls=(0, (2, 3)), zorder=0)
    axes.set(yticks=range(len(lines)), ylim=(len(lines) - 0.4, -0.6))
    axes.set_yticklabels([line.condition for line in lines])
    what = "real" if side == "anchors" else "injected"
    finish(axes, f"recall of {what} lenses at false-positive rate {fpr:g}", "", False)
    caption = (
        f"{lines[0].lenses} lenses, {len(lines[0].seeds)} seeds (strokes), 95% intervals over "
        "hosts and seeds. Filled: the first, and those shown to differ from it."
    )
    return FigurePng(f"Recall of {what} lenses, FPR {fpr:g}", caption, png_bytes(figure))
