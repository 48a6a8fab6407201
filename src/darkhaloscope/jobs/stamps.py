"""Reading a stamp set back: its record, and pixels of chosen rows."""

import difflib
import heapq
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import open_bank
from darkhaloscope.io.parts import parts_in, record_of
from darkhaloscope.io.tables import columns_of, image_from, read_table, rows_where
from darkhaloscope.schema import STAMPS

_LOOKED_AT = 200


def record_of_stamps(stamps: Path) -> dict[str, Any]:
    """The run record of a finished stamp set. Raises DhsError if there is none."""
    return record_of(stamps, "inject", "stamp set", "dhs inject")


def check_bank(bank: Path, record: dict[str, Any], stamps: Path) -> None:
    """Raises DhsError if a bank is not the one that the set was made from."""
    if open_bank(bank).digest() != record["bank"]:
        raise DhsError(
            f"{stamps} was not made from {bank}: its bank has SHA-256 {record['bank'][:16]}; "
            "give the bank that it was planned with"
        )


def near(task_id: str, stamps: Path) -> str:
    """A suggestion of the task ids most like one that is not there, for the end of a sentence."""

    def likeness(known: str) -> int:
        """Characters that are the same up to the first difference, from either end."""
        return _shared(task_id, known) + _shared(task_id[::-1], known[::-1])

    likely: list[str] = []
    for path in parts_in(stamps):
        ids = columns_of(read_table(path, STAMPS, ["task_id"]))["task_id"].tolist()
        likely = heapq.nlargest(_LOOKED_AT, [*likely, *ids], key=likeness)
    found = difflib.get_close_matches(task_id, likely, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _shared(one: str, other: str) -> int:
    differing = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def images_of(stamps: Path, task_ids: Iterable[str]) -> dict[str, np.ndarray]:
    """Pixels of the rows named, by task_id; only these are read."""
    found = _blobs(stamps, task_ids, ["image", "size_pix"])
    return {task: image_from(data, int(size)) for task, (data, size) in found.items()}


def psf_images_of(stamps: Path, task_ids: Iterable[str]) -> dict[str, bytes]:
    """PSF images of the rows named, by task_id, as they are stored."""
    return {task: data for task, (data,) in _blobs(stamps, task_ids, ["psf_image"]).items()}


def _blobs(stamps: Path, task_ids: Iterable[str], names: list[str]) -> dict[str, tuple]:
    """Values of the rows named; other row groups are read for their names alone."""
    wanted = list(task_ids)
    found: dict[str, tuple] = {}
    for path in parts_in(stamps):
        rows = columns_of(rows_where(path, "task_id", wanted, ["task_id", *names]))
        found |= dict(
            zip(rows["task_id"], zip(*(rows[n] for n in names), strict=True), strict=True)
        )
    return found
