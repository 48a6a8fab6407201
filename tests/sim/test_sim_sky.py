"""The made sky has the survey's statistics (EVIDENCE section 5)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from darkhaloscope.keys import generator
from darkhaloscope.sim import sky
from darkhaloscope.sim.inject import sky_sigma
from darkhaloscope.sim.paint import Galaxies, Stars, paint
from tolerance import assert_ratio, assert_within

N = 3000
_NONE = np.empty(0)
_NO_GALAXY = Galaxies(_NONE, _NONE, np.empty((0, 3)), _NONE, _NONE, _NONE, _NONE)


@pytest.fixture(scope="module")
def conditions():
    drawn = [sky.draw_conditions(generator(f"sky-{i}")) for i in range(N)]
    return {
        "fwhm": np.array([c.psf_fwhm for c in drawn]),
        "depth": np.array([c.depth for c in drawn]),
        "nexp": np.array([c.nexp for c in drawn]),
        "ebv": np.array([c.ebv for c in drawn]),
        "drawn": drawn,
    }


def _good(**changed) -> sky.Conditions:
    settings = {
        "psf_fwhm": np.array([1.47, 1.35, 1.29]),
        "psf_e": np.zeros((3, 2)),
        "depth": np.array([24.7, 24.3, 23.3]),
        "nexp": np.array([3, 3, 3]),
        "ebv": 0.05,
    }
    return sky.Conditions(**(settings | changed))


def test_seeing_is_the_surveys(conditions):
    fwhm = conditions["fwhm"]
    got = np.percentile(fwhm[:, 1], [5, 16, 50, 84, 95])
    assert_ratio(got, [1.125, 1.203, 1.352, 1.566, 1.747], 0.05, "psfsize_r quantiles")
    assert_within(np.median(fwhm[:, 0] / fwhm[:, 1]), 1.09, 0.02, "g/r")
    assert_within(np.median(fwhm[:, 2] / fwhm[:, 1]), 0.955, 0.02, "z/r")
    assert (fwhm[:, 0] / fwhm[:, 1]).std() > 0.08  # not a fixed ratio


def test_depth_is_the_surveys(conditions):
    depth = conditions["depth"]
    got = np.percentile(depth[:, 1], [5, 16, 50, 84, 95])
    assert_within(got, [23.98, 24.13, 24.46, 25.16, 25.44], 0.15, "psfdepth_r quantiles")
    assert_within(np.median(depth[:, 0] - depth[:, 1]), 0.38, 0.05, "g-r depth")
    assert_within(np.median(depth[:, 2] - depth[:, 1]), -1.02, 0.05, "z-r depth")
    near = [(np.abs(depth[:, 1] - d) < 0.1).mean() for d in (24.25, 24.75, 25.15)]
    assert near[1] < 0.7 * min(near[0], near[2])  # bimodal


def test_worse_seeing_is_shallower(conditions):
    """Drawn on their own, the two would leak nothing that they leak on the sky."""
    rho = spearmanr(conditions["fwhm"][:, 1], conditions["depth"][:, 1]).statistic
    assert -0.5 < rho < -0.3


def test_reddening_and_exposures_are_the_surveys(conditions):
    got = np.percentile(conditions["ebv"], [16, 50, 84])
    assert_ratio(got, [0.022, 0.047, 0.115], 0.15, "E(B-V) quantiles")
    nexp, depth = conditions["nexp"], conditions["depth"][:, 1]
    assert nexp.min() >= 1
    assert 2 <= np.median(nexp[depth < 24.7]) <= 4
    assert np.median(nexp[depth > 25]) > 9  # DES: about 4e4 e-/nmgy


def _sky_sigmas(conditions) -> np.ndarray:
    dark = np.zeros((3, 64, 64))
    return np.array(
        [
            sky_sigma(sky.expose(generator(f"noise-{i}"), dark, c, 0.25)[0])
            for i, c in enumerate(conditions["drawn"][:400])
        ]
    )


_SIGMA_RANGES = np.array([(0.0012, 0.0025), (0.0024, 0.0046), (0.0055, 0.0104)])


def test_median_sky_noise_lies_in_the_range_of_real_cutouts(conditions):
    median = np.median(_sky_sigmas(conditions), axis=0)
    assert (median > _SIGMA_RANGES[:, 0]).all() and (median < _SIGMA_RANGES[:, 1]).all()


@pytest.mark.parametrize("lag1", [0.0, 0.1, 0.25])
def test_noise_of_neighbours_correlates_as_asked(lag1):
    noise = sky.correlated_noise(np.random.default_rng(1), (60, 64, 64), lag1)
    assert noise.shape == (60, 64, 64)
    across = (noise[..., 1:] * noise[..., :-1]).mean() / noise.var()
    along = (noise[:, 1:] * noise[:, :-1]).mean() / noise.var()
    assert_within([across, along], [lag1, lag1], 0.02, "lag-1 correlation")
    assert abs(noise.mean()) < 0.01
    edge, middle = noise[:, 0].std(), noise[:, 32].std()
    assert_ratio(edge, middle, 0.05, "noise at the edge")


def test_noise_measured_lies_below_what_invvar_says():
    """Resampling correlates the noise and invvar does not know."""
    image, invvar = sky.expose(generator("a"), np.zeros((3, 128, 128)), _good(), 0.25)
    assert_ratio(1 / np.sqrt(invvar[:, 0, 0]), sky.pixel_sigma(_good()), 1e-5, "invvar")
    measured = sky_sigma(image) * np.sqrt(invvar[:, 0, 0])
    assert ((measured > 0.5) & (measured < 0.9)).all()


def test_depth_is_that_of_a_point_source():
    """A star at the 5 sigma depth has matched S/N 5 against white noise of the pixel sigma."""
    good = _good(ebv=0.0)
    star = Stars(np.array([0.1]), np.array([-0.05]), good.depth[None])
    light = paint(_NO_GALAXY, star, good, 64).astype(float)
    snr = np.sqrt((light**2).sum((1, 2))) / sky.pixel_sigma(good)
    assert_ratio(snr, [5, 5, 5], 0.05, "point-source S/N")


def test_photons_of_the_host_are_in_image_and_invvar():
    bright, good = np.full((3, 128, 128), 2.0), _good()
    image, invvar = sky.expose(generator("b"), bright, good, 0.0)
    gain = good.nexp * 3.7e3
    want = sky.pixel_sigma(good) ** 2 + 2.0 / gain
    assert_ratio(image.var(axis=(1, 2)), want, 0.05, "variance")
    assert_ratio(1 / invvar[:, 0, 0], want, 1e-5, "invvar")


def test_noise_of_photons_is_resampled_as_that_of_the_sky():
    bright, good = np.full((3, 128, 128), 2.0), _good()
    image, _ = sky.expose(generator("c"), bright, good, 0.25)
    light = image - image.mean((1, 2), keepdims=True)
    lag = (light[..., 1:] * light[..., :-1]).mean((1, 2)) / light.var((1, 2))
    assert_within(lag, [0.25] * 3, 0.03, "lag-1 correlation")


def test_psfs_are_slightly_elliptical_and_bands_alike(conditions):
    e = np.array([c.psf_e for c in conditions["drawn"]])
    assert 0.01 < e.std() < 0.03 and np.abs(e).max() < 0.1
    assert np.corrcoef(e[:, 0, 0], e[:, 1, 0])[0, 1] > 0.3


def test_dust_and_bad_seeing_go_together(conditions):
    rho = spearmanr(conditions["fwhm"][:, 1], conditions["ebv"]).statistic
    assert 0.15 < rho < 0.35


@given(st.floats(-6, 6))
def test_a_score_beyond_the_quantiles_gives_the_last_of_them(score):
    value = sky.from_quantiles(score, np.array([0.1, 0.5, 0.9]), np.array([1.0, 2.0, 5.0]))
    assert 1.0 <= value <= 5.0


def test_a_coadd_is_the_same_from_the_same_key():
    def make(key):
        return sky.expose(generator(key), np.ones((3, 40, 40)), _good(), 0.25)[0].tobytes()

    assert make("one") == make("one")
    assert make("one") != make("two")
