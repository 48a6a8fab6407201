"""Scores of a model: tables of task ids, with what is known of each row beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from darkhaloscope.errors import DhsError
from darkhaloscope.schema import band_columns

COLUMNS = ("task_id", "score")

STAMPS, SKY = "stamps", "sky"
"""What the column `place` says: rows of a stamp set, or the sky as it is."""

_WORDS = ("task_id", "host_id", "kind", "split")
_PERHAPS = ("name", "visible")
BESIDE = (
    *_WORDS,
    *_PERHAPS,
    *("ra_deg", "dec_deg", "theta_E_arcsec", "arc_snr", "arc_snr_g", "source_mag_r"),
    *band_columns("host_mag_{b}"),
    *("psf_fwhm_r_arcsec", "psf_depth_r_mag"),
)
"""What a table of scores tells of each row as far as it is known."""

SOURCE_KEY = "dhs.source"
"""Of the file's metadata: the folder or file that was scored."""

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Scored:
    """Rows of one or more tables.

    columns : those of BESIDE with place, score and logit; words are "", numbers NaN where a table
    does not tell them. source : of each row, the folder or file that was scored; "" if not told
    embedding : (row, feature) float32, or None where not all tables have the same
    unscored : (row,) bool, the score is no number; such a row has score 0, below all others
    """

    columns: Columns
    source: np.ndarray
    embedding: np.ndarray | None
    unscored: np.ndarray

    def __len__(self) -> int:
        return len(self.columns["score"])


def read_scores(path: Path) -> dict[str, float]:
    """Score of each task.

    Raises DhsError for a file that cannot be read, lacks a column, has a task twice or no number
    """
    table = _table(path)
    _has(table, COLUMNS, path)
    tasks = [str(task) for task in table["task_id"].to_pylist()]
    scores = _numbers(table, "score", path)
    if len(set(tasks)) < len(tasks):
        raise DhsError(f"{path} scores some task twice")
    if not np.isfinite(scores).all():
        raise DhsError(f"{path}: {int((~np.isfinite(scores)).sum())} scores are no number")
    return dict(zip(tasks, scores.tolist(), strict=True))


def read_scored(paths: Sequence[Path]) -> Scored:
    """All rows of tables as `dhs score` writes them; folders are read whole.

    Raises DhsError if there is none, one cannot be read, lacks what tells classes, hosts or splits,
    or a task comes twice
    """
    files = [file for path in paths for file in _files(path)]
    parts = [_part(path) for path in files]
    columns = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    tasks = columns["task_id"]
    if len(np.unique(tasks.astype(str))) < len(tasks):
        raise DhsError(
            f"some task is scored twice in {', '.join(map(str, files))}; give one finder's scores, "
            "each set once"
        )
    shown = [part[1] for part in parts if part[1] is not None]
    same = len(shown) == len(parts) and len({some.shape[1] for some in shown}) == 1
    embedding = np.concatenate(shown) if same else None
    unscored = ~np.isfinite(columns["score"])
    if unscored.all():
        raise DhsError(f"{', '.join(map(str, files))}: no score is a number")
    columns["score"][unscored] = 0.0
    columns["logit"][unscored] = columns["logit"][~unscored].min() - 1.0
    return Scored(columns, np.concatenate([part[2] for part in parts]), embedding, unscored)


def _files(path: Path) -> list[Path]:
    found = sorted(path.glob("*.parquet")) + sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not found:
        raise DhsError(f"{path} holds no .parquet or .csv table of scores; see `dhs score`")
    return found


def _part(path: Path) -> tuple[Columns, np.ndarray | None, np.ndarray]:
    table = _table(path)
    _has(table, (*_WORDS, "place", "score"), path)
    columns = {name: _words(table, name) for name in (*_WORDS, *_PERHAPS, "place")}
    unknown = set(columns["place"]) - {STAMPS, SKY}
    if unknown:
        raise DhsError(f"{path}: place must be {STAMPS} or {SKY}, got {', '.join(unknown)}")
    for name in (*(name for name in BESIDE if name not in columns), "score", "logit"):
        columns[name] = _numbers(table, name, path)
    columns["logit"] = _logits(columns, path)
    shown = [name for name in table.column_names if name.startswith("embedding_")]
    seen = [_numbers(table, name, path).astype(np.float32) for name in shown]
    embedding = np.stack(seen, axis=1) if shown else None
    source = (table.schema.metadata or {}).get(SOURCE_KEY.encode(), b"").decode()
    return columns, embedding, np.full(len(table), source, object)


def _logits(columns: Columns, path: Path) -> np.ndarray:
    """Those of the table, and of its scores where it has none: one scale for all tables."""
    score, logit = columns["score"], columns["logit"]
    scored = score[np.isfinite(score)]
    if ((scored < 0) | (scored > 1)).any():
        raise DhsError(
            f"{path}: scores must lie in [0, 1], got {scored.min():g} to {scored.max():g}"
        )
    share = np.clip(score, _LEAST, 1 - _LEAST)
    return np.where(np.isfinite(logit), logit, np.log(share / (1 - share)))


_LEAST = 1e-12
_AS_WORDS = pacsv.ConvertOptions(
    column_types={name: pa.string() for name in (*_WORDS, *_PERHAPS, "place")}
)
"""An id may look like a number, and must not become one."""


def _table(path: Path) -> pa.Table:
    try:
        return (
            pacsv.read_csv(path, convert_options=_AS_WORDS)
            if path.suffix == ".csv"
            else pq.read_table(path)
        )
    except (OSError, pa.ArrowException) as error:
        raise DhsError(f"{path}: cannot be read as CSV or Parquet: {error}") from error


def _has(table: pa.Table, names: Sequence[str], path: Path) -> None:
    if missing := [name for name in names if name not in table.column_names]:
        raise DhsError(
            f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}"
        )


def _words(table: pa.Table, name: str) -> np.ndarray:
    if name not in table.column_names:
        return np.full(len(table), "", object)
    return np.array(["" if v is None else str(v) for v in table[name].to_pylist()], object)


def _numbers(table: pa.Table, name: str, path: Path) -> np.ndarray:
    if name not in table.column_names:
        return np.full(len(table), np.nan)
    try:
        return table[name].to_numpy().astype(float)
    except (TypeError, ValueError) as error:
        raise DhsError(f"{path}: {name}s must be numbers: {error}") from error
