"""The renderer: golden against lenstronomy and GalSim, flux, symmetry, order and wrong scenes."""

import dataclasses
import math

import galsim
import numpy as np
import pytest
import torch
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.Util.param_util import phi_q2_ellipticity
from scipy.ndimage import map_coordinates

from darkhaloscope.keys import generator
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.hybrid import hybrid_template
from darkhaloscope.sim.psf import Gaussian, Moffat
from darkhaloscope.sim.rays import View
from darkhaloscope.sim.render import magnification, render
from darkhaloscope.sim.scene import Scenes
from darkhaloscope.sim.sources import Templates
from tolerance import assert_images_agree, assert_ratio, assert_within

SCALE = 0.262
TEMPLATE_SCALE = 0.03


@pytest.fixture(scope="module")
def templates() -> Templates:
    """Three clumpy galaxies, each of its own shape, float64."""
    images = [
        hybrid_template(
            generator(f"render-{i}"),
            size=96,
            pixel_scale=TEMPLATE_SCALE,
            hlr_median=0.3,
            hlr_scatter=0.2,
            clump_count_mean=7,
            clump_flux_fraction_max=0.5,
            psf_fwhm=0.15,
        )[0]
        for i in range(3)
    ]
    return Templates(torch.from_numpy(np.array(images)))


def draw(n: int, seed: int = 11) -> Scenes:
    """Scenes like those of a plan: sources within 0.8 theta_E, hosts a little off centre."""
    rng = np.random.default_rng(seed)
    theta_E = rng.uniform(0.7, 1.9, n)
    radius, angle = 0.8 * theta_E * np.sqrt(rng.random(n)), rng.uniform(0, 2 * math.pi, n)
    columns = {
        "theta_E": theta_E,
        "q": rng.uniform(0.4, 1, n),
        "phi": rng.uniform(-3, 3, n),
        "gamma1": rng.normal(0, 0.05, n),
        "gamma2": rng.normal(0, 0.05, n),
        "center_x": rng.uniform(-0.2, 0.2, n),
        "center_y": rng.uniform(-0.2, 0.2, n),
        "source_x": radius * np.cos(angle),
        "source_y": radius * np.sin(angle),
        "source_phi": rng.uniform(0, 6, n),
        "source_scale": TEMPLATE_SCALE * rng.uniform(0.6, 1, n),
        "template": rng.integers(0, 3, n),
        "flux": rng.uniform(0.1, 2, (n, 3)),
        "psf_fwhm": rng.uniform(1, 1.9, (n, 3)),
    }
    return Scenes(**{name: torch.as_tensor(values) for name, values in columns.items()})


def change(scenes: Scenes, **columns) -> Scenes:
    """The scenes with some columns replaced; a plain number fills the column."""
    filled = {
        name: torch.full_like(getattr(scenes, name), value)
        if isinstance(value, (int, float))
        else torch.as_tensor(value)
        for name, value in columns.items()
    }
    return dataclasses.replace(scenes, **filled)


def lenstronomy_lens(scenes: Scenes, row: int) -> tuple[LensModel, list[dict]]:
    s = scenes[row]
    e1, e2 = phi_q2_ellipticity(float(s.phi), float(s.q))
    center = {"center_x": float(s.center_x), "center_y": float(s.center_y)}
    shear = {"gamma1": float(s.gamma1), "gamma2": float(s.gamma2)}
    return LensModel(["SIE", "SHEAR"]), [
        {"theta_E": float(s.theta_E), "e1": e1, "e2": e2, **center},
        {**shear, "ra_0": center["center_x"], "dec_0": center["center_y"]},
    ]


def brute_force(scenes: Scenes, row: int, templates, size: int, fine: int = 16):
    """Bands of a row and its magnification: lenstronomy's rays, `fine` a pixel; GalSim's PSF."""
    s, margin = scenes[row], 4
    n, step = (size + 2 * margin) * fine, SCALE / fine
    axis = (np.arange(n) - (n - 1) / 2) * step
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    model, keywords = lenstronomy_lens(scenes, row)
    beta = model.ray_shooting(x, y, keywords)
    dx = beta[0] - float(s.center_x) - float(s.source_x)
    dy = beta[1] - float(s.center_y) - float(s.source_y)
    c, w = math.cos(float(s.source_phi)), math.sin(float(s.source_phi))
    template = templates.images[int(s.template)].numpy()
    middle = (len(template) - 1) / 2
    u, v = (c * dx + w * dy) / float(s.source_scale), (c * dy - w * dx) / float(s.source_scale)
    value = map_coordinates(template, [v + middle, u + middle], order=1)
    light = value.reshape(n, n) * (step / float(s.source_scale)) ** 2
    profile = galsim.InterpolatedImage(
        galsim.Image(light, scale=step), x_interpolant="linear", normalization="flux"
    )
    images = np.array(
        [
            galsim.Convolve(profile, galsim.Moffat(beta=3.5, fwhm=float(fwhm)))
            .drawImage(nx=size, ny=size, scale=SCALE, method="no_pixel", dtype=float)
            .array
            * float(flux)
            for fwhm, flux in zip(s.psf_fwhm, s.flux, strict=True)
        ]
    )
    return images, light.sum()


def unlensed_by_galsim(scenes: Scenes, row: int, templates, size: int) -> np.ndarray:
    """The r image of a source without lens, drawn by GalSim alone."""
    s = scenes[row]
    stamp = galsim.Image(templates.images[int(s.template)].numpy(), scale=float(s.source_scale))
    galaxy = galsim.InterpolatedImage(stamp, x_interpolant="linear", flux=float(s.flux[1]))
    galaxy = galaxy.rotate(float(s.source_phi) * galsim.radians)
    galaxy = galaxy.shift(float(s.center_x + s.source_x), float(s.center_y + s.source_y))
    psf = galsim.Moffat(beta=3.5, fwhm=float(s.psf_fwhm[1]))
    return galsim.Convolve(galaxy, psf).drawImage(
        nx=size, ny=size, scale=SCALE, method="no_pixel", dtype=float
    ).array  # fmt: skip


# --- golden


@pytest.fixture(scope="module")
def reference(templates):
    scenes = draw(14)
    size = 40
    found = [brute_force(scenes, row, templates, size) for row in range(len(scenes))]
    images, gains = zip(*found, strict=True)
    return scenes, images, gains, size


def test_images_are_those_of_lenstronomy_rays_and_galsim_psf(templates, reference):
    scenes, wanted, _, size = reference
    got = render(scenes, templates, Grid(size, SCALE, 1e-4))
    for row, want in enumerate(wanted):
        for band in range(3):
            assert_images_agree(got[row, band], want[band], 0.005, f"{row=} {band=}")


def test_the_default_supersampling_is_within_a_percent(templates, reference):
    scenes, wanted, _, size = reference
    got = render(scenes, templates, Grid(size, SCALE)).numpy()
    for row, want in enumerate(wanted):
        for band in range(3):
            assert_images_agree(got[row, band], want[band], 0.01, f"{row=} {band=}")


@pytest.mark.filterwarnings(
    "ignore:.axes. should not be .None.:DeprecationWarning"
)  # lenstronomy's
@pytest.mark.parametrize("row", [0, 5])
def test_image_is_lenstronomys_image_model(templates, row):
    """All of lenstronomy. INTERPOL wants flux per arcsec**2: unit-flux pixels over scale**2."""
    size, fine, scenes = 33, 5, draw(6, seed=3)
    s = scenes[row]
    half = (size - 1) / 2 * SCALE
    data = ImageData(
        image_data=np.zeros((size, size)),
        ra_at_xy_0=-half,
        dec_at_xy_0=-half,
        transform_pix2angle=np.eye(2) * SCALE,
    )
    fwhm = float(s.psf_fwhm[1])
    kernel = galsim.Moffat(beta=3.5, fwhm=fwhm).drawImage(
        nx=251, ny=251, scale=SCALE / fine, method="no_pixel", dtype=float
    )
    psf = PSF("PIXEL", kernel_point_source=kernel.array, point_source_supersampling_factor=fine)
    model, keywords = lenstronomy_lens(scenes, row)
    light = {
        "image": templates.images[int(s.template)].numpy() / float(s.source_scale) ** 2,
        "amp": float(s.flux[1]),
        "center_x": float(s.center_x + s.source_x),
        "center_y": float(s.center_y + s.source_y),
        "phi_G": float(s.source_phi),
        "scale": float(s.source_scale),
    }
    image_model = ImageModel(
        data,
        psf,
        lens_model_class=model,
        source_model_class=LightModel(["INTERPOL"]),
        kwargs_numerics={
            "supersampling_factor": fine,
            "supersampling_convolution": True,
            "point_source_supersampling_factor": fine,
            "supersampling_kernel_size": None,  # its default, 5 pixels, costs 1 % of peak
        },
    )
    image = image_model.image(keywords, [light])
    got = render(
        scenes[row : row + 1], templates, Grid(size, SCALE, 1e-4), Moffat(includes_pixel=False)
    )
    assert_images_agree(got[0, 1], image, 0.004, f"lenstronomy ImageModel, {row=}")


# --- no lens, and flux


def test_no_lens_shows_the_unlensed_source(templates):
    scenes = change(draw(6), theta_E=0.0, gamma1=0.0, gamma2=0.0)
    for size in (40, 41):
        got = render(scenes, templates, Grid(size, SCALE, 1e-4))
        for row in range(len(scenes)):
            want = unlensed_by_galsim(scenes, row, templates, size)
            assert_images_agree(got[row, 1], want, 0.003, f"unlensed {row=} {size=}")


def test_unlensed_flux_is_the_input_flux_whatever_the_size(templates):
    """Taking unit-flux pixels for surface brightness loses a factor scale**2, 1111 at 0.03."""
    scenes = change(
        draw(6), theta_E=0.0, gamma1=0.0, gamma2=0.0,
        source_scale=np.array([0.015, 0.02, 0.03, 0.045, 0.06, 0.1]),
    )  # fmt: skip
    images = render(scenes, templates, Grid(80, SCALE, 1e-4), Gaussian())
    assert_ratio(images.sum((-2, -1)), scenes.flux, 0.003, "flux of an unlensed source")


def test_arc_flux_is_magnification_times_source_flux(templates):
    scenes, grid = draw(10, seed=4), Grid(80, SCALE)
    images = render(scenes, templates, grid, Gaussian())
    gain = magnification(scenes, templates, grid)
    assert float(gain.min()) > 1.5
    assert_ratio(images.sum((-2, -1)), gain[:, None] * scenes.flux, 0.001, "arc flux")


def test_magnification_is_that_of_lenstronomys_rays(templates, reference):
    scenes, _, gains, size = reference
    fine = Grid(size, SCALE, 1e-4, margin=4)
    assert_ratio(magnification(scenes, templates, fine), gains, 0.002, "magnification")
    coarse = Grid(size, SCALE, 4e-3, margin=4)
    assert_ratio(magnification(scenes, templates, coarse), gains, 0.02, "magnification, 4 a pixel")


def test_a_far_point_is_magnified_by_the_isothermal_sphere(templates):
    """An SIS at beta magnifies by 1 + theta_E/beta outside its caustic: here 1 + 1/3."""
    scenes = change(
        draw(1), theta_E=1.0, q=1.0, gamma1=0.0, gamma2=0.0, source_x=3.0, source_y=0.0,
        source_scale=0.01, center_x=0.0, center_y=0.0,
    )  # fmt: skip
    gain = magnification(scenes, templates, Grid(64, SCALE, 1e-4))
    assert_ratio(gain, [4 / 3], 0.005, "SIS magnification")


def test_no_image_of_a_compact_source_is_missed_near_the_deflector():
    """Counter images lie where neighbouring rays part; six times as many rays find them all."""
    n, rng = 200, np.random.default_rng(5)
    line = torch.exp(-0.5 * ((torch.arange(32, dtype=torch.float64) - 15.5) / 5) ** 2)
    compact = Templates((torch.outer(line, line) / line.sum() ** 2)[None])
    theta_E = torch.from_numpy(rng.uniform(0.6, 2.4, n))
    beta = theta_E * torch.from_numpy(rng.uniform(0.3, 0.97, n))
    angle = torch.from_numpy(rng.uniform(0, 2 * math.pi, n))
    scenes = change(
        draw(n), theta_E=theta_E, template=0, source_scale=0.05 / 5,
        source_x=beta * torch.cos(angle), source_y=beta * torch.sin(angle),
    )  # fmt: skip
    want = magnification(scenes, compact, Grid(64 * 6, SCALE / 6, 1e-5, margin=16 * 6))
    got = magnification(scenes, compact, Grid(64, SCALE))
    assert_ratio(got, want, 0.03, "magnification")


def test_brightness_is_conserved_along_rays(templates):
    """Lensing moves light and never changes surface brightness."""
    scenes, grid = draw(8), Grid(120, 0.1)
    (light,) = View.of(scenes, templates, grid).fine_light()
    peak = light.amax((-2, -1)) / (0.1 / 2) ** 2
    source = templates.images[scenes.template].amax((-2, -1)) / scenes.source_scale**2
    assert bool((peak <= source * (1 + 1e-9)).all())
    assert bool((peak > 0.8 * source).all())


# --- templates, bands, symmetry


def test_the_second_render_shows_the_second_template(templates):
    """lenstronomy's INTERPOL keeps the first image for ever; nothing here may."""
    grid, first = Grid(40, SCALE, 1e-4), change(draw(1), theta_E=0.0, gamma1=0.0, gamma2=0.0)
    for index in (0, 1, 2, 0):
        scenes = change(first, template=index)
        got = render(scenes, templates, grid)[0, 1]
        want = unlensed_by_galsim(scenes, 0, templates, 40)
        assert_images_agree(got, want, 0.003, f"template {index}")
    replaced = Templates(templates.images.flip(0))
    got = render(change(first, template=0), replaced, grid)[0, 1]
    want = unlensed_by_galsim(change(first, template=2), 0, templates, 40)
    assert_images_agree(got, want, 0.003, "another bank")


def test_parts_of_a_galaxy_are_rendered_as_each_of_them_alone(templates):
    """Two parts of other colours, one of them a bulge, add up; a share may be below zero."""
    line = torch.exp(-0.5 * ((torch.arange(96, dtype=torch.float64) - 47.5) / 3) ** 2)
    bulge = (torch.outer(line, line) / line.sum() ** 2)[None]
    both = Templates(torch.stack([templates.images[:1], bulge], dim=1))
    scenes, grid = change(draw(12), template=0), Grid(48, SCALE, 1e-4)
    shares = torch.tensor([[1.2, -0.2], [1.0, 0.0], [0.7, 0.3]], dtype=torch.float64)
    got = render(change(scenes, shares=shares.expand(12, 3, 2)), both, grid)
    alone = [render(scenes, Templates(images), grid) for images in (templates.images[:1], bulge)]
    want = alone[0] * shares[:, 0, None, None] + alone[1] * shares[:, 1, None, None]
    assert_images_agree(got, want, 1e-3, "two parts")
    rows = change(scenes, shares=shares.expand(12, 3, 2))
    assert torch.equal(render(rows[3:4], both, grid)[0], got[3])


def test_shares_go_with_parts(templates):
    both = Templates(torch.stack([templates.images, templates.images], dim=1))
    scenes, grid = draw(2), Grid(32, SCALE)
    with pytest.raises(ValueError, match=r"2 parts must be \(2, 3, 2\), got None"):
        render(scenes, both, grid)
    with pytest.raises(ValueError, match=r"1 parts must be None, got \(2, 3, 2\)"):
        render(change(scenes, shares=torch.ones(2, 3, 2)), templates, grid)


def test_rows_of_one_batch_have_their_own_template(templates):
    grid, one = Grid(40, SCALE), draw(1)
    three = one[[0, 0, 0]]
    got = render(change(three, template=torch.tensor([2, 0, 1])), templates, grid)
    for row, index in enumerate((2, 0, 1)):
        assert torch.equal(got[row], render(change(one, template=index), templates, grid)[0])
    assert float((got[0] - got[1]).abs().max()) > 0.02 * float(got.max())


def test_bands_have_their_own_flux_and_psf(templates):
    scenes = change(draw(1), flux=[[1.0, 2.0, 0.0]], psf_fwhm=[[1.2, 1.2, 1.2]])
    image = render(scenes, templates, Grid(40, SCALE))[0]
    assert_within(image[1], 2 * image[0], 1e-12, "twice the flux")
    assert not image[2].any()
    blurred = render(change(scenes, psf_fwhm=[[1.2, 1.8, 1.2]]), templates, Grid(40, SCALE))[0]
    assert torch.equal(blurred[0], image[0])
    assert float(blurred[1].max()) < 0.9 * float(image[1].max())


@pytest.mark.parametrize("size", [40, 41])
def test_turning_the_scene_turns_the_image(templates, size):
    scenes, grid = draw(8, seed=6), Grid(size, SCALE)
    turned = change(
        scenes,
        phi=scenes.phi + math.pi / 2,
        gamma1=-scenes.gamma1,
        gamma2=-scenes.gamma2,
        center_x=-scenes.center_y,
        center_y=scenes.center_x,
        source_x=-scenes.source_y,
        source_y=scenes.source_x,
        source_phi=scenes.source_phi + math.pi / 2,
    )
    still, got = render(scenes, templates, grid), render(turned, templates, grid)
    for row in range(len(scenes)):
        for band in range(3):
            want = torch.rot90(still[row, band], -1)
            assert_images_agree(got[row, band], want, 1e-6, f"quarter turn of {row=}")


def test_moving_the_lens_by_a_pixel_moves_the_image_by_a_pixel(templates):
    scenes, grid = draw(6), Grid(48, SCALE)
    still = render(scenes, templates, grid)
    moved = render(
        change(scenes, center_x=scenes.center_x + SCALE, center_y=scenes.center_y - 2 * SCALE),
        templates,
        grid,
    )
    for row in range(len(scenes)):
        assert_images_agree(moved[row, :, :-2, 1:], still[row, :, 2:, :-1], 1e-4, f"moved {row=}")


def test_the_lens_stands_at_its_host_to_a_part_of_a_pixel(templates):
    """The light of a round ring is centred on the mass centre, wherever it lies in its pixel."""
    for size in (47, 48):
        x, y = 0.37 * SCALE, -0.81 * SCALE
        scenes = change(
            draw(1), theta_E=1.3, q=1.0, gamma1=0.0, gamma2=0.0, center_x=x, center_y=y,
            source_x=0.0, source_y=0.0, source_scale=0.03,
        )  # fmt: skip
        round_source = torch.exp(-((torch.arange(96.0).double() - 47.5) ** 2) / 200)
        template = (round_source[:, None] * round_source[None, :])[None]
        one = Templates(template / template.sum())
        image = render(change(scenes, template=0), one, Grid(size, SCALE))
        image = image[0, 1].numpy()
        rows, columns = (np.indices(image.shape) - (size - 1) / 2) * SCALE
        centroid = [(image * columns).sum() / image.sum(), (image * rows).sum() / image.sum()]
        assert_within(centroid, [x, y], 0.002, f"ring centre, {size} pixels")


# --- order, batch, precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_does_not_depend_on_its_batch(templates, dtype):
    scenes, grid, bank = draw(19), Grid(31, SCALE), Templates(templates.images.to(dtype))
    together = render(scenes, bank, grid)
    assert together.dtype == dtype and together.shape == (19, 3, 31, 31)
    order = torch.from_numpy(np.random.default_rng(0).permutation(19))
    assert torch.equal(render(scenes[order], bank, grid), together[order])
    alone = torch.cat([render(scenes[i : i + 1], bank, grid) for i in range(19)])
    assert torch.equal(alone, together)
    assert torch.equal(render(scenes[3:10], bank, grid), together[3:10])
    gain = magnification(scenes, bank, grid)
    assert torch.equal(magnification(scenes[order], bank, grid), gain[order])


def test_single_precision_agrees_with_double(templates):
    scenes, grid = draw(12, seed=8), Grid(64, SCALE)
    double = render(scenes, templates, grid)
    single = render(scenes, Templates(templates.images.float()), grid)
    for row in range(len(scenes)):
        for band in range(3):
            assert_images_agree(single[row, band], double[row, band], 1e-4, f"{row=} {band=}")


def test_no_rows_give_no_images(templates):
    nothing = draw(2)[:0]
    assert render(nothing, templates, Grid(40, SCALE)).shape == (0, 3, 40, 40)
    assert magnification(nothing, templates, Grid(40, SCALE)).shape == (0,)


# --- wrong scenes


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("q", 0.0, r"q must lie in \(0, 1\]; pass minor/major; row 2 does not"),
        ("q", 1.25, r"q must lie in \(0, 1\]; pass minor/major; row 2 does not"),
        ("q", -0.5, r"q must lie in .*row 2"),
        ("theta_E", -0.1, "theta_E must be >= 0 arcsec; row 2"),
        ("source_scale", 0.0, "source_scale must be > 0 arcsec; row 2"),
        ("psf_fwhm", 0.0, "psf_fwhm must be > 0 arcsec; row 2"),
        ("template", 3, r"template must lie in \[0, 3\); row 2"),
        ("template", -1, r"template must lie in \[0, 3\); row 2"),
        *(
            (name, bad, f"{name} must be finite; row 2")
            for name in ("theta_E", "phi", "gamma1", "center_y", "source_x", "flux", "psf_fwhm")
            for bad in (math.nan, math.inf)
        ),
    ],
)
def test_a_scene_without_an_answer_is_refused(templates, name, value, message):
    scenes = draw(4)
    column = getattr(scenes, name).clone()
    column.view(4, -1)[2, -1] = value
    broken = change(scenes, **{name: column})
    with pytest.raises(ValueError, match=message):
        render(broken, templates, Grid(32, SCALE))
    with pytest.raises(ValueError, match=message):
        magnification(broken, templates, Grid(32, SCALE))
