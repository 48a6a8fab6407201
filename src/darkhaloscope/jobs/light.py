"""The light that a row adds to its host, from the row's own columns and the bank."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from darkhaloscope.keys import generators
from darkhaloscope.sim import sources
from darkhaloscope.sim.controls import PAINTED, PIXEL, paint
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.render import render
from darkhaloscope.sim.rows import part_shares, psf_groups, psf_of, scenes_of
from darkhaloscope.sim.scene import Scenes
from darkhaloscope.sim.sources import Sources
from darkhaloscope.units import BANDS

Columns = Mapping[str, np.ndarray]


class Templates(Protocol):
    """What rows are rendered from: io.bank.Bank, or the same with its pixels on a device."""

    @property
    def pixel_scale(self) -> float: ...

    @property
    def columns(self) -> Columns: ...

    def templates(self, indices: np.ndarray) -> np.ndarray | Tensor: ...

    def bulges_of(self, indices: np.ndarray) -> np.ndarray | Tensor: ...


def render_rows(rows: Columns, bank: Templates, usable: np.ndarray) -> np.ndarray:
    """Noise-free added light of rows, from their own columns alone: (row, band, y, x), nmgy.

    Rows of kind host, and rows not usable, are dark.
    """
    torch.set_num_threads(1)  # the last bits depend on it, and stamps are compared to the bit
    return light_of(rows, bank, usable, "cpu").numpy()


def light_of(
    rows: Columns, bank: Templates, usable: np.ndarray, device: torch.device | str
) -> Tensor:
    """As render_rows, on a device."""
    size, scale = int(rows["size_pix"][0]), float(rows["pixel_scale_arcsec"][0])
    grid = Grid(size, scale, float(rows["render_tolerance"][0]))
    arcs = torch.zeros((len(usable), len(BANDS), size, size), device=device)
    bright = np.flatnonzero(usable & (rows["kind"] != "host"))
    for some in psf_groups(rows, bright):
        lit = {name: values[some] for name, values in rows.items()}
        for rows_of, drawn in _by_source(lit):
            if rows_of.size:
                its = {name: values[rows_of] for name, values in lit.items()}
                where = torch.from_numpy(some[rows_of]).to(device)
                arcs[where] = render(*drawn(its, bank, device), grid, psf_of(its, device))
    return arcs


def _by_source(lit: Columns):
    """Rows that are painted, that show a template, or one with a bulge; with what draws each."""
    painted = np.isin(lit["kind"], list(PAINTED))
    bulgy = (part_shares(lit)[..., 1] != 0).any(axis=1)
    return (
        (np.flatnonzero(painted), _painted),
        (np.flatnonzero(~painted & ~bulgy), _of_one_colour),
        (np.flatnonzero(~painted & bulgy), _with_bulge),
    )


Drawn = tuple[Scenes, Sources]


def _painted(lit: Columns, bank: Templates, device: torch.device | str) -> Drawn:
    """Rows of kinds that are painted, each by its own generator, as large as its Einstein ring."""
    rngs = generators(lit["task_id"], purpose="control")
    images = [paint(str(kind), rng) for kind, rng in zip(lit["kind"], rngs, strict=True)]
    size = lit["source_hlr_arcsec"] / lit["theta_E_arcsec"]
    scenes = scenes_of(lit, np.arange(len(images)), size, PIXEL)
    return scenes.to(device), sources.Templates(torch.from_numpy(np.stack(images)).to(device))


def _of_one_colour(lit: Columns, bank: Templates, device: torch.device | str) -> Drawn:
    """Rows that show a template, the same in every band."""
    used, place, hlr = _templates_of(lit, bank)
    scenes = scenes_of(lit, place, hlr, bank.pixel_scale)
    images = torch.as_tensor(bank.templates(used), device=device)
    return scenes.to(device), sources.Templates(images)


def _with_bulge(lit: Columns, bank: Templates, device: torch.device | str) -> Drawn:
    """Rows that show a template with a bulge of its own colour."""
    used, place, hlr = _templates_of(lit, bank)
    scenes = scenes_of(lit, place, hlr, bank.pixel_scale, part_shares(lit))
    parts = [
        torch.as_tensor(p, device=device) for p in (bank.templates(used), bank.bulges_of(used))
    ]
    return scenes.to(device), sources.Templates(torch.stack(parts, dim=1))


def _templates_of(lit: Columns, bank: Templates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices in the bank that are used; of each row, its place among them and its radius there."""
    used, place = np.unique(lit["template_index"], return_inverse=True)
    return used, place, bank.columns["hlr_arcsec"][lit["template_index"]]
