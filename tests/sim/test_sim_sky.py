"""The made sky has the survey's statistics (EVIDENCE section 5)."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from darkhaloscope.keys import generator
from darkhaloscope.sim import sky
from darkhaloscope.sim.inject import sky_sigma
from darkhaloscope.units import PIXEL_SCALE_ARCSEC, flux_from_mag
from tolerance import assert_ratio, assert_within

N = 3000


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


@pytest.fixture(scope="module")
def hosts():
    return [sky.draw_host(generator(f"host-{i}")) for i in range(N)]


def _good(**changed) -> sky.Conditions:
    settings = {
        "psf_fwhm": np.array([1.47, 1.35, 1.29]),
        "depth": np.array([24.7, 24.3, 23.3]),
        "nexp": np.array([3, 3, 3]),
        "ebv": 0.05,
    }
    return sky.Conditions(**(settings | changed))


def _galaxy(**changed) -> sky.Galaxy:
    settings = {"x": 0.1, "y": -0.05, "mags": np.array([21.6, 20.0, 18.8]), "r_e": 0.9, "n": 1.0}
    return sky.Galaxy(**(settings | {"q": 0.7, "phi": 0.5} | changed))


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
    assert near[1] < 0.5 * min(near[0], near[2])  # bimodal


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
    star = sky.paint([_galaxy(mags=good.depth, r_e=0.04, q=1.0)], good, 64)
    star = star / star.sum((1, 2))[:, None, None] * flux_from_mag(good.depth)[:, None, None]
    snr = np.sqrt((star**2).sum((1, 2))) / sky.pixel_sigma(good)
    assert_ratio(snr, [5, 5, 5], 0.05, "point-source S/N")


def test_photons_of_the_host_are_in_image_and_invvar():
    bright, good = np.full((3, 128, 128), 2.0), _good()
    image, invvar = sky.expose(generator("b"), bright, good, 0.0)
    gain = good.nexp * 3.7e3
    want = sky.pixel_sigma(good) ** 2 + 2.0 / gain
    assert_ratio(image.var(axis=(1, 2)), want, 0.05, "variance")
    assert_ratio(1 / invvar[:, 0, 0], want, 1e-5, "invvar")


@pytest.mark.parametrize(("n", "r_e"), [(1.0, 0.6), (1.0, 1.5), (2.5, 0.6), (2.5, 1.2)])
@pytest.mark.parametrize("size", [100, 101])
def test_a_painted_host_has_the_flux_of_its_magnitude(n, r_e, size):
    galaxy, good = _galaxy(n=n, r_e=r_e), _good()
    flux = sky.paint([galaxy], good, size).sum((1, 2))
    want = flux_from_mag(galaxy.mags + sky.extinction(good.ebv))
    assert_ratio(flux, want, 0.03, f"flux of {n=} {r_e=}")


def test_a_de_vaucouleurs_host_keeps_its_flux_but_for_its_wings():
    """About 2 % lies outside a stamp of 26 arcsec, and 2 % goes to the softened cusp."""
    galaxy, good = _galaxy(n=4.0, r_e=0.9), _good()
    flux = sky.paint([galaxy], good, 101).sum((1, 2))
    want = flux_from_mag(galaxy.mags + sky.extinction(good.ebv))
    assert ((flux < want) & (flux > 0.95 * want)).all()


def test_a_painted_host_stands_where_it_should():
    for size in (100, 101):
        image = sky.paint([_galaxy(x=0.7, y=-0.4, q=1.0, r_e=0.5)], _good(), size)[1]
        rows, columns = (np.indices(image.shape) - (size - 1) / 2) * PIXEL_SCALE_ARCSEC
        centroid = [(image * columns).sum() / image.sum(), (image * rows).sum() / image.sum()]
        assert_within(centroid, [0.7, -0.4], 0.01, "centroid, arcsec")


def test_hosts_are_luminous_red_galaxies(hosts):
    g, r, z = np.array([h.mags for h in hosts]).T
    assert_within(np.percentile(r, [5, 50, 95]), [20.03, 21.17, 22.02], 0.2, "r")
    assert_within(np.percentile(z, [5, 50, 95]), [18.95, 19.99, 20.37], 0.2, "z")
    assert_within(np.percentile(g - r, [5, 50, 95]), [0.74, 1.60, 2.11], 0.2, "g-r")
    assert_within(np.percentile(r - z, [5, 50, 95]), [0.68, 1.23, 2.14], 0.2, "r-z")
    off = np.array([(h.x, h.y) for h in hosts])
    assert np.abs(off).max() <= PIXEL_SCALE_ARCSEC / 2
    assert off.std() > 0.25 * PIXEL_SCALE_ARCSEC  # half a pixel either way
    q = np.array([h.q for h in hosts])
    assert q.min() >= 0.3 and q.max() <= 1
    share = [np.mean([h.n == n for h in hosts]) for n in (4.0, 1.0, 2.5)]
    assert_within(share, [0.36, 0.42, 0.22], 0.03, "types")


def test_neighbours_have_the_asked_density():
    fields = [sky.draw_neighbours(generator(f"n-{i}"), 10.0, 12.0) for i in range(2000)]
    bright = sum(g.mags[1] < 23.5 for field in fields for g in field)
    want = 2000 * 12.0 * (20 / 60) ** 2
    assert abs(bright - want) < 5 * math.sqrt(want)
    assert all(abs(g.x) <= 10 and abs(g.y) <= 10 for field in fields for g in field)
    assert all(18 <= g.mags[1] <= 24.5 + 1e-9 for field in fields for g in field)
    assert sky.draw_neighbours(generator("none"), 10.0, 0.0) == []


def test_a_sky_is_the_same_from_the_same_key():
    def make(key):
        rng = generator(key)
        seen, host = sky.draw_conditions(rng), sky.draw_host(rng)
        light = sky.paint([host, *sky.draw_neighbours(rng, 8.0, 10.0)], seen, 40)
        return sky.expose(rng, light, seen, 0.25)[0].tobytes()

    assert make("one") == make("one")
    assert make("one") != make("two")
