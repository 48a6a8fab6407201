"""Deflections: golden against lenstronomy, and what a lens must do whatever its formula."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.Util.param_util import phi_q2_ellipticity

from darkhaloscope.sim.lens import sie_deflection
from darkhaloscope.sim.mapping import source_plane
from darkhaloscope.sim.scene import Scenes
from tolerance import assert_ratio, assert_within

AXIS_RATIOS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_ANGLES = torch.linspace(0, 2 * math.pi, 2001, dtype=torch.float64)[:-1]


def _t(value) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _seen(x, y, *, theta_E=1.3, q=0.7, phi=0.4, gamma1=0.03, gamma2=-0.05):
    """Where points (point,) are seen behind one lens."""
    zero = torch.zeros(1, dtype=torch.float64)
    lens = {"theta_E": theta_E, "q": q, "phi": phi, "gamma1": gamma1, "gamma2": gamma2}
    scene = Scenes(
        **{name: zero + value for name, value in lens.items()},
        center_x=zero, center_y=zero, source_x=zero, source_y=zero, source_phi=zero,
        source_scale=zero + 1, template=zero.long(), flux=zero[:, None], psf_fwhm=zero[:, None] + 1,
    )  # fmt: skip
    beta_x, beta_y = source_plane(scene, x[None], y[None])
    return beta_x[0], beta_y[0]


def _turned(x, y, angle):
    """The points turned counter-clockwise."""
    c, s = math.cos(angle), math.sin(angle)
    return c * x - s * y, s * x + c * y


def _jacobian(q, theta_E, radius, angle=_ANGLES):
    """(kappa, det A) of the bare SIE at polar image positions, by automatic differentiation."""
    x = (radius * torch.cos(angle)).requires_grad_()
    y = (radius * torch.sin(angle)).requires_grad_()
    ax, ay = sie_deflection(x, y, theta_E=_t(theta_E), q=_t(q))
    axx, axy = torch.autograd.grad(ax.sum(), (x, y), retain_graph=True)
    ayx, ayy = torch.autograd.grad(ay.sum(), (x, y))
    return (axx + ayy) / 2, (1 - axx) * (1 - ayy) - axy * ayx


def _area_where(inside) -> float:
    """Area of a star-shaped region: bisect its edge along every direction."""
    low, high = torch.full_like(_ANGLES, 1e-3), torch.full_like(_ANGLES, 20.0)
    for _ in range(45):
        middle = (low + high) / 2
        within = inside(middle)
        low, high = torch.where(within, middle, low), torch.where(within, high, middle)
    return float((low**2).mean() * math.pi)


@pytest.mark.parametrize("theta_E", [0.3, 1.29, 2.5])
@pytest.mark.parametrize("q", [0.3, 0.55, 0.8, 0.95, 1.0])
def test_deflection_is_lenstronomys(theta_E, q):
    axis = np.linspace(-5, 5, 40)  # never through the origin
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    reference = LensModel(["SIE", "SHEAR"])
    for phi, gamma1, gamma2 in product((0.0, 0.7, 2.2), (0.0, 0.06), (0.0, -0.09)):
        e1, e2 = phi_q2_ellipticity(phi, q)
        keywords = [
            {"theta_E": theta_E, "e1": e1, "e2": e2},
            {"gamma1": gamma1, "gamma2": gamma2},
        ]
        want = reference.ray_shooting(x, y, keywords)
        got = _seen(_t(x), _t(y), theta_E=theta_E, q=q, phi=phi, gamma1=gamma1, gamma2=gamma2)
        assert_within(torch.stack(got), np.stack(want), 1e-6, f"{theta_E=} {q=} {phi=} arcsec")


@pytest.mark.parametrize("q", AXIS_RATIOS)
def test_area_of_kappa_above_half_is_pi_theta_E_squared(q):
    """An SIE without sqrt(q) misses by a factor 1/q here."""
    area = _area_where(lambda radius: _jacobian(q, 1.29, radius)[0] > 0.5)
    assert_ratio(area, math.pi * 1.29**2, 1e-5, f"area of kappa > 1/2, {q=}")


@pytest.mark.parametrize("q", AXIS_RATIOS)
def test_critical_curve_encloses_pi_theta_E_squared(q):
    area = _area_where(lambda radius: _jacobian(q, 0.9, radius)[1] < 0)
    assert_ratio(area, math.pi * 0.9**2, 1e-5, f"area inside the critical curve, {q=}")


@pytest.mark.parametrize("q", AXIS_RATIOS)
def test_mean_kappa_inside_the_critical_curve_is_one(q):
    """By Gauss: the flux of the deflection through the curve is twice the mass inside it."""
    theta_E = 1.6
    a, b = theta_E / math.sqrt(q), theta_E * math.sqrt(q)
    x, y = a * torch.cos(_ANGLES), b * torch.sin(_ANGLES)
    ax, ay = sie_deflection(x, y, theta_E=_t(theta_E), q=_t(q))
    flux = (ax * b * torch.cos(_ANGLES) + ay * a * torch.sin(_ANGLES)).mean() * 2 * math.pi
    assert_ratio(float(flux) / 2, math.pi * theta_E**2, 1e-5, f"mean kappa, {q=}")


def test_deflection_has_no_curl():
    """A deflection is a gradient: axy = ayx. A sign or axis mistake in one component breaks it."""
    x, y = (_t(v).requires_grad_() for v in np.random.default_rng(3).normal(0, 1.5, (2, 500)))
    bx, by = _seen(x, y, q=0.5)
    bxy = torch.autograd.grad(bx.sum(), y, retain_graph=True)[0]
    byx = torch.autograd.grad(by.sum(), x)[0]
    assert_within(bxy, byx, 1e-9, "curl")


def test_no_mass_and_no_shear_deflect_nothing():
    x, y = _t(np.random.default_rng(1).normal(0, 2, (2, 300)))
    got = _seen(x, y, theta_E=0.0, gamma1=0.0, gamma2=0.0)
    assert_within(torch.stack(got), torch.stack([x, y]), 1e-15, "identity")


def test_round_limit_is_the_isothermal_sphere():
    x, y = _t(np.random.default_rng(2).normal(0, 2, (2, 300)))
    radius = torch.hypot(x, y)
    for q in (1.0, 1 - 1e-7, 1 - 1e-5):
        got = sie_deflection(x, y, theta_E=_t(1.3), q=_t(q))
        want = torch.stack([1.3 * x / radius, 1.3 * y / radius])
        assert_within(torch.stack(got), want, 1.3 * max(1 - q, 5e-7), f"{q=}")


def test_origin_and_axes_are_finite():
    x, y = _t([0.0, 1e-300, 1.0, 0.0, -1.0]), _t([0.0, 0.0, 0.0, 1.0, 0.0])
    for q in (1e-4, 0.3, 1.0):
        for dtype in (torch.float32, torch.float64):
            ax, ay = sie_deflection(
                x.to(dtype), y.to(dtype), theta_E=_t(1.0).to(dtype), q=_t(q).to(dtype)
            )
            assert bool(torch.isfinite(ax).all() and torch.isfinite(ay).all()), (q, dtype)
            assert float(ax[0]) == 0 and float(ay[0]) == 0


_coordinate = st.floats(-6, 6)


@given(
    x=_coordinate,
    y=_coordinate,
    theta_E=st.floats(0.1, 3),
    q=st.floats(0.3, 1),
    phi=st.floats(-3, 3),
    shear=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
    turn=st.floats(-6, 6),
)
def test_turning_the_coordinates_turns_the_deflection(x, y, theta_E, q, phi, shear, turn):
    if math.hypot(x, y) < 1e-3:  # there the direction itself is ill-conditioned
        return
    g1, g2 = shear
    c2, s2 = math.cos(2 * turn), math.sin(2 * turn)
    lens = {"theta_E": theta_E, "q": q}
    still = _seen(_t([x]), _t([y]), **lens, phi=phi, gamma1=g1, gamma2=g2)
    g1, g2 = c2 * g1 - s2 * g2, s2 * g1 + c2 * g2
    turned = _seen(*_turned(_t([x]), _t([y]), turn), **lens, phi=phi + turn, gamma1=g1, gamma2=g2)
    assert_within(
        torch.stack(turned), torch.stack(_turned(*still, turn)), 1e-8, "turned deflection"
    )


def test_positive_gamma1_stretches_along_x():
    """An image is stretched where less source is seen per step."""
    x, y = _t([1.0, 0.0]), _t([0.0, 1.0])
    bare = {"theta_E": 0.0}
    got = torch.stack(_seen(x, y, **bare, gamma1=0.1, gamma2=0.0))
    assert_within(got, [[0.9, 0], [0, 1.1]], 1e-15, "gamma1")
    got = torch.stack(_seen(x, y, **bare, gamma1=0.0, gamma2=0.1))
    assert_within(got, [[1, -0.1], [-0.1, 1]], 1e-15, "gamma2")
