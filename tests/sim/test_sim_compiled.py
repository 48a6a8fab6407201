"""The compiled renderer: the same images, and eager where nothing can compile."""

import pytest
import torch
from accuracy import SCALE, scenes, system, template

from darkhaloscope.sim import kernels
from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.render import render
from darkhaloscope.sim.sources import Templates
from tolerance import assert_images_agree


@pytest.fixture
def rows():
    return scenes([system(i)["scene"] for i in range(5)])


@pytest.fixture
def sources() -> Templates:
    return Templates(torch.from_numpy(template("compiled"))[None].float())


@pytest.mark.skipif(not kernels.can_compile(), reason="no C++ compiler is installed")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own
@pytest.mark.timeout(600)
def test_compiled_and_eager_agree(rows, sources):
    grid = Grid(40, SCALE)
    eager = render(rows, sources, grid)
    compiled = render(rows, sources, grid, compiled=True)
    for row in range(len(rows)):
        assert_images_agree(compiled[row, 0], eager[row, 0], 1e-4, f"{row=}")


def test_without_a_compiler_it_warns_and_is_eager(rows, sources, monkeypatch):
    monkeypatch.setattr(kernels, "can_compile", lambda: False)
    kernels.kernels.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"no C\+\+ compiler"):
            image = render(rows, sources, Grid(32, SCALE), compiled=True)
    finally:
        kernels.kernels.cache_clear()
    assert torch.equal(image, render(rows, sources, Grid(32, SCALE)))


def test_memory_is_bounded_whatever_the_batch(rows, sources):
    """Ten times the rows take the same working memory: peak beyond the images themselves."""
    many = rows[torch.arange(2000) % 5]
    render(many[:200], sources, Grid(24, SCALE))
    peaks = []
    for n in (200, 2000):
        with torch.profiler.profile(profile_memory=True) as profile:
            image = render(many[:n], sources, Grid(24, SCALE))
        now, peak = 0, 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == "[memory]":
                now += event.nbytes()
                peak = max(peak, now)
        peaks.append(peak - image.numel() * 4)
    assert peaks[1] < 2 * peaks[0], peaks
