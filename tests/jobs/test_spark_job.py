"""A Spark cluster writes what this machine writes, whatever dies meanwhile."""

import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cluster import cluster, lacking, until
from darkhaloscope.cli import run
from darkhaloscope.config import Inject
from darkhaloscope.io.parts import RECORD, digest_of_parts
from darkhaloscope.jobs import spark as engines
from darkhaloscope.jobs.inject import inject_all
from darkhaloscope.jobs.plan import plan
from flow import PLAN

pytestmark = [
    pytest.mark.skipif(bool(why := lacking()), reason=f"no Spark cluster here: {why}"),
    # pyspark's own, of every function and of every result
    pytest.mark.filterwarnings("ignore:distutils Version classes:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(scope="module")
def many(inputs, tmp_path_factory):
    """The inputs with a plan of many small parts, and its stamps by this machine."""
    folder = tmp_path_factory.mktemp("many")
    for name in ("cutouts", "bank.h5"):
        (folder / name).symlink_to(inputs / name)
    plan(
        folder / "plan",
        inputs / "cutouts",
        inputs / "bank.h5",
        PLAN.model_copy(update={"rows_per_part": 6}),
    )
    _inject(folder, folder / "stamps")
    return folder


@pytest.fixture(scope="module")
def spark_cluster(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def engine(spark_cluster):
    """One session for all tests that need no driver of their own."""
    with engines.spark(spark_cluster.master) as session:
        yield session


def _inject(inputs: Path, out: Path, *engine) -> None:
    inject_all(
        out, inputs / "plan", inputs / "cutouts", inputs / "bank.h5", Inject(), *engine
    )  # fmt: skip


def _words(inputs: Path, out: Path, *more: str) -> list[str]:
    places = {"plan": inputs / "plan", "cutouts": inputs / "cutouts", "bank": inputs / "bank.h5"}
    flags = [word for key, path in (places | {"out": out}).items() for word in (f"--{key}", path)]
    return [str(word) for word in ("inject", *flags, "--engine", "spark", *more)]


def _parts(folder: Path) -> list[Path]:
    return list(folder.glob("part-*.parquet"))


def _same(one: Path, other: Path) -> None:
    assert digest_of_parts(one) == digest_of_parts(other)
    assert (one / RECORD).read_bytes() == (other / RECORD).read_bytes()
    assert not list(one.glob(".*")), "a temporary file was left"


def test_a_killed_driver_costs_nothing_but_time(many, spark_cluster, tmp_path):
    """Before the session of the other tests, which takes all cores of the cluster."""
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "darkhaloscope.cli"]
    command += _words(many, out, "--master", spark_cluster.master)
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(command, stderr=said)
        until(lambda: _parts(out) or process.poll() is not None, "the first part")
    process.kill()
    assert process.wait() == -signal.SIGKILL, (tmp_path / "said").read_text()
    assert 1 <= len(_parts(out)) < 24
    assert not (out / RECORD).exists()
    until(lambda: not spark_cluster.executors(), "executors that end with their driver")
    _inject(many, out)
    _same(out, many / "stamps")


def test_stamps_are_this_machines_byte_for_byte(inputs, stamps, engine, tmp_path):
    _inject(inputs, tmp_path / "stamps", engine)
    _same(tmp_path / "stamps", stamps)


def test_plans_are_this_machines_byte_for_byte(inputs, engine, tmp_path):
    plan(tmp_path / "plan", inputs / "cutouts", inputs / "bank.h5", PLAN, engine)
    _same(tmp_path / "plan", inputs / "plan")


def test_the_command_line_uses_the_cluster(inputs, stamps, engine, tmp_path, capfd):
    assert run(_words(inputs, tmp_path / "stamps")) == 0, capfd.readouterr().err
    _same(tmp_path / "stamps", stamps)


class _Watched:
    """An engine that notes whether results come as glances at parts, or from Spark itself."""

    def __init__(self, engine):
        self.engine, self.seen = engine, []

    def run(self, work, tasks, glance=lambda: ()):
        for result in self.engine.run(work, tasks, glance):
            self.seen.append("glance" if getattr(result, "sha256", None) == "" else "result")
            yield result


def test_progress_shows_parts_before_the_job_ends(many, engine, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "GLANCE_S", 0.02)
    watched = _Watched(engine)
    _inject(many, tmp_path / "stamps", watched)
    assert watched.seen.count("result") == 24
    glances = watched.seen.index("result")
    assert 1 <= glances == watched.seen.count("glance") <= 24
    _same(tmp_path / "stamps", many / "stamps")


class _Twice:
    """What speculative execution does: every part is made twice, at once, on two executors."""

    def __init__(self, engine):
        self.engine = engine

    def run(self, work, tasks, glance=lambda: ()):
        return self.engine.run(work, [task for task in tasks for _ in range(2)], glance)


def test_a_part_made_twice_is_there_once(inputs, stamps, engine, tmp_path):
    _inject(inputs, tmp_path / "stamps", _Twice(engine))
    _same(tmp_path / "stamps", stamps)


def test_a_killed_executor_costs_nothing_but_time(many, engine, spark_cluster, tmp_path):
    out, left = tmp_path / "stamps", []

    def kill() -> None:
        until(lambda: _parts(out), "the first part")
        spark_cluster.kill_executor()
        left.append(24 - len(_parts(out)))

    killer = threading.Thread(target=kill)
    killer.start()
    _inject(many, out, engine)
    killer.join()
    assert left[0] > 0, "the run ended before the executor could be killed"
    _same(out, many / "stamps")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Job aborted due to stage failure: Lost task 0.3\nTraceback (most recent call last):\n"
            '  File "inject.py", line 9\n'
            "darkhaloscope.errors.DhsError: the disk is full; free space\n\n\tat org.apache",
            "the disk is full; free space",
        ),
        (
            "Lost task\nTraceback\nModuleNotFoundError: No module named 'darkhaloscope'\n\tat org",
            "a worker cannot load this package (No module named 'darkhaloscope'); install the "
            "same on every host, and let PYSPARK_PYTHON name its Python",
        ),
        (
            "Lost task\norg.apache.spark.SparkException: Python worker exited\n\tat org",
            "Spark: org.apache.spark.SparkException: Python worker exited",
        ),
        ("", "Spark: no answer"),
    ],
)
def test_of_what_spark_reports_the_cause_is_said(text, said):
    assert engines.cause_of(text) == said


def _refused_before_work(inputs, out, capfd) -> str:
    assert run(_words(inputs, out)) == 2
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert not out.exists()
    return " ".join(said.split())


def test_a_worker_that_lacks_a_library_is_said_before_work(
    inputs, engine, tmp_path, monkeypatch, capfd
):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(bare.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(engine.session.sparkContext, "pythonExec", str(bare))
    said = _refused_before_work(inputs, tmp_path / "out", capfd)
    assert "a worker cannot load this package (No module named 'pyarrow')" in said, said
    assert "install the same on every host" in said


def test_a_worker_of_another_version_is_said_before_work(
    inputs, engine, tmp_path, monkeypatch, capfd
):
    import darkhaloscope

    ours = Path(darkhaloscope.__file__).parent
    theirs = shutil.copytree(ours, tmp_path / ours.name)
    begun = (theirs / "__init__.py").read_text()
    (theirs / "__init__.py").write_text(begun.replace(darkhaloscope.__version__, "0.0.9"))
    monkeypatch.setitem(engine.session.sparkContext.environment, "PYTHONPATH", str(tmp_path))
    said = _refused_before_work(inputs, tmp_path / "out", capfd)
    wanted = f"has dhs 0.0.9 where the run was begun with {darkhaloscope.__version__}"
    assert wanted in said, said
