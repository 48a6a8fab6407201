"""The local engine: one function over parts, in this process or in several."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import torch

from darkhaloscope.errors import DhsError

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
        torch.set_num_threads(1)
        yield from map(work, pending)
        return
    pool = ProcessPoolExecutor(
        min(processes, len(pending)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    )
    try:
        for future in as_completed([pool.submit(work, task) for task in pending]):
            yield future.result()
    except BrokenProcessPool as error:
        raise DhsError(
            "a worker process was killed, perhaps for memory; run the same command again with "
            "fewer --processes: parts already written are kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    torch.set_num_threads(1)
