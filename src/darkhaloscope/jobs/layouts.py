"""Forms that a stamp set is exported in: a new one is one new function, and its line in LAYOUTS."""

import contextlib
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkhaloscope.config import Export
from darkhaloscope.io.bank import Bank
from darkhaloscope.io.fitsfiles import append_images, append_table, start
from darkhaloscope.io.made import Made
from darkhaloscope.io.shards import key_of, write_shard
from darkhaloscope.io.tables import columns_of, image_from, read_pieces, table_writer
from darkhaloscope.jobs.plan_layout import PLAN_LAYOUT, plan_columns
from darkhaloscope.keys import digest_of
from darkhaloscope.schema import BLOBS, PSF_IMAGE, STAMPS
from darkhaloscope.survey.wcs import wcs_columns
from darkhaloscope.units import BANDS

Columns = dict[str, np.ndarray]

_PLAIN = [c.name for c in STAMPS if c.name not in BLOBS]


@dataclass(frozen=True)
class Selection:
    """Rows of some parts of a stamp set, read piece by piece."""

    paths: tuple[Path, ...]
    wanted: frozenset[str]  # task ids; all rows if there are none

    def pieces(self, names: list[str]) -> Iterator[Columns]:
        """These columns of the rows, some rows at a time, in the set's order."""
        only = list(dict.fromkeys([*names, "task_id"]))
        for path in self.paths:
            for table in read_pieces(path, only):
                rows = columns_of(table)
                if self.wanted:
                    these = np.isin(rows["task_id"].astype(str), list(self.wanted))
                    rows = {name: values[these] for name, values in rows.items()}
                if len(rows["task_id"]):
                    yield rows

    def columns(self, names: list[str]) -> Columns:
        """These columns of all rows."""
        pieces = list(self.pieces(names))
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


@dataclass(frozen=True)
class Batch:
    """Rows that are written together."""

    name: str  # of their first part, such as part-00003
    rows: Selection
    splits: Mapping[str, int]  # rows of each split that has any
    first_shard: Mapping[str, int]  # shards of each split that earlier batches fill
    bank: Bank | None
    made_from: Mapping[str, str]  # what files say of their origin


Write = Callable[[Batch, Made, Export], None]


@dataclass(frozen=True)
class Layout:
    """How one form is written, and how many rows a batch of it holds."""

    write: Write
    rows_together: Callable[[Export], int] = lambda cfg: 0
    """Parts are put together, in an order by hash, up to so many rows; 0: each part alone."""


def shards_of(rows: int, cfg: Export) -> int:
    """Shards that so many rows of one split fill."""
    return math.ceil(rows / cfg.rows_per_shard)


def plan_files(batch: Batch, made: Made, cfg: Export) -> None:
    """The plan's Parquet table: a file for each part and split, folders as Hive names them."""
    names = [*_PLAIN, "image"]
    with contextlib.ExitStack() as stack:
        writers = {}
        for split in batch.splits:
            path = stack.enter_context(
                made.file(f"stamps/region_split={split}/{batch.name}.parquet")
            )
            writers[split] = stack.enter_context(table_writer(path, PLAN_LAYOUT, batch.made_from))
        for rows in batch.rows.pieces(names):
            theirs = plan_columns(rows, batch.bank)
            theirs["stamp_npz"] = np.array(
                [_npz(image, cfg.npz_compressed) for image in _images(rows)], object
            )
            for split, writer in writers.items():
                if (these := rows["split"] == split).any():
                    writer.add({name: values[these] for name, values in theirs.items()})


def _npz(image: np.ndarray, compressed: bool) -> bytes:
    stream = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(stream, **{f"image_{band}": plane for band, plane in zip(BANDS, image, strict=True)})
    return stream.getvalue()


def webdataset_files(batch: Batch, made: Made, cfg: Export) -> None:
    """Tar shards of each split, rows of all kinds mixed by keyed hash."""
    rows = batch.rows.columns([*_PLAIN, "image"])
    order = np.argsort([digest_of(task, f"shard-{cfg.seed}") for task in rows["task_id"]])
    for split in batch.splits:
        these = order[rows["split"][order] == split]
        shards = np.array_split(these, shards_of(len(these), cfg))
        for number, shard in enumerate(shards, start=batch.first_shard[split]):
            with made.file(f"{split}-{number:06d}.tar") as path:
                write_shard(path, ((str(rows["task_id"][i]), _sample(rows, i)) for i in shard))


def _sample(rows: Columns, i: int) -> dict[str, bytes]:
    npy = io.BytesIO()
    np.save(npy, image_from(rows["image"][i], int(rows["size_pix"][i])))
    said = json.dumps({name: _plain(rows[name][i]) for name in _PLAIN}, sort_keys=True)
    return {"npy": npy.getvalue(), "json": said.encode(), "cls": str(rows["label"][i]).encode()}


def _plain(value):
    """A value that JSON has; what is not known is null, for NaN is no JSON."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fits_files(batch: Batch, made: Made, cfg: Export) -> None:
    """One FITS file for the part, or, where rows are named, one for each row."""
    if not cfg.task_id:
        with made.file(f"{batch.name}.fits") as path:
            _write_fits(path, batch.rows, batch)
        return
    for task in batch.rows.columns(["task_id"])["task_id"]:
        with made.file(f"{key_of(task)}.fits") as path:
            one = Selection(batch.rows.paths, frozenset([task]))
            _write_fits(path, one, batch, alone=True)


def _write_fits(path: Path, rows: Selection, batch: Batch, alone: bool = False) -> None:
    """IMAGE as (row, band, y, x), PSF where it is known, and the table ROWS.

    alone : the file is of one row; its images are (band, y, x) and have its WCS
    """
    table = rows.columns(_PLAIN)
    wcs = wcs_columns(table)
    cards: dict[str, object] = {"BANDS": "".join(BANDS)}
    if alone:
        cards |= {key: _plain(values[0]) for key, values in wcs.items()} | {"CD3_3": 1.0}
    n, size = len(table["task_id"]), int(table["size_pix"][0])
    start(path, {"ORIGIN": "DarkHaloScope", **batch.made_from})
    shape = (n, len(BANDS), size, size)[int(alone) :]
    pieces = (_images(piece) for piece in rows.pieces(["image", "size_pix"]))
    append_images(path, "IMAGE", shape, pieces, {**cards, "BUNIT": "nanomaggy"})
    side = int(table["psf_size_pix"].max())
    if side:
        names = [column.name for column in PSF_IMAGE]
        shape = (n, len(BANDS), side, side)[int(alone) :]
        pieces = (_psfs(piece, side) for piece in rows.pieces(names))
        append_images(path, "PSF", shape, pieces, {"BANDS": "".join(BANDS)})
    plain = [c for c in STAMPS if c.name not in BLOBS]
    append_table(path, "ROWS", plain, table, wcs)


def _images(rows: Columns) -> np.ndarray:
    """(row, band, y, x)."""
    pairs = zip(rows["image"], rows["size_pix"], strict=True)
    return np.stack([image_from(data, int(size)) for data, size in pairs])


def _psfs(rows: Columns, side: int) -> np.ndarray:
    """PSF images in the middle of (row, band, side, side); zero where none is known."""
    psfs = np.zeros((len(rows["psf_image"]), len(BANDS), side, side), np.float32)
    for psf, data, n in zip(psfs, rows["psf_image"], rows["psf_size_pix"], strict=True):
        edge = (side - n) // 2
        psf[:, edge : edge + n, edge : edge + n] = image_from(data, int(n))
    return psfs


LAYOUTS: dict[str, Layout] = {
    "plan": Layout(plan_files),
    "webdataset": Layout(webdataset_files, lambda cfg: cfg.shuffle_rows),
    "fits": Layout(fits_files),
}
