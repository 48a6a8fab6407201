"""Plans: populations, grids, tiers and controls; the same rows however they are cut into parts."""

from collections import Counter

import numpy as np
import pytest

from darkhaloscope.config import Plan
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import read_bank
from darkhaloscope.jobs.hosts import open_cutouts, read_hosts
from darkhaloscope.jobs.light import render_rows
from darkhaloscope.jobs.plan import plan
from darkhaloscope.schema import KINDS
from darkhaloscope.sim.cells import GRIDS, cells
from darkhaloscope.sim.masses import SIS_ARCSEC
from darkhaloscope.survey.sed import colour_grid
from darkhaloscope.units import BANDS, mag_from_flux
from flow import plan_rows
from tolerance import assert_ratio, assert_within

SMALL = {"grid_theta_E_arcsec": (0.8, 1.6), "grid_delta_mag": (0.5, 1.5), "grid_r_e_arcsec": (0.2,)}


def _plan(inputs, out, **settings):
    plan(out, inputs / "cutouts", inputs / "bank.h5", Plan(**settings))
    return plan_rows(out)


@pytest.mark.parametrize(
    ("name", "count"),
    [("small", 48), ("medium", 360), ("full", 3024), ("sota", 1008)],
)
def test_named_grids_have_all_their_cells(name, count):
    found = cells(Plan(mode="grid", grid=name))
    assert len(found) == len(np.unique(found, axis=0)) == count
    assert_within(found[0], [axis[0] for axis in GRIDS[name]], 0, "first cell")
    assert_within(found[-1], [axis[-1] for axis in GRIDS[name]], 0, "last cell")


def test_the_same_rows_whatever_the_parts(inputs, tmp_path):
    """Every number of a pair is its own: no batch, no order, no part changes it."""
    few = _plan(inputs, tmp_path / "few", rows_per_part=12)
    many = _plan(inputs, tmp_path / "many", rows_per_part=2000)
    order = [np.argsort(rows["task_id"]) for rows in (few, many)]
    for name in few.keys() - {"part"}:
        one, two = (rows[name][o] for rows, o in zip((few, many), order, strict=True))
        assert (one == two).all() if one.dtype == object else np.array_equal(one, two), name


def test_tier_grid_puts_every_cell_on_every_host(inputs, tmp_path):
    rows = _plan(
        inputs, tmp_path / "plan", mode="grid", tier="grid", tier_hosts=3, pairs_per_host=2,
        grid="small", **SMALL,
    )  # fmt: skip
    lens = rows["kind"] == "lens"
    n = len(cells(Plan(mode="grid", grid="small", **SMALL)))
    assert n == 2 * 2 * 1 * 2 * 2
    seen = Counter(zip(rows["host_id"][lens], rows["grid_cell"][lens], strict=True))
    assert len(seen) == 3 * n and set(seen.values()) == {2}
    cell = cells(Plan(mode="grid", grid="small", **SMALL))[rows["grid_cell"]]
    assert_within(rows["theta_E_arcsec"], cell[:, 0], 0, "theta_E")
    assert_within(rows["source_hlr_arcsec"], cell[:, 2], 0, "r_e")
    assert_within((1 - rows["lens_q"]) / (1 + rows["lens_q"]), cell[:, 3], 1e-12, "ellipticity")
    assert_within(np.hypot(rows["gamma1"], rows["gamma2"]), cell[:, 4], 1e-12, "shear")
    grid = colour_grid()
    want = (
        SIS_ARCSEC
        * rows["sigma_v_kms"] ** 2
        * grid.lensing_efficiency(rows["z_lens"], rows["z_source"])
    )
    assert_ratio(want, rows["theta_E_arcsec"], 1e-9, "theta_E of the dispersion")


@pytest.mark.parametrize("of", ["arc", "source"])
def test_delta_mag_is_of_the_arc_or_of_the_source(inputs, tmp_path, of):
    rows = _plan(
        inputs, tmp_path / "plan", mode="grid", grid="small", grid_delta_mag_of=of, **SMALL
    )
    store = open_cutouts(inputs / "cutouts")
    hosts = read_hosts(store.folder / next(iter(store.rows)), None)
    mag = dict(zip(hosts["host_id"], hosts["host_mag_r"], strict=True))
    gain = rows["magnification"] if of == "arc" else 1.0
    light = mag_from_flux(rows["source_flux_r_nmgy"] * gain)
    delta = cells(Plan(mode="grid", grid="small", **SMALL))[rows["grid_cell"], 1]
    assert_within(light - [mag[host] for host in rows["host_id"]], delta, 1e-9, "delta mag")


def test_tier_debug_takes_a_few_hosts_over_all_the_store(inputs, tmp_path):
    rows = _plan(inputs, tmp_path / "plan", tier="debug", tier_hosts=5)
    assert len(set(rows["host_id"])) == 5
    numbers = sorted(int(host.rsplit("-", 1)[1]) for host in set(rows["host_id"]))
    assert numbers[0] == 0 and numbers[-1] >= 22


def test_controls_stand_beside_lenses_as_often_as_asked(inputs, tmp_path):
    common = {"pairs_per_host": 8, "host_weighting": "equal"}
    rows = _plan(inputs, tmp_path / "some", ring_fraction=0.3, spiral_fraction=0, **common)
    count = Counter(rows["kind"])
    assert count["lens"] == count["host"] == count["unlensed"] > 150 and not count["spiral"]
    assert abs(count["ring"] / count["lens"] - 0.3) < 0.12
    more = _plan(inputs, tmp_path / "more", ring_fraction=0.6, spiral_fraction=0, **common)
    assert set(rows["task_id"]) < set(more["task_id"]), "more of a kind leave the others"


def test_heavy_hosts_bring_more_pairs(inputs, tmp_path):
    rows = _plan(inputs, tmp_path / "plan", pairs_per_host=20)
    lens = rows["kind"] == "lens"
    count = Counter(rows["host_id"][lens])
    store = open_cutouts(inputs / "cutouts")
    hosts = read_hosts(store.folder / next(iter(store.rows)), None)
    pairs = np.array([count[host] for host in hosts["host_id"]])
    assert pairs.max() > 2.5 * np.median(pairs)
    assert 8 < pairs.mean() < 45
    assert len(rows["pair_id"][lens]) == len(set(rows["pair_id"][lens]))


def test_controls_have_the_lenss_flux_and_shape_apart(inputs, tmp_path):
    rows = _plan(
        inputs, tmp_path / "plan", ring_fraction=1, companion_fraction=1, spiral_fraction=1
    )
    few = {name: values[: 6 * 4] for name, values in rows.items()}
    n = len(few["kind"])
    few |= {f"psf_fwhm_{b}_arcsec": np.full(n, 1.0) for b in BANDS}
    few |= {f"psf_{e}_{b}": np.zeros(n) for e in ("e1", "e2") for b in BANDS}
    few |= {"size_pix": np.full(n, 96), "pixel_scale_arcsec": np.full(n, 0.262)}
    few |= {"render_tolerance": np.full(n, 1e-3), "moffat_beta": np.full(n, 3.5)}
    few |= {"psf_model": np.full(n, "moffat"), "psf_includes_pixel": np.full(n, True)}
    arcs = render_rows(few, read_bank(inputs / "bank.h5"), np.ones(n, bool))
    flux = arcs.sum((2, 3))
    for pair in np.unique(few["pair_id"].astype(str)):
        its = {k: flux[(few["pair_id"] == pair) & (few["kind"] == k)][0] for k in KINDS}
        assert not its.pop("host").any()
        for kind, value in its.items():
            assert_ratio(value, its["lens"], 0.03, f"{kind} of {pair}")


def test_hosts_without_a_lens_in_reach_are_said(inputs, tmp_path):
    with pytest.raises(DhsError, match="no source is discoverable behind any of 24 hosts"):
        _plan(inputs, tmp_path / "plan", min_magnification=500)
