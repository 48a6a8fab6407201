"""Reading a stamp set back: its record, columns with simple metrics, pixels of chosen rows."""

import difflib
import heapq
from pathlib import Path
from typing import Any

import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.metrics import stamp_metrics
from darkhaloscope.io.bank import open_bank
from darkhaloscope.io.parts import QUARANTINE_DIR, parts_in, record_of
from darkhaloscope.io.tables import columns_of, image_from, read_table
from darkhaloscope.jobs.progress import progress
from darkhaloscope.schema import BLOBS, STAMPS

Columns = dict[str, np.ndarray]

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


def read_columns(stamps: Path) -> Columns:
    """All columns but pixels, with `metric.<name>` from the pixels, part by part."""
    tables = []
    paths = parts_in(stamps)
    with progress("validate", len(paths), "parts") as advance:
        for path in paths:
            table = columns_of(read_table(path, STAMPS))
            images = _images(table)
            table = {name: values for name, values in table.items() if name not in BLOBS}
            if len(images):
                scale = float(table["pixel_scale_arcsec"][0])
                metrics = stamp_metrics(images, scale)
                tables.append(table | {f"metric.{k}": v for k, v in metrics.items()})
            advance(1)
    if not tables:
        raise DhsError(f"{stamps} holds no usable stamp; see its {QUARANTINE_DIR} for the causes")
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}


def images_of(stamps: Path, task_ids: set[str]) -> dict[str, np.ndarray]:
    """Pixels of the rows named, by task_id; only these are read."""
    images = {}
    for path in parts_in(stamps):
        table = columns_of(read_table(path, STAMPS, ["task_id", "image", "size_pix"]))
        for i in np.flatnonzero(np.isin(table["task_id"].astype(str), list(task_ids))):
            images[table["task_id"][i]] = image_from(table["image"][i], int(table["size_pix"][i]))
    return images


def psf_images_of(stamps: Path, task_ids: set[str]) -> dict[str, bytes]:
    """PSF images of the rows named, by task_id, as they are stored."""
    images = {}
    for path in parts_in(stamps):
        table = columns_of(read_table(path, STAMPS, ["task_id", "psf_image"]))
        for i in np.flatnonzero(np.isin(table["task_id"].astype(str), list(task_ids))):
            images[table["task_id"][i]] = table["psf_image"][i]
    return images


def _images(table: Columns) -> np.ndarray:
    pairs = zip(table["image"], table["size_pix"], strict=True)
    return np.array([image_from(data, int(size)) for data, size in pairs])
