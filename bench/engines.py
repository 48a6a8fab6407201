"""Injection end to end: Spark over local, two processes over one, and where the time goes.

    python bench/engines.py --inputs FOLDER      # bank.h5, cutouts and plan; else they are made

Engines take turns in one run, so that all meet the same machine; medians of --rounds. Spark is a
standalone cluster of two workers of one core, its session started before. Python workers start
with every local run, and on Spark after a minute without work: times are given whole, and from the
first part's begin to the last part's end, which is what is compared.
"""

import argparse
import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from unittest import mock

import pyarrow.parquet as pq

from cluster import cluster
from darkhaloscope.config import BankHybrid, CutoutsSynthetic, Inject, Plan
from darkhaloscope.io import tables
from darkhaloscope.io.files import read_json
from darkhaloscope.io.parts import RECORD, digest_of_parts, parts_in
from darkhaloscope.jobs import inject
from darkhaloscope.jobs.banks import bank_hybrid
from darkhaloscope.jobs.engine import Engine, Local
from darkhaloscope.jobs.plan import plan
from darkhaloscope.jobs.spark import spark
from darkhaloscope.jobs.synthetic import cutouts_synthetic

STEPS = {
    "reading cutouts": [(inject, "read_pixels")],
    "reading the plan": [(inject, "read_table")],
    "rendering": [(inject, "render_rows")],
    "measuring": [(inject, "_measurements")],
    "photon noise": [(inject, "inject")],
    "images to bytes": [(inject, "_as_bytes")],
    "Parquet, zstd-1": [(tables.TableWriter, "add"), (pq.ParquetWriter, "close")],
    "digest of the file": [(tables, "sha256")],
}


def make_inputs(folder: Path, hosts: int) -> Path:
    bank_hybrid(folder / "bank.h5", BankHybrid())
    cutouts_synthetic(folder / "cutouts", CutoutsSynthetic(n_hosts=hosts), 2)
    plan(folder / "plan", folder / "cutouts", folder / "bank.h5", Plan())
    return folder


class Noted:
    """An engine that keeps how long each part took."""

    def __init__(self, engine: Engine):
        self.engine, self.seconds = engine, {}

    def run(self, work, tasks, glance=lambda: ()):
        for result in self.engine.run(work, tasks, glance):
            if result is not None and result.seconds:
                self.seconds[result.part] = result.seconds
            yield result


def timed(inputs: Path, out: Path, engine: Engine) -> tuple[float, float, str]:
    """Seconds of one injection, those between its first part's begin and its end, its digest."""
    shutil.rmtree(out, ignore_errors=True)
    noted = Noted(engine)
    began = time.perf_counter()
    places = inputs / "plan", inputs / "cutouts", inputs / "bank.h5"
    inject.inject_all(out, *places, Inject(), noted)
    whole = time.perf_counter() - began
    ends = {int(p.stem.removeprefix("part-")): p.stat().st_mtime for p in parts_in(out)}
    at_work = max(ends.values()) - min(ends[part] - s for part, s in noted.seconds.items())
    return whole, at_work, digest_of_parts(out)


@contextlib.contextmanager
def stopwatches() -> Iterator[Counter[str]]:
    """Seconds by step, of what runs in this process within the block."""
    spent: Counter[str] = Counter()

    def watched(step: str, call: Callable) -> Callable:
        def run(*args, **named):
            began = time.process_time()
            try:
                return call(*args, **named)
            finally:
                spent[step] += time.process_time() - began

        return run

    with contextlib.ExitStack() as patches:
        for step, places in STEPS.items():
            for owner, name in places:
                new = watched(step, getattr(owner, name))
                patches.enter_context(mock.patch.object(owner, name, new))
        yield spent


def table(inputs: Path, out: Path, rows: int) -> None:
    """Processor time by step, of one process; per stamp and per core."""
    with stopwatches() as spent:
        began = time.process_time()
        timed(inputs, out, Local(1))
        total = time.process_time() - began
    spent["the rest"] = total - spent.total()
    print(f"{'step':<20} {'s':>7} {'share':>7} {'ms a stamp':>11}")
    for step, seconds in spent.most_common():
        print(f"{step:<20} {seconds:7.2f} {seconds / total:7.1%} {1e3 * seconds / rows:11.3f}")
    print(f"{'all':<20} {total:7.2f} {1:7.1%} {1e3 * total / rows:11.3f}")
    print(f"{rows / total:.0f} stamps/s a core of processor time, all steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=Path)
    parser.add_argument("--hosts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="engines-") as name:
        folder = Path(name)
        inputs = asked.inputs or make_inputs(folder, asked.hosts)
        rows = sum(read_json(inputs / "plan" / RECORD)["planned"].values())
        (folder / "cluster").mkdir()
        with cluster(folder / "cluster") as running, spark(running.master) as session:
            engines = {"1 process": Local(1), "2 processes": Local(2), "Spark, 2 workers": session}
            compare(inputs, folder / "out", engines, rows, asked.rounds)
        table(inputs, folder / "out", rows)


def compare(inputs: Path, out: Path, engines: dict[str, Engine], rows: int, rounds: int) -> None:
    whole: dict[str, list[float]] = {name: [] for name in engines}
    at_work: dict[str, list[float]] = {name: [] for name in engines}
    digests = set()
    timed(inputs, out, engines["Spark, 2 workers"])  # its workers have loaded everything
    for i in range(rounds):
        for name, engine in engines.items():
            took, worked, digest = timed(inputs, out, engine)
            whole[name].append(took)
            at_work[name].append(worked)
            digests.add(digest)
            print(f"round {i + 1}  {name:<17} {took:6.2f} s, at work {worked:6.2f} s", flush=True)
    print(f"{rows} rows, {len(digests)} digest: {', '.join(sorted(d[:16] for d in digests))}")
    one, two, cluster_two = (median(values) for values in at_work.values())
    one_whole, two_whole, cluster_whole = (median(values) for values in whole.values())
    print(f"median of {rounds}: 1 process {rows / one:.0f} stamps/s at work")
    print(f"2 processes over 1: {one / two:.2f}x at work, {one_whole / two_whole:.2f}x with start")
    print(
        f"Spark over 2 processes: {cluster_two / two - 1:+.1%} at work (asked: at most +15%), "
        f"{cluster_whole / two_whole - 1:+.1%} whole"
    )


if __name__ == "__main__":
    main()
