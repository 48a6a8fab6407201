"""Bytes from folders, web servers and object stores, however they behave."""

import time

import pytest

from darkhaloscope.errors import DhsError
from darkhaloscope.io.remote import Absent, Kept, NoAnswer, Paced, Patience, files_at
from s3 import BUCKET, bucket
from surveyserver import Survey, serving

CONTENT = bytes(range(256)) * 1000
QUICK = Patience(timeout_s=0.5, tries=3, backoff_s=0.01)


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file.bin").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def web(tree):
    survey = Survey(tree)
    with serving(survey) as address:
        yield survey, files_at(f"{address}/tree", QUICK)


@pytest.fixture(scope="module")
def store():
    """A folder of an S3 server's bucket."""
    with bucket() as client:
        client.put_object(Bucket=BUCKET, Key="dr10/a/file.bin", Body=CONTENT)
        yield files_at(f"s3://{BUCKET}/dr10", QUICK)


def _every(tree, web, store):
    return files_at(str(tree), QUICK), web[1], store


def test_any_piece_of_a_file(tree, web, store):
    n = len(CONTENT)
    for files in _every(tree, web, store):
        assert files.read("a/file.bin") == CONTENT
        assert files.read("a/file.bin", 1000) == CONTENT[1000:]
        assert files.read("a/file.bin", 1000, 77) == CONTENT[1000:1077]
        assert files.read("a/file.bin", n - 10, 50) == CONTENT[-10:]
        assert files.read("a/file.bin", n + 10, 50) == b""
        with files.open("a/file.bin") as stream:
            for at, length in [(5, 10), (200_000, 70_000), (65_530, 12), (n - 5, 100), (0, 80)]:
                stream.seek(at)
                assert stream.read(length) == CONTENT[at : at + length]


def test_a_file_that_is_not_there(tree, web, store):
    for files in _every(tree, web, store):
        for ask in (files.read, files.open):
            with pytest.raises(Absent):
                ask("a/none.bin")


def test_only_what_is_read_is_fetched(web):
    survey, files = web
    with files.open("a/file.bin") as stream:
        stream.seek(150_000)
        stream.read(100)
        before = survey.bytes_sent
        stream.seek(150_010)
        stream.read(50)
    assert survey.bytes_sent == before < 0.6 * len(CONTENT)


@pytest.mark.parametrize("fault", [429, 503, 500, "cut", "slow"])
def test_a_server_that_fails_twice_is_asked_thrice(web, fault):
    survey, files = web
    survey.faults["file.bin"] = [fault, fault]
    assert files.read("a/file.bin", 10, 1000) == CONTENT[10:1010]
    assert survey.asked["/tree/a/file.bin"] == 3


@pytest.mark.parametrize("fault", [429, 503, "cut", "slow"])
def test_a_server_that_goes_on_failing_gives_no_answer(web, fault):
    survey, files = web
    survey.faults["file.bin"] = [f"always:{fault}"]
    with pytest.raises(NoAnswer, match=r"file\.bin"):
        files.read("a/file.bin")
    assert survey.asked["/tree/a/file.bin"] == QUICK.tries


def test_waits_grow(web):
    survey, _ = web
    with serving(survey) as address:
        patient = files_at(f"{address}/tree", Patience(timeout_s=1, tries=4, backoff_s=0.1))
        survey.faults["file.bin"] = [503, 503, 503]
        patient.read("a/file.bin")
    waits = [b - a for a, b in zip(survey.times[:-1], survey.times[1:], strict=True)]
    assert waits[-1] > waits[-2] > 0.1


def test_nobody_listens():
    with pytest.raises(NoAnswer, match=r"127\.0\.0\.1"):
        files_at("http://127.0.0.1:1", QUICK).read("x")


@pytest.mark.parametrize(
    ("root", "said"),
    [("/nowhere/at/all", "not a folder"), ("gopher://old/times", "known are folders")],
)
def test_a_place_that_cannot_be(root, said):
    with pytest.raises(DhsError, match=said):
        files_at(root, QUICK)


def test_kept_files_are_fetched_once_until_forgotten(web, tmp_path):
    survey, files = web
    kept = Kept(files, tmp_path / "kept")
    for _ in range(3):
        assert kept.read("a/file.bin") == CONTENT
    assert survey.asked["/tree/a/file.bin"] == 1
    assert Kept(files, tmp_path / "kept").read("a/file.bin", 5, 6) == CONTENT[5:11]
    assert survey.asked["/tree/a/file.bin"] == 1
    kept.forget("a/file.bin")
    kept.forget("a/file.bin")
    assert kept.read("a/file.bin") == CONTENT
    assert survey.asked["/tree/a/file.bin"] == 2
    with pytest.raises(Absent):
        kept.read("a/none.bin")


def test_questions_come_no_faster_than_is_polite(web):
    _, files = web
    polite = Paced(files, per_second=20)
    start = time.monotonic()
    for _ in range(7):
        polite.read("a/file.bin", 0, 1)
    assert time.monotonic() - start >= 6 / 20
