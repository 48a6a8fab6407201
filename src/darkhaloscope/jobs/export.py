"""`dhs export`: a stamp set in the form that others read, files made batch by batch."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from darkhaloscope import __version__
from darkhaloscope.config import Export
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import open_bank
from darkhaloscope.io.files import sha256
from darkhaloscope.io.made import Made, MadeStore
from darkhaloscope.io.parts import Commit, claim
from darkhaloscope.io.tables import columns_of, read_table
from darkhaloscope.jobs.engine import Engine, Local
from darkhaloscope.jobs.layouts import LAYOUTS, Batch, Selection, shards_of
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.run import run_parts
from darkhaloscope.jobs.stamps import check_bank, near, record_of_stamps
from darkhaloscope.keys import digest_of
from darkhaloscope.schema import STAMPS

_HERE = Local()


@dataclass(frozen=True)
class Run:
    """What all batches of an export share."""

    store: MadeStore
    stamps: Path
    sums: Mapping[str, str]  # SHA-256 of each part, as the set's record has it
    bank: Path | None
    bank_digest: str
    cfg: Export


@dataclass(frozen=True)
class Group:
    """Parts that make one batch."""

    part: int
    names: tuple[str, ...]
    splits: Mapping[str, int]
    first_shard: Mapping[str, int]

    def __len__(self) -> int:
        return sum(self.splits.values())


def export(out: Path, stamps: Path, bank: Path | None, cfg: Export, engine: Engine = _HERE) -> None:
    """Write the files; those that exist are kept.

    bank : the set's own, which layout plan asks where its templates are from; optional
    Raises DhsError if the set is not finished or was altered, the bank is another one, or a row
    that was asked for is not there
    """
    record = record_of_stamps(stamps)
    if bank is not None:
        check_bank(bank, record, stamps)
    splits = _splits(stamps, sorted(record["parts"]), cfg, engine)
    store = claim(
        out,
        {
            "stage": "export",
            "config": cfg.identity(),
            "stamps": record["digest"],
            "bank": record["bank"] if bank else "",
            "dhs": __version__,
        },
    )
    run = Run(MadeStore(out, store.identity), stamps, record["parts"], bank, record["bank"], cfg)
    groups = _groups(splits, cfg)
    commits = run_parts("export", "rows", run.store, partial(export_group, run), groups, engine)
    _finish(run, commits)


def export_group(run: Run, group: Group) -> Commit:
    """Write the files of one batch. Its commit is written last."""
    paths = tuple(run.stamps / name for name in group.names)
    for path in paths:
        if sha256(path) != run.sums[path.name]:
            raise DhsError(
                f"{path} is not what its run wrote: it was altered, or damaged on the way; run "
                "`dhs inject` again, or copy it again"
            )
    batch = Batch(
        name=paths[0].stem,
        rows=Selection(paths, frozenset(run.cfg.task_id)),
        splits=group.splits,
        first_shard=group.first_shard,
        bank=open_bank(run.bank, run.bank_digest) if run.bank else None,
        made_from={"DHS": __version__, "STAMPS": run.store.identity["stamps"]},
    )
    made = Made(run.store.folder)
    LAYOUTS[run.cfg.layout].write(batch, made, run.cfg)
    return run.store.commit(group.part, made, {"rows": dict(group.splits)})


def _splits(
    stamps: Path, names: list[str], cfg: Export, engine: Engine
) -> dict[str, dict[str, int]]:
    """Rows of each split in each part that holds rows to be exported."""
    wanted = frozenset(cfg.task_id)
    counts, missing = {}, set(wanted)
    for name, splits, found in engine.run(partial(_count, stamps, wanted), names):
        missing -= found
        if splits:
            counts[name] = splits
    if missing:
        task = min(missing)
        raise DhsError(f"{stamps} holds no stamp {task}{near(task, stamps)}")
    if not counts:
        raise DhsError(f"{stamps} holds no usable stamp")
    return {name: counts[name] for name in sorted(counts)}


def _count(stamps: Path, wanted: frozenset[str], name: str) -> tuple[str, dict[str, int], set[str]]:
    """How many rows of each split a part has, and which of the rows wanted."""
    columns = ["split", "task_id"] if wanted else ["split"]
    table = columns_of(read_table(stamps / name, STAMPS, columns))
    if not wanted:
        return name, dict(sorted(Counter(table["split"]).items())), set()
    found = [(s, t) for s, t in zip(table["split"], table["task_id"], strict=True) if t in wanted]
    return name, dict(sorted(Counter(s for s, _ in found).items())), {t for _, t in found}


def _groups(splits: dict[str, dict[str, int]], cfg: Export) -> list[Group]:
    """Batches of whole parts, as the layout wants them."""
    most = LAYOUTS[cfg.layout].rows_together(cfg)
    order = sorted(splits, key=lambda name: digest_of(name, f"{cfg.seed}")) if most else splits
    bundles: list[list[str]] = []
    rows = most
    for name in order:
        rows += sum(splits[name].values())
        if rows > most or not most:
            bundles.append([])
            rows = sum(splits[name].values())
        bundles[-1].append(name)
    groups: list[Group] = []
    shards: Counter[str] = Counter()
    for number, names in enumerate(bundles):
        inside = sum((Counter(splits[name]) for name in names), Counter())
        first = {split: shards[split] for split in inside}
        groups.append(Group(number, tuple(names), dict(sorted(inside.items())), first))
        shards.update({split: shards_of(n, cfg) for split, n in inside.items()})
    return groups


def _finish(run: Run, commits: list[Commit]) -> None:
    rows = sum((Counter(commit.counts["rows"]) for commit in commits), Counter())
    digest = run.store.write_record(commits, rows=dict(sorted(rows.items())))
    files = sum(len(commit.counts["files"]) for commit in commits)
    size = sum(commit.bytes for commit in commits)
    said = ", ".join(f"{n} {split}" for split, n in sorted(rows.items()))
    console.print(
        f"export {run.store.folder}: {rows.total()} rows ({said}) in {files} files of layout "
        f"{run.cfg.layout}, {size / 1e6:.1f} MB, digest {digest[:16]}"
    )
