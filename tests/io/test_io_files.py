"""Whole files only."""

import errno
import hashlib
import json
import os

import pytest

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import read_json, sha256, sweep, whole, write_json, write_text


def _fail_after_half(path, error):
    with whole(path) as temporary:
        temporary.write_text("half of")
        raise error


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with whole(path) as temporary:
        temporary.write_text("content")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "content"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("bad row"), KeyboardInterrupt(), KeyError("x")])
def test_a_failure_leaves_nothing_half_written(tmp_path, error):
    with pytest.raises(type(error)):
        _fail_after_half(tmp_path / "a.txt", error)
    assert not list(tmp_path.iterdir())


def test_a_failure_keeps_the_older_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "older")
    with pytest.raises(ValueError, match="bad row"):
        _fail_after_half(path, ValueError("bad row"))
    assert path.read_text() == "older"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_a_sentence(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(DhsError, match=r"cannot write .*a\.txt: No space left on device; free"):
        _fail_after_half(tmp_path / "a.txt", full)
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_no_folder_is_a_sentence(tmp_path):
    write_text(tmp_path / "file", "x")
    with pytest.raises(DhsError, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "y")
    assert (tmp_path / "file").read_text() == "x"


def test_sweep_takes_only_what_a_killed_run_left(tmp_path):
    path = tmp_path / "part.parquet"
    with whole(path) as temporary:
        left = temporary.name
        temporary.write_text("done")
    for name in (left, f".other.1234{left[left.rindex('.') :]}", ".hidden", "x.partial"):
        (tmp_path / name).write_text("x")
    sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"part.parquet", ".hidden", "x.partial"}


def test_json_round_trip_and_stable_bytes(tmp_path):
    content = {"b": [1, 2.5, "é"], "a": {"z": None, "y": True}}
    write_json(tmp_path / "one.json", content)
    write_json(tmp_path / "two.json", dict(reversed(content.items())))
    assert read_json(tmp_path / "one.json") == content
    assert sha256(tmp_path / "one.json") == sha256(tmp_path / "two.json")


@pytest.mark.parametrize("text", ["", "{", "[1, 2"])
def test_damaged_json_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DhsError, match=r"run\.json: cannot be read as JSON"):
        read_json(tmp_path / "run.json")


def test_missing_json_is_named(tmp_path):
    with pytest.raises(DhsError, match=r"none\.json: cannot be read as JSON"):
        read_json(tmp_path / "none.json")


def test_json_that_is_no_text_is_named(tmp_path):
    (tmp_path / "run.json").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(DhsError, match=r"run\.json: cannot be read as JSON"):
        read_json(tmp_path / "run.json")


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    assert json.dumps(sha256(tmp_path / "a")).isascii()
