"""Samples to pixels: golden against GalSim, centred, flux kept, any size of stamp or PSF."""

import galsim
import numpy as np
import pytest
import torch

from darkhaloscope.keys import generator
from darkhaloscope.sim.blur import is_sharp, observe, transform_side
from darkhaloscope.sim.boxes import Boxes
from darkhaloscope.sim.grid import FINE, Grid
from darkhaloscope.sim.hybrid import hybrid_template
from darkhaloscope.sim.psf import Moffat, named
from darkhaloscope.sim.scene import Scenes
from darkhaloscope.units import stamp_center
from tolerance import assert_images_agree, assert_within

SCALE = 0.262
FWHM = (1.5, 1.1, 1.95)


@pytest.fixture(scope="module")
def galaxy():
    image, _ = hybrid_template(
        generator("blur"),
        size=128,
        pixel_scale=0.03,
        hlr_median=0.3,
        hlr_scatter=0.3,
        clump_count_mean=7,
        clump_flux_fraction_max=0.5,
        psf_fwhm=0.15,
    )
    stamp = galsim.Image(image, scale=0.03)
    return galsim.InterpolatedImage(stamp, x_interpolant="linear", flux=1).shift(0.61, -0.83)


def _cells(profile, grid) -> torch.Tensor:
    """Light of a GalSim profile in all fine cells of the grid."""
    n = FINE * grid.full
    light = profile.drawImage(nx=n, ny=n, scale=grid.cell, method="auto", dtype=float)
    return torch.from_numpy(light.array)[None, None]


def _observe(profile, grid, *fwhm, psf=None) -> np.ndarray:
    psf = psf or Moffat()
    zero = torch.zeros(1, dtype=torch.float64)
    lens = ("theta_E", "q", "phi", "gamma1", "gamma2", "center_x", "center_y")
    source = ("source_x", "source_y", "source_phi", "source_scale")
    scene = Scenes(
        **dict.fromkeys((*lens, *source), zero),
        template=zero.long(),
        flux=torch.ones(1, len(fwhm), dtype=torch.float64),
        psf_fwhm=torch.tensor([fwhm], dtype=torch.float64),
    )
    everywhere = Boxes(*(torch.tensor([n]) for n in (0, 0, grid.full)))
    side = int(transform_side(scene, everywhere, grid, psf))
    sharp = bool(is_sharp(scene, grid, psf).any())
    image = observe(_cells(profile, grid), everywhere, scene, grid, psf, side=side, sharp=sharp)
    return image[0].numpy()


def _spot(x, y, sigma=0.2) -> galsim.GSObject:
    """A small Gaussian of unit flux at (x, y) arcsec from the stamp's centre."""
    return galsim.Gaussian(sigma=sigma).shift(x, y)


@pytest.mark.parametrize("psf_includes_pixel", [True, False])
@pytest.mark.parametrize("model", ["moffat", "gaussian"])
@pytest.mark.parametrize("size", [63, 64, 101])
def test_observed_light_is_galsims(galaxy, size, model, psf_includes_pixel):
    grid = Grid(size, SCALE)
    got = _observe(galaxy, grid, *FWHM, psf=named(model, 3.5, psf_includes_pixel))
    for image, fwhm in zip(got, FWHM, strict=True):
        psf = (
            galsim.Moffat(beta=3.5, fwhm=fwhm) if model == "moffat" else galsim.Gaussian(fwhm=fwhm)
        )
        want = galsim.Convolve(galaxy, psf).drawImage(
            nx=size, ny=size, scale=SCALE, method="no_pixel" if psf_includes_pixel else "auto"
        )
        assert_images_agree(image, want.array, 0.003, f"{size} {model} {fwhm}")


def test_the_cells_own_response_is_divided_out(galaxy):
    """A forgotten sinc of the cells shows at 2 % of peak here."""
    smooth = galsim.Convolve(galaxy, galsim.Gaussian(fwhm=0.3))
    got = _observe(smooth, Grid(48, SCALE), 1.1)[0]
    want = galsim.Convolve(smooth, galsim.Moffat(beta=3.5, fwhm=1.1)).drawImage(
        nx=48, ny=48, scale=SCALE, method="no_pixel"
    )
    assert_images_agree(got, want.array, 0.001, "sinc of the cells")


def test_moffat_beta_reaches_the_image(galaxy):
    grid = Grid(48, SCALE)
    got = _observe(galaxy, grid, 1.3, psf=Moffat(2.5))[0]
    want = galsim.Convolve(galaxy, galsim.Moffat(beta=2.5, fwhm=1.3)).drawImage(
        nx=48, ny=48, scale=SCALE, method="no_pixel"
    )
    assert_images_agree(got, want.array, 0.003, "beta 2.5")


@pytest.mark.parametrize("psf_includes_pixel", [True, False])
@pytest.mark.parametrize("size", [32, 33, 63, 64])
def test_a_source_at_the_centre_stays_there(size, psf_includes_pixel):
    """A kernel half a pixel or a pixel off its origin moves the centroid by as much."""
    grid = Grid(size, SCALE)
    image = _observe(_spot(0, 0), grid, 1.2, psf=Moffat(includes_pixel=psf_includes_pixel))[0]
    y, x = np.indices(image.shape)
    centroid = [(image * x).sum() / image.sum(), (image * y).sum() / image.sum()]
    assert_within(centroid, [stamp_center(size)] * 2, 1e-6, "centroid, pixels")


def test_columns_are_x_and_rows_are_y():
    grid = Grid(41, SCALE)
    image = _observe(_spot(5 * SCALE, -3 * SCALE), grid, 1.2)[0]
    assert np.unravel_index(image.argmax(), image.shape) == (20 - 3, 20 + 5)


@pytest.mark.parametrize("fwhm", [1.36, 2.0, 2.5])
@pytest.mark.parametrize("size", [1, 4, 5, 9])
def test_a_psf_larger_than_the_stamp_works(size, fwhm):
    """Seeing above 1.35 arcsec once raised, and so selected the positives by seeing."""
    grid = Grid(size, SCALE)
    got = _observe(_spot(0.1, 0.2), grid, fwhm)[0]
    psf, light = galsim.Moffat(beta=3.5, fwhm=fwhm), galsim.Gaussian(sigma=0.2).shift(0.1, 0.2)
    want = galsim.Convolve(light, psf).drawImage(nx=size, ny=size, scale=SCALE, method="no_pixel")
    assert_images_agree(got, want.array, 0.003, f"{size} pixels, {fwhm} arcsec")


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("model", ["moffat", "gaussian"])
def test_flux_is_kept(model, size):
    grid = Grid(size, SCALE)
    image = _observe(_spot(0.4, -0.2), grid, 1.0, 1.4, psf=named(model, 3.5, True))
    lost = 2e-3 if model == "moffat" else 1e-7  # beta 3.5 wings beyond 8.4 arcsec
    assert_within(image.sum((1, 2)), [1, 1], lost, "flux inside the stamp")


def test_light_in_the_margin_reaches_the_stamp_and_does_not_wrap():
    """A source 3 pixels outside the left edge lights the left edge only."""
    grid = Grid(32, SCALE)
    x = -(stamp_center(32) + 3) * SCALE
    got = _observe(_spot(x, 0), grid, 1.3)[0]
    light = galsim.Gaussian(sigma=0.2).shift(x, 0)
    want = galsim.Convolve(light, galsim.Moffat(beta=3.5, fwhm=1.3)).drawImage(
        nx=32, ny=32, scale=SCALE, method="no_pixel"
    )
    assert_images_agree(got, want.array, 0.001, "source outside")
    assert got[:, -4:].max() < 1e-3 * got[:, :4].max()


@pytest.mark.parametrize("tolerance", [0.0, 1e-7, 0.5, float("nan")])
def test_tolerance_must_be_one_that_can_be_reached(tolerance):
    with pytest.raises(ValueError, match=f"tolerance must lie in .*got {tolerance}"):
        Grid(32, SCALE, tolerance)
