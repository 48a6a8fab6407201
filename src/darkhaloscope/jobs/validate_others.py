"""`dhs validate` on stamps of another layout: what they have is judged, the rest is skipped."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from darkhaloscope.config import Validate
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.findings import Finding
from darkhaloscope.evaluate.gates import judge
from darkhaloscope.evaluate.sample import unique_hosts
from darkhaloscope.io.files import read_json
from darkhaloscope.io.others import read_rows, tables_in
from darkhaloscope.io.parts import IDENTITY
from darkhaloscope.jobs.engine import Engine
from darkhaloscope.jobs.looks import Columns, look_at_others
from darkhaloscope.keys import unit_interval
from darkhaloscope.report import page
from darkhaloscope.report.canvas import FigurePng
from darkhaloscope.report.kinds import seeing, sky_noise
from darkhaloscope.report.mosaic import mosaic
from darkhaloscope.report.probed import probe_figure
from darkhaloscope.units import BANDS

_SHOWN = 40
_ROWS_A_PAIR = 2


def of_another_layout(stamps: Path) -> bool:
    """Whether a place holds stamps that `dhs inject` did not write where they are."""
    if stamps.is_file():
        return True
    identity = stamps / IDENTITY
    if identity.exists():
        return read_json(identity).get("stage") == "export"
    return bool(tables_in(stamps))


def judge_others(
    stamps: Path, cfg: Validate, engine: Engine
) -> tuple[list[Finding], dict[str, object], str]:
    """Findings, what else findings.json holds, and the report.

    Raises DhsError if a table is of no layout that is known, or nothing is a lens
    """
    paths = tables_in(stamps)
    if not paths:
        raise DhsError(f"{stamps} holds no Parquet file")
    rows = sum(_rows_in(path) for path in paths)
    share = min(1.0, cfg.sample_pairs * _ROWS_A_PAIR / max(rows, 1))
    seen = look_at_others(stamps, share, engine)
    if not seen.tally.kinds["lens"]:
        raise DhsError(f"{stamps}: no row is a lens by its kind, label or is_control")
    columns = seen.sample
    if not (columns["kind"] == "lens").any():
        raise DhsError(
            f"{stamps}: none of {seen.tally.kinds['lens']} lenses among {rows} rows is in the "
            "sample; raise --sample-pairs"
        )
    findings = judge(seen.tally, columns)
    drawn: list[FigurePng | None] = [probe_figure(findings), sky_noise(columns)]
    if "psf_fwhm_r_arcsec" in columns:
        drawn.append(seeing(columns))
    html = page.page(
        title="Stamps of another layout",
        summary={
            "stamps": f"{seen.tally.rows:,}",
            "of them lenses": f"{seen.tally.kinds['lens']:,}",
            "unique hosts looked at": f"{unique_hosts(columns):,}",
            "files": f"{len(paths):,}",
        },
        findings=findings,
        sheets=[
            _sheet(stamps, paths, columns, kind) for kind in np.unique(columns["kind"].astype(str))
        ],
        figures=[figure for figure in drawn if figure],
        provenance={"files": "\n".join(map(str, paths[:200]))},
    )
    return findings, {"findings": [asdict(f) for f in findings]}, html


def _rows_in(path: Path) -> int:
    try:
        return pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException) as error:
        raise DhsError(f"{path}: missing or damaged: {error}; copy it again") from error


def _sheet(root: Path, paths: list[Path], columns: Columns, kind: str) -> tuple[str, str, bytes]:
    rows = np.flatnonzero(columns["kind"] == kind)
    rows = sorted(rows, key=lambda i: unit_interval(str(columns["task_id"][i]), "sheet"))[:_SHOWN]
    wanted = {str(columns["task_id"][i]): i for i in rows}
    images: dict[str, np.ndarray] = {}
    for path in paths:
        if len(images) == len(wanted):
            break
        for piece in read_rows(path, root):
            for task, image in zip(piece["task_id"], piece["image"], strict=True):
                if task in wanted:
                    images[task] = image
    tasks = list(images)
    sigma = np.stack(
        [[columns[f"metric.sky_sigma_{b}"][wanted[task]] for b in BANDS] for task in tasks]
    )
    picture = mosaic([images[t] for t in tasks], np.maximum(sigma, 1e-6), [""] * len(tasks))
    return f"Kind {kind}", f"{len(tasks)} rows, chosen by their names.", picture
