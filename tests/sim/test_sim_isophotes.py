"""The galaxy's own light goes, what is not the galaxy stays."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from darkhaloscope.sim.isophotes import outer_sky, smooth_galaxy

SCALE, N = 0.262, 64
SIGMA = np.array([0.0016, 0.003, 0.0075])
COLOURS = np.array([0.12, 0.5, 1.0])
BLUE = np.array([1.0, 1.1, 1.2])


def radius(q=1.0, phi=0.0, x0=0.0, y0=0.0, n=N):
    y, x = np.indices((n, n)) - (n - 1) / 2
    x, y = (x - x0) * SCALE, (y - y0) * SCALE
    along = x * np.cos(phi) + y * np.sin(phi)
    across = -x * np.sin(phi) + y * np.cos(phi)
    return np.sqrt(q * along**2 + across**2 / q)


def galaxy(q=0.7, phi=0.6, x0=0.4, y0=-0.3, peak=0.5):
    """A de Vaucouleurs-like galaxy, seen through the seeing."""
    shape = np.exp(-3.0 * (radius(q, phi, x0, y0) / 0.8) ** 0.5)
    seen = gaussian_filter(shape, 0.55 / SCALE)
    return peak * COLOURS[:, None, None] * seen / seen.max()


def arc(theta_E=1.6, half_angle=0.7, peak=0.03):
    y, x = np.indices((N, N)) - (N - 1) / 2
    ring = np.exp(-0.5 * ((radius() - theta_E) / 0.35) ** 2)
    away = np.abs(np.angle(np.exp(1j * (np.arctan2(y, x) - 1.0))))
    return peak * BLUE[:, None, None] * ring * (away < half_angle)


def noise(seed=1):
    return np.random.default_rng(seed).normal(0, SIGMA[:, None, None], (3, N, N))


@pytest.mark.parametrize(("q", "phi"), [(1.0, 0.0), (0.7, 0.6), (0.5, 2.2)])
def test_a_galaxy_alone_is_gone(q, phi):
    image = galaxy(q, phi)
    left = image - smooth_galaxy(image, SCALE)
    assert np.abs(left).max((1, 2)) == pytest.approx(0, abs=0.045 * image.max())
    assert np.abs(left).sum() < 0.08 * image.sum()


def test_in_noise_what_is_left_is_noise_and_the_sky_is_kept():
    sky = np.array([0.01, -0.02, 0.03])[:, None, None]
    image = galaxy() + noise() + sky
    left = image - smooth_galaxy(image, SCALE)
    beyond = radius() > 1.0
    assert left[:, beyond].std(axis=1) == pytest.approx(SIGMA, rel=0.1)
    assert outer_sky(left) == pytest.approx(sky.ravel(), abs=5e-4)


@pytest.mark.parametrize("half_angle", [0.4, 0.7, 1.2])
def test_an_arc_stays(half_angle):
    added = arc(half_angle=half_angle)
    image = galaxy() + added + noise()
    left = image - smooth_galaxy(image, SCALE)
    where = added[1] > 0.3 * added[1].max()
    assert left[:, where].sum() > 0.78 * added[:, where].sum()


def test_a_whole_ring_stays_in_part_because_light_may_only_fall_outwards():
    added = arc(theta_E=2.2, half_angle=4.0, peak=0.05)
    image = galaxy(peak=0.2) + added
    left = image - smooth_galaxy(image, SCALE)
    where = added[0] > 0.5 * added[0].max()
    assert left[0, where].sum() > 0.7 * added[0, where].sum()


def test_a_neighbour_stays():
    y, x = np.indices((N, N))
    neighbour = 0.3 * np.exp(-0.5 * ((x - 48) ** 2 + (y - 40) ** 2) / 2.5**2)
    image = galaxy() + neighbour
    left = image - smooth_galaxy(image, SCALE)
    assert left[1, 40, 48] == pytest.approx(0.3, rel=0.03)


def test_pixels_that_are_no_number_and_empty_images_do_no_harm():
    image = galaxy()
    image[0, 10, 10] = np.nan
    assert np.isfinite(smooth_galaxy(image, SCALE)).all()
    assert not smooth_galaxy(np.zeros((3, N, N)), SCALE).any()


def test_a_bright_neighbour_does_not_bend_the_ellipse():
    y, x = np.indices((N, N))
    neighbour = 0.6 * np.exp(-0.5 * ((x - 32) ** 2 + (y - 43) ** 2) / 2.2**2)
    image = galaxy(q=0.8, phi=0.0) + neighbour
    left = image[1] - smooth_galaxy(image, SCALE)[1] - neighbour
    assert np.abs(left[:34]).max() < 0.05 * 0.25  # of the galaxy's peak in r
