"""A folder of parts belongs to one run."""

import pytest

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import write_text
from darkhaloscope.io.parts import claim, digest_of_parts, parts_in
from darkhaloscope.io.tables import metadata_of, write_table
from darkhaloscope.schema import Column, _f8

COLUMNS = (Column("flux", _f8, "nmgy", "light"),)
RUN = {"stage": "inject", "config": '{"seed": 1}', "bank": "abc"}


def _write(store, part, flux=1.0):
    write_table(store.path(part), {"flux": [flux]}, COLUMNS, store.metadata())


def test_a_new_folder_is_claimed_and_claimed_again(tmp_path):
    store = claim(tmp_path / "stamps", RUN)
    assert not store.is_done(0)
    _write(store, 0)
    again = claim(tmp_path / "stamps", dict(reversed(RUN.items())))
    assert again.is_done(0) and not again.is_done(1)
    assert again.digest == store.digest
    assert metadata_of(store.path(0)).items() >= {"dhs.stage": "inject", "dhs.bank": "abc"}.items()


def test_an_empty_folder_and_one_with_hidden_files_are_free(tmp_path):
    (tmp_path / ".DS_Store").write_text("x")
    assert claim(tmp_path, RUN).folder == tmp_path
    assert (tmp_path / ".DS_Store").exists()


@pytest.mark.parametrize("key", ["config", "bank"])
def test_another_runs_folder_is_refused_with_what_differs(tmp_path, key):
    store = claim(tmp_path / "stamps", RUN)
    _write(store, 0)
    with pytest.raises(DhsError, match=f"parts of another run: {key} differ; choose another"):
        claim(tmp_path / "stamps", RUN | {key: "other"})
    with pytest.raises(DhsError, match="extra differ"):
        claim(tmp_path / "stamps", RUN | {"extra": "1"})
    assert claim(tmp_path / "stamps", RUN).is_done(0)


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path):
    write_text(tmp_path / "thesis.tex", "years of work")
    with pytest.raises(DhsError, match="is not empty and holds no run"):
        claim(tmp_path, RUN)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path):
    write_text(tmp_path / "out", "x")
    with pytest.raises(DhsError, match="is a file; name a folder"):
        claim(tmp_path / "out", RUN)


def test_claiming_sweeps_what_a_killed_run_left(tmp_path):
    claim(tmp_path, RUN)
    (tmp_path / ".part-00000.parquet.77.partial").write_text("half")
    claim(tmp_path, RUN)
    assert [p.name for p in tmp_path.iterdir()] == ["identity.json"]


def test_a_part_of_another_digest_or_damaged_is_not_done(tmp_path):
    store = claim(tmp_path, RUN)
    write_table(store.path(0), {"flux": [1.0]}, COLUMNS, {"dhs.digest": "another"})
    store.path(1).write_bytes(b"PAR1 half a file")
    _write(store, 2)
    data = store.path(2).read_bytes()
    store.path(3).write_bytes(data[: len(data) // 2])
    assert [store.is_done(part) for part in range(5)] == [False, False, True, False, False]


def test_parts_come_in_order_and_their_digest_notices_any_change(tmp_path):
    store = claim(tmp_path, RUN)
    for part in (11, 2, 0):
        _write(store, part, float(part))
    assert [p.name for p in parts_in(tmp_path)] == [
        "part-00000.parquet",
        "part-00002.parquet",
        "part-00011.parquet",
    ]
    before = digest_of_parts(tmp_path)
    _write(store, 2, 2.0)
    assert digest_of_parts(tmp_path) == before
    _write(store, 2, 2.5)
    changed = digest_of_parts(tmp_path)
    store.path(2).rename(store.path(3))
    assert len({before, changed, digest_of_parts(tmp_path)}) == 3


def test_no_parts_is_a_sentence(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(DhsError, match=r"holds no part-\*\.parquet"):
            parts_in(place)
