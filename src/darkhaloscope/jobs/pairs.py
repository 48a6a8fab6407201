"""Lens and source of each pair of a plan, drawn until there is something to discover."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from darkhaloscope.config import Plan
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import Bank, open_bank
from darkhaloscope.keys import Uniforms, intervals, template_choice
from darkhaloscope.schema import band_columns
from darkhaloscope.sim import population
from darkhaloscope.sim.caustics import Arcs, Caustics, Lens, Source, foreseen, magnification
from darkhaloscope.sim.cells import cells
from darkhaloscope.sim.forecast import forecast_snr
from darkhaloscope.sim.masses import cross_sections, redshift_chances
from darkhaloscope.survey.sed import colour_grid
from darkhaloscope.units import BANDS

Columns = dict[str, np.ndarray]

MAX_DRAWS = 100
_DRAWS_AT_ONCE = 200
"""Draws made together of the few pairs that still wait; the first that will do is taken."""

_MOST_PER_REPLICATE = 4.0
"""How often the heaviest hosts are taken, where the usual one is taken once."""

_OF_HOST = (
    *band_columns("host_mag_{b}"),
    *band_columns("psf_fwhm_{b}_arcsec"),
    *band_columns("sky_sigma_{b}_nmgy"),
    *("ebv_mag", "host_q", "host_phi_rad", "host_center_x_arcsec", "host_center_y_arcsec"),
    "pixel_scale_arcsec",
)
"""Columns of a host that its lens, its source and their S/N depend on."""

_SMALL_BANK_BYTES = 1 << 27
"""128 MiB: of 8,192 templates of 128 pixels a side, halved."""

_TEMPLATES_AT_ONCE = 512

_NEARLY = 0.8
"""How far magnification may be off at first sight."""


@dataclass(frozen=True)
class Galaxies:
    """A bank, and what planning asks of it again and again."""

    bank: Bank
    kinds: np.ndarray  # (template,) spectral type by catalogue magnitudes, NaN if too few are known
    coarse: np.ndarray | None  # all templates at half the resolution, of a bank that is small

    def images(self, used: np.ndarray) -> np.ndarray:
        """Templates at half the resolution: (template, y, x) float32, of unit flux."""
        return self.bank.coarse(used) if self.coarse is None else self.coarse[used]


@lru_cache(maxsize=1)
def galaxies_of(path: Path, digest: str) -> Galaxies:
    """Raises DhsError as open_bank does"""
    bank = open_bank(path, digest)
    mags = {f"hsc_{band}": bank.columns[f"mag_{band}"] for band in "griz"}
    return Galaxies(bank, colour_grid().fit(mags, bank.columns["z"]), _all_coarse(bank))


def _all_coarse(bank: Bank) -> np.ndarray | None:
    """All templates at half the resolution, if they are few."""
    if len(bank) * bank.coarse(np.arange(1)).nbytes > _SMALL_BANK_BYTES:
        return None
    starts = range(_TEMPLATES_AT_ONCE, len(bank), _TEMPLATES_AT_ONCE)
    return np.concatenate([bank.coarse(few) for few in np.split(np.arange(len(bank)), starts)])


@dataclass(frozen=True)
class Templates:
    """What of each pair's template matters, one value a pair."""

    known: population.SourceTemplates
    pixel: float  # arcsec, side of a pixel of the images
    used: np.ndarray  # (template, y, x) float32, coarse, of unit flux
    which: np.ndarray  # (pair,) of these

    @classmethod
    def of(cls, galaxies: Galaxies, index: np.ndarray) -> "Templates":
        bank, (used, which) = galaxies.bank, np.unique(index, return_inverse=True)
        images = galaxies.images(used)
        names = ("hlr_arcsec", "z", "mag", "bulge_fraction")
        hlr, z, mag, bulge = (bank.columns[name][index] for name in names)
        known = population.SourceTemplates(hlr, z, mag, galaxies.kinds[index], bulge)
        return cls(known, bank.pixel_scale * bank.size / images.shape[-1], images, which)

    def images(self, pair: np.ndarray) -> np.ndarray:
        """Of some pairs: (pair, y, x)."""
        return self.used[self.which[pair]]


def redshifts_of(hosts: Columns) -> np.ndarray:
    """What is known of each host's redshift, see masses.redshift_chances."""
    return redshift_chances(population.dereddened(hosts), colour_grid())


def weighted(
    chosen: np.ndarray, replicate: np.ndarray, hosts: Columns, redshifts: np.ndarray, cfg: Plan
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs as often as their hosts would lens, where the plan is to weight them so.

    chosen : the row of each pair's host; replicate : which of its pairs it is
    redshifts : of the hosts, see redshifts_of
    Returns the same of the pairs that remain, those that come several times with new replicates
    """
    if cfg.host_weighting == "equal" or cfg.mode == "grid" or cfg.tier != "train":
        return chosen, replicate
    mag_r = population.dereddened(hosts)["r"]
    weight = cross_sections(mag_r, redshifts, colour_grid())[chosen]
    names = zip(hosts["host_id"][chosen], replicate, strict=True)
    u = intervals((f"{host}-{r:02d}" for host, r in names), f"weight-{cfg.seed}", 1)[:, 0]
    times = np.floor(np.minimum(weight, _MOST_PER_REPLICATE) + u).astype(int)
    again = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times)
    return np.repeat(chosen, times), np.repeat(replicate, times) + again * cfg.pairs_per_host


def draw_pairs(
    chosen, replicate, hosts: Columns, redshifts: np.ndarray, galaxies: Galaxies, cfg: Plan
) -> Columns:
    """Lens and source of each pair: drawn again, from its own generator, until discoverable.

    chosen : the row of each pair's host; replicate : which of its pairs it is
    redshifts : of the hosts, see redshifts_of
    In mode grid there is one draw, discoverable or not.
    """
    host_id, split = hosts["host_id"][chosen], hosts["split"][chosen]
    names = zip(host_id, replicate, strict=True)
    pair_id = np.array([f"{host}-{r:02d}" for host, r in names], object)
    index = _choose_templates(pair_id, split, galaxies.bank, cfg.cosmos_salt)
    cell = _cells_of(replicate, pair_id, cfg)
    templates = Templates.of(galaxies, index)
    host, redshifts = _some({name: hosts[name] for name in _OF_HOST}, chosen), redshifts[chosen]
    if cfg.mode == "grid":
        draw = _cell_draw(host, redshifts, templates, cell, cfg)
    else:
        draw = _population_draw(host, redshifts, templates, cfg)
    found, drawn = _until_kept(pair_id, draw, cfg)
    drawn |= population.source_bulges(drawn, templates.known[found], cfg, colour_grid())
    words = {
        "host_id": host_id,
        "split": split,
        "pair_id": pair_id,
        "grid_cell": cell,
        "template_index": index,
        "template_id": galaxies.bank.columns["template_id"][index].astype(object),
    }
    return {name: values[found] for name, values in words.items()} | drawn


Draw = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, Columns]]
"""uniforms and number of the pair of each row -> rows that are kept and their columns."""


def _until_kept(pair_id: np.ndarray, draw: Draw, cfg: Plan) -> tuple[np.ndarray, Columns]:
    """Numbers of the pairs for which a draw was kept, rising, and the columns of the first such."""
    uniforms = Uniforms(pair_id, str(cfg.seed), "scene")
    waiting = np.arange(len(pair_id))
    numbers, tables, done = [], [], 0
    most = 1 if cfg.mode == "grid" else MAX_DRAWS
    while not done or (len(waiting) and done < most):
        at_once = min(1 + _DRAWS_AT_ONCE // max(len(waiting), 1), most - done)
        n = population.N_UNIFORMS
        u, pair = uniforms(waiting, done * n, at_once * n), np.repeat(waiting, at_once)
        kept, columns = draw(u.reshape(-1, n), pair)
        found, first = np.unique(pair[kept], return_index=True)
        numbers.append(found)
        tables.append(_some(columns, first))
        waiting = np.setdiff1d(waiting, found, assume_unique=True)
        done += at_once
    found = np.concatenate(numbers)
    order = np.argsort(found)
    drawn = {name: np.concatenate([t[name] for t in tables])[order] for name in tables[0]}
    return found[order], drawn


def _choose_templates(pair_id, splits, bank: Bank, salt: str) -> np.ndarray:
    """BLAKE2b choice within the host's split, keyed by the pair's lens row."""
    members = {split: bank.of_split(split) for split in np.unique(splits.astype(str))}
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
        ],
        int,
    )


def _cells_of(replicate: np.ndarray, pair_id: np.ndarray, cfg: Plan) -> np.ndarray:
    """Cell of the grid of each pair: in turn in tier grid, by its name elsewhere; -1 without."""
    if cfg.mode != "grid":
        return np.full(len(pair_id), -1, np.int32)
    n = len(cells(cfg))
    if cfg.tier == "grid":
        return (replicate % n).astype(np.int32)
    return (n * intervals(pair_id, f"cell-{cfg.seed}", 1)[:, 0]).astype(np.int32)


def _population_draw(host: Columns, redshifts: np.ndarray, templates: Templates, cfg: Plan) -> Draw:
    """Lenses as the sky has them; what is not discoverable is sorted out as early as can be."""
    grid = colour_grid()

    def at_first_sight(u, pair):
        """Lenses heavy enough, with a source whose arc may be bright enough."""
        fits, drawn = population.draw_lenses(u, _some(host, pair), redshifts[pair], cfg, grid)
        rows, drawn = _kept(fits, drawn)
        u, pair = u[rows], pair[rows]
        drawn |= population.draw_sources(u, drawn["z_source"], templates.known[pair], cfg, grid)
        view = _view(u, drawn, templates, pair)
        chance = population.chance_to_keep(
            drawn["source_mag_r"], view.likely.magnification, _some(host, pair), cfg
        )
        fits = view.likely.magnification > _NEARLY * cfg.min_magnification
        some, drawn = _kept(fits & (u[:, 16] < chance), drawn)
        return rows[some], drawn, view[some]

    def looked_at(u, pair, drawn, view):
        its_host = _some(host, pair)
        drawn |= population.source_colours(u, drawn, cfg, grid)
        drawn |= view.magnified(templates.images(pair))
        low, high = population.source_window(drawn["magnification"], its_host, cfg)
        mag = population.bright_sources(u[:, 12], drawn["source_mag_r"], low, high, cfg)
        fits = (drawn["magnification"] >= cfg.min_magnification) & (mag >= low) & (mag <= high)
        drawn["source_mag_r"] = mag
        drawn |= _fluxes(drawn, its_host["ebv_mag"])
        fits &= _snr(view, drawn, its_host) >= cfg.min_arc_snr
        return _kept(fits, drawn)

    def draw(u, pair):
        rows, drawn, view = at_first_sight(u, pair)
        u, pair = u[rows], pair[rows]

        def look(some):
            return looked_at(u[some], pair[some], _some(drawn, some), view[some])

        found, drawn = _first_that_fits(pair, look)
        return rows[found], drawn

    return draw


def _first_that_fits(
    pair: np.ndarray, look: Callable[[np.ndarray], tuple[np.ndarray, Columns]]
) -> tuple[np.ndarray, Columns]:
    """Of each pair, whose draws stand together, the first that fits: its row, and its columns.

    look : rows -> which of them fit, and the columns of these; dear, so that it is asked no further
    """
    left = np.arange(len(pair))
    numbers, tables = [], []
    while not tables or left.size:
        (starts,) = np.nonzero(np.diff(pair[left], prepend=-1))
        asked = left[starts]
        fits, columns = look(asked)
        numbers.append(asked[fits])
        tables.append(columns)
        left = np.delete(left, starts)
        left = left[~np.isin(pair[left], pair[asked[fits]])]
    found = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    return np.concatenate(numbers), found


def _cell_draw(
    host: Columns, redshifts: np.ndarray, templates: Templates, cell: np.ndarray, cfg: Plan
) -> Draw:
    """Lenses and sources as cells of a grid say; only hosts of unknown magnitude are left out."""
    grid, values = colour_grid(), cells(cfg)

    def draw(u, pair):
        its, its_host = values[cell[pair]], _some(host, pair)
        drawn = population.cell_lenses(u, its_host, redshifts[pair], its, cfg, grid)
        known = templates.known[pair]
        drawn |= population.draw_sources(u, drawn["z_source"], known, cfg, grid)
        drawn |= population.source_colours(u, drawn, cfg, grid)
        drawn |= {"source_hlr_arcsec": its[:, 2]}
        drawn |= _view(u, drawn, templates, pair).magnified(templates.images(pair))
        gain = drawn["magnification"] if cfg.grid_delta_mag_of == "arc" else np.ones(len(u))
        host_mag = population.dereddened(its_host)["r"]
        drawn["source_mag_r"] = host_mag + its[:, 1] + 2.5 * np.log10(gain)
        drawn |= _fluxes(drawn, its_host["ebv_mag"])
        return _kept(np.isfinite(drawn["source_mag_r"]), drawn)

    return draw


def _some(columns: Columns, rows: np.ndarray) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _kept(fits: np.ndarray, columns: Columns) -> tuple[np.ndarray, Columns]:
    """Numbers of the rows that fit, and their columns."""
    (rows,) = np.nonzero(fits)
    return rows, _some(columns, rows)


def _fluxes(drawn: Columns, ebv: np.ndarray) -> Columns:
    flux = population.observed_fluxes(
        drawn["source_mag_r"], drawn["source_g_minus_r"], drawn["source_r_minus_z"], ebv
    )
    return {f"source_flux_{band}_nmgy": flux[band] for band in BANDS}


@dataclass(frozen=True)
class View:
    """Lenses, sources placed behind them, and what of their light is known at first sight."""

    caustics: Caustics
    source: Source
    likely: Arcs

    def __getitem__(self, rows) -> "View":
        return View(self.caustics[rows], self.source[rows], self.likely[rows])

    def magnified(self, images: np.ndarray) -> Columns:
        """Columns of place and magnification; images : (row, y, x), the sources' templates."""
        return {
            "source_x_arcsec": self.source.x,
            "source_y_arcsec": self.source.y,
            "magnification": magnification(self.caustics, self.source, images),
        }


def _view(u: np.ndarray, drawn: Columns, templates: Templates, pair: np.ndarray) -> View:
    """A place for each source, uniform in area where there are several images."""
    names = ("theta_E_arcsec", "lens_q", "lens_phi_rad", "gamma1", "gamma2")
    caustics = Caustics.of(Lens(*(drawn[name] for name in names)))
    hlr = drawn["source_hlr_arcsec"]
    pixel = templates.pixel * hlr / templates.known.hlr[pair]
    source = Source(*caustics.draw(u[:, [14, 6, 7]]), drawn["source_phi_rad"], pixel, hlr)
    return View(caustics, source, foreseen(caustics, source))


def _snr(view: View, drawn: Columns, host: Columns) -> np.ndarray:
    """Foreseen S/N over all bands; infinite where noise or PSF is not known."""
    flux, fwhm, sigma = (
        np.stack([table[name] for name in band_columns(pattern)], axis=1)
        for table, pattern in (
            (drawn, "source_flux_{b}_nmgy"),
            (host, "psf_fwhm_{b}_arcsec"),
            (host, "sky_sigma_{b}_nmgy"),
        )
    )
    likely = view.likely
    surely = (drawn["magnification"] / likely.magnification)[:, None]
    snr = forecast_snr(likely, flux * surely, fwhm, sigma, host["pixel_scale_arcsec"])
    total = np.sqrt((snr**2).sum(axis=1))
    return np.where(np.isfinite(total), total, math.inf)
