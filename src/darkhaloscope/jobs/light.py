"""The light that a row adds to its host, from the row's own columns and the bank."""

from collections.abc import Mapping

import numpy as np
import torch

from darkhaloscope.io.bank import Bank
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
        whole, bulge = part_shares(lit)
        arcs[some] = _rendered(lit, bank, bank.templates, whole, grid)
        two = np.flatnonzero((bulge != 0).any(axis=1))
        if two.size:
            both = {name: values[two] for name, values in lit.items()}
            arcs[some[two]] += _rendered(both, bank, bank.bulges_of, bulge[two], grid)
    return arcs


def _rendered(lit: Mapping[str, np.ndarray], bank: Bank, images_of, share, grid: Grid):
    """Light of rows whose templates are `images_of(indices)`, each a share of its source."""
    used, place = np.unique(lit["template_index"], return_inverse=True)
    hlr = bank.columns["hlr_arcsec"][lit["template_index"]]
    templates = Templates(torch.from_numpy(images_of(used)))
    scenes = scenes_of(lit, place, hlr, bank.pixel_scale, share)
    return render(scenes, templates, grid, psf_of(lit)).numpy()
