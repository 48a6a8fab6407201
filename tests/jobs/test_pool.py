"""The local engine: Ctrl-C is never lost, and no worker outlives its run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from darkhaloscope.errors import DhsError
from darkhaloscope.jobs import pool


def _double(x):
    return 2 * x


def _swallowing(x):
    """What a library in C may do: clear the exception of a handler that ran inside it."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass
    except KeyboardInterrupt:
        pass
    return x


@pytest.mark.parametrize("processes", [1, 2])
def test_results_of_all_tasks_come(processes):
    assert sorted(pool.each(_double, range(5), processes)) == [0, 2, 4, 6, 8]


def test_an_interrupt_that_a_library_swallows_still_ends_the_work():
    done = []
    with pytest.raises(KeyboardInterrupt), pool.interruptible():
        for result in pool.each(_swallowing, range(5), 1):
            done.append(result)
    assert done == [0]
    assert list(pool.each(_double, [1], 1)) == [2]  # it is over: the next work is not struck


def test_an_interrupt_at_the_very_end_is_not_lost():
    with pytest.raises(KeyboardInterrupt), pool.interruptible():
        _swallowing(0)


def test_an_ignored_interrupt_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pool.interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            assert sorted(pool.each(_double, range(3), 2)) == [0, 2, 4]
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("asked", [0, -2])
def test_fewer_than_one_process_is_refused(asked):
    with pytest.raises(DhsError, match="at least 1"):
        pool.count(asked)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def _note(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(0.2)


def test_workers_of_a_killed_run_end_with_it(tmp_path):
    code = (
        "from darkhaloscope.jobs import pool\n"
        "from test_pool import _note\n"
        "if __name__ == '__main__':\n"
        f"    list(pool.each(_note, [{str(tmp_path / 'pids')!r}] * 1000, 2))\n"
    )
    (tmp_path / "pids").mkdir()
    (tmp_path / "run.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, str(tmp_path / "run.py")], env=environment)
    while len(list((tmp_path / "pids").iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    workers = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    end = time.monotonic() + 30
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < end, "a worker outlives its parent"
        time.sleep(0.05)
