"""What a grader sees: every view there, arcs where they are, nothing but the pixels told."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread

from darkhaloscope.grading.pictures import VIEWS, pictures, sheet

SCALE, N = 0.262, 48
SIGMA = np.array([0.0016, 0.003, 0.0075])


def cutout() -> np.ndarray:
    """A red galaxy, and a blue arc above it, in noise."""
    y, x = np.indices((N, N)) - (N - 1) / 2
    red = np.exp(-0.5 * (x**2 + y**2) / 2.2**2) * np.array([0.05, 0.2, 0.4])[:, None, None]
    ring = np.exp(-0.5 * ((np.hypot(x, y) - 8) / 1.4) ** 2) * (np.abs(x) < 4) * (y > 0)
    blue = ring * np.array([0.06, 0.05, 0.04])[:, None, None]
    noise = np.random.default_rng(2).normal(0, SIGMA[:, None, None], (3, N, N))
    return red + blue + noise + 0.01


ARC = (N // 2 + 8, N // 2)
CORE = (N // 2, N // 2)


def test_a_sheet_is_all_views_side_by_side_and_upright():
    image = cutout()
    found = (imread(BytesIO(sheet(image, SCALE)))[..., :3] * 255).round().astype(np.uint8)
    assert found.shape == (N, len(VIEWS) * N, 3)
    shown = pictures(image, SCALE)
    for i, view in enumerate(VIEWS):
        assert (found[::-1, i * N : (i + 1) * N] == shown[view.name]).all(), view.name


def test_each_view_shows_what_it_is_for():
    shown = {name: view.astype(int) for name, view in pictures(cutout(), SCALE).items()}
    arc, core = (lambda name: shown[name][ARC]), (lambda name: shown[name][CORE])
    assert core("colour")[0] > core("colour")[2]  # a red core
    assert arc("subtracted").sum() > 0.7 * arc("colour").sum()
    assert core("subtracted").sum() < 0.5 * core("colour").sum()
    assert arc("difference")[2] > arc("difference")[0] + 50  # bluer than the core
    assert core("faint").sum() >= core("colour").sum() > core("bright").sum()
    assert shown["faint"].mean() > shown["colour"].mean() > shown["bright"].mean()
    assert arc("g")[0] > 100 and (shown["g"][..., 0] == shown["g"][..., 2]).all()


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_an_image_without_light_or_data_is_drawn(fill):
    image = cutout()
    image[1:] = fill
    assert len(sheet(image, SCALE)) > 500
