"""The memory that a function takes at most, measured in a process of its own."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path


def peak_mib(function: Callable, *arguments) -> float:
    """MiB; of the process's own pages, for ru_maxrss would count those of its parent too."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_measured, args=(queue, function, arguments))
    process.start()
    peak = queue.get(timeout=250)
    process.join()
    assert process.exitcode == 0
    return peak


def _measured(queue, function, arguments) -> None:
    function(*arguments)
    lines = Path("/proc/self/status").read_text().splitlines()
    queue.put(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))
