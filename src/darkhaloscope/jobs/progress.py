"""Progress with rate and time left: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
from rich.progress import Task as RichTask
from rich.text import Text

console = Console(stderr=True, highlight=False)
_LINE_EVERY_SECONDS = 10.0


class Advance(Protocol):
    """Told of `n` more, and of what is to be said beside the rate."""

    def __call__(self, n: int, said: str = "") -> None: ...


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str):
        super().__init__()
        self._unit = unit

    def render(self, task: RichTask) -> Text:
        return Text(_pace(task.completed, task.total or 0, task.elapsed or 0.0, self._unit))


@contextlib.contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Advance]:
    """Yields `advance(n, said)`; says how fast it goes and when it will end."""
    if console.is_terminal:
        columns = (
            TextColumn(f"{label:<9}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            _RateColumn(unit),
            TextColumn("{task.fields[said]}"),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(label, total=total, said="")

            def advance(n: int, said: str = "") -> None:
                bar.update(task, advance=n, said=said)

            yield advance
    else:
        yield _Lines(label, total, unit)


class _Lines:
    def __init__(self, label: str, total: int, unit: str):
        self._label, self._total, self._unit = label, total, unit
        self._done, self._start = 0, time.monotonic()
        self._last = self._start

    def __call__(self, n: int, said: str = "") -> None:
        self._done += n
        now = time.monotonic()
        if self._done >= self._total or now - self._last > _LINE_EVERY_SECONDS:
            self._last = now
            pace = _pace(self._done, self._total, now - self._start, self._unit)
            beside = f"; {said}" if said else ""
            console.print(f"{self._label:<9} {self._done}/{self._total} {pace}{beside}")


def _pace(done: float, total: float, seconds: float, unit: str) -> str:
    if not done or seconds <= 0:
        return f"{unit}, no rate yet"
    rate = done / seconds
    left = max(total - done, 0) / rate
    end = f"ETA {left:.0f} s" if left else f"{seconds:.1f} s"
    return f"{rate:.3g} {unit}/s, {end}"
