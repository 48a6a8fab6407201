"""The renderer against brute force, 31 x 31 rays a pixel: a part of `make accuracy`."""

import pytest
from accuracy import judge


@pytest.mark.parametrize("i", range(15))
def test_hard_scenes_are_rendered_to_the_tolerance(i):
    """Every PSF, stamp size and place of the source; the whole study has 315 scenes."""
    (pixel, flux), (fast_pixel, fast_flux) = judge(i, (1e-3, 4e-3))
    assert pixel < 0.005 and flux < 0.002, (pixel, flux)
    assert fast_pixel < 0.01 and fast_flux < 0.008, (fast_pixel, fast_flux)
