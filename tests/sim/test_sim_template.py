"""HST stamps to templates: a galaxy is recovered, noise is not made into one."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from darkhaloscope.keys import generator
from darkhaloscope.sim.hybrid import hybrid_template
from darkhaloscope.sim.light import half_light_radius, sersic
from darkhaloscope.sim.template import Noise, Unfit, clean, expected_clumpiness, smooth_fit
from tolerance import assert_ratio, assert_within

SCALE, SIZE = 0.03, 128
_SMOOTHING = 1.5  # pixels; correlates the noise
_AREA = 4 * math.pi * _SMOOTHING**2
_S2 = _SMOOTHING**2
_ROUGH = math.sqrt(1 - 2 * _S2 / (_S2 + 0.5) + _S2 / (_S2 + 1))  # left by 1 - G1, analytically


def _noise(seed: int, sigma: float, size: int = SIZE) -> np.ndarray:
    white = np.random.default_rng(seed).standard_normal((size, size))
    smooth = gaussian_filter(white, _SMOOTHING, mode="wrap")
    return sigma * smooth / smooth.std()


def _galaxy(i: int) -> np.ndarray:
    return hybrid_template(
        generator(f"clean-{i}"),
        size=SIZE,
        pixel_scale=SCALE,
        hlr_median=0.3,
        hlr_scatter=0.0,
        clump_count_mean=7.0,
        clump_flux_fraction_max=0.5,
        psf_fwhm=0.15,
    )[0]


def _clean(image, sigma, **changed):
    noise = Noise(sigma, _AREA, _ROUGH * sigma)
    settings = {"pixel_scale": SCALE, "psf_fwhm": 0.15, "noise": noise, "data_size": SIZE}
    return clean(image, **(settings | changed))


def _sigma(snr: float) -> float:
    """Noise that gives about this S/N within twice the half-light radius."""
    return 1 / (snr * math.sqrt(math.pi * (2 * 0.3 / SCALE) ** 2 * _AREA))


@pytest.mark.parametrize("i", range(4))
def test_a_bright_galaxy_is_recovered(i):
    galaxy, sigma = _galaxy(i), _sigma(150)
    got = _clean(50 * (galaxy + _noise(i, sigma)), 50 * sigma)  # any flux unit
    assert got.snr > 40
    assert_within(got.image.sum(), 1.0, 1e-12, "flux")
    true = half_light_radius(galaxy, SCALE)
    assert_ratio(got.hlr_arcsec, true, 0.1, "half-light radius")
    assert np.corrcoef(got.image.ravel(), galaxy.ravel())[0, 1] > 0.98
    assert_ratio(got.flux, 50, 0.08, "flux in the stamp's unit")


@pytest.mark.parametrize("i", range(4))
def test_a_faint_galaxy_keeps_its_size(i):
    """Clipping negatives gives 0.95 arcsec for a galaxy of 0.2 at this noise."""
    galaxy, sigma = _galaxy(i), _sigma(40)
    got = _clean(galaxy + _noise(10 + i, sigma), sigma)
    assert_ratio(got.hlr_arcsec, half_light_radius(galaxy, SCALE), 0.15, "half-light radius")


def test_snr_follows_the_noise():
    galaxy, noise = _galaxy(0), _noise(5, 1.0)
    snr = [_clean(galaxy + _sigma(s) * noise, _sigma(s)).snr for s in (50, 100, 200)]
    assert 1.5 < snr[1] / snr[0] < 2.2
    assert 1.5 < snr[2] / snr[1] < 2.2


def test_noise_alone_is_no_galaxy():
    """The plan's clip-and-normalise made clumpy templates of it."""
    refused, best = 0, 0.0
    for seed in range(40):
        try:
            best = max(best, _clean(_noise(100 + seed, 1.0), 1.0).snr)
        except ValueError as reason:
            assert str(reason) in {"nothing detected at the centre", "no positive flux"}
            refused += 1
    assert refused > 0
    assert best < 10


def test_rectified_noise_is_no_galaxy():
    for seed in range(10):
        try:
            assert _clean(np.clip(_noise(seed, 1.0), 0, None), 1.0).snr < 10
        except ValueError as reason:
            assert str(reason) in {
                "nothing detected at the centre",
                "the sky beside it is not empty",
                "blended",
            }


def test_a_pedestal_is_removed():
    galaxy, sigma = _galaxy(1), _sigma(100)
    stamp = galaxy + _noise(3, sigma)
    plain, raised = _clean(stamp, sigma), _clean(stamp + sigma, sigma)
    assert_ratio(raised.hlr_arcsec, plain.hlr_arcsec, 0.05, "half-light radius")
    assert_within(raised.image, plain.image, 0.02 * plain.image.max(), "template")
    assert raised.pedestal_fraction > 0.2 and plain.pedestal_fraction < 0.05
    left_in = half_light_radius(stamp + sigma, SCALE)
    assert left_in > 1.5 * plain.hlr_arcsec  # what the pedestal does if it stays


def _with_neighbour(galaxy, distance):
    """A galaxy of half the flux at the given place (arcsec along each axis), and where it is."""
    y, x = (np.indices((SIZE, SIZE)) - (SIZE - 1) / 2) * SCALE
    light = sersic(x - distance, y - distance, r_e=0.1, n=0.7, softening=0.02) * SCALE**2
    light = gaussian_filter(0.5 * light, 2.1)
    return galaxy + light, np.hypot(x - distance, y - distance) < 0.3


def test_a_neighbour_is_masked():
    galaxy, sigma = _galaxy(3), _sigma(60)
    stamp, there = _with_neighbour(galaxy, 1.2)
    stamp = stamp + _noise(4, sigma)
    got = _clean(stamp, sigma)
    assert abs(got.image[there].sum()) < 0.01
    assert_ratio(got.hlr_arcsec, half_light_radius(galaxy, SCALE), 0.15, "half-light radius")
    assert half_light_radius(stamp, SCALE) > 1.5 * got.hlr_arcsec  # what it does if it stays


def test_a_neighbour_within_the_grown_mask_is_cut_out():
    """Its isophote touches nothing of ours, but the mask grown by 0.3 arcsec reaches it."""
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    galaxy = np.exp(-(x**2 + y**2) / (2 * 4.0**2))
    beside = 0.6 * np.exp(-((x - 25) ** 2 + y**2) / (2 * 2.5**2))
    got = _clean(galaxy + beside + _noise(1, 0.03), 0.03)
    there = np.hypot(x - 25, y) < 5
    assert abs(got.image[there].sum()) < 1e-3
    assert_ratio(got.hlr_arcsec, half_light_radius(galaxy, SCALE), 0.1, "half-light radius")


def test_negative_pixels_inside_the_mask_are_kept():
    galaxy, sigma = _galaxy(3), _sigma(40)
    got = _clean(galaxy + _noise(6, sigma), sigma)
    assert (got.image < 0).sum() > 50
    assert_within(got.image.sum(), 1.0, 1e-12, "flux")


def test_everything_beyond_the_data_is_dark():
    galaxy, sigma = _galaxy(0), _sigma(100)
    stamp = galaxy + _noise(1, sigma)
    stamp[:20], stamp[-20:], stamp[:, :20], stamp[:, -20:] = 0, 0, 0, 0
    image = _clean(stamp, sigma, data_size=88).image
    inside = image[20:108, 20:108]
    assert_within(inside.sum(), 1.0, 1e-9, "flux inside the data")
    assert not image[:20].any() and not image[:, 108:].any()


def test_noise_in_the_padding_does_not_count():
    """Garbage outside the square that holds data changes nothing."""
    galaxy, sigma = _galaxy(1), _sigma(100)
    stamp = galaxy + _noise(1, sigma)
    stamp[:20], stamp[-20:], stamp[:, :20], stamp[:, -20:] = 0, 0, 0, 0
    bright = stamp.copy()
    bright[2:14, 2:14] = 1.0
    clean_one = _clean(stamp, sigma, data_size=88)
    assert_within(_clean(bright, sigma, data_size=88).image, clean_one.image, 1e-12, "template")


@pytest.mark.parametrize("data_size", [40, 60, 100])
@pytest.mark.parametrize("sigma", [1e-6, 1e-5])
def test_a_galaxy_cut_off_by_its_stamp_is_refused(data_size, sigma):
    y, x = (np.indices((SIZE, SIZE)) - (SIZE - 1) / 2) * SCALE
    big = sersic(x, y, r_e=1.5, n=1.0, q=0.7, softening=0.1) * SCALE**2
    with pytest.raises(ValueError, match=r"truncated by its stamp|pedestal"):
        _clean(big + _noise(2, sigma), sigma, data_size=data_size)


def test_an_empty_centre_is_refused():
    y, x = (np.indices((SIZE, SIZE)) - (SIZE - 1) / 2) * SCALE
    off = sersic(x - 1.2, y, r_e=0.15, n=1.0) * SCALE**2
    with pytest.raises(ValueError, match="nothing detected at the centre"):
        _clean(gaussian_filter(off, 2.0), 1e-5)


def test_noise_of_a_correlation_function_is_that_of_the_noise():
    y, x = np.indices((64, 64)) - 32
    correlation = 4.0 * np.exp(-(x**2 + y**2) / (4 * _S2))
    noise = Noise.of(correlation, electrons=100.0)
    assert_ratio(noise.sigma, 2.0, 1e-9, "sigma")
    assert_ratio(noise.area, _AREA, 1e-3, "area")
    assert_ratio(noise.rough / noise.sigma, _ROUGH, 1e-3, "rough")
    drawn = _noise(1, 2.0, 512)
    assert_ratio((drawn - gaussian_filter(drawn, 1.0)).std(), noise.rough, 0.03, "drawn noise")
    assert_ratio(noise.scaled(3).rough, 3 * noise.rough, 1e-12, "scaled")
    photons = 100.0 * 4 * _AREA  # as much variance as the sky's
    assert_within(noise.rise(np.array([-1.0, 0.0, photons])), [1, 1, math.sqrt(2)], 1e-3, "rise")


@pytest.mark.parametrize("snr", [15, 30, 100])
def test_a_smooth_disc_with_noise_scores_nothing(snr):
    """The plan's number calls it clumpier than most galaxies; above its null it is smooth."""
    y, x = (np.indices((SIZE, SIZE)) - (SIZE - 1) / 2) * SCALE
    sigma, found = _sigma(2 * snr), []
    for i in range(12):
        disc = sersic(x, y, r_e=0.3, n=1.0, q=0.7, phi=i, softening=0.015) * SCALE**2
        got = _clean(gaussian_filter(disc, 2.12) + _noise(40 + i, sigma), sigma)
        found.append((got.clumpiness, got.clumpiness_null))
    measured, null = np.mean(found, axis=0)
    assert abs(measured - null) < 0.06 * measured + 1e-3
    assert measured > 1.25 * 0.025  # what the disc shows without noise


def test_clumps_score_above_smooth():
    sigma = _sigma(120)
    y, x = (np.indices((SIZE, SIZE)) - (SIZE - 1) / 2) * SCALE
    smooth = gaussian_filter(sersic(x, y, r_e=0.3, n=1.0, softening=0.015) * SCALE**2, 2.12)
    knots = sum(
        np.exp(-((x - 0.3 * math.cos(a)) ** 2 + (y - 0.3 * math.sin(a)) ** 2) / (2 * 0.075**2))
        for a in (0.3, 1.5, 2.9, 4.4)
    )
    clumpy = 0.75 * smooth / smooth.sum() + 0.25 * knots / knots.sum()
    noise = _noise(3, sigma)
    scores = [
        got.clumpiness - got.clumpiness_null
        for got in (_clean(image + noise, sigma) for image in (smooth, clumpy))
    ]
    assert scores[1] > scores[0] + 0.01


def test_the_flux_in_clumps_is_integrated_flux():
    sigma = _sigma(400)
    y, x = (np.indices((SIZE, SIZE)) - (SIZE - 1) / 2) * SCALE
    smooth = gaussian_filter(sersic(x, y, r_e=0.35, n=1.0, softening=0.015) * SCALE**2, 2.12)
    knot = np.exp(-((x - 0.35) ** 2 + (y - 0.1) ** 2) / (2 * 0.065**2))
    found = []
    for fraction in (0.0, 0.1, 0.25):
        image = (1 - fraction) * smooth / smooth.sum() + fraction * knot / knot.sum()
        found.append(_clean(image + _noise(5, sigma), sigma).clump_fraction)
    assert found[0] < 0.03
    assert_within(found[1:], [0.1, 0.25], 0.06, "clump fraction")


def test_expected_clumpiness_is_the_mean_over_noise():
    y, x = (np.indices((SIZE, SIZE)) - (SIZE - 1) / 2) * SCALE
    smooth = np.exp(-(x**2 + y**2) / (2 * 0.3**2))
    sigma = 0.1
    drawn = [smooth + _noise(i, sigma) for i in range(40)]
    mean = np.mean([np.abs(d - gaussian_filter(d, 1.0)).sum() / smooth.sum() for d in drawn])
    want = expected_clumpiness(smooth, np.full_like(smooth, _ROUGH * sigma))
    assert_ratio(want, mean, 0.01, "clumpiness")


def test_the_smooth_fit_follows_an_ellipse_and_looks_under_masks():
    y, x = (np.indices((SIZE, SIZE)) - (SIZE - 1) / 2) * SCALE
    disc = sersic(x - 0.06, y, r_e=0.4, n=1.0, q=0.5, phi=0.6, softening=0.1) * SCALE**2
    hidden = np.hypot(x - 0.5, y) < 0.15
    spoilt = np.where(hidden, disc.max(), disc)
    fit = smooth_fit(spoilt, (disc > 0.02 * disc.max()) & ~hidden, ~hidden)
    assert_within(fit, disc, 0.06 * disc.max(), "smooth fit")
    assert_ratio(fit[hidden].sum(), disc[hidden].sum(), 0.25, "flux under the mask")


def test_a_close_companion_is_a_blend_and_a_clump_is_not():
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    galaxy = np.exp(-(x**2 + y**2) / (2 * 6.0**2))
    beside = np.exp(-((x - 19) ** 2 + y**2) / (2 * 4.0**2))
    sigma = 0.01
    with pytest.raises(Unfit, match="blended"):
        _clean(galaxy + beside + _noise(1, sigma), sigma)
    got = _clean(galaxy + 0.12 * beside + _noise(1, sigma), sigma)
    assert got.image[60:68, 80:86].sum() > 0.005  # the clump stays in


def test_noise_far_from_what_is_quoted_is_measured_instead():
    """Of the COSMOS example one galaxy's quoted sigma is six times that of its stamp."""
    galaxy, sigma = _galaxy(0), _sigma(100)
    stamp = galaxy + _noise(1, sigma)
    right, wrong = _clean(stamp, sigma), _clean(stamp, 6 * sigma)
    assert_ratio(wrong.snr, right.snr, 0.15, "S/N")


def test_the_sky_beside_a_galaxy_is_empty_when_all_is_done():
    galaxy, sigma = _galaxy(1), _sigma(60)
    left = [_clean(galaxy + _noise(s, sigma), sigma).border_sigma for s in range(12)]
    assert abs(np.mean(left)) < 1 and np.std(left) < 3


def test_photon_noise_of_the_galaxy_lowers_its_snr():
    galaxy, sigma = _galaxy(0), _sigma(100)
    stamp = galaxy + _noise(1, sigma)
    noise = Noise(sigma, _AREA, _ROUGH * sigma, electrons=2e3)
    assert _clean(stamp, sigma, noise=noise).snr < 0.8 * _clean(stamp, sigma).snr
