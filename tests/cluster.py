"""A Spark standalone cluster on this machine: a master and workers of one core, each a process."""

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import darkhaloscope
from darkhaloscope.errors import DhsError

PATIENCE_S = 60.0
_DEPLOY = "org.apache.spark.deploy"
_MEMORY = "1g"

T = TypeVar("T")


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    master: str  # spark://host:port
    workers: tuple[int, ...]  # process ids

    def executors(self) -> list[int]:
        """Process ids of what the workers started for applications."""
        return [
            pid
            for pid, parent, command in _processes()
            if parent in self.workers and "CoarseGrainedExecutorBackend" in command
        ]

    def kill_executor(self) -> int:
        """SIGKILL one executor that runs; its process id."""
        pid = self.executors()[0]
        os.kill(pid, signal.SIGKILL)
        return pid


def lacking() -> str:
    """Why no cluster can be started here; empty if one can."""
    if importlib.util.find_spec("pyspark") is None:
        return "no pyspark is installed"
    from darkhaloscope.jobs.spark import java_home

    try:
        java_home()
    except DhsError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Master and workers on free ports of 127.0.0.1, with logs in `folder`; gone after the block.

    Its Python workers find this package and the tests, whatever is installed.
    """
    places = (Path(darkhaloscope.__file__).parents[1], Path(__file__).parent)
    environment = _environment() | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    with contextlib.ExitStack() as running:

        def start(name: str, deployed: str, *options: str) -> tuple[int, Path]:
            log = folder / f"{name}.log"
            command = [f"{environment['SPARK_HOME']}/bin/spark-class", f"{_DEPLOY}.{deployed}"]
            common = ["--host", "127.0.0.1", "--webui-port", "0"]
            with log.open("w") as said:
                process = subprocess.Popen(
                    [*command, *common, *options],
                    env=environment,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
            running.callback(_end, process)
            return process.pid, log

        _, log = start("master", "master.Master", "--port", "0")
        master = until(lambda: _said(log, r"Starting Spark master at (spark://\S+)"), log)
        pids = []
        for i in range(workers):
            options = ("--cores", "1", "--memory", _MEMORY, "--work-dir", str(folder / f"work{i}"))
            pid, log = start(f"worker{i}", "worker.Worker", *options, master)
            pids.append(pid)
        for i in range(workers):
            log = folder / f"worker{i}.log"
            until(lambda log=log: _said(log, r"(Successfully registered)"), log)
        yield Cluster(master, tuple(pids))


def until(seen: Callable[[], T], what: object) -> T:
    """What `seen` gives, once it is true."""
    end = time.monotonic() + PATIENCE_S
    while not (found := seen()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S:g} s for {what}")
        time.sleep(0.005)
    return found


def _environment() -> dict[str, str]:
    import pyspark

    from darkhaloscope.jobs.spark import java_home

    return os.environ | {
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "JAVA_HOME": str(java_home()),
        "SPARK_DAEMON_MEMORY": "128m",
        "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def _said(log: Path, pattern: str) -> str:
    found = re.search(pattern, log.read_text())
    return found[1] if found else ""


def _end(process: subprocess.Popen) -> None:
    """The process and what it started and did not end."""
    children = [pid for pid, parent, _ in _processes() if parent == process.pid]
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()
    process.wait()
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes() -> list[tuple[int, int, str]]:
    """Id, parent and command line of every process of this machine."""
    lines = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    words = (line.split(None, 2) for line in lines)
    return [(int(pid), int(parent), "".join(command)) for pid, parent, *command in words]
