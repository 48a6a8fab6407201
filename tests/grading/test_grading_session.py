"""`dhs grade serve` as a command: what it says, how it ends, what it refuses."""

import signal
import subprocess
import sys
from http.client import HTTPConnection

import pytest

from darkhaloscope.cli import run
from darkhaloscope.errors import DhsError
from darkhaloscope.grading import session


def serve(controls, grades, *more):
    return ["grade", "serve", controls.asked, "--grades", grades, "--known", controls.known, *more]


@pytest.fixture
def refused(capfd):
    def call(words) -> str:
        assert run([str(word) for word in words]) == 2
        return " ".join(capfd.readouterr().err.split())

    return call


def test_it_says_the_addresses_and_interrupted_it_ends_well(controls, tmp_path):
    command = serve(controls, tmp_path / "g.sqlite", "--grader", "anna", "--grader", "ben")
    process = subprocess.Popen(
        [sys.executable, "-m", "darkhaloscope.cli", *map(str, command), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    addresses = [process.stdout.readline().split(": ") for _ in range(2)]
    answer = HTTPConnection(addresses[0][1].split("/")[2], timeout=60)
    answer.request("GET", "/")
    assert answer.getresponse().status == 403  # it serves, though not us
    answer.close()
    process.send_signal(signal.SIGINT)
    said = " ".join(process.communicate(timeout=60)[1].split())
    assert [name for name, _ in addresses] == ["anna", "ben"]
    tokens = {address.strip().split("/?token=")[1] for _, address in addresses}
    assert all(address.startswith("http://127.0.0.1:") for _, address in addresses)
    assert len(tokens) == 2 and min(map(len, tokens)) >= 32
    assert process.returncode == 0, said
    assert "14 objects, 2 known lenses, 0 blanks" in said
    assert "anna: 0 of 16 graded" in said


def test_another_source_or_place_is_refused(controls, tmp_path, refused, grades_of):
    grades_of()  # makes grades.sqlite, with blanks
    said = refused(serve(controls, tmp_path / "grades.sqlite", "--grader", "anna"))
    assert "holds grades of another source: blanks, settings differ" in said
    said = refused(["grade", "serve", tmp_path, "--grades", tmp_path / "n", "--grader", "anna"])
    assert "no finished cutout store or stamp set" in said
    assert not (tmp_path / "n").exists()
    said = refused(serve(controls, tmp_path / "h.sqlite", "--grader", "anna", "--grader", "anna"))
    assert "name each grader once" in said


def test_without_aiohttp_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "darkhaloscope.grading.server", None)
    monkeypatch.delattr("darkhaloscope.grading.server", raising=False)
    with pytest.raises(DhsError, match=r"pip install 'darkhaloscope\[grade\]'"):
        session._web()
