"""Every column once, and every table writes and reads."""

import re

import numpy as np
import pyarrow as pa
import pytest

from darkhaloscope.flags import names
from darkhaloscope.io.tables import columns_of, read_table, write_table
from darkhaloscope.schema import (
    CUTOUTS,
    HOST,
    PLAN,
    QUARANTINE,
    SCENE,
    STAMPS,
    TABLES,
    arrow_schema,
    band_columns,
    markdown,
)


def _rows(columns, n=5):
    """Plain values of every type, different in every row and column."""
    made = {
        pa.float64(): lambda i, j: 0.1 * i + j,
        pa.int32(): lambda i, j: 7 * i + j,
        pa.int64(): lambda i, j: (i + 1) << 40 | j,
        pa.string(): lambda i, j: f"word {i} {j} é",
        pa.binary(): lambda i, j: bytes([i, j % 256, 0, 255]),
        pa.bool_(): lambda i, j: (i + j) % 2 == 0,
    }
    return [{c.name: made[c.dtype](i, j) for j, c in enumerate(columns)} for i in range(n)]


@pytest.mark.parametrize("table", TABLES)
def test_no_table_has_a_column_twice(table):
    columns = [c.name for c in TABLES[table]]
    assert len(columns) == len(set(columns))


@pytest.mark.parametrize("table", TABLES)
def test_every_column_says_what_it_is(table):
    for column in TABLES[table]:
        assert column.meaning, column.name
        for suffix in ("arcsec", "deg", "rad", "mag", "nmgy", "pix"):
            if column.name.endswith(f"_{suffix}"):
                assert column.unit == suffix, column.name


def test_one_name_means_one_thing_in_all_tables():
    seen = {}
    for columns in TABLES.values():
        for column in columns:
            assert seen.setdefault(column.name, column) == column


@pytest.mark.parametrize("table", TABLES)
def test_every_table_round_trips(table, tmp_path):
    columns, rows = TABLES[table], _rows(TABLES[table])
    path = tmp_path / "t.parquet"
    write_table(path, rows, columns, {"dhs.digest": "x"})
    got = read_table(path, columns)
    assert got.to_pylist() == rows
    assert got.schema.equals(arrow_schema(columns), check_metadata=False)
    as_arrays = columns_of(got)
    assert set(as_arrays) == {c.name for c in columns}
    assert all(isinstance(v, np.ndarray) and len(v) == 5 for v in as_arrays.values())


def test_units_travel_with_the_file(tmp_path):
    write_table(tmp_path / "p.parquet", _rows(PLAN), PLAN, {})
    field = read_table(tmp_path / "p.parquet", PLAN).schema.field("theta_E_arcsec")
    assert field.metadata[b"unit"] == b"arcsec"
    assert b"critical curve" in field.metadata[b"meaning"]
    assert not field.nullable


def test_a_null_is_refused(tmp_path):
    """A column null for controls and filled for lenses leaks the label."""
    rows = _rows(PLAN)
    rows[2]["magnification"] = None
    path = tmp_path / "p.parquet"
    with pytest.raises((ValueError, pa.ArrowException), match=r"null|magnification"):
        write_table(path, rows, PLAN, {})
    assert not list(tmp_path.iterdir())


def test_tables_are_made_of_the_same_columns():
    assert set(HOST) <= set(CUTOUTS) and set(HOST) <= set(STAMPS)
    assert set(SCENE) <= set(PLAN) and set(SCENE) <= set(STAMPS)
    assert {c.name for c in STAMPS} - {c.name for c in QUARANTINE} == {"image", "psf_image"}


def test_band_columns_are_in_band_order_and_exist():
    assert band_columns("nexp_{b}") == ["nexp_g", "nexp_r", "nexp_z"]
    columns = {c.name for c in STAMPS}
    for pattern in (
        "psf_fwhm_{b}_arcsec",
        "sky_sigma_{b}_nmgy",
        "host_mag_{b}",
        "source_flux_{b}_nmgy",
        "electrons_per_nmgy_{b}",
        "arc_flux_{b}_nmgy",
        "arc_snr_{b}",
    ):
        assert set(band_columns(pattern)) <= columns


def test_markdown_names_every_column():
    text = markdown()
    for table, columns in TABLES.items():
        section = re.search(rf"## {table}\n(.*?)(?=\n## |\Z)", text, re.S)
        assert section
        for column in columns:
            assert f"| `{column.name}` | {column.dtype} |" in section[1]


def test_flags_have_a_column_in_words():
    assert {"flags", "cause"} <= {c.name for c in QUARANTINE}
    assert names(5) == "NO_PSF|NAN_PIXELS"
