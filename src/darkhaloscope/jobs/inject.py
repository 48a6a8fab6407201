"""`dhs inject`: a part of the plan in, one Parquet file of stamps out."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from darkhaloscope import __version__
from darkhaloscope.config import Inject
from darkhaloscope.errors import DhsError
from darkhaloscope.flags import FATAL, Flag, names
from darkhaloscope.io.bank import Bank, read_bank
from darkhaloscope.io.parts import QUARANTINE_DIR, PartStore, claim, parts_in
from darkhaloscope.io.tables import (
    DIGEST_KEY,
    columns_of,
    image_bytes,
    image_from,
    metadata_of,
    read_table,
    write_table,
)
from darkhaloscope.jobs.light import render_rows
from darkhaloscope.jobs.plan import Hosts, read_hosts, stamp_centers
from darkhaloscope.jobs.pool import each
from darkhaloscope.jobs.progress import console, progress
from darkhaloscope.keys import generator
from darkhaloscope.schema import (
    HOST,
    KINDS,
    PLAN,
    PSF_IMAGE,
    QUARANTINE,
    STAMPS,
    band_columns,
)
from darkhaloscope.sim.inject import crop, inject, matched_snr
from darkhaloscope.units import BANDS, ELECTRONS_PER_NMGY_PER_EXPOSURE

Columns = dict[str, np.ndarray]

_LEAST_FLUX_INSIDE = 0.5


@dataclass(frozen=True)
class PartTask:
    """All that one part needs, small enough to send to another process."""

    store: PartStore
    part: int
    plan: Path
    bank: Path
    cutouts: Path
    files: tuple[str, ...]  # cutout parts that hold its hosts
    size: int  # side of the stamps, pixels
    cfg: Inject


@dataclass(frozen=True)
class Commit:
    """What a finished part reports."""

    part: int
    rows: int
    usable: Counter
    causes: Counter


def inject_all(
    out: Path, plan_path: Path, cutouts: Path, bank_path: Path, cfg: Inject, processes: int
) -> None:
    """Write the stamp set; parts that exist are kept.

    Raises DhsError if the inputs are not those the plan was made from, before any work, or if a
    kind ends without a usable row
    """
    bank = read_bank(bank_path)
    plan = read_table(plan_path, PLAN)
    made_from = metadata_of(plan_path)
    hosts = read_hosts(cutouts, _stamp_size(made_from))
    _same(made_from, "bank", bank.digest(), bank_path)
    _same(made_from, "cutouts", hosts.digest, cutouts)
    store = claim(
        out,
        {
            "stage": "inject",
            "config": cfg.as_json(),
            "plan": made_from[DIGEST_KEY],
            "plan_config": made_from["dhs.config"],
            "bank": made_from["dhs.bank"],
            "cutouts": made_from["dhs.cutouts"],
            "dhs": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )
    tasks = _tasks(store, plan, plan_path, bank_path, cutouts, hosts, cfg)
    todo = [task for task in tasks if not store.is_done(task.part)]
    counts = np.bincount(plan["part"].to_numpy(), minlength=len(tasks))
    if len(todo) < len(tasks):
        console.print(f"inject    {len(tasks) - len(todo)} of {len(tasks)} parts are there already")
    with progress("inject", int(sum(counts[task.part] for task in todo)), "stamps") as advance:
        for commit in each(inject_part, todo, processes):
            advance(commit.rows)
            for cause, n in commit.causes.items():
                console.print(f"  part {commit.part}: {n} rows quarantined, {cause}")
    _finish(store, plan)


def inject_part(task: PartTask) -> Commit:
    """Render, add and write one part. The stamp file is written last: it is the commit."""
    bank = _bank(task.bank)
    rows = _plan_rows(task)
    wanted, host = np.unique(rows["host_id"].astype(str), return_inverse=True)
    hosts, images, invvar = _cutouts(task, wanted)
    rows |= {name: values[host] for name, values in hosts.items()}
    rows["flags"] = rows["host_flags"] | np.where(
        (rows["template_index"] >= 0) & (rows["template_index"] < len(bank)), 0, Flag.BANK_INDEX
    )
    if task.cfg.psf_model == "image":
        rows["flags"] = rows["flags"] | np.where(rows["psf_size_pix"] > 0, 0, Flag.NO_PSF)
    images, invvar = images[host], invvar[host]
    rows |= _rendering_columns(rows, task)
    arcs = render_rows(rows, bank, _usable(rows))
    rows |= _measurements(rows, arcs, invvar)
    rows["flags"] = rows["flags"] | _off_stamp(rows)
    rows["cause"] = np.array([names(int(bits)) for bits in rows["flags"]], object)
    usable = _usable(rows)
    stamps = inject(
        images[usable],
        arcs[usable],
        _gains(rows)[usable],
        [noise_generator(task_id) for task_id in rows["task_id"][usable]],
        photon_noise=task.cfg.photon_noise,
    )
    _write(task, rows, usable, stamps)
    return Commit(
        task.part,
        len(usable),
        Counter(rows["kind"][usable].tolist()),
        Counter(rows["cause"][~usable].tolist()),
    )


def _off_stamp(rows: Columns) -> np.ndarray:
    """The flag of light beside the stamp, for all rows of a pair: flags never tell the kind."""
    off = set(rows["pair_id"][rows["flux_inside"] < _LEAST_FLUX_INSIDE])
    return np.array([Flag.LIGHT_OFF_STAMP if pair in off else 0 for pair in rows["pair_id"]])


def _usable(rows: Columns) -> np.ndarray:
    return (rows["flags"] & int(FATAL)) == 0


def noise_generator(task_id: str) -> np.random.Generator:
    """The generator of a row's photon noise."""
    return generator(task_id, purpose="photon-noise")


def _tasks(store, plan: pa.Table, plan_path, bank_path, cutouts, hosts: Hosts, cfg):
    file_of = dict(zip(hosts.columns["host_id"], hosts.files, strict=True))
    sizes = np.unique(hosts.columns["size_pix"])
    if len(sizes) > 1:
        raise DhsError(f"{cutouts} mixes cutouts of {sizes.tolist()} pixels; set stamp_size_pix")
    needed: dict[int, set[str]] = {}
    for part, host in zip(plan["part"].to_pylist(), plan["host_id"].to_pylist(), strict=True):
        needed.setdefault(part, set()).add(file_of[host])
    return [
        PartTask(
            store, part, plan_path, bank_path, cutouts, tuple(sorted(files)), int(sizes[0]), cfg
        )
        for part, files in sorted(needed.items())
    ]


def _plan_rows(task: PartTask) -> Columns:
    return columns_of(pq.read_table(task.plan, filters=[("part", "=", task.part)]))


def _cutouts(task: PartTask, wanted: np.ndarray) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Host columns, images and inverse variances (host, band, y, x) in the order of `wanted`."""
    tables = [
        pq.read_table(task.cutouts / name, filters=[("host_id", "in", wanted.tolist())])
        for name in task.files
    ]
    found = columns_of(pa.concat_tables(tables))
    place = {host: i for i, host in enumerate(found["host_id"])}
    if missing := [host for host in wanted if host not in place]:
        raise DhsError(f"{task.cutouts} lacks the cutout of {missing[0]}; make the store again")
    order = [place[host] for host in wanted]
    found = {name: values[order] for name, values in found.items()}
    images, invvar = (
        np.stack(
            [
                crop(image_from(data, full), task.size)[0]
                for data, full in zip(found[name], found["size_pix"], strict=True)
            ]
        )
        for name in ("image", "invvar")
    )
    columns = {c.name: found[c.name] for c in (*HOST, *PSF_IMAGE)}
    size = np.full(len(wanted), task.size, np.int32)
    columns |= stamp_centers(found, size) | {"size_pix": size}
    return columns, images, invvar


def _rendering_columns(rows: Columns, task: PartTask) -> Columns:
    n = len(rows["task_id"])
    settings = {
        "psf_model": np.full(n, task.cfg.psf_model, object),
        "moffat_beta": np.full(n, task.cfg.moffat_beta),
        "psf_includes_pixel": np.full(n, task.cfg.psf_includes_pixel),
        "render_tolerance": np.full(n, task.cfg.render_tolerance),
        "photon_noise": np.full(n, task.cfg.photon_noise),
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
    snr = matched_snr(arcs, np.nan_to_num(invvar))
    expected = rows["source_flux_r_nmgy"] * rows["magnification"]
    lit = _usable(rows) & (rows["kind"] != "host")
    inside = np.where(lit, flux[:, BANDS.index("r")] / expected, 1.0)
    return {
        **dict(zip(band_columns("arc_flux_{b}_nmgy"), flux.T, strict=True)),
        **dict(zip(band_columns("arc_snr_{b}"), snr.T, strict=True)),
        "arc_snr": np.sqrt((snr**2).sum(axis=1)),
        "flux_inside": inside,
    }


def _write(task: PartTask, rows: Columns, usable: np.ndarray, stamps: np.ndarray) -> None:
    metadata = task.store.metadata()
    if not usable.all():
        bad = {c.name: rows[c.name][~usable] for c in QUARANTINE}
        write_table(task.store.quarantine(task.part), bad, QUARANTINE, metadata)
    good = {c.name: rows[c.name][usable] for c in STAMPS if c.name != "image"}
    good["image"] = np.array([image_bytes(stamp) for stamp in stamps], object)
    write_table(task.store.path(task.part), good, STAMPS, metadata)


def _finish(store: PartStore, plan: pa.Table) -> None:
    """The run record; a kind without a usable row is an error, whatever the parts say."""
    tables = [read_table(path, STAMPS, ["kind"]) for path in parts_in(store.folder)]
    usable = Counter(pa.concat_tables(tables)["kind"].to_pylist())
    planned = Counter(plan["kind"].to_pylist())
    digest = store.write_record(planned=planned, usable=usable)
    if empty := [kind for kind in KINDS if not usable[kind]]:
        raise DhsError(
            f"no usable row of kind {', '.join(empty)} in {store.folder}; "
            f"see {store.folder / QUARANTINE_DIR} for the causes"
        )
    counts = ", ".join(f"{usable[kind]} of {planned[kind]} {kind}" for kind in KINDS)
    console.print(f"stamps {store.folder}: {counts} usable, digest {digest[:16]}")


@lru_cache(maxsize=1)
def _bank(path: Path) -> Bank:
    return read_bank(path)


def _same(made_from: Mapping[str, str], what: str, digest: str, path: Path) -> None:
    if made_from.get(f"dhs.{what}") != digest:
        raise DhsError(
            f"the plan was not made from {path}: its {what} has another digest; "
            "plan again, or give the one it was planned with"
        )


def _stamp_size(made_from: Mapping[str, str]) -> int | None:
    if "dhs.config" not in made_from:
        raise DhsError("the plan carries no settings; make it with `dhs plan`")
    return json.loads(made_from["dhs.config"])["stamp_size_pix"]
