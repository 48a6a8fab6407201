"""`dhs plan`: one row a stamp, every random choice frozen."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from darkhaloscope import __version__
from darkhaloscope.config import Plan
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import Bank, read_bank
from darkhaloscope.io.files import read_json
from darkhaloscope.io.parts import RECORD, parts_in
from darkhaloscope.io.tables import DIGEST_KEY, columns_of, metadata_of, read_table, write_table
from darkhaloscope.jobs.progress import console, progress
from darkhaloscope.keys import digest_of, generator, template_choice
from darkhaloscope.schema import CUTOUTS, HOST, KINDS, PLAN, band_columns
from darkhaloscope.sim import population
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.render import magnification
from darkhaloscope.sim.rows import scenes_of
from darkhaloscope.sim.sources import Templates
from darkhaloscope.survey.sed import colour_grid
from darkhaloscope.units import BANDS, mag_from_flux, stamp_center

_MAX_DRAWS = 100
_PAIRS_AT_ONCE = 2000
_MAGNIFICATION_GRID = Grid(size=56, pixel_scale=0.262, margin=0)
"""Rays 0.066 arcsec apart over +-7.3 arcsec around the lens."""


@dataclass(frozen=True)
class Hosts:
    """The cutout store's columns without pixels, in stamp coordinates, and where each row lies."""

    columns: dict[str, np.ndarray]
    files: np.ndarray
    digest: str

    def __len__(self) -> int:
        return len(self.files)


def read_hosts(cutouts: Path, stamp_size: int | None) -> Hosts:
    """All hosts of a finished store.

    stamp_size : side of the stamps to cut (pixels), None for the cutouts' own
    Raises DhsError for an unfinished store, or stamps larger than the cutouts
    """
    if not (cutouts / RECORD).exists():
        raise DhsError(
            f"{cutouts} holds no finished cutout store (no {RECORD}); run `dhs cutouts` again to "
            "finish it"
        )
    names = [c.name for c in HOST] + ["size_pix"]
    files, tables = [], []
    for path in parts_in(cutouts):
        table = columns_of(read_table(path, CUTOUTS, names))
        files += [path.name] * len(table["host_id"])
        tables.append(table)
    columns = {name: np.concatenate([t[name] for t in tables]) for name in names}
    size = np.full(len(files), stamp_size) if stamp_size else columns["size_pix"]
    if (size > columns["size_pix"]).any():
        raise DhsError(
            f"stamp_size_pix = {stamp_size} is larger than the cutouts "
            f"({columns['size_pix'].min()} pixels); choose a smaller stamp"
        )
    columns |= stamp_centers(columns, size)
    return Hosts(
        columns | {"size_pix": size}, np.array(files), read_json(cutouts / RECORD)["digest"]
    )


def stamp_centers(columns, size) -> dict[str, np.ndarray]:
    """Host centres (arcsec) from the centre of the stamp cut out of the cutout; see sim.crop."""
    full = columns["size_pix"]
    start = (full - size) // 2
    shift = (start + stamp_center(size) - stamp_center(full)) * columns["pixel_scale_arcsec"]
    return {
        name: columns[name] - shift for name in ("host_center_x_arcsec", "host_center_y_arcsec")
    }


def plan(out: Path, cutouts: Path, bank_path: Path, cfg: Plan) -> None:
    """Write the plan. An existing plan from the same inputs and settings is kept.

    Raises DhsError for unusable inputs, or settings under which no source is discoverable
    """
    bank = read_bank(bank_path)
    hosts = read_hosts(cutouts, cfg.stamp_size_pix)
    identity = {
        "stage": "plan",
        "config": cfg.as_json(),
        "cutouts": hosts.digest,
        "bank": bank.digest(),
        "dhs": __version__,
    }
    digest = digest_of(*(f"{key}={value}" for key, value in sorted(identity.items())))
    if out.exists() and metadata_of(out).get(DIGEST_KEY) == digest:
        console.print(f"plan {out}: already there")
        return
    if out.exists():
        raise DhsError(f"{out} exists and is another plan; remove it or choose another name")
    torch.set_num_threads(1)
    columns, unfit = draw_plan(hosts, bank, cfg)
    metadata = {DIGEST_KEY: digest, "dhs.unfit_pairs": str(unfit)}
    metadata |= {f"dhs.{key}": str(value) for key, value in identity.items()}
    write_table(out, columns, PLAN, metadata)
    console.print(
        f"plan {out}: {len(columns['task_id'])} rows in {columns['part'].max() + 1} parts"
        + (
            f"; {unfit} pairs left out, no discoverable source in {_MAX_DRAWS} draws"
            if unfit
            else ""
        )
    )


def draw_plan(hosts: Hosts, bank: Bank, cfg: Plan) -> tuple[dict[str, np.ndarray], int]:
    """Columns of the plan, and the number of pairs for which no source is discoverable."""
    luminous = np.flatnonzero(hosts.columns["host_kind"] == "luminous")
    if not len(luminous):
        raise DhsError("no cutout shows a luminous galaxy; lenses are put on host_kind luminous")
    host_of_pair = np.repeat(luminous, cfg.pairs_per_host)
    chunks, unfit = [], 0
    kinds = spectral_types(bank)
    with progress("plan", len(host_of_pair), "pairs") as advance:
        for start in range(0, len(host_of_pair), _PAIRS_AT_ONCE):
            chosen = host_of_pair[start : start + _PAIRS_AT_ONCE]
            pairs = _draw_pairs(start, chosen, hosts, bank, kinds, cfg, advance)
            unfit += len(chosen) - len(pairs["pair_id"])
            chunks.append(pairs)
    pairs = {name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]}
    if not len(pairs["pair_id"]):
        raise DhsError(
            f"no source is discoverable behind any of {len(hosts)} hosts in {_MAX_DRAWS} draws; "
            "lower min_magnification or widen arc_mag_r_min to arc_mag_r_max"
        )
    return _rows_of_pairs(pairs, cfg), unfit


def spectral_types(bank: Bank) -> np.ndarray:
    """Type of each template by its catalogue magnitudes; NaN where too few are known."""
    mags = {f"hsc_{band}": bank.columns[f"mag_{band}"] for band in "griz"}
    return colour_grid().fit(mags, bank.columns["z"])


def _draw_pairs(start, chosen, hosts, bank, kinds, cfg, advance) -> dict[str, np.ndarray]:
    """Lens and source of each pair: drawn again, from its own generator, until discoverable."""
    host = {name: values[chosen] for name, values in hosts.columns.items()}
    replicate = (start + np.arange(len(chosen))) % cfg.pairs_per_host
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
    advance(len(chosen))
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


def _rows_of_pairs(pairs: dict[str, np.ndarray], cfg: Plan) -> dict[str, np.ndarray]:
    """One row a kind. Rows of a pair stand together and never fall into different parts."""
    n, k = len(pairs["pair_id"]), len(KINDS)
    rows = {name: np.repeat(values, k) for name, values in pairs.items()}
    kind = np.tile(np.array(KINDS, object), n)
    rows |= {
        "kind": kind,
        "task_id": np.array([f"{p}-{w}" for p, w in zip(rows["pair_id"], kind, strict=True)]),
        "label": (kind == "lens").astype(np.int32),
        "part": (np.arange(n * k) // k // max(1, cfg.rows_per_part // k)).astype(np.int32),
    }
    beside = kind == "unlensed"
    angle = np.arctan2(rows["source_y_arcsec"], rows["source_x_arcsec"])
    for axis, turn in (("x", np.cos(angle)), ("y", np.sin(angle))):
        name = f"source_{axis}_arcsec"
        rows[name] = np.where(beside, rows["theta_E_arcsec"] * turn, rows[name])
    return rows
