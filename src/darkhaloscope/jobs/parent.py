"""`dhs parent`: catalogues of the survey in, a table of host galaxies out."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkhaloscope import __version__
from darkhaloscope.config import Parent
from darkhaloscope.errors import DhsError
from darkhaloscope.flags import Flag, names
from darkhaloscope.io.parts import COUNTS_KEY, RECORD, PartStore, claim
from darkhaloscope.io.tables import write_table
from darkhaloscope.jobs.parent_tally import finish
from darkhaloscope.jobs.pool import each
from darkhaloscope.jobs.progress import console, progress
from darkhaloscope.keys import digest_of
from darkhaloscope.schema import PARENT, PARENT_QUARANTINE
from darkhaloscope.survey import split, tractor
from darkhaloscope.survey.bricks import names_of
from darkhaloscope.survey.selections import SELECTIONS
from darkhaloscope.units import BANDS, EXTINCTION_PER_EBV, mag_from_flux

_BYTES_A_PART = 1 << 28
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class PartTask:
    """Some catalogue files that become one part."""

    store: PartStore
    part: int
    files: tuple[Path, ...]
    cfg: Parent

    @property
    def mib(self) -> int:
        return max(sum(path.stat().st_size for path in self.files) >> 20, 1)


def parent(out: Path, sources: list[Path], cfg: Parent, processes: int) -> None:
    """Write the parent table: parts by catalogue file, flagged objects in quarantine.

    Parts that exist are kept. Raises DhsError for a file that cannot be read or lacks a column that
    the selection needs; if nothing is selected, an object is there twice, or the splits miss their
    fractions, after the parts are written, and without a run record
    """
    files = tractor.find_catalogues(sources)
    listing = digest_of(*(f"{path.name} {path.stat().st_size}" for path in files))
    identity = {"stage": "parent", "config": cfg.identity(), "files": listing, "dhs": __version__}
    _first_rows_are_fit(files, cfg)
    store = claim(out, identity)
    tasks = [PartTask(store, i, some, cfg) for i, some in enumerate(_grouped(files))]
    todo = [task for task in tasks if not store.is_done(task.part)]
    if len(todo) < len(tasks):
        console.print(f"parent    {len(tasks) - len(todo)} of {len(tasks)} parts are there already")
    if todo:
        (out / RECORD).unlink(missing_ok=True)
    with progress("parent", sum(task.mib for task in todo), "MiB") as advance:
        for mib in each(_parent_part, todo, processes):
            advance(mib)
    finish(store, cfg)


def _first_rows_are_fit(files: list[Path], cfg: Parent) -> None:
    """The commonest mistakes are said before any work."""
    for path in files:
        columns = next(tractor.blocks(path))
        if len(columns["ra"]):
            tractor.check_units(path, columns)
            return _check_needs(path, columns, cfg)
    raise DhsError(f"{files[0]} holds no objects, nor do {len(files) - 1} others; give catalogues")


def _check_needs(path: Path, columns: Columns, cfg: Parent) -> None:
    for name in cfg.selection:
        if missing := sorted(SELECTIONS[name].needs - set(_with_ebv(columns))):
            known = [s.name for s in SELECTIONS.values() if s.needs <= set(_with_ebv(columns))]
            raise DhsError(
                f"{path} lacks {', '.join(missing)}, which selection {name} needs; with its "
                f"columns --selection may be: {', '.join(known) or 'none'}"
            )


def _with_ebv(columns: Columns) -> Columns:
    """E(B-V), from the transmission in r if it is not given itself."""
    if "ebv" in columns or "mw_transmission_r" not in columns:
        return columns
    dimmed = -2.5 * np.log10(columns["mw_transmission_r"].astype(float))
    return columns | {"ebv": dimmed / EXTINCTION_PER_EBV["r"]}


def _grouped(files: list[Path]) -> Iterator[tuple[Path, ...]]:
    """A sweep a part; small files, such as Tractor's of one brick, together."""
    group: list[Path] = []
    size = 0
    for path in files:
        here = path.stat().st_size
        if group and size + here > _BYTES_A_PART:
            yield tuple(group)
            group, size = [], 0
        group.append(path)
        size += here
    yield tuple(group)


def _parent_part(task: PartTask) -> int:
    """One part: selected objects of its files, in the order of bricks."""
    counts: Counter[str] = Counter()
    tables = []
    for path in task.files:
        for columns in tractor.blocks(path):
            tractor.check_units(path, columns)
            _check_needs(path, columns, task.cfg)
            tables.append(_selected(columns, task.cfg, counts))
    rows = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    order = _by_brick(rows)
    rows = {c.name: rows[c.name][order] for c in PARENT}
    _write(task, rows, counts)
    return task.mib


def _by_brick(rows: Columns) -> np.ndarray:
    """The order of bricks, then of the survey's object numbers."""
    brick, name = rows["brick"].astype(str), rows["host_id"].astype(str)
    return np.lexsort((name, rows["objid"], rows["release"], brick))


def _selected(columns: Columns, cfg: Parent, counts: Counter) -> Columns:
    """The block's objects that a selection takes, as rows of schema.PARENT."""
    counts["read"] += len(columns["ra"])
    one = tractor.is_candidate(columns)
    counts["not primary"] += int((~one).sum())
    columns = _with_ebv({name: values[one] for name, values in columns.items()})
    masks = {
        name: s.mask(columns) if s.needs <= set(columns) else np.zeros(len(columns["ra"]), bool)
        for name, s in SELECTIONS.items()
    }
    for name, s in SELECTIONS.items():
        counts["not known: " + name] += 0 if s.needs <= set(columns) else int(one.sum())
    taken = np.any([masks[name] for name in cfg.selection], axis=0)
    chosen = {name: values[taken] for name, values in columns.items()}
    return _rows(chosen, {name: mask[taken] for name, mask in masks.items()}, cfg)


def _rows(columns: Columns, masks: dict[str, np.ndarray], cfg: Parent) -> Columns:
    n = len(columns["ra"])
    ra, dec = columns["ra"].astype(float) % 360, columns["dec"].astype(float)
    radius, index, q, phi = tractor.shapes(columns)
    telescope = tractor.telescope_of_rows(columns)
    sky = (ra, dec, cfg.split_fractions, split.salt_of(cfg.seed), cfg.split_nside)
    flags = tractor.flags_of(columns)
    flags |= np.where(telescope != cfg.telescope, int(Flag.OTHER_TELESCOPE), 0)
    flags |= np.where(split.near_another_split(*sky, cfg.guard_arcsec), int(Flag.GUARD_BAND), 0)

    def known(name: str, otherwise: float) -> np.ndarray:
        return columns.get(name, np.full(n, otherwise))

    rows = {
        "host_id": tractor.host_ids(columns),
        "ra_deg": ra,
        "dec_deg": dec,
        "brick": np.array(names_of(ra, dec), object),
        "telescope": telescope,
        "release": known("release", -1).astype(np.int32),
        "healpix": split.sky_pixels(ra, dec, cfg.split_nside).astype(np.int64),
        "split": split.splits_by_sky(*sky),
        "objid": known("objid", 0).astype(np.int64),
        "type": columns["type"].astype(object),
        "ebv_mag": known("ebv", np.nan).astype(float),
        "host_mag_w1": mag_from_flux(known("flux_w1", np.nan)),
        "host_r_e_arcsec": radius,
        "sersic_n": index,
        "host_q": q,
        "host_phi_rad": phi,
        "maskbits_center": known("maskbits", 0).astype(np.int32),
        "host_flags": flags.astype(np.int64),
    }
    for band in BANDS:
        psf = known(f"psfsize_{band}", np.nan).astype(float)
        rows[f"psf_fwhm_{band}_arcsec"] = np.where(psf > 0, psf, np.nan)
        rows[f"psf_depth_{band}_mag"] = tractor.depth_of(columns, band)
        rows[f"nexp_{band}"] = known(f"nobs_{band}", 0).astype(np.int32)
        rows[f"host_mag_{band}"] = mag_from_flux(columns[f"flux_{band}"])
    return rows | {f"is_{name}": mask for name, mask in masks.items()}


def _write(task: PartTask, rows: Columns, counts: Counter) -> None:
    """The part last: it is the commit, and carries the counts."""
    good = rows["host_flags"] == 0
    counts |= _tally(rows, good)
    metadata = task.store.metadata() | {COUNTS_KEY: json.dumps(counts, sort_keys=True)}
    if not good.all():
        bad = {name: values[~good] for name, values in rows.items()}
        bad["cause"] = np.array([names(int(bits)) for bits in bad["host_flags"]], object)
        write_table(task.store.quarantine(task.part), bad, PARENT_QUARANTINE, metadata)
    path = task.store.path(task.part)
    write_table(path, {name: values[good] for name, values in rows.items()}, PARENT, metadata)


def _tally(rows: Columns, good: np.ndarray) -> Counter:
    """How many are selected, by selection and type, and why some are flagged."""
    counts = Counter({"selected": len(good), "hosts": int(good.sum())})
    for name in SELECTIONS:
        counts[f"selected: {name}"] = int(rows[f"is_{name}"].sum())
        counts[f"hosts: {name}"] = int((rows[f"is_{name}"] & good).sum())
    for flag in Flag:
        if hit := int(((rows["host_flags"] & int(flag)) != 0).sum()):
            counts[f"flagged: {flag.name}"] = hit
    counts.update(f"type: {kind}" for kind in rows["type"])
    return counts
