"""Caustics and magnification by lines, against lenstronomy and against the renderer's own rays."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from darkhaloscope.keys import generator
from darkhaloscope.sim.caustics import (
    DIRECTIONS,
    Caustics,
    Lens,
    Source,
    foreseen,
    lines_of,
    magnification,
)
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.hybrid import hybrid_template
from darkhaloscope.sim.lens import sie_deflection
from darkhaloscope.sim.light import half_light_radius
from darkhaloscope.sim.render import magnification as by_rays
from darkhaloscope.sim.scene import Scenes, stack
from darkhaloscope.sim.sources import Templates
from tolerance import assert_ratio, assert_within

N = 120


def _lens(n=N, seed=1, q=(0.4, 0.98)) -> Lens:
    rng = np.random.default_rng(seed)
    shear = rng.normal(0, 0.05, (2, n))
    return Lens(rng.uniform(0.7, 2.5, n), rng.uniform(*q, n), rng.uniform(0, 6, n), *shear)


def test_lines_are_where_rays_land():
    """A ray at any radius of a direction, through the renderer's own deflection and shear."""
    lens = _lens()
    lines = lines_of(lens, DIRECTIONS)
    g1, g2 = (g[:, None] for g in lens.own_shear())
    for radius in (0.1, 1.3, 4.0):
        x, y = radius * np.cos(DIRECTIONS), radius * np.sin(DIRECTIONS)
        bend = sie_deflection(
            *(torch.from_numpy(np.tile(v, (N, 1))) for v in (x, y)),
            theta_E=stack(lens.theta_E)[:, None],
            q=stack(lens.q)[:, None],
        )
        want = [x - bend[0].numpy() - g1 * x - g2 * y, y - bend[1].numpy() - g2 * x + g1 * y]
        got = lines.start + radius * lines.along
        assert_within(got, np.stack(want, -1), 1e-9, f"source plane at {radius} arcsec")


def test_the_critical_curve_is_where_magnification_diverges():
    """Between just inside and just outside the determinant of the mapping changes its sign."""
    lens = _lens()
    lines = lines_of(lens, DIRECTIONS)
    step = 1e-5
    ahead, behind = (lines_of(lens, DIRECTIONS + s) for s in (step, -step))

    def parity(radius):
        across = (ahead.start - behind.start + radius * (ahead.along - behind.along)) / (2 * step)
        along = lines.along
        return np.sign(along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0])

    r = lines.critical[..., None]
    assert (parity(1.001 * r) > 0).all() and (parity(0.999 * r) < 0).all()


def test_points_are_within_a_caustic_and_have_several_images():
    lenstronomy = pytest.importorskip("lenstronomy.LensModel.lens_model")
    solver = pytest.importorskip("lenstronomy.LensModel.Solver.lens_equation_solver")
    lens = _lens(24)
    u = np.random.default_rng(3).random((24, 3))
    x, y = Caustics.of(lens).draw(u)
    model = lenstronomy.LensModel(["SIE", "SHEAR"])
    several = 0
    for i in range(24):
        e = (1 - lens.q[i]) / (1 + lens.q[i])
        kwargs = [
            {
                "theta_E": lens.theta_E[i],
                "e1": e * np.cos(2 * lens.phi[i]),
                "e2": e * np.sin(2 * lens.phi[i]),
            },
            {"gamma1": lens.gamma1[i], "gamma2": lens.gamma2[i]},
        ]
        images = solver.LensEquationSolver(model).image_position_from_source(
            x[i], y[i], kwargs, min_distance=0.02, search_window=9, precision_limit=1e-8
        )
        several += len(images[0]) > 1
    assert several >= 23  # an image too near to the singular centre may be missed


def test_places_are_uniform_in_area():
    """As many in every part of the multiply imaged region as its area says, naked cusps too."""
    for q in (0.75, 0.3):
        n = 20_000
        lens = Lens(np.ones(n), np.full(n, q), np.zeros(n), np.full(n, 0.06), np.zeros(n))
        caustics = Caustics.of(lens[:1])
        rng = np.random.default_rng(5)
        x, y = Caustics.of(lens).draw(rng.random((n, 3)))
        area = float(caustics.areas()[0][0])
        for half in (0.05, 0.1):  # squares around the middle lie within for both
            inside = ((abs(x) < half) & (abs(y) < half)).mean()
            want = (2 * half) ** 2 / area
            assert abs(inside - want) < 4 * np.sqrt(want / n) + 0.01 * want, (q, half)
        assert kstest(np.arctan2(y, x) % np.pi / np.pi, lambda t: t).statistic < 0.2


def test_a_cusp_beyond_the_cut_is_drawn_from_too():
    n = 4000
    lens = Lens(np.ones(n), np.full(n, 0.3), np.zeros(n), np.full(n, 0.1), np.zeros(n))
    caustics = Caustics.of(lens)
    area, astroid = (values[0] for values in caustics.areas())
    assert astroid > 0, "this lens has naked cusps"
    x, _ = caustics.draw(np.random.default_rng(2).random((n, 3)))
    tip = [abs(curve[0, :, 0]).max() for curve in (caustics.astroid, caustics.cut)]
    assert tip[0] > tip[1], "along the major axis"
    beyond = (abs(x) > tip[1]) & (abs(x) < tip[0])
    assert 0 < beyond.mean() < astroid / area


def _scenes(lens: Lens, source: Source, template) -> Scenes:
    zero = np.zeros(len(lens))
    return Scenes(
        theta_E=stack(lens.theta_E), q=stack(lens.q), phi=stack(lens.phi),
        gamma1=stack(lens.gamma1), gamma2=stack(lens.gamma2), center_x=stack(zero),
        center_y=stack(zero), source_x=stack(source.x), source_y=stack(source.y),
        source_phi=stack(source.phi), source_scale=stack(source.scale),
        template=torch.as_tensor(template), flux=stack(np.ones((len(lens), 3))),
        psf_fwhm=stack(np.ones((len(lens), 3))),
    )  # fmt: skip


def _templates(n: int) -> tuple[np.ndarray, np.ndarray]:
    settings = {
        "size": 64, "pixel_scale": 0.06, "hlr_median": 0.3, "hlr_scatter": 0.3,
        "clump_count_mean": 7.0, "clump_flux_fraction_max": 0.5, "psf_fwhm": 0.15,
    }  # fmt: skip
    images = [hybrid_template(generator(f"caustic-{i}"), **settings)[0] for i in range(n)]
    return np.array(images, np.float32), np.array([half_light_radius(i, 0.06) for i in images])


def test_magnification_is_that_of_rays():
    """Clumpy sources anywhere within the caustics: a fair number of all that a plan draws."""
    lens = _lens()
    images, hlr = _templates(N)
    shrink = np.random.default_rng(4).uniform(0.4, 1.2, N)
    caustics = Caustics.of(lens)
    x, y = caustics.draw(np.random.default_rng(6).random((N, 3)))
    source = Source(x, y, np.linspace(0, 6, N), 0.06 * shrink, hlr * shrink)
    grid = Grid(size=80, pixel_scale=0.262, margin=0, tolerance=1e-4)
    want = by_rays(_scenes(lens, source, np.arange(N)), Templates(torch.from_numpy(images)), grid)
    ratio = magnification(caustics, source, images) / want.numpy()
    assert_within(np.median(ratio), 1, 0.004, "median")
    assert np.percentile(abs(ratio - 1), 95) < 0.02
    assert abs(ratio - 1).max() < 0.05
    first_sight = foreseen(caustics, source).magnification / want.numpy()
    assert np.percentile(abs(first_sight - 1), 84) < 0.15


def test_a_row_does_not_depend_on_its_neighbours():
    lens = _lens()
    images, hlr = _templates(8)
    images, hlr = images[np.arange(N) % 8], hlr[np.arange(N) % 8]
    u = np.random.default_rng(8).random((N, 3))

    def of(rows):
        caustics = Caustics.of(lens[rows])
        x, y = caustics.draw(u[rows])
        source = Source(x, y, np.zeros(len(rows)), np.full(len(rows), 0.05), hlr[rows])
        return np.stack([x, y, magnification(caustics, source, images[rows])])

    every, odd = of(np.arange(N)), of(np.arange(1, N, 2))
    assert np.array_equal(every[:, 1::2], odd)


def test_a_source_without_a_lens_is_seen_once():
    lens = Lens(np.full(3, 1e-6), np.full(3, 0.8), np.zeros(3), np.zeros(3), np.zeros(3))
    source = Source(
        np.array([0.5, 1.0, 2.0]), np.zeros(3), np.zeros(3), np.full(3, 0.06), np.full(3, 0.3)
    )
    images, _ = _templates(3)
    assert_ratio(magnification(Caustics.of(lens), source, images), np.ones(3), 0.02, "flux")
    assert_ratio(foreseen(Caustics.of(lens), source).magnification, np.ones(3), 0.01, "first sight")
