"""`dhs evaluate`: what a finder's scores show, with what is found and missed to be looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from darkhaloscope.config import Evaluate
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.against import against
from darkhaloscope.evaluate.finder import judge
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.operating import Point, points, strictest
from darkhaloscope.evaluate.realness import realness
from darkhaloscope.evaluate.roles import Roles, roles_of
from darkhaloscope.io.files import write_json, write_text
from darkhaloscope.io.parts import parts_in
from darkhaloscope.io.scores import SKY, Scored, read_scored
from darkhaloscope.io.tables import columns_of, image_from, rows_where
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.versions import versions
from darkhaloscope.report import page
from darkhaloscope.report.canvas import FigurePng
from darkhaloscope.report.judged import judged_figures
from darkhaloscope.report.mosaic import mosaic
from darkhaloscope.report.recovered import completeness_figures
from darkhaloscope.schema import band_columns

FINDINGS, REPORT = "evaluation.json", "evaluation.html"

_ACROSS_COMPLETENESS = ("theta_E_arcsec", "psf_fwhm_r_arcsec", "arc_snr", "psf_depth_r_mag")


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
    findings = judge(found.columns, roles, cfg)
    findings += realness(found.columns, found.embedding, roles.anchors, roles.lenses)
    if other:
        findings += _against(found, read_scored(other), cfg)
    told = {"config": cfg.as_json(), **versions(), "unscored": str(found.unscored)}
    told |= {"scores": ", ".join(map(str, scores)), "against": ", ".join(map(str, other))}
    write_json(out / FINDINGS, {**told, "findings": [_plain(f) for f in findings]})
    write_text(out / REPORT, _report(found, roles, findings, told, cfg))
    _say(findings, out)
    return findings


def _plain(finding: Finding) -> dict:
    return {**asdict(finding), "level": str(finding.level)}


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


def _report(
    found: Scored, roles: Roles, findings: list[Finding], told: Mapping[str, str], cfg: Evaluate
) -> str:
    columns = found.columns
    there = [p for p in points(columns, roles, cfg.fpr) if isinstance(p, Point)]
    point = strictest(there)
    threshold = _logit_at(columns, cfg.score_threshold) if point is None else point.threshold
    what = (
        f"score >= {cfg.score_threshold:g}"
        if point is None
        else f"above the threshold of FPR {point.fpr:g}"
    )
    return page.page(
        title="What the finder finds",
        summary=_summary(columns, roles, findings, what),
        findings=findings,
        sheets=_sheets(found, roles, threshold, what, cfg),
        figures=[
            *judged_figures(columns, roles, there),
            *_surfaces(columns, roles, threshold, what),
        ],
        provenance=dict(told),
        evidence={
            "recall.": "Recall against false positives",
            "ranking.": "Scores by class",
            "contamination.": "Scores by class",
            "calibration.negatives": "Calibration",
        },
        headline=_headline(findings, point, cfg),
        table="Figures",
    )


def _headline(findings: Sequence[Finding], point: Point | None, cfg: Evaluate) -> str:
    """What counts: recall of real lenses, else of injected ones, at the strictest rate shown."""
    at = f"at_fpr_{point.fpr:g}" if point else "at_score"
    rate = f"false-positive rate {point.fpr:g}" if point else f"score {cfg.score_threshold:g}"
    told = {f.gate: f for f in findings}
    for side, words in (("anchors", "real"), ("injected", "injected")):
        if (f := told.get(f"recall.{side}.{at}")) is not None:
            return f"of {words} lenses, {f.measured} are found at {rate} (n {f.n:,})"
    raise AssertionError("lenses of one side were scored")


def _logit_at(columns: Mapping[str, np.ndarray], score: float) -> float:
    """Logits above it are those of scores that reach `score`."""
    below = columns["logit"][columns["score"] < score]
    return float(below.max()) if below.size else -np.inf


_KEY_FIGURES = {
    "recall.anchors.at_score": "real lenses, at score",
    "recall.visible.at_score": "of these visible, at score",
    "recall.anchors.tpr0": "real lenses, no false positive",
    "recall.injected.at_score": "injected lenses, at score",
    "recall.injected.tpr0": "injected lenses, no false positive",
    "false_positives.at_score": "false positives, at score",
}


def _summary(
    columns: Mapping[str, np.ndarray], roles: Roles, findings: Sequence[Finding], what: str
) -> dict[str, str]:
    def counted(rows: np.ndarray) -> str:
        hosts = len(np.unique(columns["host_id"][rows].astype(str)))
        return f"{len(rows):,} on {hosts:,} hosts"

    told = {f.gate: f.measured for f in findings}
    return {label: told[gate] for gate, label in _KEY_FIGURES.items() if gate in told} | {
        "real lenses": counted(roles.anchors),
        "injected lenses": counted(roles.lenses),
        "negatives": f"{len(roles.negatives):,}; {len(roles.chosen):,} to choose on",
        "look-alikes": counted(np.concatenate([np.zeros(0, int), *roles.look_alikes.values()])),
        "found means": what,
    }


def _surfaces(
    columns: Mapping[str, np.ndarray], roles: Roles, threshold: float, what: str
) -> list[FigurePng]:
    """Completeness of injected lenses, where what it hangs on is known."""
    its = {name: values[roles.lenses] for name, values in columns.items()}
    if not roles.lenses.size or not all(np.isfinite(its[n]).any() for n in _ACROSS_COMPLETENESS):
        return []
    return completeness_figures(its, its["logit"] > threshold, what)


def _sheets(
    found: Scored, roles: Roles, threshold: float, what: str, cfg: Evaluate
) -> list[tuple[str, str, bytes]]:
    """Pictures of what is found and what is missed, where the scored folders are still there."""
    logit = found.columns["logit"]
    above = logit > threshold
    look_alikes = np.concatenate([np.zeros(0, int), *roles.look_alikes.values()])
    asked = (
        ("Real lenses found", roles.anchors, True, True, f"Highest scores first; {what}."),
        ("Real lenses missed", roles.anchors, False, False, f"Lowest scores first; not {what}."),
        ("Injected lenses found", roles.lenses, True, True, f"Highest scores first; {what}."),
        ("Injected lenses missed", roles.lenses, False, False, f"Lowest scores first; not {what}."),
        ("Galaxies taken for lenses", roles.negatives, True, True, f"No lens known; {what}."),
        ("Look-alikes taken for lenses", look_alikes, True, True, f"{what}."),
    )
    drawn = []
    for title, among, passed, falling, caption in asked:
        rows = among[above[among] == passed]
        rows = rows[np.argsort(-logit[rows] if falling else logit[rows], kind="stable")]
        hosts = found.columns["host_id"][rows].astype(str)
        first = np.sort(np.unique(hosts, return_index=True)[1])
        sheet = _sheet(found, rows[first][: cfg.sheet_rows])
        if sheet is not None:
            words = (
                f"{len(rows):,} of {len(among):,}; a host is shown once. {caption} Captions: "
                "score, name or kind."
            )
            drawn.append((title, words, sheet))
    return drawn


def _sheet(found: Scored, rows: np.ndarray) -> bytes | None:
    pictures, captions, sigma = [], [], []
    for row, (image, noise) in _pixels(found, rows).items():
        pictures.append(image)
        sigma.append(noise)
        what = found.columns["name"][row] or found.columns["kind"][row]
        captions.append(f"{found.columns['score'][row]:.3f} {what}")
    return mosaic(pictures, np.array(sigma), captions) if pictures else None


def _pixels(found: Scored, rows: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Image and sky noise of rows whose folder is there, in the order of rows."""
    seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    noise = band_columns("sky_sigma_{b}_nmgy")
    for place in set(found.source[rows]) - {""}:
        if not Path(place).is_dir() or not any(Path(place).glob("part-*.parquet")):
            continue
        its = rows[found.source[rows] == place]
        key = "host_id" if (found.columns["place"][its] == SKY).all() else "task_id"
        of = {str(found.columns[key][row]): int(row) for row in its}
        for path in parts_in(Path(place)):
            some = columns_of(rows_where(path, key, list(of), [key, "size_pix", "image", *noise]))
            for i, name in enumerate(some[key]):
                if name in of:
                    image = image_from(some["image"][i], int(some["size_pix"][i]))
                    seen[of[name]] = image, np.array([some[band][i] for band in noise])
    return {row: seen[row] for row in rows.tolist() if row in seen}


def failed(findings: Sequence[Finding]) -> bool:
    return any(f.level is Level.FAIL for f in findings)
