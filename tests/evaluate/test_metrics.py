"""Simple numbers of a stamp, on stamps where they are known."""

import numpy as np

from darkhaloscope.evaluate.metrics import added_metrics, stamp_metrics
from darkhaloscope.evaluate.sample import row_in_pair


def test_regions_hold_the_light_that_was_put_in_them():
    image = np.zeros((1, 3, 64, 64), np.float32)
    image[0, 1, 32, 32] = 5.0  # core
    image[0, 1, 32, 38] = 7.0  # 1.7 arcsec out: arc
    image[0, 1, 0, 0] = 11.0  # corner: outer
    found = stamp_metrics(image, 0.262)
    assert found["total"][0] == 23.0
    for name, flux in (("core", 5.0), ("arc", 7.0), ("outer", 11.0)):
        pixels = flux / found[name][0]
        assert pixels == round(pixels, 6) > 1, name
    assert found["peak"][0] == 11.0


def test_bad_pixels_are_counted_and_spoil_nothing_else():
    image = np.ones((2, 3, 33, 33), np.float32)
    image[1, 0, 3, 4] = np.nan
    image[1, 2, 5, 6] = np.inf
    found = stamp_metrics(image, 0.262)
    assert found["bad_pixels"].tolist() == [0, 2]
    assert all(np.isfinite(values).all() for values in found.values())


def test_sky_sigma_is_that_of_the_noise():
    rng = np.random.default_rng(0)
    sigma = np.array([0.002, 0.004, 0.01])
    image = rng.normal(0, 1, (80, 3, 64, 64)) * sigma[:, None, None]
    found = stamp_metrics(image.astype(np.float32), 0.262)
    for band, truth in zip("grz", sigma, strict=True):
        assert abs(found[f"sky_sigma_{band}"].mean() / truth - 1) < 0.02, band


def _pair(light):
    """A host row and the same with light added: images, kinds, pair ids."""
    host = np.random.default_rng(3).normal(0, 0.003, (3, 64, 64)).astype(np.float32)
    return np.stack([host + light, host]), np.array(["lens", "host"]), np.array(["a", "a"])


def test_added_light_is_what_a_row_has_over_its_host():
    light = np.zeros((3, 64, 64), np.float32)
    light[:, 40, 30] = [1.0, 2.0, 3.0]
    images, kinds, pairs = _pair(light)
    found = added_metrics(images, row_in_pair(pairs, kinds, "host"), np.zeros((2, 2)), 0.262)
    assert [round(float(found[f"added_{b}"][0]), 4) for b in "grz"] == [1.0, 2.0, 3.0]
    at = (np.array([30, 40]) - 31.5) * 0.262
    assert abs(found["added_x_z"][0] - at[0]) < 1e-4 and abs(found["added_y_g"][0] - at[1]) < 1e-4
    assert abs(found["added_radius"][0] - np.hypot(*at)) < 1e-4
    assert found["added_noise"][0] == 0.0
    assert all(np.isnan(values[1]) for values in found.values()), "the host row itself"


def test_noise_that_was_added_is_measured():
    noise = np.random.default_rng(1).normal(0, 0.004, (3, 64, 64)).astype(np.float32)
    images, kinds, pairs = _pair(noise)
    found = added_metrics(images, row_in_pair(pairs, kinds, "host"), np.zeros((2, 2)), 0.262)
    assert abs(found["added_noise"][0] / 0.004 - 1) < 0.15


def test_correlation_of_neighbours():
    white = np.random.default_rng(2).standard_normal((40, 3, 64, 64))
    blurred = (white + np.roll(white, 1, -1)).astype(np.float32)
    for image, truth in ((white.astype(np.float32), 0.0), (blurred, 0.5)):
        assert abs(np.median(stamp_metrics(image, 0.262)["sky_corr"]) - truth) < 0.03


def test_clipped_and_empty_bands_are_counted():
    image = np.random.default_rng(4).standard_normal((2, 3, 32, 32)).astype(np.float32)
    image[1, 0] = image[1, 0].clip(0.5)
    image[1, 2] = 7.0
    found = stamp_metrics(image, 0.262)
    assert found["flat"].tolist() == [0, 1023] and found["empty"].tolist() == [0, 1]


def test_equal_pixels_have_equal_prints_and_others_have_not():
    image = np.random.default_rng(5).standard_normal((500, 3, 32, 32)).astype(np.float32)
    image[7] = image[3]
    prints = stamp_metrics(image, 0.262)["pixels"]
    assert prints[7] == prints[3] and len(np.unique(prints)) == 499
    assert stamp_metrics(image[:, :, ::-1], 0.262)["pixels"][0] != prints[0]
