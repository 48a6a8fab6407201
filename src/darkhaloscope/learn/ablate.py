"""`dhs ablate`: a queue of sets, trainings and scores that goes on where it stopped."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from darkhaloscope.config import Study, Train
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import open_bank
from darkhaloscope.io.files import alone
from darkhaloscope.io.parts import claim
from darkhaloscope.jobs.engine import Engine
from darkhaloscope.jobs.hosts import open_cutouts
from darkhaloscope.jobs.inject import inject_all
from darkhaloscope.jobs.plan import plan
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.versions import versions
from darkhaloscope.keys import digest_of
from darkhaloscope.learn.judge import load_judge
from darkhaloscope.learn.ranks import Ranks, device_of
from darkhaloscope.learn.score import score
from darkhaloscope.learn.train import train_on

DONE = "done"
_JUDGED = ("val", "test")
_SET_WORDS = 12


@dataclass(frozen=True)
class Run:
    """One training: a condition and a seed."""

    condition: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.condition}/seed-{self.seed}"


@dataclass(frozen=True)
class Queue:
    """A study and where its paths start from; `out` holds all that it makes."""

    out: Path
    study: Study
    root: Path
    engine: Engine
    device: str | None = None
    torchrun: int = 1

    @property
    def cutouts(self) -> Path:
        return self.root / self.study.cutouts

    def bank(self, condition: str) -> Path:
        return self.root / self.study.bank_of(condition)

    def runs(self) -> list[Run]:
        """Seed by seed, so that an early look sees all conditions."""
        names = self.study.conditions
        of = {name: self.study.seeds_of(name) for name in names}
        return [Run(name, of[name][i]) for i in range(len(self.study.seeds)) for name in names]

    def set_of(self, condition: str) -> Path:
        """Conditions with the same sources, plan and rendering share one set."""
        parts = [self.study.stage_of(s, condition).as_json() for s in ("plan", "inject")]
        return self.out / "sets" / digest_of(self.study.bank_of(condition), *parts)[:_SET_WORDS]

    @property
    def judged_on(self) -> Path:
        """Stamps of the first condition: what all finders are asked of."""
        return self.set_of(next(iter(self.study.conditions))) / "stamps"

    def scores(self, run: Run) -> Path:
        return self.out / "scores" / run.condition / f"seed-{run.seed}"


def begin(queue: Queue) -> None:
    """Take the folder. Raises DhsError for another study's folder, or inputs that cannot be used"""
    study = queue.study
    identity = {"stage": "ablate", "config": study.identity(), **versions()}
    for name in study.conditions:
        identity[f"bank {study.bank_of(name)}"] = open_bank(queue.bank(name)).digest()
    identity["cutouts"] = open_cutouts(queue.cutouts).digest
    if study.anchors is not None:
        identity["anchors"] = open_cutouts(queue.root / study.anchors).digest
    claim(queue.out, identity, shared=True)


def work(queue: Queue, share: tuple[int, int] = (0, 1)) -> bool:
    """Make the sets, and of the trainings those of a share; whether all of the study are done.

    share : number and count, such as (0, 4) for the first of four machines that share `out`
    """
    runs = queue.runs()
    mine = runs[share[0] :: share[1]]
    for condition in dict.fromkeys(run.condition for run in (runs[0], *mine)):
        _make_set(queue, condition)
    for i, run in enumerate(mine):
        with alone(queue.out / "locks" / f"{run.condition}-{run.seed}"):
            if not (queue.scores(run) / DONE).exists():
                console.print(f"ablate    {run.name}, {i + 1} of {len(mine)}")
                _train(queue, run)
                _score(queue, run)
    return all((queue.scores(run) / DONE).exists() for run in runs)


def _make_set(queue: Queue, condition: str) -> None:
    """The set of a condition, where it is not there yet. Its plan's seed is the study's own."""
    folder, bank = queue.set_of(condition), queue.bank(condition)
    plan_cfg, inject_cfg = (queue.study.stage_of(s, condition) for s in ("plan", "inject"))
    with alone(queue.out / "locks" / folder.name):
        if not (folder / DONE).exists():
            plan(folder / "plan", queue.cutouts, bank, plan_cfg, queue.engine)
            stamps = folder / "stamps"
            inject_all(stamps, folder / "plan", queue.cutouts, bank, inject_cfg, queue.engine)
            (folder / DONE).touch()


def _settings(queue: Queue, run: Run) -> Train:
    cfg: Train = queue.study.stage_of("train", run.condition)
    return cfg.model_copy(update={"seed": run.seed})


def _train(queue: Queue, run: Run) -> None:
    cfg, out = _settings(queue, run), queue.out / "runs" / run.name
    stamps = queue.set_of(run.condition) / "stamps"
    inputs = (queue.cutouts, queue.bank(run.condition)) if cfg.source == "fly" else (None, None)
    if queue.torchrun > 1:
        _torchrun(queue, cfg, out, stamps, inputs)
    else:
        ranks = Ranks(device=device_of(queue.device))
        train_on(out, stamps, cfg, ranks, cutouts=inputs[0], bank=inputs[1])


def _torchrun(queue: Queue, cfg: Train, out: Path, stamps: Path, inputs) -> None:
    """The same training by several processes. Raises DhsError if they fail"""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(queue.torchrun), "-m", "darkhaloscope.cli"),
        *("train", str(stamps), "--out", str(out), *flags_of(cfg)),
    ]
    for flag, path in zip(("--cutouts", "--bank"), inputs, strict=True):
        command += [flag, str(path)] if path else []
    if queue.device:
        command += ["--device", queue.device]
    if code := subprocess.run(command, env=os.environ, check=False).returncode:
        raise DhsError(f"training {out.name} ended with {code}; its own words are above")


def flags_of(cfg: Train) -> Iterator[str]:
    """The command line of settings that are not the defaults."""
    for name, value in cfg.model_dump(exclude_defaults=True).items():
        if isinstance(value, bool):
            yield f"--{'' if value else 'no-'}{name.replace('_', '-')}"
        elif isinstance(value, tuple):
            yield from (word for one in value for word in (f"--{name.replace('_', '-')}", str(one)))
        else:
            yield from (f"--{name.replace('_', '-')}", str(value))


def _score(queue: Queue, run: Run) -> None:
    """On the first condition's val and test rows, all hosts of these splits, and the anchors."""
    judge = load_judge(queue.out / "runs" / run.name, device_of(queue.device))
    folder = queue.scores(run)
    score(folder / "stamps.parquet", judge, queue.judged_on, splits=_JUDGED)
    score(folder / "sky.parquet", judge, queue.cutouts, splits=_JUDGED)
    if queue.study.anchors is not None:
        score(folder / "anchors.parquet", judge, queue.root / queue.study.anchors)
    (folder / DONE).touch()


def tables(queue: Queue) -> dict[str, list[Sequence[Path]]]:
    """Score tables of each condition, one list a seed."""
    found: dict[str, list[Sequence[Path]]] = {name: [] for name in queue.study.conditions}
    for run in queue.runs():
        found[run.condition].append(sorted(queue.scores(run).glob("*.parquet")))
    return found
