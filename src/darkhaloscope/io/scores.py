"""Scores of a model, from a table of task ids: CSV or Parquet."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from darkhaloscope.errors import DhsError

COLUMNS = ("task_id", "score")


def read_scores(path: Path) -> dict[str, float]:
    """Score of each task.

    Raises DhsError for a file that cannot be read, lacks a column, has a task twice or no number
    """
    try:
        table = pacsv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DhsError(f"{path}: cannot be read as CSV or Parquet: {error}") from error
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise DhsError(
            f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}"
        )
    tasks = [str(task) for task in table["task_id"].to_pylist()]
    try:
        scores = table["score"].to_numpy().astype(float)
    except (TypeError, ValueError) as error:
        raise DhsError(f"{path}: scores must be numbers: {error}") from error
    if len(set(tasks)) < len(tasks):
        raise DhsError(f"{path} scores some task twice")
    if not np.isfinite(scores).all():
        raise DhsError(f"{path}: {int((~np.isfinite(scores)).sum())} scores are no number")
    return dict(zip(tasks, scores.tolist(), strict=True))
