"""Parquet by the schema: checked on the way in and on the way out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import whole
from darkhaloscope.schema import Column, arrow_schema
from darkhaloscope.units import BANDS

DIGEST_KEY = "dhs.digest"

# Arrow would turn Ctrl-C into ArrowCancelled, an ArrowException like that of a damaged file.
pa.enable_signal_handlers(False)


def write_table(
    path: Path,
    rows: Sequence[Mapping] | Mapping[str, Sequence | np.ndarray],
    columns: tuple[Column, ...],
    metadata: Mapping[str, str],
) -> None:
    """Rows (or columns) as one Parquet file, zstd-1; the file appears whole or not at all."""
    schema = arrow_schema(columns, dict(metadata))
    names = [c.name for c in columns]
    values = rows if isinstance(rows, Mapping) else {n: [row[n] for row in rows] for n in names}
    arrays = [pa.array(values[c.name], c.dtype) for c in columns]
    with whole(path) as temporary:
        pq.write_table(
            pa.Table.from_arrays(arrays, schema=schema),
            temporary,
            compression="zstd",
            compression_level=1,
            row_group_size=256,
        )


def read_table(
    path: Path, columns: tuple[Column, ...], only: Sequence[str] | None = None
) -> pa.Table:
    """A table of the schema, or the columns `only` of it.

    Raises DhsError if the file is missing, damaged, or lacks a column
    """
    wanted = list(only) if only is not None else [c.name for c in columns]
    try:
        file = pq.ParquetFile(path)
        missing = [name for name in wanted if name not in file.schema_arrow.names]
        if missing:
            raise DhsError(f"{path} lacks the columns {', '.join(missing)}; it was made otherwise")
        return file.read(wanted)
    except (OSError, pa.ArrowException) as error:
        raise DhsError(f"{path}: missing or damaged: {error}; make it again") from error


def metadata_of(path: Path) -> dict[str, str]:
    """The file's own key-value metadata; empty if the file cannot be read."""
    try:
        raw = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return {}
    return {key.decode(): value.decode() for key, value in raw.items()}


def columns_of(table: pa.Table) -> dict[str, np.ndarray]:
    """Columns as arrays; bytes and words as object arrays."""
    return {name: table.column(name).to_numpy() for name in table.column_names}


def image_bytes(image: np.ndarray) -> bytes:
    """float32 little-endian, C order."""
    return np.ascontiguousarray(image, "<f4").tobytes()


def image_from(data: bytes, size: int) -> np.ndarray:
    """(band, y, x) float32. Raises DhsError if the bytes do not fill it."""
    want = len(BANDS) * size * size * 4
    if len(data) != want:
        raise DhsError(
            f"an image of {len(BANDS)} x {size} x {size} takes {want} bytes, got {len(data)}"
        )
    return np.frombuffer(data, "<f4").reshape(len(BANDS), size, size)


def mask_from(data: bytes, size: int) -> np.ndarray:
    """(y, x) int32."""
    return np.frombuffer(data, "<i4").reshape(size, size)
