"""`dhs plan`: one row a stamp, every random choice frozen."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from darkhaloscope import __version__
from darkhaloscope.config import Plan
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import open_bank
from darkhaloscope.io.parts import Commit, PartStore, claim
from darkhaloscope.jobs.engine import Engine, Local
from darkhaloscope.jobs.hosts import CutoutStore, open_cutouts, read_hosts
from darkhaloscope.jobs.pairs import MAX_DRAWS, draw_pairs, types_of
from darkhaloscope.jobs.plan_rows import rows_of_pairs
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.run import run_parts
from darkhaloscope.schema import KINDS, PLAN

_HERE = Local()


@dataclass(frozen=True)
class Run:
    """What all parts of a plan share."""

    store: PartStore
    cutouts: CutoutStore
    bank: Path
    bank_digest: str
    cfg: Plan


@dataclass(frozen=True)
class Slice:
    """Some pairs of one cutout file, which become one part of the plan."""

    part: int
    file: str
    hosts: int  # of the file that are taken
    start: int  # pairs of the file
    stop: int
    ordinal: int  # number of the first of them among all pairs of the plan

    def __len__(self) -> int:
        return self.stop - self.start


def plan(out: Path, cutouts: Path, bank: Path, cfg: Plan, engine: Engine = _HERE) -> None:
    """Write the plan, part by part; parts that exist are kept.

    Raises DhsError for unusable inputs, or settings under which no source is discoverable
    """
    digest = open_bank(bank).digest()
    hosts = open_cutouts(cutouts)
    read_hosts(hosts.folder / next(iter(hosts.rows)), cfg.stamp_size_pix)  # of a size that fits
    store = claim(
        out,
        {
            "stage": "plan",
            "config": cfg.as_json(),
            "cutouts": hosts.digest,
            "bank": digest,
            "dhs": __version__,
        },
    )
    slices = _slices(hosts, cfg)
    run = Run(store, hosts, bank, digest, cfg)
    _finish(run, slices, run_parts("plan", "pairs", store, partial(plan_part, run), slices, engine))


def _slices(hosts: CutoutStore, cfg: Plan) -> list[Slice]:
    """Parts of at most rows_per_part rows, each of one cutout file."""
    per_part = max(1, cfg.rows_per_part // len(KINDS))
    slices: list[Slice] = []
    ordinal = 0
    for file, count in hosts.rows.items():
        pairs = count * cfg.pairs_per_host
        for start in range(0, pairs, per_part):
            stop = min(start + per_part, pairs)
            slices.append(Slice(len(slices), file, count, start, stop, ordinal + start))
        ordinal += pairs
    return slices


def plan_part(run: Run, some: Slice) -> Commit:
    """Draw and write one part."""
    torch.set_num_threads(1)
    bank = open_bank(run.bank, run.bank_digest)
    hosts = read_hosts(run.cutouts.folder / some.file, run.cfg.stamp_size_pix)
    pairs = np.arange(some.start, some.stop)
    chosen = pairs // run.cfg.pairs_per_host
    luminous = hosts["host_kind"][chosen] == "luminous"
    kinds = types_of(run.bank, run.bank_digest)
    drawn = draw_pairs(pairs[luminous], chosen[luminous], hosts, bank, kinds, run.cfg)
    rows = rows_of_pairs(drawn, some.part)
    counts = {
        "file": some.file,
        "rows": dict(sorted(Counter(rows["kind"]).items())),
        "unfit": int(luminous.sum()) - len(drawn["pair_id"]),
        "sizes": np.unique(hosts["size_pix"]).tolist(),
    }
    return run.store.write(some.part, rows, PLAN, counts)


def _finish(run: Run, slices: list[Slice], commits: list[Commit]) -> None:
    planned = sum((Counter(commit.counts["rows"]) for commit in commits), Counter())
    unfit = sum(commit.counts["unfit"] for commit in commits)
    sizes = sorted({size for commit in commits for size in commit.counts["sizes"]})
    if len(sizes) > 1:
        raise DhsError(f"cutouts of {sizes} pixels are mixed; set stamp_size_pix")
    if not planned:
        raise DhsError(_nothing(run, unfit))
    contents = {
        run.store.path(commit.part).name: {
            "file": commit.counts["file"],
            "rows": sum(commit.counts["rows"].values()),
        }
        for commit in commits
    }
    digest = run.store.write_record(
        commits, planned=planned, unfit_pairs=unfit, size_pix=sizes[0], contents=contents
    )
    left_out = f"; {unfit} pairs left out, no discoverable source in {MAX_DRAWS} draws"
    rows = ", ".join(f"{planned[kind]} {kind}" for kind in KINDS if planned[kind])
    console.print(
        f"plan {run.store.folder}: {planned.total()} rows in {len(commits)} parts ({rows})"
        f"{left_out if unfit else ''}, digest {digest[:16]}"
    )


def _nothing(run: Run, unfit: int) -> str:
    if not unfit:
        return "no cutout shows a luminous galaxy; lenses are put on host_kind luminous"
    return (
        f"no source is discoverable behind any of {sum(run.cutouts.rows.values())} hosts in "
        f"{MAX_DRAWS} draws; lower min_magnification or widen arc_mag_r_min to arc_mag_r_max"
    )
