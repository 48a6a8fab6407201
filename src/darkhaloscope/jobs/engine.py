"""What runs the parts of a job: this machine's processes, or a cluster, with the same results."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from darkhaloscope.errors import DhsError
from darkhaloscope.jobs.pool import count, each

Name = Literal["local", "spark"]

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


@contextlib.contextmanager
def engine(name: Name, master: str | None, processes: int | None) -> Iterator[Engine]:
    """The engine of a command line, for the length of a block.

    master : Spark's, such as spark://host:port, local[2] or yarn; see spark.spark
    processes : of this machine; None for one a core
    Raises DhsError for settings that contradict each other, or as spark.spark does
    """
    if name == "local":
        if master is not None:
            raise DhsError(f"--master {master} is for --engine spark; the engine is local")
        yield Local(count(processes))
        return
    if master is not None and processes is not None:
        raise DhsError(
            f"--processes {processes} is of this machine and --master {master} names its own "
            "workers; give one of them"
        )
    from darkhaloscope.jobs.spark import spark

    with spark(master, count(processes)) as cluster:
        yield cluster
