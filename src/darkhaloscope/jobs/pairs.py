"""Lens and source of each pair of a plan, drawn until there is something to discover."""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from darkhaloscope.config import Plan
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import Bank, open_bank
from darkhaloscope.keys import generator, template_choice
from darkhaloscope.schema import band_columns
from darkhaloscope.sim import population
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.render import magnification
from darkhaloscope.sim.rows import scenes_of
from darkhaloscope.sim.sources import Templates
from darkhaloscope.survey.sed import colour_grid
from darkhaloscope.units import BANDS, mag_from_flux

MAX_DRAWS = 100
_MAGNIFICATION_GRID = Grid(size=56, pixel_scale=0.262, margin=0)
"""Rays 0.066 arcsec apart over +-7.3 arcsec around the lens."""


@lru_cache(maxsize=1)
def types_of(path: Path, digest: str) -> np.ndarray:
    return spectral_types(open_bank(path, digest))


def spectral_types(bank: Bank) -> np.ndarray:
    """Type of each template by its catalogue magnitudes; NaN where too few are known."""
    mags = {f"hsc_{band}": bank.columns[f"mag_{band}"] for band in "griz"}
    return colour_grid().fit(mags, bank.columns["z"])


def draw_pairs(pairs, chosen, hosts, bank, kinds, cfg) -> dict[str, np.ndarray]:
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
    for _ in range(MAX_DRAWS):
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
