"""More than an isothermal lens: power laws and companions, golden against lenstronomy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from accuracy import SCALE, scenes, system, template
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.Util.param_util import phi_q2_ellipticity

from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.lens import epl_deflection, sie_deflection
from darkhaloscope.sim.mapping import einstein_radius, source_plane
from darkhaloscope.sim.render import magnification, render
from darkhaloscope.sim.scene import Deflectors, Scenes, stack
from darkhaloscope.sim.sources import Templates
from tolerance import assert_images_agree, assert_ratio, assert_within

_AXIS = np.linspace(-4, 4, 41) + 0.013  # never through a centre
X, Y = (torch.from_numpy(a.ravel()) for a in np.meshgrid(_AXIS, _AXIS))


def _ellipticity(phi, q):
    e1, e2 = phi_q2_ellipticity(phi, q)
    return {"e1": e1, "e2": e2}


def _epl(rows: Scenes, row: int, k: int) -> dict:
    """lenstronomy's keywords of a deflector."""
    bend = rows.deflectors()
    return {
        "theta_E": float(bend.theta_E[row, k]), "gamma": float(bend.slope[row, k]),
        "center_x": float(bend.x[row, k]), "center_y": float(bend.y[row, k]),
        **_ellipticity(float(bend.phi[row, k]), float(bend.q[row, k])),
    }  # fmt: skip


@pytest.mark.parametrize("slope", [1.3, 1.8, 2.0, 2.2, 2.7])
@pytest.mark.parametrize("q", [0.2, 0.5, 0.8, 1.0])
def test_power_law_is_lenstronomys(q, slope):
    got = epl_deflection(X, Y, theta_E=stack(1.4), q=stack(q), slope=stack(slope))
    want = LensModel(["EPL"]).alpha(
        X.numpy(), Y.numpy(), [{"theta_E": 1.4, "gamma": slope, **_ellipticity(0.0, q)}]
    )
    assert_within(torch.stack(got), np.stack(want), 1e-5, f"{q=} {slope=}, arcsec")


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_a_power_law_of_slope_two_is_the_isothermal_ellipsoid(q):
    lens = {"theta_E": stack(1.1), "q": stack(q)}
    got = epl_deflection(X, Y, slope=stack(2.0), **lens)
    assert_within(torch.stack(got), torch.stack(sie_deflection(X, Y, **lens)), 1e-6, f"{q=}")


def _with_companions() -> Scenes:
    """Three rows: two companions, one companion and one without mass, and power laws."""
    plain = scenes([system(i)["scene"] for i in (3, 10, 17)])
    return replace(
        plain,
        slope=stack([2.0, 2.0, 2.15]),
        companions=Deflectors(
            theta_E=stack([[0.4, 0.2], [0.5, 0.0], [0.3, 0.25]]),
            q=stack([[0.7, 0.9], [0.6, 1.0], [0.8, 0.5]]),
            phi=stack([[0.3, 1.0], [2.0, 0.0], [1.2, 0.4]]),
            slope=stack([[2.0, 2.0], [2.0, 2.0], [1.9, 2.0]]),
            x=stack([[1.2, -0.9], [0.6, 0.0], [-1.5, 0.3]]),
            y=stack([[0.5, 1.4], [-1.7, 0.0], [0.9, -2.0]]),
        ),
    )


@pytest.mark.parametrize("row", [0, 1, 2])
def test_companions_bend_light_as_lenstronomys(row):
    rows = _with_companions()
    s = rows[row : row + 1]
    names, keywords = [], []
    for k in range(3):
        names.append("EPL")
        keywords.append(_epl(rows, row, k))
    keywords.append({"gamma1": float(s.gamma1[0]), "gamma2": float(s.gamma2[0])})
    want = LensModel([*names, "SHEAR"]).ray_shooting(X.numpy(), Y.numpy(), keywords)
    got = torch.stack(source_plane(s, X[None], Y[None]))[:, 0]
    assert_within(got, np.stack(want), 1e-5, f"{row=}, arcsec")


def test_a_companion_is_seen_in_the_image():
    rows = _with_companions()
    sources = Templates(torch.from_numpy(template("companions"))[None])
    grid = Grid(64, SCALE)
    together = render(rows, sources, grid)
    alone = torch.cat([render(rows[i : i + 1], sources, grid) for i in range(3)])
    assert torch.equal(together, alone)
    without = render(replace(rows, companions=None), sources, grid)
    assert float((together - without).abs().amax((1, 2, 3)).min()) > 0.05 * float(without.max())
    far = replace(rows, companions=replace(rows.companions, theta_E=0 * rows.companions.theta_E))
    for row in range(3):
        what = "companions without mass"
        assert_images_agree(render(far, sources, grid)[row, 0], without[row, 0], 3e-4, what)


def test_every_image_of_a_shallow_lens_lies_in_its_box():
    """A shallower lens bends more further out: light must not be lost at the edge of the box."""
    plain = scenes([system(i)["scene"] | {"theta_E": 1.5, "q": 0.6} for i in range(6)])
    sources = Templates(torch.from_numpy(template("shallow"))[None])
    for slope in (1.4, 1.7, 2.4):
        rows = replace(plain, slope=torch.full_like(plain.q, slope))
        grid = Grid(160, 0.2, margin=0)
        bend = rows.deflectors()
        axis = (torch.arange(480) - 239.5).double() * (0.2 / 3)
        x, y = axis[None, None, :] - rows.center_x[:, None, None], axis[None, :, None]
        x, y = torch.broadcast_tensors(x, y - rows.center_y[:, None, None])
        u, v = source_plane(rows, x, y)
        source = sources.images[0].numpy()
        unit, middle = rows.source_scale[:, None, None], (len(source) - 1) / 2
        u, v = (u - rows.source_x[:, None, None]), (v - rows.source_y[:, None, None])
        inside = torch.hypot(u, v) < middle * unit * 0.7
        lit = render(rows, sources, grid)[:, 0] > 1e-9
        # every third-of-a-pixel ray that sees the source falls on a pixel that shines
        seen = inside.unflatten(2, (160, 3)).unflatten(1, (160, 3)).any(4).any(2)
        missed = (seen & ~lit).sum()
        assert int(missed) == 0, (slope, int(missed), bend.slope[:, 0])


def test_einstein_radius_is_where_the_mean_convergence_is_one():
    rows = replace(scenes([system(i)["scene"] for i in range(8)]), slope=None)
    assert_ratio(
        einstein_radius(replace(rows, q=torch.ones_like(rows.q))), rows.theta_E, 1e-4, "SIS"
    )
    for slope in (1.7, 2.0, 2.3):
        steep = replace(rows, slope=torch.full_like(rows.q, slope), q=torch.ones_like(rows.q))
        assert_ratio(einstein_radius(steep), rows.theta_E, 1e-4, f"round, {slope=}")
    together = _with_companions()
    angle = (np.arange(720) + 0.5) * math.pi / 360
    edges = np.linspace(0, 6, 3001)
    middle, area = (edges[1:] + edges[:-1]) / 2, math.pi * np.diff(edges**2)
    x, y = middle[:, None] * np.cos(angle), middle[:, None] * np.sin(angle)
    for row in range(3):
        keywords = [_epl(together, row, k) for k in range(3)]
        kappa = LensModel(3 * ["EPL"]).kappa(x.ravel(), y.ravel(), keywords).reshape(x.shape)
        inside = np.cumsum(kappa.mean(1) * area) / (math.pi * edges[1:] ** 2)
        want = edges[1:][inside > 1][-1]
        got = float(einstein_radius(together[row : row + 1])[0])
        assert_ratio(got, want, 0.005, f"{row=}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slope": [2.0, 3.0, 2.0]}, "slope must lie between 1 and 3; row 1"),
        ({"slope": [2.0, 2.0, math.nan]}, "slope must be finite; row 2"),
        ({"psf_e1": [[0.8], [0.9], [0.1]], "psf_e2": [[0.0], [0.9], [0.1]]}, "unit circle; row 1"),
    ],
)
def test_lenses_and_psfs_without_an_answer_are_refused(change, message):
    rows = replace(_with_companions(), **{name: stack(values) for name, values in change.items()})
    sources = Templates(torch.from_numpy(template("refused"))[None])
    with pytest.raises(ValueError, match=message):
        render(rows, sources, Grid(32, SCALE))


def test_a_companion_without_an_answer_is_refused():
    rows = _with_companions()
    sources = Templates(torch.from_numpy(template("refused"))[None])
    wrong = replace(rows.companions, q=stack([[0.5, 1.0], [0.5, 1.2], [0.5, 1.0]]))
    with pytest.raises(ValueError, match=r"q must lie in \(0, 1\].*row 1"):
        magnification(replace(rows, companions=wrong), sources, Grid(32, SCALE))
    lost = replace(rows.companions, x=stack([[0.5, 1.0], [0.5, 1.2], [math.inf, 1.0]]))
    with pytest.raises(ValueError, match="x must be finite; row 2"):
        render(replace(rows, companions=lost), sources, Grid(32, SCALE))
