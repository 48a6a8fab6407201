"""The memory that a function takes at most, measured in a process of its own."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path


def peak_mib(function: Callable, *arguments) -> float:
    """MiB; of the process's own pages, for ru_maxrss would count those of its parent too."""
    return peaks_mib(function, arguments)[0]


def peaks_mib(function: Callable, *calls: tuple) -> list[float]:
    """The peak after each of these calls, one after the other in one process: it never falls.

    calls : their arguments, the smaller first; what is imported and kept counts for all of them
    """
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_measured, args=(queue, function, calls))
    process.start()
    peaks = queue.get(timeout=250)
    process.join()
    assert process.exitcode == 0
    return peaks


def _measured(queue, function, calls) -> None:
    peaks = []
    for arguments in calls:
        function(*arguments)
        lines = Path("/proc/self/status").read_text().splitlines()
        peaks.append(
            next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
        )
    queue.put(peaks)
