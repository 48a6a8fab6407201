"""Ctrl-C is never lost, wherever it strikes."""

import os
import signal

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
