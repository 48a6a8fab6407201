"""Profiles of light: known integrals and radii."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.ndimage import gaussian_filter

from darkhaloscope.keys import generator
from darkhaloscope.sim.hybrid import hybrid, hybrid_template
from darkhaloscope.sim.light import clumpiness, half_light_radius, sersic, taper
from tolerance import assert_ratio, assert_within

HYBRID = {
    "size": 128,
    "pixel_scale": 0.03,
    "hlr_median": 0.3,
    "hlr_scatter": 0.35,
    "clump_count_mean": 7.0,
    "clump_flux_fraction_max": 0.5,
    "psf_fwhm": 0.15,
}


def _flux_within(radius, **profile) -> float:
    """Flux inside the ellipse of geometric-mean radius `radius`, from the profile's minor axis."""
    q = profile.get("q", 1.0)

    def ring(r):
        x, y = np.array([0.0]), np.array([r * math.sqrt(q)])  # minor axis: major is along x
        return 2 * math.pi * r * sersic(x, y, **profile)[0]

    edges = [0, *np.geomspace(1e-4, 1, 25) * radius]
    return sum(quad(ring, a, b)[0] for a, b in pairwise(edges))


@pytest.mark.parametrize("q", [1.0, 0.4])
@pytest.mark.parametrize("n", [0.5, 1.0, 2.5, 4.0])
def test_sersic_has_unit_flux_and_half_of_it_within_r_e(n, q):
    assert_within(_flux_within(0.7, r_e=0.7, n=n, q=q), 0.5, 1e-5, f"half-light {n=} {q=}")
    assert_within(_flux_within(700.0, r_e=0.7, n=n, q=q), 1.0, 1e-3, f"flux {n=} {q=}")


def test_sersic_sums_to_one_on_pixels_whatever_its_shape():
    """The ellipse keeps its area: a profile that lacks sqrt(q) sums to q or 1/q."""
    y, x = (np.indices((801, 801)) - 400) * 0.02
    for q, phi in ((1.0, 0.0), (0.5, 0.6), (0.3, 2.0)):
        total = sersic(x, y, r_e=0.6, n=1.0, q=q, phi=phi).sum() * 0.02**2
        assert_within(total, 1.0, 0.002, f"{q=} {phi=}")


def test_sersic_angle_is_that_of_its_major_axis():
    for phi in (0.0, 0.5, 2.0):
        along = sersic(math.cos(phi), math.sin(phi), r_e=0.5, n=1, q=0.5, phi=phi)
        across = sersic(-math.sin(phi), math.cos(phi), r_e=0.5, n=1, q=0.5, phi=phi)
        assert along > 2 * across


def test_sersic_of_index_a_half_is_a_gaussian():
    x = np.linspace(0, 2, 50)
    sigma = 0.5 / math.sqrt(2 * math.log(2))
    want = np.exp(-(x**2) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
    assert_ratio(sersic(x, 0 * x, r_e=0.5, n=0.5), want, 1e-9, "Gaussian")


@pytest.mark.parametrize(
    "bad", [{"r_e": 0}, {"r_e": -1}, {"n": 0.2}, {"n": 9}, {"q": 0}, {"q": 1.4}, {"r_e": math.nan}]
)
def test_sersic_refuses_what_is_no_galaxy(bad):
    with pytest.raises(ValueError, match="need r_e > 0"):
        sersic(0.0, 0.0, **({"r_e": 0.5, "n": 1.0, "q": 0.8} | bad))


@pytest.mark.parametrize("sigma", [3.0, 7.5, 20.0])
def test_half_light_radius_of_a_gaussian(sigma):
    y, x = np.indices((201, 201)) - 100
    for cx, cy in ((0, 0), (3.3, -5.7)):
        image = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
        want = sigma * math.sqrt(2 * math.log(2)) * 0.03
        assert_ratio(half_light_radius(image, 0.03), want, 0.01, f"{sigma=} at {cx}, {cy}")


def test_half_light_radius_of_an_exponential_does_not_depend_on_its_flux():
    y, x = (np.indices((301, 301)) - 150) * 0.03
    image = sersic(x, y, r_e=0.4, n=1.0)
    assert_ratio(half_light_radius(image, 0.03), 0.4, 0.01, "exponential")
    assert half_light_radius(1e-3 * image, 0.03) == pytest.approx(half_light_radius(image, 0.03))


def test_half_light_radius_needs_flux():
    assert math.isnan(half_light_radius(np.zeros((9, 9)), 0.03))
    assert math.isnan(half_light_radius(-np.ones((9, 9)), 0.03))


@pytest.mark.parametrize("size", [31, 32])
def test_taper_is_one_inside_and_dark_at_the_edge(size):
    window = taper(size, 0.25)
    y, x = np.indices((size, size)) - (size - 1) / 2
    radius = np.hypot(x, y) / (size / 2)
    assert (window[radius < 0.75] == 1).all()
    assert (window[radius >= 1] == 0).all()
    assert ((window > 0) & (window < 1)).any()
    assert_within(window, window[::-1, ::-1], 1e-15, "symmetry")
    order = np.argsort(radius.ravel())
    assert (np.diff(window.ravel()[order]) <= 1e-12).all()


def test_hybrid_templates_have_unit_flux_and_a_dark_border():
    for i in range(12):
        image, fraction = hybrid_template(generator(f"light-{i}"), **HYBRID)
        assert image.shape == (128, 128)
        assert_within(image.sum(), 1.0, 1e-12, "flux")
        assert image.min() >= 0
        border = image.copy()
        border[2:-2, 2:-2] = 0
        assert border.max() < 1e-3 * image.max()
        assert 0 <= fraction < 0.5


def test_hybrid_sizes_follow_their_median_and_scatter():
    def sizes(median, scatter):
        settings = HYBRID | {"hlr_median": median, "hlr_scatter": scatter}
        images = (hybrid_template(generator(f"size-{i}"), **settings)[0] for i in range(40))
        return np.array([half_light_radius(image, 0.03) for image in images])

    narrow, wide = sizes(0.3, 0.0), sizes(0.3, 0.4)
    assert 0.8 < np.median(sizes(0.45, 0.0)) / np.median(narrow) / 1.5 < 1.1
    assert 0.22 < np.median(narrow) < 0.36
    assert np.log(wide).std() > 2 * np.log(narrow).std()


def test_hybrid_clumps_are_seen_and_their_absence_too():
    smooth, none = hybrid_template(generator("a"), **(HYBRID | {"clump_count_mean": 0.0}))
    assert none == 0.0
    assert clumpiness(smooth) < 0.08  # smooth profiles without noise: .004 to .07
    lumpy = [hybrid_template(generator(f"b{i}"), **HYBRID) for i in range(12)]
    fraction = np.array([f for _, f in lumpy])
    rough = np.array([clumpiness(image) for image, _ in lumpy])
    assert rough[fraction > 0.25].mean() > rough[fraction < 0.15].mean() + 0.01


def test_hybrid_templates_are_behind_the_bank_psf():
    """Nothing in a template is sharper than its Gaussian PSF."""
    for i in range(5):
        image, _ = hybrid_template(generator(f"psf-{i}"), **HYBRID)
        power = np.abs(np.fft.fftshift(np.fft.fft2(image)))
        k = np.fft.fftshift(np.fft.fftfreq(128, 0.03))
        radius = np.hypot(k[:, None], k[None, :])
        sigma = 0.15 / math.sqrt(8 * math.log(2))
        beyond = (radius > 8) & (radius < 10)
        limit = 3 * np.exp(-2 * (math.pi * sigma * radius[beyond]) ** 2) + 1e-5
        assert (power[beyond] < limit).all()


def test_clumpiness_is_the_plans_formula():
    image = np.abs(np.random.default_rng(0).normal(1, 0.5, (40, 40)))
    want = np.abs(image - gaussian_filter(image, 1.0)).sum() / image.sum()
    assert clumpiness(image) == pytest.approx(want)
    assert clumpiness(7 * image) == pytest.approx(want)


def test_the_parts_of_a_hybrid_are_integrated_fractions():
    for i in range(6):
        made = hybrid(generator(f"parts-{i}"), **HYBRID)
        assert_within(made.bulge.sum(), 1.0, 1e-12, "flux of the bulge")
        assert 0 <= made.bulge_fraction <= 0.3
        rest = made.image - made.bulge_fraction * made.bulge
        assert rest.min() > -1e-9  # a part of the whole
        assert half_light_radius(made.bulge, 0.03) < half_light_radius(made.image, 0.03)


def test_arms_are_seen_and_wind():
    settings = HYBRID | {"clump_count_mean": 0.0, "arm_strength_max": 0.8}
    armed = [hybrid(generator(f"arm-{i}"), **settings, arm_probability=1.0) for i in range(8)]
    plain = [hybrid(generator(f"arm-{i}"), **settings) for i in range(8)]
    for one, other in zip(armed, plain, strict=True):
        assert one.arm_strength > 0.1 and other.arm_strength == 0
        assert_within(one.image.sum(), 1.0, 1e-12, "flux")
        residual = np.abs(one.image - other.image).sum()
        assert 0.03 < residual < 0.9
        # two arms: the same turned by half a circle
        assert_within(one.image, one.image[::-1, ::-1], 0.01 * one.image.max(), "symmetry")
