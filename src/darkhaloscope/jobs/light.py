"""The light that a row adds to its host, from the row's own columns and the bank."""

from collections.abc import Mapping

import numpy as np
import torch

from darkhaloscope.io.bank import Bank
from darkhaloscope.keys import generator
from darkhaloscope.sim.controls import PAINTED, PIXEL, paint
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.render import render
from darkhaloscope.sim.rows import part_shares, psf_groups, psf_of, scenes_of
from darkhaloscope.sim.sources import Templates
from darkhaloscope.units import BANDS


def render_rows(rows: Mapping[str, np.ndarray], bank: Bank, usable: np.ndarray) -> np.ndarray:
    """Noise-free added light of rows, from their own columns alone: (row, band, y, x), nmgy.

    Rows of kind host, and rows not usable, are dark.
    """
    torch.set_num_threads(1)  # the last bits depend on it, and stamps are compared to the bit
    size, scale = int(rows["size_pix"][0]), float(rows["pixel_scale_arcsec"][0])
    grid = Grid(size, scale, float(rows["render_tolerance"][0]))
    arcs = np.zeros((len(usable), len(BANDS), size, size), np.float32)
    bright = np.flatnonzero(usable & (rows["kind"] != "host"))
    for some in psf_groups(rows, bright):
        lit = {name: values[some] for name, values in rows.items()}
        for rows_of, drawn in _by_source(lit["kind"]):
            if rows_of.size:
                its = {name: values[rows_of] for name, values in lit.items()}
                arcs[some[rows_of]] = drawn(its, bank, grid)
    return arcs


def _by_source(kind: np.ndarray):
    """Rows that show a template of the bank, and rows that are painted, each with what draws it."""
    painted = np.isin(kind, list(PAINTED))
    return (np.flatnonzero(~painted), _of_bank), (np.flatnonzero(painted), _painted)


def _of_bank(lit: Mapping[str, np.ndarray], bank: Bank, grid: Grid) -> np.ndarray:
    """Rows that show a template, with a bulge of its own colour where it has one."""
    whole, bulge = part_shares(lit)
    arcs = _rendered(lit, bank, bank.templates, whole, grid)
    two = np.flatnonzero((bulge != 0).any(axis=1))
    if two.size:
        both = {name: values[two] for name, values in lit.items()}
        arcs[two] += _rendered(both, bank, bank.bulges_of, bulge[two], grid)
    return arcs


def _painted(lit: Mapping[str, np.ndarray], bank: Bank, grid: Grid) -> np.ndarray:
    """Rows of kinds that are painted, each by its own generator, as large as its Einstein ring."""
    images = [
        paint(str(kind), generator(task_id, purpose="control"))
        for kind, task_id in zip(lit["kind"], lit["task_id"], strict=True)
    ]
    size = lit["source_hlr_arcsec"] / lit["theta_E_arcsec"]
    scenes = scenes_of(lit, np.arange(len(images)), size, PIXEL)
    return render(scenes, Templates(torch.from_numpy(np.stack(images))), grid, psf_of(lit)).numpy()


def _rendered(lit: Mapping[str, np.ndarray], bank: Bank, images_of, share, grid: Grid):
    """Light of rows whose templates are `images_of(indices)`, each a share of its source."""
    used, place = np.unique(lit["template_index"], return_inverse=True)
    hlr = bank.columns["hlr_arcsec"][lit["template_index"]]
    templates = Templates(torch.from_numpy(images_of(used)))
    scenes = scenes_of(lit, place, hlr, bank.pixel_scale, share)
    return render(scenes, templates, grid, psf_of(lit)).numpy()
