"""The report of a finder: its figures, and pictures of what it finds and misses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darkhaloscope.config import Evaluate
from darkhaloscope.evaluate.completeness import told
from darkhaloscope.evaluate.findings import Finding
from darkhaloscope.evaluate.operating import Point, points, strictest
from darkhaloscope.evaluate.roles import Roles
from darkhaloscope.io.parts import parts_in
from darkhaloscope.io.scores import SKY, Scored
from darkhaloscope.io.tables import columns_of, image_from, rows_where
from darkhaloscope.report import page
from darkhaloscope.report.canvas import FigurePng
from darkhaloscope.report.judged import judged_figures
from darkhaloscope.report.mosaic import mosaic
from darkhaloscope.report.recovered import completeness_figures
from darkhaloscope.schema import band_columns

Columns = Mapping[str, np.ndarray]

_ACROSS_COMPLETENESS = ("theta_E_arcsec", "psf_fwhm_r_arcsec", "arc_snr", "psf_depth_r_mag")


@dataclass(frozen=True)
class Cut:
    """Where found and missed part: a threshold of logits, its words, and the end of its gates."""

    threshold: float
    words: str
    gate: str

    @classmethod
    def of(cls, columns: Columns, roles: Roles, cfg: Evaluate) -> "Cut":
        """The strictest false-positive rate that can be shown, else the score threshold."""
        point = strictest(points(columns, roles, cfg.fpr))
        if point is not None:
            words = f"found at false-positive rate {point.fpr:g}"
            return cls(point.threshold, words, f"at_fpr_{point.fpr:g}")
        below = columns["logit"][columns["score"] < cfg.score_threshold]
        threshold = float(below.max()) if below.size else -np.inf
        return cls(threshold, f"found at score {cfg.score_threshold:g}", "at_score")


def finder_report(
    found: Scored,
    roles: Roles,
    findings: list[Finding],
    cut: Cut,
    provenance: Mapping[str, str],
    cfg: Evaluate,
) -> str:
    """The HTML page."""
    columns = found.columns
    there = [p for p in points(columns, roles, cfg.fpr) if isinstance(p, Point)]
    return page.page(
        title="What the finder finds",
        summary=_summary(columns, roles, findings, cut),
        findings=findings,
        sheets=_sheets(found, roles, cut, cfg),
        figures=[*judged_figures(columns, roles, there), *_curves(columns, roles, cut)],
        provenance=dict(provenance),
        evidence={
            "recall.": "Recall against false positives",
            "ranking.": "Scores by class",
            "contamination.": "Scores by class",
            "calibration.negatives": "Calibration",
        },
        headline=_headline(findings, cut),
        table="Figures",
    )


def _headline(findings: Sequence[Finding], cut: Cut) -> str:
    """What counts: recall of real lenses, else of injected ones, at the strictest rate shown."""
    recalls = {f.gate: f for f in findings}
    for side, words in (("anchors", "real"), ("injected", "injected")):
        if (f := recalls.get(f"recall.{side}.{cut.gate}")) is not None:
            return f"of {words} lenses, {f.measured} are {cut.words} (n {f.n:,})"
    raise AssertionError("lenses of one side were scored")


_KEY_FIGURES = {
    "recall.anchors.at_score": "real lenses, at score",
    "recall.visible.at_score": "of these visible, at score",
    "recall.anchors.tpr0": "real lenses, no false positive",
    "recall.injected.at_score": "injected lenses, at score",
    "recall.injected.tpr0": "injected lenses, no false positive",
    "false_positives.at_score": "false positives, at score",
}


def _summary(
    columns: Columns, roles: Roles, findings: Sequence[Finding], cut: Cut
) -> dict[str, str]:
    def counted(rows: np.ndarray) -> str:
        hosts = len(np.unique(columns["host_id"][rows].astype(str)))
        return f"{len(rows):,} on {hosts:,} hosts"

    figures = {f.gate: f.measured for f in findings}
    return {label: figures[gate] for gate, label in _KEY_FIGURES.items() if gate in figures} | {
        "real lenses": counted(roles.anchors),
        "injected lenses": counted(roles.lenses),
        "negatives": f"{len(roles.negatives):,}; {len(roles.chosen):,} to choose on",
        "look-alikes": counted(np.concatenate([np.zeros(0, int), *roles.look_alikes.values()])),
        "found means": cut.words,
    }


def completeness_of(columns: Columns, roles: Roles, cut: Cut) -> dict[str, Any] | None:
    """Of injected lenses, where what it hangs on is known."""
    its = _injected(columns, roles)
    return None if its is None else told(its, its["logit"] > cut.threshold, cut.words)


def _curves(columns: Columns, roles: Roles, cut: Cut) -> list[FigurePng]:
    its = _injected(columns, roles)
    return [] if its is None else completeness_figures(its, its["logit"] > cut.threshold, cut.words)


def _injected(columns: Columns, roles: Roles) -> Columns | None:
    its = {name: values[roles.lenses] for name, values in columns.items()}
    known = roles.lenses.size and all(np.isfinite(its[n]).any() for n in _ACROSS_COMPLETENESS)
    return its if known else None


def _sheets(found: Scored, roles: Roles, cut: Cut, cfg: Evaluate) -> list[tuple[str, str, bytes]]:
    """Pictures of what is found and what is missed, where the scored folders are still there."""
    logit = found.columns["logit"]
    above = logit > cut.threshold
    look_alikes = np.concatenate([np.zeros(0, int), *roles.look_alikes.values()])
    asked = (
        ("Real lenses found", roles.anchors, True, True, f"Highest scores first; {cut.words}."),
        (
            "Real lenses missed",
            roles.anchors,
            False,
            False,
            f"Lowest scores first; not {cut.words}.",
        ),
        ("Injected lenses found", roles.lenses, True, True, f"Highest scores first; {cut.words}."),
        (
            "Injected lenses missed",
            roles.lenses,
            False,
            False,
            f"Lowest scores first; not {cut.words}.",
        ),
        ("Galaxies taken for lenses", roles.negatives, True, True, f"No lens known; {cut.words}."),
        ("Look-alikes taken for lenses", look_alikes, True, True, f"{cut.words}."),
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
