"""The same code on a GPU; skipped where there is none."""

from dataclasses import fields, replace

import pytest
import torch
from accuracy import SCALE, scenes, system, template

from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.render import magnification, render
from darkhaloscope.sim.scene import Scenes
from darkhaloscope.sim.sources import Templates
from tolerance import assert_images_agree, assert_ratio

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is to be had here")


def _on_gpu(rows: Scenes) -> Scenes:
    moved = {
        f.name: getattr(rows, f.name).cuda()
        for f in fields(rows)
        if isinstance(getattr(rows, f.name), torch.Tensor)
    }
    return replace(rows, **moved)


@pytest.mark.parametrize("compiled", [False, True])
def test_gpu_and_cpu_agree(compiled):
    rows = scenes([system(i)["scene"] for i in range(20)])
    images = torch.from_numpy(template("gpu"))[None].float()
    grid = Grid(64, SCALE)
    want = render(rows, Templates(images), grid)
    got = render(_on_gpu(rows), Templates(images.cuda()), grid, compiled=compiled).cpu()
    for row in range(len(rows)):
        assert_images_agree(got[row, 0], want[row, 0], 1e-4, f"{row=}")
    gain = magnification(_on_gpu(rows), Templates(images.cuda()), grid).cpu()
    assert_ratio(gain, magnification(rows, Templates(images), grid), 1e-3, "magnification")
