"""The local engine: one function over parts, in this process or in several."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from darkhaloscope.errors import DhsError

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Environment in which libraries that compute use one thread."""

T = TypeVar("T")
R = TypeVar("R")


def count(asked: int | None) -> int:
    """Processes to use: as asked, or the cores this process may run on.

    Raises DhsError if fewer than one is asked for
    """
    if asked is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if asked < 1:
        raise DhsError(f"--processes must be at least 1, got {asked}")
    return asked


def each(work: Callable[[T], R], tasks: Iterable[T], processes: int) -> Iterator[R]:
    """Results as they come, order not kept. One thread a process, so results never vary with it.

    Raises what `work` raised; DhsError if a worker process died
    """
    pending = list(tasks)
    if processes <= 1 or len(pending) <= 1:
        _one_thread()
        for task in pending:
            _raise_if_interrupted()
            yield work(task)
        return
    with _interrupts_noted():
        pool = workers(min(processes, len(pending)))
        try:
            with _interrupts_blocked():  # workers inherit this: the parent decides when to stop
                waiting = {pool.submit(work, task) for task in pending}
            while waiting and not _interrupted.is_set():
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise DhsError(
                "a worker process was killed, perhaps for memory; run the same command again with "
                "fewer --processes: parts already written are kept"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    _raise_if_interrupted()


def workers(processes: int) -> ProcessPoolExecutor:
    """Processes of one thread each, which end with this one."""
    return ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )


_interrupted = threading.Event()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C raises at once, and is remembered too: a library in C may clear the exception."""

    def remember(*_) -> None:
        _interrupted.set()
        raise KeyboardInterrupt

    with _on_interrupt(remember):
        _interrupted.clear()
        try:
            yield
            _raise_if_interrupted()
        finally:
            _interrupted.clear()


def _interrupts_noted() -> contextlib.AbstractContextManager[None]:
    """Ctrl-C is remembered instead of striking anywhere, such as half-way through a start."""
    return _on_interrupt(lambda *_: _interrupted.set())


@contextlib.contextmanager
def _on_interrupt(handler: Callable[..., None]) -> Iterator[None]:
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _raise_if_interrupted() -> None:
    if _interrupted.is_set():
        _interrupted.clear()
        raise KeyboardInterrupt


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    _one_thread()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _one_thread() -> None:
    """Libraries of this process compute with one thread, those loaded later too."""
    os.environ |= ONE_THREAD
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
