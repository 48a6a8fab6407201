"""`make scaling`: cost against stamps, against pixels that see the source, and on two cores."""

import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import torch
from work import SCALE, SIZE, draw

from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.psf import Moffat
from darkhaloscope.sim.rays import View
from darkhaloscope.sim.render import render
from darkhaloscope.sim.scene import Scenes
from darkhaloscope.sim.sources import Templates

TURNS = 7
PSF = Moffat(includes_pixel=False)


def seconds(run) -> float:
    """The fastest of some turns: what the machine does when nobody else uses it."""
    run()
    times = []
    for _ in range(TURNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def stamps(scenes: Scenes, sources: Templates) -> None:
    print("stamps in one call, microseconds a stamp")
    grid = Grid(SIZE, SCALE)
    for n in (30, 60, 120, 240, 480):
        rows = scenes[torch.arange(n) % len(scenes)]
        took = seconds(lambda rows=rows: render(rows, sources, grid, PSF))
        print(f"  {n:4d}  {took / n * 1e6:6.0f}")


def pixels(scenes: Scenes, sources: Templates) -> None:
    """Rays alone, of ever larger arcs; then whole stamps of several sizes."""
    print("pixels that see the source, and microseconds of rays a stamp")
    grid, lit, took = Grid(128, SCALE), [], []
    for theta_E in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0):
        shrink = theta_E / scenes.theta_E
        rows = replace(
            scenes, theta_E=torch.full_like(shrink, theta_E),
            source_x=scenes.source_x * shrink, source_y=scenes.source_y * shrink,
        )  # fmt: skip
        view = View.of(rows, sources, grid)
        parts = [view[_ALL[i : i + 24]] for i in range(0, len(rows), 24)]
        seen = [(part.fine_light() > 0).sum() / 4 for part in parts]
        lit.append(float(sum(seen)) / len(rows))
        run = lambda parts=parts: [part.fine_light() for part in parts]  # noqa: E731
        took.append(seconds(run) / len(rows) * 1e6)
        print(f"  theta_E {theta_E:3.1f}  {lit[-1]:6.0f} pixels  {took[-1]:6.0f}")
    slope, start = np.polyfit(lit, took, 1)
    residual = np.abs(np.polyval((slope, start), lit) / took - 1).max()
    print(f"  {start:.0f} + {slope:.3f} a pixel, worst residual {residual:.0%}")
    print("side of the stamp, pixels, and microseconds a stamp")
    for size in (64, 101, 128):
        grid = Grid(size, SCALE)
        whole = seconds(lambda grid=grid: render(scenes, sources, grid, PSF))
        print(f"  {size:4d}  {whole / len(scenes) * 1e6:6.0f}")


def cores() -> None:
    """Two processes, each on a core of its own, against one: stamps per second."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        print("one core only: two cannot be measured")
        return
    ratios = []
    for _ in range(5):
        one = _rates(available[:1])
        two = _rates(available[:2])
        ratios.append(sum(two) / sum(one))
    print(f"1 core -> 2 cores: {statistics.median(ratios):.2f} times the stamps per second")


def _rates(on: list[int]) -> list[float]:
    words = [sys.executable, __file__, "--worker"]
    workers = [
        subprocess.Popen([*words, str(core)], stdout=subprocess.PIPE, text=True) for core in on
    ]
    return [float(worker.communicate()[0]) for worker in workers]


def worker(core: int) -> None:
    """Stamps per second on one core over four seconds."""
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    work, grid = draw(240), Grid(SIZE, SCALE)
    scenes, sources = work.scenes(), Templates(torch.from_numpy(work.templates))
    render(scenes, sources, grid, PSF)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < 4:
        render(scenes, sources, grid, PSF)
        done += len(scenes)
    print(done / (time.perf_counter() - start))


_ALL = torch.arange(240)


def main() -> None:
    if len(sys.argv) == 3:
        worker(int(sys.argv[2]))
        return
    cores()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    work = draw(240)
    scenes, sources = work.scenes(), Templates(torch.from_numpy(work.templates))
    stamps(scenes, sources)
    pixels(scenes, sources)


if __name__ == "__main__":
    main()
