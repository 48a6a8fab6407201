"""What every probe tells of every kind of control, on one figure."""

from collections.abc import Sequence

import numpy as np

from darkhaloscope.evaluate.findings import Finding
from darkhaloscope.report.canvas import FAINT, INK, FigurePng, finish, plain_axes, png_bytes
from darkhaloscope.schema import KINDS

_MARKS: dict[str, str] = dict(zip(KINDS, "*osD^v", strict=True))
_APART = 0.15
_GROUP = "probe."


def probe_figure(findings: Sequence[Finding]) -> FigurePng | None:
    """AUC and interval of each probe and kind, its limit as a bar; None without any probe."""
    told = {
        f: f.number
        for f in findings
        if f.gate.startswith(_GROUP) and f.number and f.gate.count(".") == 2
    }
    if not told:
        return None
    names = list(dict.fromkeys(f.gate.split(".")[1] for f in told))
    kinds = [kind for kind in KINDS if any(f.gate.endswith(f".{kind}") for f in told)]
    figure, axes = plain_axes()
    figure.set_size_inches(5.2, 0.55 * len(names) + 1.2)
    for f, number in told.items():
        _, name, kind = f.gate.split(".")
        y = names.index(name) + _APART * (kinds.index(kind) - (len(kinds) - 1) / 2)
        value, low, high = number.value, number.low, number.high
        colour = INK if f.limit else FAINT
        axes.plot([low, high], [y, y], color=colour, lw=1)
        axes.plot(
            [value], [y], _MARKS[kind], color=colour, mfc=colour if f.limit else "white", ms=4
        )
        if f.limit:
            limit = float(f.limit.split()[-1])
            axes.plot([limit, limit], [y - _APART / 2, y + _APART / 2], color="#b3480a", lw=1.6)
    for kind in kinds:
        axes.plot([], [], _MARKS[kind], color=INK, ms=4, label=kind)
    axes.axvline(0.5, color=FAINT, lw=0.8, ls=(0, (2, 3)), zorder=0)
    axes.set(yticks=np.arange(len(names)), ylim=(len(names) - 0.4, -0.6), xlim=(0.4, 1.0))
    axes.set_yticklabels(names)
    axes.legend(frameon=False, fontsize=8, loc="lower right", title="lens or ...", title_fontsize=8)
    finish(axes, "AUC of a classifier shown this alone", "", False)
    caption = (
        "95% intervals by host, on pairs. Upright bars are limits; pale marks are told of, not "
        "judged: the light itself differs there. At the dotted line the probe tells nothing."
    )
    return FigurePng("What classifiers tell that do not see the arc", caption, png_bytes(figure))
