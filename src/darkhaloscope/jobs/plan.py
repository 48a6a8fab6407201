"""`dhs plan`: one row a stamp, every random choice frozen."""

from collections import Counter
from collections.abc import Iterator
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
from darkhaloscope.jobs.pairs import MAX_DRAWS, draw_pairs, galaxies_of, redshifts_of, weighted
from darkhaloscope.jobs.plan_rows import rows_of_pairs
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.run import run_parts
from darkhaloscope.schema import KINDS, PLAN
from darkhaloscope.sim.cells import cells

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
    start: int  # pairs of the file: the first host's replicates, then the next one's
    stop: int
    hosts: tuple[int, ...] | None  # rows of the file that bring pairs; None for all

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
    """Parts of about rows_per_part rows, each of one cutout file."""
    per_part = max(1, int(cfg.rows_per_part / (1 + sum(cfg.controls.values()))))
    slices: list[Slice] = []
    for (file, count), few in zip(hosts.rows.items(), _hosts_of_tier(hosts, cfg), strict=True):
        pairs = (count if few is None else len(few)) * _replicates(cfg)
        for start in range(0, pairs, per_part):
            slices.append(Slice(len(slices), file, start, min(start + per_part, pairs), few))
    return slices


def _replicates(cfg: Plan) -> int:
    """Pairs on each host."""
    return cfg.pairs_per_host * (len(cells(cfg)) if cfg.tier == "grid" else 1)


def _hosts_of_tier(hosts: CutoutStore, cfg: Plan) -> Iterator[tuple[int, ...] | None]:
    """Of each file the rows that the tier takes, evenly over the store; None for all."""
    total = sum(hosts.rows.values())
    taken = np.unique(np.linspace(0, total - 1, min(cfg.tier_hosts, total)).round().astype(int))
    first = 0
    for count in hosts.rows.values():
        its = taken[(taken >= first) & (taken < first + count)] - first
        yield None if cfg.tier == "train" else tuple(its.tolist())
        first += count


def plan_part(run: Run, some: Slice) -> Commit:
    """Draw and write one part."""
    torch.set_num_threads(1)
    hosts = read_hosts(run.cutouts.folder / some.file, run.cfg.stamp_size_pix)
    which, replicate = np.divmod(np.arange(some.start, some.stop), _replicates(run.cfg))
    chosen = which if some.hosts is None else np.array(some.hosts)[which]
    luminous = hosts["host_kind"][chosen] == "luminous"
    redshifts = redshifts_of(hosts)
    chosen, replicate = weighted(chosen[luminous], replicate[luminous], hosts, redshifts, run.cfg)
    galaxies = galaxies_of(run.bank, run.bank_digest)
    drawn = draw_pairs(chosen, replicate, hosts, redshifts, galaxies, run.cfg)
    rows = rows_of_pairs(drawn, some.part, run.cfg)
    counts = {
        "file": some.file,
        "rows": dict(sorted(Counter(rows["kind"]).items())),
        "unfit": len(chosen) - len(drawn["pair_id"]),
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
