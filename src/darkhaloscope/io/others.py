"""Stamps of other layouts: the plan's table and its kin, read as columns of ours."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from darkhaloscope.errors import DhsError
from darkhaloscope.schema import KINDS, STAMPS
from darkhaloscope.units import BANDS, PIXEL_SCALE_ARCSEC

Columns = dict[str, np.ndarray]

BLOBS = ("stamp_npz", "img", "image", "stamp")
"""Columns that may hold the pixels: .npz or .npy, gzip'd or bare, or raw float32."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "task_id": ("id", "row_id"),
    "host_id": ("targetid", "object_id", "objid"),
    "ra_deg": ("ra",),
    "dec_deg": ("dec",),
    "brick": ("brickname",),
    "split": ("region_split",),
    "size_pix": ("stamp_size",),
    "theta_E_arcsec": ("theta_e_arcsec", "theta_e"),
    "source_hlr_arcsec": ("cosmos_hlr_arcsec", "src_reff_arcsec"),
    "template_id": ("cosmos_index",),
    "ebv_mag": ("ebv",),
    **{f"psf_fwhm_{band}_arcsec": (f"psfsize_{band}",) for band in BANDS},
    **{f"psf_depth_{band}_mag": (f"psfdepth_{band}",) for band in BANDS},
}
"""What else our columns are called."""

_LABELS = {"is_control": 0, "label": 1, "y": 1, "is_lens": 1}
"""Columns that tell lenses from controls, and what a lens has there."""

_ROWS_AT_ONCE, _BUFFER_BYTES = 256, 1 << 20
_TYPES = {c.name: c.dtype for c in STAMPS}
_DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error)


_WANTED = {*_TYPES, *BLOBS, *_LABELS, *(name for theirs in NAMES.values() for name in theirs)}


def tables_in(folder: Path) -> list[Path]:
    """All Parquet files in a folder and below it, or the one that is given."""
    return [folder] if folder.is_file() else sorted(folder.rglob("*.parquet"))


def read_rows(path: Path, root: Path | None = None) -> Iterator[Columns]:
    """Rows some at a time, by the names of schema.STAMPS, with `image` (row, band, y, x), nmgy.

    root : folder of the set; rows without a name are named by where their file is in it

    Rows without pair_id are pairs of their own; those without kind are lenses or hosts by their
    label or is_control; those without host_id are told apart by their place.
    Raises DhsError for a file that is damaged, without pixels, or without a label
    """
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            place, first, shape = _place_of(path, root), 0, None
            wanted = [name for name in file.schema_arrow.names if name in _WANTED]
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=wanted):
                if len(batch):
                    rows = _ours(pa.Table.from_batches([batch]), path, place, first)
                    shape = shape or rows["image"].shape[1:]
                    if rows["image"].shape[1:] != shape:
                        raise DhsError(f"{path} mixes stamps of {shape} and others")
                    yield rows
                first += len(batch)
    except (OSError, pa.ArrowException) as error:
        raise DhsError(f"{path}: missing or damaged: {error}; copy it again") from error


def _place_of(path: Path, root: Path | None) -> str:
    inside = path.relative_to(root) if root and root != path else Path(path.name)
    return str(inside.with_suffix(""))


def _ours(table: pa.Table, path: Path, place: str, first: int) -> Columns:
    n, there = len(table), set(table.column_names)
    blob = next((name for name in BLOBS if name in there), None)
    if blob is None:
        raise DhsError(f"{path} has no column of pixels; one of {', '.join(BLOBS)} is wanted")
    rows: Columns = {}
    for name, dtype in _TYPES.items():
        theirs = next((t for t in (name, *NAMES.get(name, ())) if t in there), None)
        if theirs is not None and theirs != blob and dtype != pa.binary():
            rows[name] = _typed(table, theirs, dtype, path)
    if "split" not in rows and (folder := _of_folder(path, "region_split")):
        rows["split"] = np.full(n, folder, object)
    images = [_pixels(value, path) for value in table[blob].to_pylist()]
    if len(shapes := {image.shape for image in images}) > 1:
        raise DhsError(f"{path} mixes stamps of {', '.join(map(str, sorted(shapes)))}")
    rows["image"] = np.stack(images)
    number = np.arange(first, first + n).astype(str)
    rows["task_id"] = _named(rows, "task_id", np.char.add(f"{place}-", number).astype(object))
    rows["pair_id"] = _named(rows, "pair_id", rows["task_id"])
    rows["kind"] = _kinds(rows, table, path)
    rows["host_id"] = _named(rows, "host_id", _places(rows))
    rows["size_pix"] = np.full(n, rows["image"].shape[-1], np.int32)
    rows.setdefault("pixel_scale_arcsec", np.full(n, PIXEL_SCALE_ARCSEC))
    return rows


def _named(rows: Columns, name: str, otherwise: np.ndarray) -> np.ndarray:
    """Names, and others in place of those that are empty."""
    if name not in rows:
        return otherwise
    return np.where(rows[name] == "", otherwise, rows[name])


def _typed(table: pa.Table, name: str, dtype: pa.DataType, path: Path) -> np.ndarray:
    column = table[name]
    try:
        if dtype == pa.string():
            return np.array(["" if v is None else str(v) for v in column.to_pylist()], object)
        cast = column.cast(pa.float64())
        values = cast.to_numpy().astype(float)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DhsError(f"{path}: column {name} is no {dtype}: {error}") from error
    return values if pa.types.is_floating(dtype) else np.nan_to_num(values, nan=-1).astype(np.int64)


def _kinds(rows: Columns, table: pa.Table, path: Path) -> np.ndarray:
    """lens and host where only a label tells."""
    if "kind" in rows and set(rows["kind"].tolist()) <= set(KINDS):
        return rows["kind"]
    label = next((name for name in _LABELS if name in table.column_names), None)
    if label is None:
        raise DhsError(
            f"{path} does not tell lenses from controls: kind, label or is_control is wanted"
        )
    values = _typed(table, label, pa.float64(), path)
    if not np.isin(values, (0, 1)).all():
        raise DhsError(f"{path}: column {label} holds values that are neither 0 nor 1")
    return np.where(values == _LABELS[label], "lens", "host").astype(object)


def _places(rows: Columns) -> np.ndarray:
    """Names of places on the sky; of rows whose place is not known, their pairs'."""
    if not {"ra_deg", "dec_deg"} <= rows.keys():
        return rows["pair_id"]
    known = np.isfinite(rows["ra_deg"] + rows["dec_deg"])
    pairs = zip(rows["ra_deg"], rows["dec_deg"], strict=True)
    at = np.array([f"{ra:.5f}{dec:+.5f}" for ra, dec in pairs], object)
    return np.where(known, at, rows["pair_id"])


def _of_folder(path: Path, key: str) -> str | None:
    """A value as Hive's folders name it, such as region_split=train."""
    found = [part.partition("=")[2] for part in path.parts if part.startswith(f"{key}=")]
    return found[-1] if found else None


def _pixels(value, path: Path) -> np.ndarray:
    """(band, y, x) float32 of whatever holds it."""
    try:
        if not isinstance(value, bytes):
            return _planes(np.array(value, np.float32))
        data = gzip.decompress(value) if value[:2] == b"\x1f\x8b" else value
        if data[:2] == b"PK":
            with np.load(io.BytesIO(data), allow_pickle=False) as planes:
                return _from_npz(dict(planes))
        if data[:6] == b"\x93NUMPY":
            return _planes(np.load(io.BytesIO(data), allow_pickle=False))
        return _planes(np.frombuffer(data, "<f4"))
    except (*_DAMAGE, ValueError, KeyError, TypeError) as error:
        raise DhsError(f"{path}: a stamp cannot be read: {error}") from error


def _from_npz(planes: dict[str, np.ndarray]) -> np.ndarray:
    named = [f"image_{band}" for band in BANDS]
    if all(name in planes for name in named):
        return _planes(np.stack([planes[name] for name in named]))
    if len(planes) == 1:
        return _planes(next(iter(planes.values())))
    raise ValueError(f"it holds {', '.join(planes)}; {', '.join(named)} are wanted, or one array")


def _planes(values: np.ndarray) -> np.ndarray:
    """g, r, z first; from a flat array of a square stamp too, or one with the bands last."""
    n = len(BANDS)
    if values.ndim == 1:
        side = round(np.sqrt(values.size / n))
        values = values.reshape(n, side, side)
    if values.ndim == 3 and values.shape[0] != n and values.shape[-1] == n:
        values = np.moveaxis(values, -1, 0)
    if values.ndim != 3 or values.shape[0] != n or values.shape[1] != values.shape[2]:
        raise ValueError(f"its shape is {values.shape}; ({n}, y, x) of a square is wanted")
    return np.ascontiguousarray(values, np.float32)
