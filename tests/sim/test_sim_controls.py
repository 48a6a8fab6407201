"""Painted controls: light around a galaxy, of unit flux, the same for the same generator."""

import numpy as np
import pytest

from darkhaloscope.keys import generator
from darkhaloscope.sim.controls import FRAME, PAINTED, PIXEL, SIZE, paint
from tolerance import assert_within

AXIS = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL


@pytest.mark.parametrize("kind", PAINTED)
def test_a_painting_has_unit_flux_about_the_einstein_ring(kind):
    radius = np.hypot(AXIS[:, None], AXIS[None, :])
    for i in range(30):
        image = paint(kind, generator(f"control-{i}"))
        assert image.shape == (SIZE, SIZE) and image.dtype == np.float32
        assert_within(image.sum(dtype=float), 1, 1e-5, "flux")
        assert image.min() >= 0
        assert 0.5 < (image * radius).sum() < 1.5, "mean radius, Einstein radii"
        assert image[radius > 0.97 * FRAME].sum() < 0.01, "nothing is cut off"
        assert image[radius < 0.25].sum() < 0.15, "the host stays the middle"


@pytest.mark.parametrize("kind", PAINTED)
def test_the_generator_decides(kind):
    one, same, other = (paint(kind, generator(name)) for name in ("a", "a", "b"))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
