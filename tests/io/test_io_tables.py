"""Parquet by the schema."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from darkhaloscope.errors import DhsError
from darkhaloscope.io.tables import (
    columns_of,
    image_bytes,
    image_from,
    mask_from,
    metadata_of,
    read_table,
    write_table,
)
from darkhaloscope.schema import Column

COLUMNS = (
    Column("name", pa.string(), "", "a word"),
    Column("flux", pa.float64(), "nmgy", "light"),
    Column("nexp", pa.int32(), "", "exposures"),
    Column("image", pa.binary(), "nmgy", "pixels"),
)


def _values(n=700):
    return {
        "name": [f"n{i}" for i in range(n)],
        "flux": np.random.default_rng(0).normal(0, 1, n),
        "nexp": np.arange(n),
        "image": np.array([bytes([i % 256]) * 9 for i in range(n)], object),
    }


@pytest.fixture
def path(tmp_path):
    write_table(tmp_path / "t.parquet", _values(), COLUMNS, {"dhs.digest": "d", "dhs.é": "ü"})
    return tmp_path / "t.parquet"


def test_columns_round_trip(path):
    got = columns_of(read_table(path, COLUMNS))
    for name, want in _values().items():
        assert list(got[name]) == list(want), name
    assert got["nexp"].dtype == np.int32 and got["flux"].dtype == np.float64


def test_rows_and_columns_write_the_same_bytes(path):
    values = _values()
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    other = path.with_name("rows.parquet")
    write_table(other, rows, COLUMNS, {"dhs.digest": "d", "dhs.é": "ü"})
    assert other.read_bytes() == path.read_bytes()


def test_the_same_table_written_twice_has_the_same_bytes(path):
    before = path.read_bytes()
    write_table(path, _values(), COLUMNS, {"dhs.digest": "d", "dhs.é": "ü"})
    assert path.read_bytes() == before


def test_only_the_asked_columns_are_read(path):
    assert read_table(path, COLUMNS, ["nexp", "name"]).column_names == ["nexp", "name"]


def test_metadata_round_trip(path):
    assert metadata_of(path).items() >= {"dhs.digest": "d", "dhs.é": "ü"}.items()
    assert metadata_of(path.with_name("none.parquet")) == {}
    path.write_bytes(b"junk")
    assert metadata_of(path) == {}


def test_a_missing_table_is_a_sentence(tmp_path):
    with pytest.raises(DhsError, match=r"none\.parquet: missing or damaged.*make it again"):
        read_table(tmp_path / "none.parquet", COLUMNS)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_table_is_a_sentence(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DhsError, match=r"t\.parquet: missing or damaged"):
        read_table(path, COLUMNS)


def test_a_table_that_lacks_columns_names_them(path):
    more = (*COLUMNS, Column("mag", pa.float64(), "mag", "brightness"))
    with pytest.raises(DhsError, match="lacks the columns mag"):
        read_table(path, more)


@pytest.mark.parametrize(
    "broken",
    [
        {"flux": ["a"] * 700},
        {"nexp": [2**40] * 700},
        {"flux": [1.0] * 699},
        {"name": [None] * 700},
    ],
)
def test_values_that_do_not_fit_leave_no_file(tmp_path, broken):
    with pytest.raises((ValueError, OverflowError, pa.ArrowException)):
        write_table(tmp_path / "t.parquet", _values() | broken, COLUMNS, {})
    assert not list(tmp_path.iterdir())


def test_a_table_of_no_rows_round_trips(tmp_path):
    write_table(tmp_path / "t.parquet", [], COLUMNS, {})
    assert read_table(tmp_path / "t.parquet", COLUMNS).num_rows == 0


@given(image=arrays(np.float32, (3, 8, 8), elements=st.floats(width=32, allow_nan=False)))
def test_an_image_round_trips(image):
    got = image_from(image_bytes(image), 8)
    assert got.dtype == np.float32 and got.tobytes() == image.tobytes()


def test_an_image_is_little_endian_float32_by_band_row_column():
    image = np.arange(3 * 4 * 4, dtype=float).reshape(3, 4, 4)
    data = image_bytes(image.transpose(0, 2, 1))  # not contiguous, not float32
    assert len(data) == 3 * 4 * 4 * 4
    assert data[4:8] == np.float32(4.0).astype("<f4").tobytes()  # next column is the next value
    assert (image_from(data, 4) == image.transpose(0, 2, 1)).all()
    assert image_bytes(np.asfortranarray(image)) == image_bytes(image)
    assert np.isnan(image_from(image_bytes(np.full((3, 4, 4), np.nan)), 4)).all()


@pytest.mark.parametrize("size", [3, 5, 0])
def test_bytes_of_another_size_are_refused(size):
    data = image_bytes(np.zeros((3, 4, 4)))
    with pytest.raises(DhsError, match=f"an image of 3 x {size} x {size} takes .* got 192"):
        image_from(data, size)


def test_a_mask_round_trips():
    mask = np.arange(16, dtype="<i4").reshape(4, 4)
    assert (mask_from(mask.tobytes(), 4) == mask).all()
