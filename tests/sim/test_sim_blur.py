"""Samples to pixels: golden against GalSim, centred, flux kept, any size of stamp or PSF."""

import math

import galsim
import numpy as np
import pytest
import torch

from darkhaloscope.keys import generator
from darkhaloscope.sim.blur import observe, to_cells
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.light import hybrid_template
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


def _samples(profile, grid) -> torch.Tensor:
    n = len(grid.axis())
    brightness = profile.drawImage(nx=n, ny=n, scale=grid.step, method="sb", dtype=float)
    return torch.from_numpy(brightness.array * grid.step**2)[None, None]


def _observe(samples, grid, *fwhm, **psf) -> np.ndarray:
    cells = to_cells(samples, grid)
    return observe(cells, torch.tensor([fwhm], dtype=torch.float64), grid, **psf)[0].numpy()


def _spot(grid, x, y, sigma=0.2) -> torch.Tensor:
    """A small Gaussian of unit flux at (x, y) arcsec from the stamp's centre."""
    axis = grid.axis()
    along_x = torch.exp(-(((axis - x) / sigma) ** 2) / 2)
    along_y = torch.exp(-(((axis - y) / sigma) ** 2) / 2)
    light = along_y[:, None] * along_x[None, :]
    return (light / light.sum())[None, None]


@pytest.mark.parametrize("psf_includes_pixel", [True, False])
@pytest.mark.parametrize("model", ["moffat", "gaussian"])
@pytest.mark.parametrize("size", [63, 64, 101])
def test_observed_light_is_galsims(galaxy, size, model, psf_includes_pixel):
    grid = Grid(size, SCALE)
    got = _observe(
        _samples(galaxy, grid), grid, *FWHM, psf_model=model, psf_includes_pixel=psf_includes_pixel
    )
    for image, fwhm in zip(got, FWHM, strict=True):
        psf = (
            galsim.Moffat(beta=3.5, fwhm=fwhm) if model == "moffat" else galsim.Gaussian(fwhm=fwhm)
        )
        want = galsim.Convolve(galaxy, psf).drawImage(
            nx=size, ny=size, scale=SCALE, method="no_pixel" if psf_includes_pixel else "auto"
        )
        assert_images_agree(image, want.array, 0.003, f"{size} {model} {fwhm}")


@pytest.mark.parametrize("supersampling", [2, 4, 6, 8])
def test_every_supersampling_is_galsims(galaxy, supersampling):
    """Binning is divided out: a forgotten Dirichlet kernel shows at 2 % of peak here."""
    smooth = galsim.Convolve(galaxy, galsim.Gaussian(fwhm=0.3))
    grid = Grid(48, SCALE, supersampling)
    got = _observe(_samples(smooth, grid), grid, 1.1)[0]
    want = galsim.Convolve(smooth, galsim.Moffat(beta=3.5, fwhm=1.1)).drawImage(
        nx=48, ny=48, scale=SCALE, method="no_pixel"
    )
    assert_images_agree(got, want.array, 0.001, f"{supersampling=}")


def test_moffat_beta_reaches_the_image(galaxy):
    grid = Grid(48, SCALE)
    got = _observe(_samples(galaxy, grid), grid, 1.3, moffat_beta=2.5)[0]
    want = galsim.Convolve(galaxy, galsim.Moffat(beta=2.5, fwhm=1.3)).drawImage(
        nx=48, ny=48, scale=SCALE, method="no_pixel"
    )
    assert_images_agree(got, want.array, 0.003, "beta 2.5")


@pytest.mark.parametrize("psf_includes_pixel", [True, False])
@pytest.mark.parametrize("size", [32, 33, 63, 64])
def test_a_source_at_the_centre_stays_there(size, psf_includes_pixel):
    """A kernel half a pixel or a pixel off its origin moves the centroid by as much."""
    grid = Grid(size, SCALE)
    image = _observe(_spot(grid, 0, 0), grid, 1.2, psf_includes_pixel=psf_includes_pixel)[0]
    y, x = np.indices(image.shape)
    centroid = [(image * x).sum() / image.sum(), (image * y).sum() / image.sum()]
    assert_within(centroid, [stamp_center(size)] * 2, 1e-6, "centroid, pixels")


def test_columns_are_x_and_rows_are_y():
    grid = Grid(41, SCALE)
    image = _observe(_spot(grid, 5 * SCALE, -3 * SCALE), grid, 1.2)[0]
    assert np.unravel_index(image.argmax(), image.shape) == (20 - 3, 20 + 5)


@pytest.mark.parametrize("fwhm", [1.36, 2.0, 2.5])
@pytest.mark.parametrize("size", [1, 4, 5, 9])
def test_a_psf_larger_than_the_stamp_works(size, fwhm):
    """Seeing above 1.35 arcsec once raised, and so selected the positives by seeing."""
    grid = Grid(size, SCALE)
    got = _observe(_spot(grid, 0.1, 0.2), grid, fwhm)[0]
    psf, light = galsim.Moffat(beta=3.5, fwhm=fwhm), galsim.Gaussian(sigma=0.2).shift(0.1, 0.2)
    want = galsim.Convolve(light, psf).drawImage(nx=size, ny=size, scale=SCALE, method="no_pixel")
    assert_images_agree(got, want.array, 0.003, f"{size} pixels, {fwhm} arcsec")


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("model", ["moffat", "gaussian"])
def test_flux_is_kept(model, size):
    grid = Grid(size, SCALE)
    image = _observe(_spot(grid, 0.4, -0.2), grid, 1.0, 1.4, psf_model=model)
    lost = 2e-3 if model == "moffat" else 1e-7  # beta 3.5 wings beyond 8.4 arcsec
    assert_within(image.sum((1, 2)), [1, 1], lost, "flux inside the stamp")


def test_light_in_the_margin_reaches_the_stamp_and_does_not_wrap():
    """A source 3 pixels outside the left edge lights the left edge only."""
    grid = Grid(32, SCALE)
    x = -(stamp_center(32) + 3) * SCALE
    got = _observe(_spot(grid, x, 0), grid, 1.3)[0]
    light = galsim.Gaussian(sigma=0.2).shift(x, 0)
    want = galsim.Convolve(light, galsim.Moffat(beta=3.5, fwhm=1.3)).drawImage(
        nx=32, ny=32, scale=SCALE, method="no_pixel"
    )
    assert_images_agree(got, want.array, 0.001, "source outside")
    assert got[:, -4:].max() < 1e-3 * got[:, :4].max()


def test_bands_may_have_light_of_their_own():
    grid = Grid(16, SCALE)
    one, two = _spot(grid, 0.3, 0), _spot(grid, -0.5, 0.4)
    both = _observe(torch.cat([one, two], dim=1), grid, 1.3, 1.6)
    assert_within(both[0], _observe(one, grid, 1.3)[0], 1e-15, "first band")
    assert_within(both[1], _observe(two, grid, 1.6)[0], 1e-15, "second band")


@pytest.mark.parametrize("fwhm", [0.0, -1.2])
def test_missing_seeing_is_an_error_not_an_unconvolved_image(fwhm):
    grid = Grid(16, SCALE)
    with pytest.raises(ValueError, match="FWHM must be > 0"):
        _observe(_spot(grid, 0, 0), grid, 1.3, fwhm)


@pytest.mark.parametrize("supersampling", [0, 1, 3, 5])
def test_supersampling_must_be_even(supersampling):
    with pytest.raises(ValueError, match=f"supersampling must be an even number.*{supersampling}"):
        Grid(32, SCALE, supersampling)


@pytest.mark.parametrize(("size", "scale"), [(0, SCALE), (32, 0.0), (32, -1.0), (32, math.nan)])
def test_a_grid_needs_pixels(size, scale):
    with pytest.raises(ValueError, match="size >= 1 and pixel_scale > 0"):
        Grid(size, scale)


def test_samples_are_centred_on_the_stamp():
    for size in (5, 6):
        grid = Grid(size, 0.5, 4, margin=1)
        axis = grid.axis().numpy()
        assert len(axis) == 4 * (size + 2)
        assert_within(axis.mean(), 0.0, 1e-15, "mean")
        assert_within(np.diff(axis), np.full(len(axis) - 1, 0.125), 1e-15, "step")
