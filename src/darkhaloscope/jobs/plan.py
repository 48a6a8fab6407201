"""`dhs plan`: one row a stamp, every random choice frozen."""

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from darkhaloscope import __version__
from darkhaloscope.config import Plan
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import Bank, read_bank
from darkhaloscope.io.cache import on_this_host
from darkhaloscope.io.parts import Commit, PartStore, claim
from darkhaloscope.jobs.engine import Engine, Local
from darkhaloscope.jobs.hosts import CutoutStore, open_cutouts, read_hosts
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.run import run_parts
from darkhaloscope.keys import generator, template_choice
from darkhaloscope.schema import KINDS, PLAN, band_columns
from darkhaloscope.sim import population
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.render import magnification
from darkhaloscope.sim.rows import scenes_of
from darkhaloscope.sim.sources import Templates
from darkhaloscope.survey.sed import colour_grid
from darkhaloscope.units import BANDS, mag_from_flux

_MAX_DRAWS = 100
_HERE = Local()
_MAGNIFICATION_GRID = Grid(size=56, pixel_scale=0.262, margin=0)
"""Rays 0.066 arcsec apart over +-7.3 arcsec around the lens."""


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
    kinds = _types(run.bank, run.bank_digest)
    drawn = _draw_pairs(pairs[luminous], chosen[luminous], hosts, bank, kinds, run.cfg)
    rows = _rows_of_pairs(drawn, some.part)
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
    left_out = f"; {unfit} pairs left out, no discoverable source in {_MAX_DRAWS} draws"
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
        f"{_MAX_DRAWS} draws; lower min_magnification or widen arc_mag_r_min to arc_mag_r_max"
    )


@lru_cache(maxsize=1)
def open_bank(path: Path, digest: str = "") -> Bank:
    """The bank, on this host, checked to have this SHA-256 if one is given."""
    return read_bank(on_this_host(path, digest))


@lru_cache(maxsize=1)
def _types(path: Path, digest: str) -> np.ndarray:
    return spectral_types(open_bank(path, digest))


def spectral_types(bank: Bank) -> np.ndarray:
    """Type of each template by its catalogue magnitudes; NaN where too few are known."""
    mags = {f"hsc_{band}": bank.columns[f"mag_{band}"] for band in "griz"}
    return colour_grid().fit(mags, bank.columns["z"])


def _draw_pairs(pairs, chosen, hosts, bank, kinds, cfg) -> dict[str, np.ndarray]:
    """Lens and source of each pair: drawn again, from its own generator, until discoverable.

    pairs : numbers of the pairs among those of the file; chosen : the row of each pair's host
    """
    host = {name: values[chosen] for name, values in hosts.items()}
    replicate = pairs % cfg.pairs_per_host
    pair_id = np.array([f"{h}-{r:02d}" for h, r in zip(host["host_id"], replicate, strict=True)])
    template = _choose_templates(pair_id, host["split"], bank, cfg.cosmos_salt)
    result: dict[str, np.ndarray] = {}
    rngs = [generator(name, str(cfg.seed), "scene") for name in pair_id]
    waiting = np.arange(len(chosen))
    for _ in range(_MAX_DRAWS):
        u = np.array([rngs[i].random(population.N_UNIFORMS) for i in waiting])
        drawn = _draw(
            u, {k: v[waiting] for k, v in host.items()}, template[waiting], bank, kinds, cfg
        )
        kept = drawn.pop("kept")
        for name, values in drawn.items():
            result.setdefault(name, np.full(len(chosen), math.nan))[waiting[kept]] = values[kept]
        waiting = waiting[~kept]
        if not len(waiting):
            break
    found = np.setdiff1d(np.arange(len(chosen)), waiting)
    words = {
        "host_id": host["host_id"],
        "split": host["split"],
        "pair_id": pair_id,
        "template_index": template,
        "template_id": bank.columns["template_id"][template].astype(object),
    }
    return {name: values[found] for name, values in (words | result).items()}


def _choose_templates(pair_id, splits, bank: Bank, salt: str) -> np.ndarray:
    """BLAKE2b choice within the host's split, keyed by the pair's lens row."""
    members = {split: bank.of_split(split) for split in np.unique(splits)}
    for split, indices in members.items():
        if not len(indices):
            raise DhsError(
                f"bank {bank.path} has no template for split '{split}', which hosts are in; make "
                "a larger bank or change its split_fractions"
            )
    return np.array(
        [
            members[split][template_choice(f"{pair}-lens", salt, len(members[split]))]
            for pair, split in zip(pair_id, splits, strict=True)
        ]
    )


def _draw(u, host, template, bank: Bank, kinds: np.ndarray, cfg: Plan) -> dict[str, np.ndarray]:
    """One draw for each pair, with `kept` saying which are discoverable."""
    hlr = bank.columns["hlr_arcsec"][template]
    lens = population.draw_lenses(u, host, cfg)
    known = population.SourceTemplates(
        hlr,
        bank.columns["z"][template],
        bank.columns["mag"][template],
        kinds[template],
        bank.columns["bulge_fraction"][template],
    )
    source = population.draw_sources(u, lens["theta_E_arcsec"], known, cfg, colour_grid())
    flux = population.observed_fluxes(
        source["source_mag_r"],
        source["source_g_minus_r"],
        source["source_r_minus_z"],
        host["ebv_mag"],
    )
    drawn = lens | source | {f"source_flux_{band}_nmgy": flux[band] for band in BANDS}
    drawn["magnification"] = _magnify(drawn, host, template, hlr, bank)
    arc_mag = mag_from_flux(drawn["magnification"] * flux["r"])
    drawn["kept"] = population.discoverable(
        drawn["magnification"], arc_mag, host["host_mag_r"], cfg
    )
    return drawn


def _magnify(drawn, host, template, hlr, bank: Bank) -> np.ndarray:
    """Lensed over unlensed flux on rays around the lens."""
    used, place = np.unique(template, return_inverse=True)
    centred = {"lens_center_x_arcsec", "lens_center_y_arcsec"}
    columns = drawn | {name: np.zeros(len(template)) for name in centred}
    columns |= {name: np.ones(len(template)) for name in band_columns("psf_fwhm_{b}_arcsec")}
    columns |= {
        name: np.zeros(len(template))
        for name in band_columns("psf_e1_{b}") + band_columns("psf_e2_{b}")
    }
    columns |= {"kind": np.full(len(template), "lens"), "magnification": np.ones(len(template))}
    scenes = scenes_of(columns, place, hlr, bank.pixel_scale)
    templates = Templates(torch.from_numpy(bank.templates(used)))
    return magnification(scenes, templates, _MAGNIFICATION_GRID).numpy().astype(float)


def _rows_of_pairs(pairs: dict[str, np.ndarray], part: int) -> dict[str, np.ndarray]:
    """One row a kind; rows of a pair stand together."""
    n, k = len(pairs["pair_id"]), len(KINDS)
    rows = {name: np.repeat(values, k) for name, values in pairs.items()}
    kind = np.tile(np.array(KINDS, object), n)
    rows |= {
        "kind": kind,
        "task_id": np.array([f"{p}-{w}" for p, w in zip(rows["pair_id"], kind, strict=True)]),
        "label": (kind == "lens").astype(np.int32),
        "part": np.full(n * k, part, np.int32),
    }
    beside = kind == "unlensed"
    angle = np.arctan2(rows["source_y_arcsec"], rows["source_x_arcsec"])
    for axis, turn in (("x", np.cos(angle)), ("y", np.sin(angle))):
        name = f"source_{axis}_arcsec"
        rows[name] = np.where(beside, rows["theta_E_arcsec"] * turn, rows[name])
    return rows
