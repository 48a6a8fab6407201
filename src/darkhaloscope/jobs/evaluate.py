"""`dhs evaluate`: what a finder's scores show, with what is found and missed to be looked at."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from darkhaloscope.config import Evaluate
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.against import against
from darkhaloscope.evaluate.finder import judge
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.realness import realness
from darkhaloscope.evaluate.roles import roles_of
from darkhaloscope.io.files import write_json, write_text
from darkhaloscope.io.scores import Scored, read_scored
from darkhaloscope.jobs.finder_report import Cut, completeness_of, finder_report
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.versions import versions
from darkhaloscope.report import page

FINDINGS, REPORT = "evaluation.json", "evaluation.html"


def evaluate(
    out: Path, scores: Sequence[Path], other: Sequence[Path], cfg: Evaluate
) -> list[Finding]:
    """Write findings as JSON and a report of a finder's scores; the findings.

    scores : tables of `dhs score`, or folders of them, of one finder
    other : of another finder on the same rows, or none
    Raises DhsError if tables cannot be used, or hold nothing to judge
    """
    found = read_scored(scores)
    roles = roles_of(found.columns, cfg)
    if not (roles.anchors.size or roles.lenses.size) or not roles.negatives.size:
        raise DhsError(
            f"split {cfg.report_on} of these scores holds {roles.anchors.size} real and "
            f"{roles.lenses.size} injected lenses and {roles.negatives.size} galaxies without one; "
            "both are needed: score a stamp set, or anchors and cutouts of plain galaxies"
        )
    findings = judge(found.columns, roles, cfg, found.unscored)
    findings += realness(found.columns, found.embedding, roles.anchors, roles.lenses)
    if other:
        findings += _against(found, read_scored(other), cfg)
    told = {"config": cfg.as_json(), **versions()}
    told |= {"scores": ", ".join(map(str, scores)), "against": ", ".join(map(str, other))}
    cut = Cut.of(found.columns, roles, cfg)
    said = {
        **told,
        "findings": [asdict(f) for f in findings],
        "completeness": completeness_of(found.columns, roles, cut),
    }
    write_json(out / FINDINGS, said)
    write_text(out / REPORT, finder_report(found, roles, findings, cut, told, cfg))
    _say(findings, out)
    return findings


def _against(found: Scored, other: Scored, cfg: Evaluate) -> list[Finding]:
    """On the rows that both finders scored."""
    theirs = {task: i for i, task in enumerate(other.columns["task_id"])}
    rows = np.array([i for i, t in enumerate(found.columns["task_id"]) if t in theirs], int)
    if not rows.size:
        raise DhsError("the two finders have no scored row in common; score the same sets by both")
    ours = {name: values[rows] for name, values in found.columns.items()}
    there = [theirs[task] for task in ours["task_id"]]
    columns = {name: values[there] for name, values in other.columns.items()}
    return against(ours, columns, roles_of(ours, cfg), cfg)


def _say(findings: Sequence[Finding], out: Path) -> None:
    for f in findings:
        if f.gate.startswith(("recall", "against")):
            console.print(f"  {f.gate:<36} {f.measured}")
    verdict = page.verdict(findings)
    console.print(f"evaluate {out / REPORT}: {verdict.words}")


def failed(findings: Sequence[Finding]) -> bool:
    return any(f.level is Level.FAIL for f in findings)
