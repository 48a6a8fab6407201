"""The whole flow from one command: the same bytes, also when it was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from darkhaloscope.io.parts import RECORD

SETTINGS = """
[bank.hybrid]
n_sources = 40
[cutouts.synthetic]
n_hosts = 30
size_pix = 48
[plan]
rows_per_part = 12
[validate]
replay_rows = 4
sheet_pairs = 1
lenstronomy_rows = 1
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "dhs.toml"
    path.write_text(SETTINGS)
    return path


def _command(settings: Path, out: Path, processes: int) -> list[str]:
    words = ["demo", "--out", out, "--config", settings, "--processes", processes]
    return [sys.executable, "-m", "darkhaloscope.cli", *map(str, words)]


@pytest.fixture(scope="module")
def undisturbed(settings, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "one"
    done = subprocess.run(
        _command(settings, out, 1), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"Open {(out / 'report.html').resolve()}"
    assert "ETA" in done.stderr or "/s" in done.stderr
    return out


def _bytes(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def _different(out: Path, other: Path) -> list[str]:
    """Files that are not the same, or in one of them alone."""
    one, two = _bytes(out), _bytes(other)
    return [name for name in sorted(one.keys() | two.keys()) if one.get(name) != two.get(name)]


def test_the_demo_makes_everything(undisturbed):
    made = _bytes(undisturbed)
    assert {"bank.h5", "plan/run.json", "report.html", "findings.json"} <= set(made)
    assert not [name for name in made if "partial" in name]


def test_killed_and_started_again_it_ends_with_the_same_bytes(undisturbed, settings, tmp_path):
    """SIGKILL in an early stage; test_inject_job and test_kills strike the longest one."""
    out = tmp_path / "killed"
    process = subprocess.Popen(_command(settings, out, 1), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob("cutouts/part-00000.parquet")) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    again = subprocess.run(
        _command(settings, out, 1), capture_output=True, text=True, check=False, timeout=120
    )
    assert again.returncode == 0, again.stderr
    assert _different(out, undisturbed) == []


def test_an_interrupt_of_two_processes_is_one_sentence_and_costs_nothing_but_time(
    undisturbed, settings, tmp_path
):
    """What two processes made until then are the bytes of one."""
    out = tmp_path / "interrupted"
    process = subprocess.Popen(
        _command(settings, out, 2),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a test runner may ignore Ctrl-C, and its children would inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("stamps/part-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "interrupted; finished parts are kept" in " ".join(said.split())
    assert "Traceback" not in said
    assert not (out / "stamps" / RECORD).exists()
    again = subprocess.run(
        _command(settings, out, 1), capture_output=True, text=True, check=False, timeout=120
    )
    assert again.returncode == 0, again.stderr
    assert _different(out, undisturbed) == []
