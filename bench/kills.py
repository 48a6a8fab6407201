"""Kill `dhs inject` at random moments, start it again, and compare the digest each time.

    python bench/kills.py --local 20 --spark 10

SIGKILL strikes the command itself, or on Spark's standalone cluster of this machine the command or
one of its executors. Moments are drawn, from a seed: every fourth uniformly over the time that an
undisturbed run takes, the others over the part of it in which it works on parts. A run that ended
before its moment does not count, and no later moment than that is drawn again.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cluster import Cluster, cluster
from darkhaloscope.config import BankHybrid, CutoutsSynthetic, Plan
from darkhaloscope.io.parts import IDENTITY, RECORD, digest_of_parts
from darkhaloscope.jobs.banks import bank_hybrid
from darkhaloscope.jobs.plan import plan
from darkhaloscope.jobs.synthetic import cutouts_synthetic

LONGEST_S = 300.0
MISSED = "ended first"


@dataclass(frozen=True)
class Injection:
    """One command line and where it writes."""

    inputs: Path
    out: Path
    engine: tuple[str, ...]

    def start(self) -> subprocess.Popen:
        places = {"plan": "plan", "cutouts": "cutouts", "bank": "bank.h5"}
        flags = [word for key, name in places.items() for word in (f"--{key}", self.inputs / name)]
        command = [sys.executable, "-m", "darkhaloscope.cli", "inject", *flags, "--out", self.out]
        log = self.out.with_suffix(".log").open("a")
        with log:
            return subprocess.Popen([*command, *self.engine], stderr=log)

    def finish(self) -> None:
        if code := self.start().wait(LONGEST_S):
            said = self.out.with_suffix(".log").read_text()
            raise SystemExit(f"the run ended with code {code}:\n{said[-2000:]}")

    def parts(self) -> int:
        return len(list(self.out.glob("part-*.parquet")))


def make_inputs(folder: Path, hosts: int) -> None:
    """Bank, cutouts, and a plan of many parts."""
    bank_hybrid(folder / "bank.h5", BankHybrid(n_sources=40))
    cutouts_synthetic(folder / "cutouts", CutoutsSynthetic(n_hosts=hosts), 1)
    plan(folder / "plan", folder / "cutouts", folder / "bank.h5", Plan(rows_per_part=60))


def kill_driver(run: Injection, after: float) -> tuple[str, int]:
    """SIGKILL the command so many seconds after its start; what happened, and parts it left."""
    process = run.start()
    try:
        process.wait(after)
        return MISSED, run.parts()
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    left = run.parts()
    run.finish()
    return "driver", left


def kill_executor(run: Injection, running: Cluster, after: float) -> tuple[str, int]:
    """SIGKILL an executor so many seconds after the start; the run goes on and must end well."""
    process = run.start()
    end = time.monotonic() + after
    while process.poll() is None and (time.monotonic() < end or not running.executors()):
        time.sleep(0.02)
    if process.poll() is not None:
        return MISSED, run.parts()
    left = run.parts()
    running.kill_executor()
    if code := process.wait(LONGEST_S):
        said = run.out.with_suffix(".log").read_text()
        raise SystemExit(f"the run ended with code {code}:\n{said[-2000:]}")
    return "executor", left


def one_kill(run: Injection, running: Cluster | None, after: float, executor: bool):
    """A kill and what follows: what was struck, parts then there, digest at the end."""
    shutil.rmtree(run.out, ignore_errors=True)
    if executor and running is not None:
        struck, left = kill_executor(run, running, after)
    else:
        struck, left = kill_driver(run, after)
    hidden = len(list(run.out.glob(".*")))
    return struck, left, digest_of_parts(run.out), (run.out / RECORD).read_bytes(), hidden


def series(name: str, n: int, run: Injection, running: Cluster | None, seed: int) -> int:
    """Kills of one engine, a line each; how many ended with another digest."""
    began = time.time()
    run.finish()
    takes, at_work = time.time() - began, (run.out / IDENTITY).stat().st_mtime - began
    digest, record = digest_of_parts(run.out), (run.out / RECORD).read_bytes()
    of = run.parts()
    lasts = f"{takes:.1f} s, {takes - at_work:.1f} s of it at work"
    print(f"{name}: undisturbed {lasts}, {of} parts, digest {digest[:16]}", flush=True)
    rng, wrong, strikes = random.Random(seed), 0, 0
    while strikes < n:
        after = rng.uniform(at_work if strikes % 4 else 0.0, takes)
        struck, left, got, said, hidden = one_kill(run, running, after, strikes % 2 == 1)
        if struck == MISSED:
            takes = min(takes, after)  # the machine has become faster: later moments come too late
        same = got == digest and said == record and not hidden
        wrong, strikes = wrong + (not same), strikes + (struck != MISSED)
        when = f"{name:<6} {strikes:>3}  at {after:6.2f} s  {struck:<12}"
        verdict = "same" if same else "DIFFERS"
        print(f"{when} {left:>3} of {of} parts then  digest {got[:16]}  {verdict}", flush=True)
    print(f"{name}: {n} runs struck, {wrong} ended with another digest", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--local", type=int, default=20)
    parser.add_argument("--spark", type=int, default=10)
    parser.add_argument("--hosts", type=int, default=360)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        make_inputs(folder, asked.hosts)
        if asked.local:
            run = Injection(folder, folder / "local", ("--processes", "2"))
            wrong += series("local", asked.local, run, None, asked.seed)
        if asked.spark:
            (folder / "cluster").mkdir()
            with cluster(folder / "cluster") as running:
                run = Injection(
                    folder, folder / "spark", ("--engine", "spark", "--master", running.master)
                )
                wrong += series("spark", asked.spark, run, running, asked.seed)
    print(f"{asked.local + asked.spark} kills, {wrong} ended with another digest")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
