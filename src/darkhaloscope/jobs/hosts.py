"""Hosts of a cutout store, file by file: their columns without pixels, and their pixels."""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from darkhaloscope.errors import DhsError
from darkhaloscope.flags import Flag
from darkhaloscope.io.files import faults, read_json
from darkhaloscope.io.parts import RECORD
from darkhaloscope.io.tables import columns_of, image_from, read_table
from darkhaloscope.schema import CUTOUTS, HOST, PSF_IMAGE
from darkhaloscope.sim.inject import crop
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC, stamp_center

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class CutoutStore:
    """A finished store: its digest, and the rows and SHA-256 of each of its files, in order."""

    folder: Path
    digest: str
    rows: dict[str, int]
    sums: dict[str, str]


def open_cutouts(folder: Path) -> CutoutStore:
    """Raises DhsError for a store that is not finished, or lacks a file that it should have."""
    try:
        there = {path.name for path in folder.glob("*")}
    except faults() as error:
        raise DhsError(f"{folder}: {error}; is the address right?") from error
    if RECORD not in there:
        raise DhsError(
            f"{folder} holds no finished cutout store (no {RECORD}); run `dhs cutouts` again to "
            "finish it"
        )
    record = read_json(folder / RECORD)
    if "rows" not in record:
        raise DhsError(f"{folder} is of an older version; make it again with `dhs cutouts`")
    if missing := sorted(record["parts"].keys() - there):
        raise DhsError(
            f"{folder} lacks {', '.join(missing[:3])} ({len(missing)} of {len(record['parts'])} "
            "files); copy them there, or run `dhs cutouts` again"
        )
    order = sorted(record["rows"])
    return CutoutStore(
        folder, record["digest"], {name: record["rows"][name] for name in order}, record["parts"]
    )


@lru_cache(maxsize=2)
def read_hosts(path: Path, stamp_size: int | None) -> Columns:
    """Columns of the hosts of one file, without pixels, in stamp coordinates; not to be changed.

    stamp_size : side of the stamps to cut (pixels), None for the cutouts' own
    Raises DhsError for stamps larger than the cutouts
    """
    columns = columns_of(read_table(path, CUTOUTS, [*(c.name for c in HOST), "size_pix"]))
    full = columns["size_pix"]
    size = np.full(len(full), stamp_size, np.int32) if stamp_size else full
    if (size > full).any():
        raise DhsError(
            f"stamp_size_pix = {stamp_size} is larger than the cutouts "
            f"({full.min()} pixels); choose a smaller stamp"
        )
    return columns | stamp_centers(columns, size) | {"size_pix": size}


def stamp_centers(columns: Columns, size) -> Columns:
    """Host centres (arcsec) from the centre of the stamp cut out of the cutout; see sim.crop."""
    full = columns["size_pix"]
    start = (full - size) // 2
    shift = (start + stamp_center(size) - stamp_center(full)) * columns["pixel_scale_arcsec"]
    return {
        name: columns[name] - shift for name in ("host_center_x_arcsec", "host_center_y_arcsec")
    }


@dataclass(frozen=True)
class Hosts:
    """Some hosts with their pixels, one row each; blank where their file cannot be used."""

    columns: Columns  # schema.HOST and PSF_IMAGE, in stamp coordinates, and size_pix
    images: np.ndarray  # (host, band, y, x), nmgy
    invvar: np.ndarray  # (host, band, y, x), nmgy**-2

    def __getitem__(self, rows) -> "Hosts":
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Hosts(columns, self.images[rows], self.invvar[rows])


def read_pixels(store: CutoutStore, name: str, wanted: np.ndarray, size: int) -> Hosts:
    """The hosts `wanted`, in that order, cut to stamps of `size` pixels.

    Hosts of a file that is missing, unreadable, or has other bytes than the store's record says
    are blank, and flagged NO_ANSWER or DAMAGED
    """
    try:
        file = _opened(store.folder / name)
    except faults():
        return _blank(wanted, size, Flag.NO_ANSWER)
    if file.sum != store.sums[name]:
        return _blank(wanted, size, Flag.DAMAGED)
    return _cut_out(file.rows(wanted), wanted, size)


@dataclass
class _File:
    """A cutout file in memory; what was last read of it serves the next part, if that needs it."""

    data: bytes
    sum: str  # SHA-256
    read: dict[tuple[int, ...], pa.Table] = field(default_factory=dict)  # by row groups, the last

    def rows(self, wanted: np.ndarray) -> Columns:
        """Rows of the hosts wanted, and of others of their row groups, without maskbits."""
        with pq.ParquetFile(pa.BufferReader(self.data)) as file:
            every = range(file.num_row_groups)
            ids = [file.read_row_group(i, ["host_id"])[0].to_numpy().astype(str) for i in every]
            groups = tuple(i for i in every if np.isin(ids[i], wanted).any())
            if groups not in self.read:
                self.read = {groups: file.read_row_groups(groups, _READ)}
        return columns_of(self.read[groups])


_READ = [c.name for c in (*HOST, *PSF_IMAGE)] + ["size_pix", "image", "invvar"]


@lru_cache(maxsize=1)
def _opened(path: Path) -> _File:
    data = path.read_bytes()
    return _File(data, hashlib.sha256(data).hexdigest())


def _cut_out(found: Columns, wanted: np.ndarray, size: int) -> Hosts:
    place = {host: i for i, host in enumerate(found["host_id"])}
    order = [place[host] for host in wanted]
    found = {name: values[order] for name, values in found.items()}
    images, invvar = (
        np.stack(
            [
                crop(image_from(data, full), size)[0]
                for data, full in zip(found[name], found["size_pix"], strict=True)
            ]
        )
        for name in ("image", "invvar")
    )
    sizes = np.full(len(wanted), size, np.int32)
    columns = {c.name: found[c.name] for c in (*HOST, *PSF_IMAGE)}
    return Hosts(columns | stamp_centers(found, sizes) | {"size_pix": sizes}, images, invvar)


def _blank(wanted: np.ndarray, size: int, cause: Flag) -> Hosts:
    """Hosts of which nothing is known but their names, and why."""
    n = len(wanted)
    columns = {c.name: np.full(n, _NOTHING[c.dtype]) for c in (*HOST, *PSF_IMAGE)}
    known = {"host_id": wanted, "host_flags": np.full(n, int(cause)), "size_pix": np.full(n, size)}
    known["pixel_scale_arcsec"] = np.full(n, PIXEL_SCALE_ARCSEC)
    dark = np.zeros((n, len(BANDS), size, size), np.float32)
    return Hosts(columns | known, dark, dark)


_NOTHING = {pa.float64(): np.nan, pa.int32(): 0, pa.int64(): 0, pa.string(): "", pa.binary(): b""}
