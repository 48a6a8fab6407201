"""What a network sees: units, stretch, the difference channel."""

import galsim
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from batches import SCALE, batch, noise
from darkhaloscope.config import View
from darkhaloscope.evaluate.metrics import regions
from darkhaloscope.learn.view import Scaling, difference, look
from tolerance import assert_ratio, assert_within


def galaxy(fluxes, fwhms, size=64, r_e=0.9):
    """A galaxy of one colour as three bands' seeing shows it: (band, y, x)."""
    drawn = []
    for flux, fwhm in zip(fluxes, fwhms, strict=True):
        light = galsim.Convolve(
            galsim.Sersic(3, half_light_radius=r_e).shear(g1=0.2, g2=0.1),
            galsim.Moffat(beta=3.5, fwhm=fwhm),
        )
        image = light.withFlux(flux).drawImage(nx=size, ny=size, scale=SCALE, method="no_pixel")
        drawn.append(image.array)
    return np.stack(drawn)


@pytest.mark.parametrize("size", [48, 64, 101])
def test_outer_annulus_has_no_level_and_unit_noise_whatever_the_size(size):
    seen = look(batch(noise(size) + 0.05), View(stretch="linear", softening=1)).channels.numpy()
    outer = seen[..., regions(size, SCALE)["outer"]]
    assert_within(np.median(outer, -1), np.zeros((2, 3)), 0.01, "level")
    assert_within(outer.std(-1), np.ones((2, 3)), 0.08, "noise")


@pytest.mark.parametrize("stretch", ["asinh", "sqrt", "linear"])
def test_nothing_is_clipped(stretch):
    """An arc of 10 sigma and one of 1,000 differ, as do dark pixels."""
    images = noise()
    images[:, :, 20, 20:24] = np.array([-0.5, 0.1, 3.0, 30.0])
    seen = look(batch(images), View(stretch=stretch)).channels[:, :, 20, 20:24]
    assert (seen.diff(dim=-1) > 0.5).all()


@given(st.floats(-1e4, 1e4), st.sampled_from(["asinh", "sqrt", "linear"]))
def test_stretches_are_odd_and_linear_near_nothing(x, stretch):
    view = View(norm_method="sky", stretch=stretch, softening=2.0)
    images = np.zeros((1, 3, 32, 32))
    images[0, :, 0, 0], images[0, :, 0, 1], images[0, :, 0, 2] = x, -x, 1e-4
    seen = look(batch(images, sky=(1.0, 1.0, 1.0)), view).channels[0, 0, 0]
    assert float(seen[0]) == -float(seen[1])
    assert_ratio(float(seen[2]), 0.5e-4, 1e-2, "slope at 0")
    expected = {"asinh": np.arcsinh, "linear": lambda v: v}.get(stretch)
    if expected:
        assert_within(float(seen[0]), expected(x / 2), 1e-5 * max(1, abs(x)), "stretch")


def test_bands_come_in_the_order_asked():
    seen = look(batch(noise()), View(bands=("z", "g"), norm_method="fixed")).channels
    both = look(batch(noise()), View(norm_method="fixed")).channels
    assert torch.equal(seen, both[:, [2, 0]])


def test_the_difference_channel_removes_a_galaxy_of_one_colour_whatever_the_seeing():
    fwhms = (1.6, 1.3, 1.1)
    images = galaxy((8.0, 20.0, 32.0), fwhms)[None]
    of = batch(images, fwhm=fwhms)
    excess, k_core, k_global = difference(of, View(difference="core"))
    peak = images[0, 0].max()
    assert_ratio(k_core, [0.25], 0.01, "k of the core")
    assert_ratio(k_global, [0.25], 0.01, "k of all")
    left = float(excess.abs().max()) / peak
    unmatched = np.abs(images[0, 0] - 0.25 * images[0, 2]).max() / peak
    assert left < 0.01 and unmatched > 0.1


def test_a_blue_arc_stays_in_the_difference_and_moves_the_core_less():
    fwhms = (1.5, 1.4, 1.3)
    host = galaxy((8.0, 20.0, 32.0), fwhms)
    arc = np.roll(galaxy((6.0, 4.0, 3.0), fwhms, r_e=0.25), 7, axis=-1)
    of = batch((host + arc)[None], fwhm=fwhms)
    excess, k_core, k_global = difference(of, View(difference="core"))
    assert abs(float(k_core) - 0.25) < abs(float(k_global) - 0.25)
    assert float(excess[0, :, 36:42].sum()) > 0.5 * (6.0 - 0.25 * 3)


@pytest.mark.parametrize("norm", ["outer", "sky", "fixed"])
def test_the_difference_is_one_channel_more(norm):
    view = View(bands=("g", "r", "z"), difference="global", norm_method=norm)
    seen = look(batch(noise()), view)
    assert seen.channels.shape == (2, view.channels, 64, 64) == (2, 4, 64, 64)
    assert torch.isfinite(seen.channels).all() and 0.3 < float(seen.channels[:, 3].std()) < 3
    assert seen.k_core is not None and seen.k_core.shape == (2,)


def test_meta_columns_are_scaled_by_what_training_saw():
    view = View(meta_cols=("psfsize_r", "psfdepth_r"))
    scaling = Scaling.of([np.array([1.0, 1.4]), np.array([24.0, 24.5])])
    meta = look(batch(noise(), meta=(1.4, 24.0)), view, scaling).meta
    assert_within(meta, [[1.0, -1.0]] * 2, 1e-5, "meta")
    with pytest.raises(ValueError, match="2 meta columns need as many means"):
        look(batch(noise(), meta=(1.4, 24.0)), view)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"meta_cols": "psfsize"}, "meta_cols knows"),
        ({"bands": ("g", "g")}, "bands names something twice"),
        ({"norm_method": "inner"}, "norm_method"),
        ({"bands": ()}, "bands"),
    ],
)
def test_impossible_views_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        View(**settings)
