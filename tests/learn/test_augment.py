"""Turning, shifting, blurring and roughening do what they say and nothing else."""

import numpy as np
import pytest
import torch

from batches import SCALE, batch, noise
from darkhaloscope.config import Train
from darkhaloscope.learn.augment import augment, moved, turned
from darkhaloscope.units import SIGMA_PER_FWHM
from tolerance import assert_images_agree, assert_ratio, assert_within


def blob(dy=0.0, dx=0.0, sigma=3.0, size=64):
    """A Gaussian of unit flux off the middle."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    image = np.exp(-((y - dy) ** 2 + (x - dx) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    return torch.as_tensor(image[None, None].repeat(3, 1), dtype=torch.float32)


def none(n=1):
    return torch.zeros(n, 3)


def test_the_eight_symmetries_are_eight_and_undo_nothing_else():
    image = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    every = turned(image.expand(8, -1, -1, -1), torch.arange(8)).numpy()
    wanted = [np.rot90(m, k, (1, 2)) for m in (image[0], image[0].flip(-1)) for k in range(4)]
    assert {one.tobytes() for one in every} == {np.ascontiguousarray(w).tobytes() for w in wanted}


@pytest.mark.parametrize("shift", [(1.0, -2.0), (0.3, 0.0), (-0.49, 2.5)])
def test_a_shift_is_the_image_elsewhere(shift):
    got = moved(blob(), torch.tensor([shift]), none(), SCALE)
    assert_images_agree(got, blob(*shift), 1e-5, f"{shift=}")


@pytest.mark.parametrize("fwhm", [0.3, 0.8])
def test_a_blur_adds_its_width_and_keeps_the_flux(fwhm):
    sigma = fwhm * SIGMA_PER_FWHM / SCALE
    got = moved(blob(), torch.zeros(1, 2), none() + fwhm, SCALE)
    assert_images_agree(got, blob(sigma=float(np.hypot(3, sigma))), 1e-5, f"{fwhm=}")
    assert_ratio(got.sum((-2, -1)), np.ones((1, 3)), 1e-5, "flux")


@pytest.mark.parametrize("size", [48, 63])
def test_rows_of_a_batch_go_each_their_own_way(size):
    shifts = [(0.2, 1.3), (-2.0, 0.4)]
    got = moved(blob(size=size).repeat(2, 1, 1, 1), torch.tensor(shifts), none(2), SCALE)
    want = torch.cat([blob(*shift, size=size) for shift in shifts])
    assert_images_agree(got, want, 1e-4, "rows")


def _augmented(seed=1, n=400, **settings):
    of = batch(noise(48, n=n))
    return of, augment(of, Train(**settings), torch.Generator().manual_seed(seed))


def test_noise_and_psf_are_said_to_be_what_they_become():
    """Without blur and shift: the noise measured is that of the column."""
    of, got = _augmented(shift_pix=0, subpixel=False, psf_jitter=0, noise_jitter=0.6)
    measured = got.images.std((-2, -1)) / got.sky_sigma
    assert_within(measured.mean(0), np.ones(3), 0.01, "noise over its column")
    rise = got.sky_sigma / of.sky_sigma
    assert float(rise.min()) >= 1 and 1.1 < float(rise.max()) <= float(np.hypot(1, 0.6)) + 1e-5
    assert torch.equal(got.psf_fwhm, of.psf_fwhm)
    _, got = _augmented(psf_jitter=0.1)
    wider = got.psf_fwhm / of.psf_fwhm
    assert float(wider.min()) >= 1 and 1.08 < float(wider.max()) <= 1.1 + 1e-5


def test_each_time_is_another_and_each_seed_the_same():
    _, first = _augmented(seed=3, n=8)
    _, again = _augmented(seed=3, n=8)
    _, other = _augmented(seed=4, n=8)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_without_jitter_only_the_square_is_turned():
    of, got = _augmented(n=6, shift_pix=0, subpixel=False, psf_jitter=0, noise_jitter=0)
    for one, image in zip(got.images, of.images, strict=True):
        assert torch.equal(one.flatten().sort().values, image.flatten().sort().values)
