"""`dhs cutouts bricks` and `service`: the survey's own pixels about each host of a parent table."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.parquet as pq

from darkhaloscope.config import CutoutsBricks, CutoutsService, CutoutsSurvey
from darkhaloscope.errors import DhsError
from darkhaloscope.flags import Flag
from darkhaloscope.io.parts import RECORD, PartStore, claim, parts_in, record_of
from darkhaloscope.io.remote import Kept, Paced, Patience, files_at
from darkhaloscope.io.tables import read_table
from darkhaloscope.jobs.cutout_store import (
    cutout_row,
    earlier,
    is_settled,
    quarantined,
    write_part,
    write_record,
)
from darkhaloscope.jobs.pool import each
from darkhaloscope.jobs.progress import console, progress
from darkhaloscope.jobs.versions import versions
from darkhaloscope.schema import PARENT, band_columns
from darkhaloscope.sim import sky
from darkhaloscope.sim.measure import HostShape, measure_host
from darkhaloscope.survey.coadds import BrickTree, Seen
from darkhaloscope.survey.service import CutoutService
from darkhaloscope.units import PIXEL_SCALE_ARCSEC

_MEDIAN_EBV_MAG = 0.047
_MOST_SILENT = 8
"""Hosts in a row; beyond, the service is down, and waiting out every host would take days. One
file of a brick that cannot be had may silence as many hosts, while other bricks answer."""


_CLASS = "anchor_class"
"""Of a table of anchors: what stands there. Hosts of `dhs parent` are luminous galaxies."""


class Survey(Protocol):
    """Where to look."""

    def look(self, ra_deg: np.ndarray, dec_deg: np.ndarray) -> Iterator[Seen]:
        """What is seen about each position, in order."""
        ...


@dataclass(frozen=True)
class PartTask:
    """Rows `start` to `stop` of a parent part, to look at."""

    store: PartStore
    part: int
    parent: Path
    start: int
    stop: int
    root: str
    cache: Path | None
    cfg: CutoutsSurvey

    def __len__(self) -> int:
        return self.stop - self.start


def cutouts_bricks(out: Path, parent: Path, root: str, cfg: CutoutsBricks, processes: int) -> None:
    """Write a store of sections of the coadd tree at `root`, a folder or an address.

    Parts that exist are kept; hosts that a passing cause kept out are tried again. Raises DhsError
    if an input cannot be used, before any work, or if no host is usable at the end
    """
    _fetch(out, parent, root, None, cfg, processes)


def cutouts_service(
    out: Path, parent: Path, url: str, cache: Path, cfg: CutoutsService, processes: int = 1
) -> None:
    """Write a store of what the cutout service shows. As `cutouts_bricks`.

    cache : folder where answers are kept until the store is done
    """
    _fetch(out, parent, url, cache, cfg, processes)


def _fetch(out: Path, parent: Path, root: str, cache: Path | None, cfg, processes: int) -> None:
    files_at(root, _patience(cfg))  # a wrong address is said at once
    stage = "cutouts bricks" if cache is None else "cutouts service"
    made = record_of(parent, ("parent", "anchors"), "parent table", "dhs parent")
    identity = {"stage": stage, "config": cfg.identity(), "from": root, "parent": made["digest"]}
    store = claim(out, identity | versions())
    tasks = list(_tasks(store, parent, root, cache, cfg))
    todo = [task for task in tasks if not is_settled(store, task.part)]
    if len(todo) < len(tasks):
        console.print(f"cutouts   {len(tasks) - len(todo)} of {len(tasks)} parts are there already")
    if todo:
        (out / RECORD).unlink(missing_ok=True)  # not finished while parts are in the making
    with progress("cutouts", sum(len(task) for task in todo), "hosts") as advance:
        for count in each(_fetch_part, todo, processes):
            advance(count)
    if not write_record(store):
        causes = ", ".join(f"{n} {cause}" for cause, n in quarantined(out).most_common())
        raise DhsError(f"no usable cutout in {out}: {causes}; {_advice(causes)}")


def _advice(causes: str) -> str:
    if "OTHER_TELESCOPE" in causes:
        return "give --telescope (or --layer) of the images' own telescope to take them"
    return f"see {'/'.join(('quarantine', 'part-*.parquet'))}, column detail"


def _tasks(store, parent: Path, root: str, cache, cfg) -> Iterator[PartTask]:
    """Parts of about hosts_per_part rows, cut where a new brick begins."""
    part = 0
    for path in parts_in(parent):
        bricks = read_table(path, PARENT, ["brick"])["brick"].to_numpy()
        begins = np.flatnonzero(np.r_[True, bricks[1:] != bricks[:-1]]) if len(bricks) else []
        start = 0
        for end in (*begins[1:], len(bricks)):
            if end - start >= cfg.hosts_per_part or end == len(bricks):
                for at in range(start, end, cfg.hosts_per_part):
                    stop = min(at + cfg.hosts_per_part, end)
                    yield PartTask(store, part, path, at, stop, root, cache, cfg)
                    part += 1
                start = end


def _fetch_part(task: PartTask) -> int:
    """One part: hosts that an earlier run settled are kept, the others looked at."""
    hosts = _rows(task.parent, task.start, task.stop)
    known = earlier(task.store, task.part) if task.store.is_done(task.part) else {}
    new = [host for host in hosts if host["host_id"] not in known]
    seen = _survey(task).look(*(np.array([h[k] for h in new]) for k in ("ra_deg", "dec_deg")))
    silent = 0
    for host, what in zip(new, seen, strict=True):
        known[host["host_id"]] = host_row(host, what)
        silent = silent + 1 if what.flags & Flag.NO_ANSWER else 0
        if task.cache is not None and silent == _MOST_SILENT:
            raise DhsError(
                f"{task.root} has not answered for {silent} hosts in a row: {what.why}; run the "
                "same command again later: what came is kept"
            )
    write_part(task.store, task.part, [known[host["host_id"]] for host in hosts])
    return len(hosts)


def _rows(parent: Path, start: int, stop: int) -> list[dict[str, Any]]:
    try:
        there = pq.read_schema(parent).names
        also = [_CLASS] if _CLASS in there else []
        table = pq.read_table(parent, columns=[*(c.name for c in PARENT), *also])
    except (OSError, KeyError, ValueError) as error:
        raise DhsError(f"{parent}: {error}; run `dhs parent` again") from error
    return table.slice(start, stop - start).to_pylist()


def _survey(task: PartTask) -> Survey:
    cfg = task.cfg
    files = files_at(task.root, _patience(cfg))
    if isinstance(cfg, CutoutsBricks):
        return BrickTree(files, cfg.telescope, cfg.size_pix)
    assert isinstance(cfg, CutoutsService) and task.cache is not None
    answers = Kept(Paced(files, cfg.requests_per_s), task.cache)
    return CutoutService(answers, cfg.layer, cfg.size_pix, cfg.psf_size_pix)


def _patience(cfg: CutoutsSurvey) -> Patience:
    return Patience(cfg.timeout_s, cfg.tries, cfg.backoff_s)


def host_row(host: Mapping[str, Any], seen: Seen) -> dict:
    """A row of schema.CUTOUTS: the pixels seen, and what the parent table knows of the host.

    PSF widths and exposures that the images do not bring are the catalogue's, measured at the same
    place; shapes and magnitudes that the catalogue lacks are measured on the pixels.
    """
    flags = seen.flags
    psf_fwhm = _or(seen.psf_fwhm, host, "psf_fwhm_{b}_arcsec")
    nexp = np.where(seen.nexp > 0, seen.nexp, _of(host, "nexp_{b}"))
    if not nexp.any() and seen.psf_image is not None:  # the service does not tell
        nexp, flags = np.array(sky.MEDIAN_NEXP), flags | Flag.ASSUMED_NEXP
    ebv = host["ebv_mag"]
    if not math.isfinite(ebv):
        ebv, flags = _MEDIAN_EBV_MAG, flags | Flag.ASSUMED_EBV
    shape = _shape(host, seen)
    return cutout_row(
        host_id=host["host_id"],
        ra_deg=host["ra_deg"],
        dec_deg=host["dec_deg"],
        brick=seen.brick or host["brick"],
        telescope=seen.telescope or host["telescope"],
        split=host["split"],
        ebv_mag=ebv,
        psf_fwhm=psf_fwhm,
        psf_e1=seen.psf_e1,
        psf_e2=seen.psf_e2,
        psf_depth=_of(host, "psf_depth_{b}_mag"),
        psf_image=seen.psf_image,
        host_kind=host.get(_CLASS, "luminous"),
        nexp=nexp,
        host=(*seen.center, shape.r_e, shape.q, shape.phi, shape.mags),
        image=seen.image,
        invvar=seen.invvar,
        maskbits=seen.maskbits,
        flags=flags,
        detail=seen.why,
    )


def _of(host: Mapping[str, Any], pattern: str) -> np.ndarray:
    return np.array([host[name] for name in band_columns(pattern)])


def _or(values: np.ndarray, host: Mapping[str, Any], pattern: str) -> np.ndarray:
    return np.where(np.isfinite(values), values, _of(host, pattern))


def _shape(host: Mapping[str, Any], seen: Seen) -> HostShape:
    """The catalogue's where it has one, else measured about the stamp's centre."""
    known = HostShape(
        *seen.center,
        host["host_q"],
        host["host_phi_rad"],
        host["host_r_e_arcsec"],
        _of(host, "host_mag_{b}"),
    )
    if all(math.isfinite(v) for v in (known.q, known.phi, known.r_e)):
        return known
    found = measure_host(seen.image, PIXEL_SCALE_ARCSEC)
    mags = np.where(np.isfinite(known.mags), known.mags, found.mags)
    return HostShape(*seen.center, found.q, found.phi, found.r_e, mags)
