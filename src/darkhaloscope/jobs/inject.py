"""`dhs inject`: a part of the plan in, one Parquet file of stamps out."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from darkhaloscope.config import Inject
from darkhaloscope.errors import DhsError
from darkhaloscope.flags import FATAL, PASSING, Flag, names
from darkhaloscope.io.bank import Bank, open_bank
from darkhaloscope.io.parts import (
    COUNTS_KEY,
    QUARANTINE_DIR,
    Commit,
    PartStore,
    claim,
    record_of,
)
from darkhaloscope.io.tables import columns_of, image_bytes, read_table, write_table
from darkhaloscope.jobs.engine import Engine, Local
from darkhaloscope.jobs.hosts import CutoutStore, Hosts, open_cutouts, read_pixels
from darkhaloscope.jobs.light import render_rows
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.run import run_parts
from darkhaloscope.jobs.versions import versions
from darkhaloscope.keys import generators
from darkhaloscope.schema import KINDS, PLAN, QUARANTINE, STAMPS, band_columns
from darkhaloscope.sim.inject import inject, matched_snr
from darkhaloscope.units import BANDS, ELECTRONS_PER_NMGY_PER_EXPOSURE

Columns = dict[str, np.ndarray]

LEAST_FLUX_INSIDE = 0.5
_ROWS_AT_ONCE = 240
"""Fewer than a row group, so that a piece and the end of its last pair fit into one."""

_HERE = Local()


@dataclass(frozen=True)
class Run:
    """What all parts of an injection share."""

    store: PartStore
    plan: Path
    bank: Path
    bank_digest: str
    cutouts: CutoutStore
    size: int  # side of the stamps, pixels
    cfg: Inject


@dataclass(frozen=True)
class Slice:
    """One part of the plan, and the cutout file that holds its hosts."""

    part: int
    file: str
    rows: int

    def __len__(self) -> int:
        return self.rows


def inject_all(
    out: Path, plan: Path, cutouts: Path, bank: Path, cfg: Inject, engine: Engine = _HERE
) -> None:
    """Write the stamp set; parts that exist are kept.

    Raises DhsError if the inputs are not those the plan was made from, before any work, or if too
    few rows of a kind are usable at the end
    """
    made = record_of(plan, "plan", "plan", "dhs plan")
    hosts = open_cutouts(cutouts)
    _same(made["cutouts"], hosts.digest, "cutouts", cutouts)
    _same(made["bank"], open_bank(bank).digest(), "bank", bank)
    store = claim(
        out,
        {
            "stage": "inject",
            "config": cfg.identity(),
            "plan": made["digest"],
            "plan_config": made["config"],
            "bank": made["bank"],
            "cutouts": hosts.digest,
            **versions(),
        },
    )
    slices = [
        Slice(int(name.removeprefix("part-").removesuffix(".parquet")), what["file"], what["rows"])
        for name, what in made["contents"].items()
        if what["rows"]
    ]
    run = Run(store, plan, bank, made["bank"], hosts, made["size_pix"], cfg)
    commits = run_parts("inject", "stamps", store, partial(inject_part, run), slices, engine)
    _finish(run, commits, made["planned"])


def inject_part(run: Run, some: Slice) -> Commit:
    """Render, add and write one part. The stamp file is written last: it is the commit."""
    bank = open_bank(run.bank, run.bank_digest)
    rows = columns_of(read_table(run.plan / run.store.path(some.part).name, PLAN))
    wanted, place = np.unique(rows["host_id"].astype(str), return_inverse=True)
    hosts = read_pixels(run.cutouts, some.file, wanted, run.size)
    bad: list[Columns] = []
    usable: Counter[str] = Counter()
    with run.store.writer(some.part, STAMPS) as writer:
        for few in in_pieces(rows["pair_id"]):
            its_rows = {name: values[few] for name, values in rows.items()}
            good, flagged = stamps_of(its_rows, hosts[place[few]], bank, run.cfg)
            usable.update(good["kind"])
            bad.append(flagged)
            writer.add(good)
        quarantined = _concatenated(bad)
        counts = {
            "usable": dict(usable),
            "causes": dict(Counter(quarantined["cause"])),
            "try_again": bool((quarantined["flags"] & int(PASSING)).any()),
        }
        quarantine(run.store, some.part, quarantined)
        writer.note(COUNTS_KEY, counts)
    return run.store.committed(some.part, counts, writer)


def in_pieces(pair_id: np.ndarray) -> list[np.ndarray]:
    """Row numbers in pieces that fit the processor's caches, pairs never cut."""
    first = np.flatnonzero(np.r_[True, pair_id[1:] != pair_id[:-1]])
    piece = first // _ROWS_AT_ONCE
    return np.split(np.arange(len(pair_id)), first[1:][np.diff(piece) > 0])


def stamps_of(rows: Columns, hosts: Hosts, bank: Bank, cfg: Inject) -> tuple[Columns, Columns]:
    """Columns of schema.STAMPS of the rows that are usable, and of QUARANTINE of the others.

    rows : schema.PLAN; hosts : of each row. Flags strike all rows of a pair together
    """
    good, images, flagged = injected(rows, hosts, bank, cfg)
    return good | {"image": _as_bytes(images)}, flagged


def injected(
    rows: Columns, hosts: Hosts, bank: Bank, cfg: Inject
) -> tuple[Columns, np.ndarray, Columns]:
    """As stamps_of, but for the images, which are (row, band, y, x) float32, nmgy."""
    rows = complete(hosts.columns | rows, bank, cfg)
    arcs = render_rows(rows, bank, may_be_used(rows))
    rows |= _measurements(rows, arcs, hosts.invvar)
    rows["flags"] = rows["flags"] | _off_stamp(rows)
    rows["cause"] = np.array([names(int(bits)) for bits in rows["flags"]], object)
    good = may_be_used(rows)
    stamps = inject(
        hosts.images[good],
        arcs[good],
        _gains(rows)[good],
        noise_generators(rows["task_id"][good]),
        photon_noise=cfg.photon_noise,
    )
    usable = {c.name: rows[c.name][good] for c in STAMPS if c.name in rows}
    return usable, stamps, {c.name: rows[c.name][~good] for c in QUARANTINE}


def complete(rows: Columns, bank: Bank, cfg: Inject) -> Columns:
    """Rows with how they are rendered, and the flags that are known before.

    rows : schema.PLAN and the columns of their hosts
    """
    rows = rows | _rendering_columns(rows, cfg)
    return rows | {"flags": _flags(rows, bank, cfg)}


def _as_bytes(images: np.ndarray) -> np.ndarray:
    return np.array([image_bytes(image) for image in images], object)


def _flags(rows: Columns, bank: Bank, cfg: Inject) -> np.ndarray:
    """The hosts' flags, and what of the plan and of the settings cannot be rendered."""
    known = (rows["template_index"] >= 0) & (rows["template_index"] < len(bank))
    flags = rows["host_flags"] | np.where(known, 0, Flag.BANK_INDEX)
    if cfg.psf_model == "image":
        flags = flags | np.where(rows["psf_size_pix"] > 0, 0, Flag.NO_PSF)
    return flags


def _off_stamp(rows: Columns) -> np.ndarray:
    """The flag of light beside the stamp, for all rows of a pair: flags never tell the kind."""
    off = set(rows["pair_id"][rows["flux_inside"] < LEAST_FLUX_INSIDE])
    return np.array([Flag.LIGHT_OFF_STAMP if pair in off else 0 for pair in rows["pair_id"]])


def may_be_used(rows: Columns) -> np.ndarray:
    """Rows without a flag that forbids their use."""
    return (rows["flags"] & int(FATAL)) == 0


def noise_generators(task_ids: Iterable[str]) -> Iterator[np.random.Generator]:
    """The generators of rows' photon noise, see keys.generators."""
    return generators(task_ids, purpose="photon-noise")


def _rendering_columns(rows: Columns, cfg: Inject) -> Columns:
    n = len(rows["task_id"])
    settings = {
        "psf_model": np.full(n, cfg.psf_model, object),
        "moffat_beta": np.full(n, cfg.moffat_beta),
        "psf_includes_pixel": np.full(n, cfg.psf_includes_pixel),
        "render_tolerance": np.full(n, cfg.render_tolerance),
        "photon_noise": np.full(n, cfg.photon_noise),
    }
    gains = {
        f"electrons_per_nmgy_{band}": rows[f"nexp_{band}"] * ELECTRONS_PER_NMGY_PER_EXPOSURE
        for band in BANDS
    }
    return settings | gains


def _gains(rows: Columns) -> np.ndarray:
    return np.stack([rows[name] for name in band_columns("electrons_per_nmgy_{b}")], axis=1)


def _measurements(rows: Columns, arcs: np.ndarray, invvar: np.ndarray) -> Columns:
    """Columns measured on the noise-free added light; filled for every kind."""
    flux = arcs.sum((-2, -1), dtype=np.float64)
    snr = matched_snr(arcs, invvar)
    expected = rows["source_flux_r_nmgy"] * rows["magnification"]
    lit = may_be_used(rows) & (rows["kind"] != "host")
    inside = np.where(lit, flux[:, BANDS.index("r")] / expected, 1.0)
    return {
        **dict(zip(band_columns("arc_flux_{b}_nmgy"), flux.T, strict=True)),
        **dict(zip(band_columns("arc_snr_{b}"), snr.T, strict=True)),
        "arc_snr": np.sqrt((snr**2).sum(axis=1)),
        "flux_inside": inside,
    }


def _concatenated(tables: list[Columns]) -> Columns:
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}


def quarantine(store: PartStore, part: int, rows: Columns) -> None:
    """Write the rows of a part that cannot be used, if there are any."""
    if len(rows["task_id"]):
        write_table(store.quarantine(part), rows, QUARANTINE, store.metadata())
    else:
        store.quarantine(part).unlink(missing_ok=True)


def _finish(run: Run, commits: list[Commit], planned: dict[str, int]) -> None:
    """The run record; too few usable rows of a kind are an error, whatever the parts say."""
    planned = {kind: planned[kind] for kind in KINDS if kind in planned}
    usable = sum((Counter(commit.counts["usable"]) for commit in commits), Counter())
    causes = sum((Counter(commit.counts["causes"]) for commit in commits), Counter())
    digest = run.store.write_record(
        commits, planned=planned, usable=usable, quarantined=dict(sorted(causes.items()))
    )
    for cause, n in causes.most_common():
        console.print(f"  {n} rows quarantined: {cause}")
    console.print(_in_words(run, commits, planned, usable, digest))
    least = run.cfg.min_usable_fraction
    if few := [kind for kind, n in planned.items() if usable[kind] < max(least * n, 1)]:
        said = ", ".join(f"{usable[kind]} of {planned[kind]} {kind}" for kind in few)
        raise DhsError(
            f"too few usable rows in {run.store.folder}: {said}, where min_usable_fraction is "
            f"{least:g}; see {QUARANTINE_DIR}/ for the causes: "
            + ", ".join(f"{n} {cause}" for cause, n in causes.most_common(3))
        )


def _in_words(run: Run, commits, planned, usable, digest: str) -> str:
    counts = ", ".join(f"{usable[kind]} of {n} {kind}" for kind, n in planned.items())
    new = [commit for commit in commits if not commit.kept]
    seconds = sum(commit.seconds for commit in new)
    made = sum(sum(commit.counts["usable"].values()) for commit in new)
    rate = f"; {made / seconds:.0f} stamps/s a process" if made and seconds else ""
    return f"stamps {run.store.folder}: {counts} usable{rate}, digest {digest[:16]}"


def _same(theirs: str, ours: str, what: str, path: Path) -> None:
    if theirs != ours:
        raise DhsError(
            f"the plan was not made from {path}: its {what} has another digest; "
            "plan again, or give the one it was planned with"
        )
