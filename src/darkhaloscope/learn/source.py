"""Where training rows come from: windows of shuffled rows, each a function of its number alone.

So a stream is the same whoever makes its windows, and however many make them at once, and it can
be taken up again anywhere.
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from darkhaloscope.learn.batch import Rows, joined


class Source(Protocol):
    """Windows without end, numbered from 0."""

    def window(self, number: int) -> Rows:
        """Rows in the order in which they are shown; called anywhere."""
        ...

    def finished(self, rows: Rows) -> Rows:
        """A window with what is made on this process's device."""
        ...

    def executor(self, workers: int) -> Executor:
        """Of as many workers, which `window` may be called in."""
        ...


@dataclass(frozen=True)
class Place:
    """Where the next batch of a stream begins."""

    window: int = 0  # counted over this stream's own
    row: int = 0


@dataclass(frozen=True)
class Stream:
    """Batches of a source, one after another; of several processes each has its own windows.

    batch_size : rows in each of them; rank, world : which of how many processes
    workers : that make windows ahead of their time; 0 makes them when they are asked for
    """

    source: Source
    batch_size: int
    rank: int = 0
    world: int = 1
    workers: int = 1

    def batches(self, start: Place = Place()) -> Generator[tuple[Rows, Place]]:
        """From a place on: each batch, and the place of the next one."""
        left: list[tuple[Rows, Place]] = []
        at, skip = start.window, start.row
        with closing(self._windows(start.window)) as windows:
            while True:
                while sum(len(rows) for rows, _ in left) < self.batch_size:
                    rows = next(windows)
                    left.append((rows[skip:], Place(at, skip)))
                    at, skip = at + 1, 0
                taken, wanted = [], self.batch_size
                while wanted:
                    rows, place = left.pop(0)
                    some = min(wanted, len(rows))
                    taken.append(rows[:some])
                    wanted -= some
                    if some < len(rows):
                        left.insert(0, (rows[some:], Place(place.window, place.row + some)))
                yield joined(taken), left[0][1] if left else Place(at)

    def _windows(self, first: int) -> Generator[Rows]:
        """Of this process, from its `first` on."""

        def number(i: int) -> int:
            return self.rank + self.world * i

        if not self.workers:
            while True:
                yield self.source.finished(self.source.window(number(first)))
                first += 1
        ahead: deque[Future[Rows]] = deque()
        with self.source.executor(self.workers) as makers:
            try:
                while True:
                    while len(ahead) < self.workers:
                        ahead.append(makers.submit(self.source.window, number(first)))
                        first += 1
                    found = ahead.popleft()
                    ahead.append(makers.submit(self.source.window, number(first)))
                    first += 1
                    yield self.source.finished(found.result())
            finally:
                makers.shutdown(wait=False, cancel_futures=True)
