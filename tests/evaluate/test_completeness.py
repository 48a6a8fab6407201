"""Completeness: shares, intervals and counts by cell."""

import numpy as np
import pytest

from darkhaloscope.evaluate.completeness import AXES, Axis, completeness, visible
from darkhaloscope.evaluate.stats import rate

_X = Axis("x", "", (0.0, 1.0, 2.0, 3.0), lambda c: c["x"])
_Y = Axis("y", "", (0.0, 1.0, 2.0), lambda c: c["y"])


def test_each_bin_has_its_share_with_a_wilson_interval_and_its_n():
    x = np.repeat([0.5, 1.5], [20, 8])
    recovered = np.arange(28) % 4 == 0
    cells = completeness({"x": x}, recovered, (_X,))
    assert [cell.n for cell in cells] == [20, 8, 0]
    assert cells[0].share == rate(5, 20) and cells[1].share == rate(2, 8)
    assert cells[2].share is None
    assert [cell.thin for cell in cells] == [False, True, True]


def test_a_surface_is_counted_cell_by_cell():
    rng = np.random.default_rng(2)
    columns = {"x": rng.uniform(-1, 4, 4000), "y": rng.uniform(-1, 3, 4000)}
    recovered = columns["x"] > columns["y"]
    cells = completeness(columns, recovered, (_X, _Y))
    assert len(cells) == 6
    for cell in cells:
        (x0, y0), (x1, y1) = cell.low, cell.high
        inside = (columns["x"] >= x0) & (columns["x"] < x1)
        inside &= (columns["y"] >= y0) & (columns["y"] < y1)
        assert cell.n == inside.sum()
        assert cell.share and cell.share.value == pytest.approx(recovered[inside].mean())


def test_what_an_expert_sees_is_bright_and_resolved():
    columns = {
        "arc_snr_g": np.array([30.0, 30.0, 20.0]),
        "theta_E_arcsec": np.array([1.5, 1.0, 1.5]),
        "psf_fwhm_r_arcsec": np.array([1.2, 1.2, 1.2]),
    }
    assert visible(columns).tolist() == [True, False, False]


def test_axes_rise():
    assert all(np.all(np.diff(axis.edges) > 0) for axis in AXES)
