"""`make bench-train`: rows a second of training from Parquet and on the fly, over a constant batch.

    python bench/training.py [ARCH ...]      by default resnet_mini, convnext_mini and convnext_tiny

The same loop, view and augmentation throughout; ratios are medians over turns of ratios within a
turn. "in turn": everything on one pinned core. "ahead": rows are made by one worker on another
core. On a GPU, beside that, FLOP utilisation and the share of a step that goes to making rows.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from darkhaloscope.config import BankHybrid, CutoutsSynthetic, Inject, Plan, Train
from darkhaloscope.jobs.banks import bank_hybrid
from darkhaloscope.jobs.engine import Local
from darkhaloscope.jobs.inject import inject_all
from darkhaloscope.jobs.plan import plan
from darkhaloscope.jobs.synthetic import cutouts_synthetic
from darkhaloscope.learn.batch import Batch, Rows
from darkhaloscope.learn.fly import OnTheFly
from darkhaloscope.learn.ranks import Ranks, device_of
from darkhaloscope.learn.source import Stream
from darkhaloscope.learn.stored import Stored
from darkhaloscope.learn.train import Training, sets_of
from darkhaloscope.learn.view import look

TURNS = 3
STEPS = {"resnet_mini": 16, "convnext_mini": 12, "convnext_tiny": 3}


class Constant:
    """One window, again and again."""

    def __init__(self, rows: Rows):
        self.rows = rows

    def window(self, number: int) -> Rows:
        return self.rows

    def finished(self, rows: Rows) -> Rows:
        return rows

    def executor(self, workers: int):
        raise NotImplementedError("a constant batch is there already")


def make(folder: Path) -> None:
    bank_hybrid(folder / "bank.h5", BankHybrid(n_sources=200))
    cutouts_synthetic(folder / "cutouts", CutoutsSynthetic(n_hosts=600), 2)
    plan(folder / "plan", folder / "cutouts", folder / "bank.h5", Plan(), Local(2))
    inject_all(
        folder / "stamps", folder / "plan", folder / "cutouts", folder / "bank.h5", Inject(),
        Local(2),
    )  # fmt: skip


def rates(folder: Path, arch: str, workers: int, ranks: Ranks) -> dict[str, list[float]]:
    """Rows a second of each source, turn by turn."""
    gpu = ranks.device.type != "cpu"
    batch, steps = (256, 40) if gpu else (64, STEPS.get(arch, 8))
    window = batch * steps  # so that every turn makes one
    cfg = Train(arch=arch, batch_size=batch, shuffle_rows=window, use_bf16=gpu)
    sets = sets_of(folder / "stamps", cfg)
    fly = OnTheFly.of(
        folder / "resident", folder / "stamps", folder / "cutouts", folder / "bank.h5",
        sets.train.size, cfg, ranks,
    )  # fmt: skip
    first = next(Stream(Stored(sets.train, 1, window), cfg.batch_size, workers=0).batches())[0]
    if gpu:
        first = Rows(first.columns, torch.from_numpy(first.images).to(ranks.device))
    streams = {
        "constant": Stream(Constant(first), cfg.batch_size, workers=0),
        "stored": Stream(Stored(sets.train, 1, window), cfg.batch_size, workers=workers),
        "fly": Stream(fly, cfg.batch_size, workers=workers),
    }
    run = Training(folder / "none", sets, streams["constant"].source, cfg, ranks, 0)
    batches = {name: stream.batches() for name, stream in streams.items()}
    found: dict[str, list[float]] = {name: [] for name in streams}
    for some in batches.values():  # the first window, and the first call of everything
        run.step(next(some)[0])
    for _ in range(TURNS):
        for name, some in batches.items():
            began = time.perf_counter()
            for _ in range(steps):
                run.step(next(some)[0])
            if gpu:
                torch.cuda.synchronize()
            found[name].append(steps * cfg.batch_size / (time.perf_counter() - began))
    for some in batches.values():
        some.close()
    if gpu:
        print(f"  {flops(run, first, ranks):.2f} GFLOP a row, forward and back")
    return found


def flops(run: Training, rows: Rows, ranks: Ranks) -> float:
    """GFLOP a row of one step."""
    seen = look(Batch.of(rows, run.cfg.view, ranks.device), run.cfg.view)
    with FlopCounterMode(display=False) as counter:
        run.net(seen.channels, seen.meta).sum().backward()
    return counter.get_total_flops() / len(rows) / 1e9


def said(name: str, found: dict[str, list[float]]) -> str:
    constant = np.array(found["constant"])
    ratios = {s: np.median(np.array(found[s]) / constant) for s in ("stored", "fly")}
    return (
        f"| {name} | {np.median(constant):.0f} | "
        + " | ".join(f"{np.median(found[s]):.0f} ({ratios[s]:.0%})" for s in ratios)
        + " |"
    )


def main() -> None:
    archs = sys.argv[1:] or ["resnet_mini", "convnext_mini", "convnext_tiny"]
    ranks = Ranks(device=device_of(None))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        print("| network | constant, rows/s | from Parquet | on the fly |\n|---|---|---|---|")
        cores = sorted(os.sched_getaffinity(0))
        torch.set_num_threads(1)
        for arch in archs:
            if ranks.device.type != "cpu":
                print(
                    said(f"{arch}, {torch.cuda.get_device_name()}", rates(folder, arch, 8, ranks))
                )
                continue
            os.sched_setaffinity(0, cores[:1])
            print(said(f"{arch}, in turn", rates(folder, arch, 0, ranks)), flush=True)
            os.sched_setaffinity(0, cores)
            if len(cores) > 1:
                print(said(f"{arch}, ahead", rates(folder, arch, 1, ranks)), flush=True)


if __name__ == "__main__":
    main()
