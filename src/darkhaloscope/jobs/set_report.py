"""The report of a stamp set: which pictures are drawn of it, and what is said of it."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from darkhaloscope.config import Validate
from darkhaloscope.evaluate.findings import Finding
from darkhaloscope.evaluate.stats import quantiles
from darkhaloscope.evaluate.tally import Tally
from darkhaloscope.flags import Flag, names
from darkhaloscope.io.parts import QUARANTINE_DIR
from darkhaloscope.jobs.looks import Columns
from darkhaloscope.jobs.stamps import images_of
from darkhaloscope.report import figures, page, pictures
from darkhaloscope.report.canvas import FigurePng
from darkhaloscope.report.mosaic import mosaic
from darkhaloscope.report.probed import probe_figure
from darkhaloscope.schema import KINDS, band_columns

_SHEETS = (
    (
        "The clearest lenses",
        "best",
        0.5,
        "The highest arc S/N where theta_E exceeds the seeing and the sky is dark.",
    ),
    ("The median", "median", 0.5, "About the middle of the set in arc S/N."),
    ("The faintest arcs", "worst", 0.5, "The lowest arc S/N of the set: could anyone see them?"),
    ("A fair sample", "spread", 1.0, "Even steps in arc S/N, from the faintest to the brightest."),
)
"""Title, choice, share of `sheet_pairs`, caption."""


def report(
    stamps: Path,
    columns: Columns,
    tally: Tally,
    findings: list[Finding],
    record: dict,
    cfg: Validate,
    curves: Sequence[FigurePng] = (),
) -> str:
    """The HTML page: verdict, pictures, gates, distributions, provenance.

    columns : a sample of the set's pairs; tally : of all its rows
    """
    sheets = []
    for title, how, share, caption in _SHEETS:
        among = resolved(columns) if how == "best" else columns
        chosen = pictures.choose(among, how, max(1, round(share * cfg.sheet_pairs)))
        images = images_of(stamps, set(pictures.task_ids(columns, chosen)))
        sheet = pictures.contact_sheet(pictures.pairs_of(columns, images, chosen))
        sheets.append((title, caption, sheet))
    sheets += [*_kinds_sheet(stamps, columns, cfg), *_flags_sheet(stamps, columns)]
    return page.page(
        title="DarkHaloScope stamp set",
        summary=_summary(columns, tally),
        findings=findings,
        sheets=sheets,
        figures=[
            figure
            for figure in (probe_figure(findings), *curves, *figures.distributions(columns))
            if figure
        ],
        provenance={key: _readable(value) for key, value in record.items()},
        evidence=_EVIDENCE,
    )


def _kinds_sheet(stamps: Path, columns: Columns, cfg: Validate) -> list[tuple[str, str, bytes]]:
    """Pairs that have the most kinds, one a line."""
    pairs, place = np.unique(columns["pair_id"].astype(str), return_inverse=True)
    fullest = pairs[np.argsort(-np.bincount(place), kind="stable")][: max(1, cfg.sheet_pairs // 2)]
    kinds = [kind for kind in KINDS if (columns["kind"] == kind).any()]
    wanted = [f"{pair}-{kind}" for pair in fullest for kind in kinds]
    rows = {str(task): i for i, task in enumerate(columns["task_id"])}
    there = [rows[task] for task in wanted if task in rows]
    if len(there) < len(wanted):
        return []
    words = "The same galaxy and the same light, by kind: only the lens's is lensed."
    return [("Every kind", words, mosaic_of(stamps, columns, there, columns["kind"], len(kinds)))]


def _flags_sheet(stamps: Path, columns: Columns) -> list[tuple[str, str, bytes]]:
    """Some lenses of every flag; rows with a flag that spoils them are in quarantine."""
    bits = np.where(columns["kind"] == "lens", columns["host_flags"] | columns["flags"], 0)
    some = np.unique(np.concatenate([np.flatnonzero(bits & int(f))[:_EACH_FLAG] for f in Flag]))
    if not some.size:
        return []
    words = (
        "Lenses with something assumed, not measured; rows with a flag that spoils them are in "
        f"{QUARANTINE_DIR}/, without pixels: `dhs replay` draws them."
    )
    captions = np.array([names(int(b)) for b in bits], object)
    return [("Every flag", words, mosaic_of(stamps, columns, some, captions, 10))]


_EACH_FLAG = 4


def mosaic_of(
    stamps: Path, columns: Columns, rows, captions: np.ndarray, across: int = 10
) -> bytes:
    """PNG of some rows of a set. captions : of every row of `columns`"""
    tasks = columns["task_id"][rows].tolist()
    images = images_of(stamps, tasks)
    sigma = np.stack([columns[n][rows] for n in band_columns("sky_sigma_{b}_nmgy")], axis=1)
    return mosaic([images[task] for task in tasks], sigma, captions[rows].tolist(), across)


_EVIDENCE = {
    "physics.": "A fair sample",
    "realism.theta_E": "Einstein radius",
    "realism.arc_snr": "Arc signal to noise",
    "realism.arc_host": "Arc against host",
    "realism.source_colours": "Source colours",
    "realism.source_size": "Source size",
    "realism.sky_noise": "Sky noise by kind",
    "realism.noise": "Sky noise by kind",
    "realism.survey_conditions": "Seeing over the survey",
    "balance.hosts": "Seeing by kind",
    "probe.": "What classifiers tell that do not see the arc",
}
"""The picture that shows what a gate, or a group of them, is about."""


def _readable(value) -> str:
    """Settings travel as JSON text; here they are for reading."""
    with contextlib.suppress(TypeError, ValueError):
        value = json.loads(value)
    return value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True)


def resolved(columns: Columns) -> Columns:
    """The rows whose Einstein radius exceeds the seeing, in dark sky; all rows where none is."""
    resolved = columns["theta_E_arcsec"] > columns["psf_fwhm_r_arcsec"]
    resolved &= columns["metric.outer"] < columns["sky_sigma_r_nmgy"]  # no star beside it
    resolved |= not (resolved & (columns["kind"] == "lens")).any()
    return {name: values[resolved] for name, values in columns.items()}


def _summary(columns: Columns, tally: Tally) -> dict[str, str]:
    """Key figures: what the set holds, and of a sample what its lenses are like."""
    lens = columns["kind"] == "lens"
    low, middle, high = quantiles(columns["arc_snr"][lens], (5, 50, 95))
    return {
        "stamps": f"{tally.rows:,}",
        "of them lenses": f"{tally.kinds['lens']:,}",
        "unique hosts": f"{tally.n_hosts:,}",
        "source templates": f"{len(np.unique(tally.templates[:, 0])):,}",
        "lenses looked at": f"{lens.sum():,}",
        "stamp": f"{columns['size_pix'][0]} pix, {columns['pixel_scale_arcsec'][0]} arcsec/pix",
        "Einstein radius, median": f"{np.median(columns['theta_E_arcsec'][lens]):.2f} arcsec",
        "arc S/N, 5/50/95%": f"{low:.0f} / {middle:.0f} / {high:.0f}",
    }
