"""Sersic sources and templates: golden against GalSim, flux, wrong input."""

import galsim
import pytest
import torch

from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.psf import Moffat
from darkhaloscope.sim.render import magnification, render
from darkhaloscope.sim.scene import Scenes, stack
from darkhaloscope.sim.sources import Sersics, Templates
from tolerance import assert_images_agree, assert_ratio

SCALE = 0.262
TIGHT = galsim.GSParams(
    folding_threshold=1e-4, maxk_threshold=1e-4, kvalue_accuracy=1e-6, maximum_fft_size=32768
)


def _scene(r_e, theta_E=0.0, **columns) -> Scenes:
    zero = torch.zeros(1, dtype=torch.float64)
    plain = {
        "theta_E": theta_E, "q": 1, "phi": 0, "gamma1": 0, "gamma2": 0, "center_x": 0.07,
        "center_y": -0.11, "source_x": 0, "source_y": 0, "source_phi": 0.6, "source_scale": r_e,
    } | columns  # fmt: skip
    return Scenes(
        **{name: zero + value for name, value in plain.items()},
        template=zero.long(), flux=zero[:, None] + 1, psf_fwhm=zero[:, None] + 1.2,
    )  # fmt: skip


@pytest.mark.parametrize("r_e", [0.15, 0.5, 1.5])
@pytest.mark.parametrize("n", [0.5, 1.0, 2.5, 4.0])
def test_a_sersic_galaxy_is_galsims(n, r_e):
    got = render(_scene(r_e), Sersics(stack([n]), stack([0.5])), Grid(64, SCALE))[0, 0]
    profile = galsim.Sersic(n, half_light_radius=r_e, gsparams=TIGHT)
    profile = profile.shear(q=0.5, beta=0.6 * galsim.radians).shift(0.07, -0.11)
    want = galsim.Convolve(profile, galsim.Moffat(beta=3.5, fwhm=1.2)).drawImage(
        nx=64, ny=64, scale=SCALE, method="no_pixel", dtype=float
    )
    # cells of half a pixel cannot hold the cusp of a small de Vaucouleurs galaxy
    limit = 0.009 if n > 1 and r_e < 0.3 else 0.003
    assert_images_agree(got, want.array, limit, f"{n=} {r_e=}")
    assert_ratio(got.sum(), want.array.sum(), 0.001, f"flux {n=} {r_e=}")


def test_a_sersic_source_is_lensed_as_its_template():
    """The same exponential as a profile and as an image."""
    scale, n = 0.02, 257
    axis = (torch.arange(n).double() - (n - 1) / 2) * scale
    radius = torch.hypot(axis[:, None], axis[None, :]) / 0.25
    image = torch.exp(-1.6783469900166605 * radius)
    templates = Templates((image / image.sum())[None])
    place = {"theta_E": 1.2, "q": 0.7, "gamma1": 0.04, "source_x": 0.15, "source_y": -0.1}
    grid = Grid(64, SCALE, 1e-4)
    want = render(_scene(scale, **place), templates, grid)[0, 0]
    profile = Sersics(stack([1.0]), stack([1.0]), dtype=torch.float64)
    got = render(_scene(0.25, **place), profile, grid)[0, 0]
    assert_images_agree(got, want, 0.005, "lensed exponential")
    gains = [
        float(magnification(_scene(unit, **place), source, grid))
        for unit, source in ((0.25, profile), (scale, templates))
    ]
    assert_ratio(gains[0], gains[1], 0.003, "magnification")


def test_a_source_off_the_stamp_is_dark_and_nothing_breaks():
    scene = _scene(0.2, source_x=200.0)
    image = render(scene, Sersics(stack([1.0]), stack([1.0])), Grid(32, SCALE), Moffat())
    assert image.shape == (1, 1, 32, 32) and float(image.abs().max()) == 0
    far = _scene(0.2, source_x=9.0, source_y=1.0)
    image = render(far, Sersics(stack([1.0]), stack([1.0])), Grid(32, SCALE))
    assert bool(torch.isfinite(image).all()) and float(image.max()) < 1e-3


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.ones(4, 4), r"square, .* or \(template, part, y, x\); got \(4, 4\)"),
        (torch.ones(2, 4, 5), "square"),
        (torch.full((1, 4, 4), float("inf")), "finite"),
        (None, "too many"),
    ],
)
def test_templates_that_are_none_are_refused(images, message):
    if images is None:
        images = torch.zeros(1, 1, 1).expand(200_000, 128, 128)
    with pytest.raises(ValueError, match=message):
        Templates(images)


@pytest.mark.parametrize(("n", "q"), [(0.2, 0.5), (9.0, 0.5), (1.0, 0.0), (1.0, 1.1)])
def test_profiles_beyond_the_formula_are_refused(n, q):
    with pytest.raises(ValueError, match=r"0\.3 <= n <= 8 and 0 < q <= 1"):
        Sersics(stack([n]), stack([q]))
