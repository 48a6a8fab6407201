"""What runs the parts of a job: this machine's processes, or a cluster, with the same results."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from darkhaloscope.jobs.pool import each

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Calls one function for every task, somewhere."""

    def run(
        self,
        work: Callable[[T], R],
        tasks: Sequence[T],
        glance: Callable[[], Sequence[R]] = lambda: (),
    ) -> Iterator[R]:
        """Results as they come, order not kept.

        work : a function that other processes can import, called once or more for each task
        glance : what can be seen of results before they come; an engine that learns of all only at
            the end yields these first, for those who watch
        Raises what `work` raised, DhsError if a worker was lost too often
        """
        ...


@dataclass(frozen=True)
class Local:
    """Processes of this machine."""

    processes: int = 1

    def run(
        self,
        work: Callable[[T], R],
        tasks: Sequence[T],
        glance: Callable[[], Sequence[R]] = lambda: (),
    ) -> Iterator[R]:
        return each(work, tasks, self.processes)
