"""Simple numbers of a stamp, on stamps where they are known."""

import numpy as np

from darkhaloscope.evaluate.metrics import stamp_metrics


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
    image = rng.normal(0, 1, (20, 3, 64, 64)) * sigma[:, None, None]
    found = stamp_metrics(image.astype(np.float32), 0.262)
    for band, truth in zip("grz", sigma, strict=True):
        assert abs(found[f"sky_sigma_{band}"].mean() / truth - 1) < 0.02, band
