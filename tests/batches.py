"""Small batches of stamps, for the tests of what a network sees."""

import numpy as np
import torch

from darkhaloscope.learn.batch import Batch

SCALE = 0.262


def batch(images, fwhm=(1.4, 1.3, 1.2), sky=(0.002, 0.003, 0.007), meta=()) -> Batch:
    images = torch.as_tensor(np.asarray(images), dtype=torch.float32)
    n = len(images)
    return Batch(
        images=images,
        psf_fwhm=torch.tensor([fwhm] * n),
        sky_sigma=torch.tensor([sky] * n),
        meta=torch.tensor([meta] * n).reshape(n, len(meta)),
        label=torch.zeros(n),
        pixel_scale=SCALE,
    )


def noise(size=64, n=2, seed=1):
    sky = np.array([0.002, 0.003, 0.007])[:, None, None]
    return np.random.default_rng(seed).normal(0, 1, (n, 3, size, size)) * sky
