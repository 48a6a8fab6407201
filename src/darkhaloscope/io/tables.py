"""Parquet by the schema: checked on the way in and on the way out."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import faults, is_remote, sha256, whole
from darkhaloscope.schema import Column, arrow_schema
from darkhaloscope.units import BANDS

DIGEST_KEY = "dhs.digest"
_ROW_GROUP, _ROW_GROUP_WITH_IMAGES = 1 << 14, 256
_PACKED = {"compression": "zstd", "compression_level": 1, "use_dictionary": False}
"""zstd packs words closer than Parquet's own dictionaries, which cost numbers their time."""

_ARROW_KEY = b"ARROW:schema"

# Arrow would turn Ctrl-C into ArrowCancelled, an ArrowException like that of a damaged file.
pa.enable_signal_handlers(False)


@dataclass
class TableWriter:
    """A table as it grows on disk, a few rows at a time."""

    columns: tuple[Column, ...]
    schema: pa.Schema
    file: pq.ParquetWriter
    rows: int = 0
    sha256: str = ""
    bytes: int = 0
    """Of the file, once it is closed."""

    def add(self, rows: Sequence[Mapping] | Mapping[str, Sequence | np.ndarray]) -> None:
        """The next rows, or their columns."""
        names = [c.name for c in self.columns]
        values = rows if isinstance(rows, Mapping) else {n: [r[n] for r in rows] for n in names}
        arrays = [pa.array(values[c.name], c.dtype) for c in self.columns]
        table = pa.Table.from_arrays(arrays, schema=self.schema)
        heavy = any(c.dtype == pa.binary() for c in self.columns)
        group = _ROW_GROUP_WITH_IMAGES if heavy else _ROW_GROUP
        self.file.write_table(table, row_group_size=group)
        self.rows += len(table)

    def note(self, key: str, content: Any) -> None:
        """Metadata that only the rows tell, as JSON; before the file is closed."""
        self.file.add_key_value_metadata({key: json.dumps(content, sort_keys=True)})


@contextlib.contextmanager
def table_writer(
    path: Path, columns: tuple[Column, ...], metadata: Mapping[str, str]
) -> Iterator[TableWriter]:
    """Write one Parquet file, zstd-1, piece by piece; it appears whole or not at all."""
    schema = arrow_schema(columns, dict(metadata))
    with whole(path) as temporary:
        with pq.ParquetWriter(temporary, schema, **_PACKED) as file:
            writer = TableWriter(columns, schema, file)
            yield writer
        writer.sha256, writer.bytes = sha256(temporary), temporary.stat().st_size


def write_table(
    path: Path,
    rows: Sequence[Mapping] | Mapping[str, Sequence | np.ndarray],
    columns: tuple[Column, ...],
    metadata: Mapping[str, str],
) -> str:
    """Rows (or columns) as one Parquet file; returns the SHA-256 of its bytes."""
    with table_writer(path, columns, metadata) as writer:
        writer.add(rows)
    return writer.sha256


def read_table(
    path: Path, columns: tuple[Column, ...], only: Sequence[str] | None = None
) -> pa.Table:
    """A table of the schema, or the columns `only` of it.

    Raises DhsError if the file is missing, damaged, or lacks a column
    """
    wanted = list(only) if only is not None else [c.name for c in columns]
    with _readable(path, wanted) as file:
        return file.read(wanted)


def read_pieces(path: Path, only: Sequence[str]) -> Iterator[pa.Table]:
    """The columns `only` of a table, row group by row group.

    Raises DhsError as read_table does
    """
    with _readable(path, only) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, list(only))


def read_group(path: Path, group: int, only: Sequence[str]) -> pa.Table:
    """The columns `only` of one row group.

    Raises DhsError as read_table does
    """
    with _readable(path, only) as file:
        return file.read_row_group(group, list(only))


def rows_where(path: Path, name: str, values: Sequence[str], only: Sequence[str]) -> pa.Table:
    """The columns `only` of the rows whose column `name` is one of `values`.

    Of row groups without such a row nothing but that column is read.
    Raises DhsError as read_table does
    """
    with _readable(path, [name, *only]) as file:
        found = [file.schema_arrow.empty_table().select(list(only))]
        wanted = pa.array(values, pa.string())
        for group in range(file.num_row_groups):
            these = pc.is_in(file.read_row_group(group, [name]).column(0), wanted)
            if pc.any(these).as_py():
                found.append(file.read_row_group(group, list(only)).filter(these))
        return pa.concat_tables(found)


@contextlib.contextmanager
def _readable(path: Path, wanted: Sequence[str]) -> Iterator[pq.ParquetFile]:
    try:
        with opened(path) as file:
            there = set(file.schema_arrow.names)
            missing = [name for name in wanted if name not in there]
            if missing:
                raise DhsError(
                    f"{path} lacks the columns {', '.join(missing)}; it was made otherwise"
                )
            yield file
    except (*faults(), pa.ArrowException) as error:
        raise DhsError(f"{path}: missing or damaged: {error}; make it again") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file to read from, here or in an object store. Raises as the file system does."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(path.open("rb")) if is_remote(path) else path
        yield stack.enter_context(pq.ParquetFile(source))


def metadata_of(path: Path) -> dict[str, str]:
    """The file's own key-value metadata; empty if the file cannot be read."""
    try:
        with opened(path) as file:
            raw = file.metadata.metadata or {}
    except (*faults(), pa.ArrowException):
        return {}
    return {key.decode(): value.decode() for key, value in raw.items() if key != _ARROW_KEY}


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


def images_in(table: pa.Table) -> np.ndarray:
    """All images of a table, which are of the size of its first row: (row, band, y, x) float32.

    They are seen where Arrow has them, without a copy where it has them in one piece.
    Raises DhsError as image_from does
    """
    size = int(table.column("size_pix")[0].as_py())
    chunks = [_seen(chunk, size) for chunk in table.column("image").chunks if len(chunk)]
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def _seen(blobs: pa.Array, size: int) -> np.ndarray:
    blobs = blobs.cast(pa.binary())
    want = len(BANDS) * size * size * 4
    lengths = pc.unique(pc.binary_length(blobs)).to_pylist()
    if lengths != [want]:
        raise DhsError(
            f"images of {len(BANDS)} x {size} x {size} take {want} bytes, got some of "
            f"{', '.join(sorted(map(str, lengths)))}"
        )
    first = np.frombuffer(blobs.buffers()[1], np.int32)[blobs.offset]
    pixels = np.frombuffer(blobs.buffers()[2], "<f4", len(blobs) * want // 4, int(first))
    return pixels.reshape(len(blobs), len(BANDS), size, size)
