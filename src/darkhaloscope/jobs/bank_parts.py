"""How every bank is built: in parts, by several processes, going on where it stopped.

A maker says what becomes of each candidate. Parts of candidates are files beside the bank until
all are there; then they flow into it one after the other, so that memory stays flat.
"""

import json
import math
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from darkhaloscope.config import Bank as BankSettings
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import (
    COLUMNS,
    MADE,
    REJECTED,
    TEXT,
    Rejects,
    bank_writer,
    read_bank,
)
from darkhaloscope.io.files import whole
from darkhaloscope.io.parts import claim
from darkhaloscope.jobs import pool
from darkhaloscope.jobs.progress import console, progress
from darkhaloscope.keys import balanced_split, generator

_PART = 250
_EXPECTED_SURVIVAL = 0.6
_PICTURES_A_REASON = 12
_PERCENTS = (5, 16, 50, 84, 95)


@dataclass(frozen=True)
class Outcome:
    """What became of one candidate."""

    template_id: str
    image: np.ndarray | None  # (y, x) of unit flux; None if turned away
    columns: Mapping[str, float]  # those of io.bank.COLUMNS or REJECTED that were measured
    reason: str = ""  # why it was turned away
    picture: np.ndarray | None = None  # (y, x) of what was turned away
    bulge: np.ndarray | None = None  # (y, x) of unit flux, if it has a colour of its own


class Maker(Protocol):
    """Makes templates; picklable, and the same outcome for a candidate in any process."""

    def make(self, numbers: Sequence[int]) -> Iterator[Outcome]:
        """An outcome for each candidate, in order."""
        ...


@dataclass(frozen=True)
class Candidates:
    """Which candidates there are, in the order in which they are tried."""

    order: np.ndarray  # (candidate,) numbers
    group: np.ndarray  # (candidate,) those of one group are read together
    wanted: int  # templates; 0 for all that survive
    unit: str = "galaxies"


@dataclass(frozen=True)
class _Task:
    maker: Maker
    numbers: tuple[int, ...]
    source: str
    path: Path


def build(
    out: Path,
    maker: Maker,
    candidates: Candidates,
    cfg: BankSettings,
    *,
    source: str,
    identity: dict[str, str],
    processes: int,
    excluded: Mapping[str, int] | None = None,
) -> Counter:
    """Write the bank; returns how many candidates were turned away, by reason.

    source : kind of bank; identity : what it is made from
    excluded : candidates that were never tried, by reason, for the record
    The same bank, if it is there, is kept. Raises DhsError if another one is, or if fewer
    templates survive than are wanted; the message says how many
    """
    if is_there(out, identity):
        return Counter()
    folder = _parts_folder(out)
    store = claim(folder, identity)
    try:
        parts = _make_parts(store.folder, maker, candidates, source, processes)
        rejected = Counter(excluded or {}) + Counter(r for p in parts for r in p.reasons)
        for reason, count in rejected.most_common():
            console.print(f"  {count} not kept: {reason}")
        survivors = sum(len(p.numbers) for p in parts)
        if survivors < max(candidates.wanted, 1):
            shutil.rmtree(folder)
            raise DhsError(
                f"{survivors} of {len(candidates.order)} {candidates.unit} survive the cuts, "
                f"{max(candidates.wanted, 1)} were asked for; lower --n-sources or widen the cuts"
            )
        _assemble(out, parts, candidates, cfg, identity)
    finally:
        if not any(folder.glob("part-*")):
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder)
    summary(out)
    return rejected


def is_there(out: Path, identity: Mapping[str, str]) -> bool:
    """Whether this very bank exists. Raises DhsError if another one, or something else, does."""
    if not out.exists():
        return False
    if read_bank(out).identity != identity:
        raise DhsError(f"{out} exists and is another bank; remove it or choose another name")
    shutil.rmtree(_parts_folder(out), ignore_errors=True)  # of a run killed just after the end
    console.print(f"bank {out}: already there")
    return True


def _parts_folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.parts")


def summary(out: Path) -> None:
    """How many templates of which split, and the quantiles an expert asks for."""
    bank = read_bank(out)
    splits = Counter(bank.columns["split"])
    console.print(
        f"bank {out}: {len(bank)} templates "
        f"({', '.join(f'{splits[s]} {s}' for s in ('train', 'val', 'test'))}); "
        f"quantiles {'/'.join(map(str, _PERCENTS))}%"
    )
    excess = bank.columns["clumpiness"] - bank.columns["clumpiness_null"]
    for name, values in (
        ("half-light radius, arcsec", bank.columns["hlr_arcsec"]),
        ("magnitude, AB", bank.columns["mag"]),
        ("redshift", bank.columns["z"]),
        ("S/N", bank.columns["snr"]),
        ("clumpiness, the plan's", bank.columns["clumpiness"]),
        ("clumpiness above its null", excess),
    ):
        known = values[np.isfinite(values)]
        if known.size:
            said = "  ".join(f"{q:.3g}" for q in np.percentile(known, _PERCENTS))
            console.print(f"  {name:<27} {said}")


@dataclass(frozen=True)
class _Part:
    """What a part's file says, without its images."""

    path: Path
    numbers: np.ndarray  # of the candidates kept
    kept: dict[str, list]  # columns by name, each as long as `numbers`
    rejects: list[dict]

    @property
    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.rejects]


def _make_parts(folder, maker, candidates, source, processes) -> list[_Part]:
    """Rounds of parts until enough survive; how they are cut never depends on processes."""
    parts: list[_Part] = []
    start, total = 0, len(candidates.order)
    while start < total:
        survivors = sum(len(p.numbers) for p in parts)
        end = _end_of_round(start, total, survivors, candidates.wanted)
        if end == start:
            break
        tasks = list(_cut(folder, maker, candidates, source, start, end))
        todo = [task for task in tasks if not task.path.exists()]
        if len(todo) < len(tasks):
            console.print(f"  {len(tasks) - len(todo)} of {len(tasks)} parts are there already")
        with progress("bank", sum(len(t.numbers) for t in todo), candidates.unit) as advance:
            for done in pool.each(_make_part, todo, processes):
                advance(done)
        parts += [_read_part(task.path) for task in tasks]
        start = end
    return parts


def _end_of_round(start: int, total: int, survivors: int, wanted: int) -> int:
    """How far to try: all, or what should give the templates still wanted."""
    if not wanted:
        return total
    missing = wanted - survivors
    if missing <= 0:
        return start
    share = max(survivors / start, 0.02) if start else _EXPECTED_SURVIVAL
    return min(total, start + math.ceil(missing / min(share, 1.0) * 1.05) + 10)


def _cut(folder: Path, maker, candidates: Candidates, source, start, end) -> Iterator[_Task]:
    chosen = candidates.order[start:end]
    together = chosen[np.lexsort((chosen, candidates.group[chosen]))]
    for number, at in enumerate(range(0, len(together), _PART)):
        path = folder / f"part-{start:07d}-{number:05d}.npz"
        yield _Task(maker, tuple(together[at : at + _PART].tolist()), source, path)


def _make_part(task: _Task) -> int:
    """One part, written whole: images and columns of what is kept, a row for what is not."""
    images, bulges, numbers, pictures, rejects = [], [], [], [], []
    kept: dict[str, list] = {name: [] for name in COLUMNS if name != "split"}
    shown = Counter()
    outcomes = task.maker.make(task.numbers)
    for number, outcome in zip(task.numbers, outcomes, strict=True):
        if outcome.image is not None:
            row = MADE | dict(outcome.columns)
            row |= {"template_id": outcome.template_id, "source": task.source}
            images.append(outcome.image.astype(np.float32))
            if outcome.bulge is not None:
                row["bulge_row"] = len(bulges)
                bulges.append(outcome.bulge.astype(np.float32))
            numbers.append(number)
            for name, values in kept.items():
                values.append(row[name] if name in TEXT else float(row[name]))
            continue
        row = dict.fromkeys(REJECTED, math.nan) | dict(outcome.columns)
        row |= {"template_id": outcome.template_id, "reason": outcome.reason, "picture": -1}
        shown[outcome.reason] += 1
        if outcome.picture is not None and shown[outcome.reason] <= _PICTURES_A_REASON:
            row["picture"] = len(pictures)
            pictures.append(outcome.picture.astype(np.float32))
        rejects.append(row)
    with whole(task.path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            images=np.stack(images) if images else np.zeros((0, 1, 1), np.float32),
            bulges=np.stack(bulges) if bulges else np.zeros((0, 1, 1), np.float32),
            pictures=np.stack(pictures) if pictures else np.zeros((0, 1, 1), np.float32),
            numbers=np.array(numbers, np.int64),
            rows=np.frombuffer(json.dumps({"kept": kept, "rejects": rejects}).encode(), np.uint8),
        )
    return len(task.numbers)


def _read_part(path: Path) -> _Part:
    with np.load(path) as stored:
        rows = json.loads(stored["rows"].tobytes())
        return _Part(path, stored["numbers"], rows["kept"], rows["rejects"])


def _assemble(out: Path, parts: list[_Part], candidates: Candidates, cfg, identity) -> None:
    """The parts' templates in one file; of more than are wanted, the first to be tried."""
    rank = np.empty(int(candidates.order.max()) + 1, np.int64)
    rank[candidates.order] = np.arange(len(candidates.order))
    every = np.sort(np.concatenate([rank[p.numbers] for p in parts]))
    last = every[candidates.wanted - 1] if candidates.wanted else every[-1]
    chosen = [np.flatnonzero(rank[p.numbers] <= last) for p in parts]
    columns = {
        name: [p.kept[name][i] for p, rows in zip(parts, chosen, strict=True) for i in rows]
        for name in COLUMNS
        if name != "split"
    }
    columns["bulge_row"] = renumbered(columns["bulge_row"]).tolist()
    columns["split"] = balanced_split(
        columns["template_id"], cfg.split_fractions, f"bank-{cfg.seed}"
    )
    with bank_writer(
        out,
        columns,
        size=cfg.stamp_size,
        pixel_scale=cfg.src_pixscale_arcsec,
        psf_fwhm=cfg.intrinsic_psf_fwhm_arcsec,
        identity=identity,
        rejects=_rejects(parts),
        dtype=cfg.dtype,
    ) as writer:
        for part, rows in zip(parts, chosen, strict=True):
            if rows.size:
                bulges = np.array(part.kept["bulge_row"], int)[rows]
                with np.load(part.path) as stored:
                    writer.add(stored["images"][rows], stored["bulges"][bulges[bulges >= 0]])
    if cfg.dtype != "float32":
        console.print(
            f"  stored as {cfg.dtype}: largest pixel error {writer.worst_error:.2e} of the peak"
        )


def renumbered(bulge_rows: Sequence[float] | np.ndarray) -> np.ndarray:
    """Rows of the bulges of a new bank: those that have one are counted from 0, others are -1."""
    has = np.asarray(bulge_rows, float) >= 0
    return np.where(has, np.cumsum(has) - 1.0, -1.0)


def _rejects(parts: list[_Part]) -> Rejects:
    """All that was turned away, and the first few pictures of each reason."""
    columns: dict[str, list] = {name: [] for name in REJECTED}
    pictures: list[np.ndarray] = []
    shown = Counter()
    for part in parts:
        with np.load(part.path) as stored:
            images = stored["pictures"]
        for row in part.rejects:
            number = -1
            if row["picture"] >= 0 and shown[row["reason"]] < _PICTURES_A_REASON:
                shown[row["reason"]] += 1
                number = len(pictures)
                pictures.append(images[row["picture"]])
            for name in REJECTED:
                columns[name].append(number if name == "picture" else row[name])
    images = np.stack(pictures) if pictures else np.zeros((0, 1, 1), np.float32)
    return Rejects({name: np.array(values) for name, values in columns.items()}, images)


def shuffled(n: int, seed: int) -> np.ndarray:
    """Random numbers that decide the order of candidates, a keyed generator's."""
    return generator("bank", str(seed), "candidate-order").random(n)
