"""What choosing hosts and cutting them out costs: `make bench-cutouts`.

One pinned core, medians of several turns: rows of a sweep a second, cutouts a second from a tree of
bricks full of noise on this disk, the same through a local web server, the tiles' reader against
astropy's own sections, and the memory of few and of many hosts.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

import sweeps
from bricktree import parent_rows, scattered, write_brick, write_parent
from darkhaloscope.config import CutoutsBricks, Parent
from darkhaloscope.io.tiles import TiledImage
from darkhaloscope.jobs.parent import parent
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.survey_cutouts import cutouts_bricks
from darkhaloscope.survey.bricks import brick_of, coadd_path
from memory import peak_mib
from surveyserver import Survey, serving

HOSTS_A_BRICK = 40
"""DESI LRGs are 600 a square degree, 38 a brick."""


def seconds(work: Callable[[], object], turns: int) -> float:
    taken = []
    for turn in range(turns + 1):
        start = time.perf_counter()
        work()
        if turn:
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def of_bricks(folder: Path, turns: int) -> None:
    root, bricks = folder / "tree", [brick_of(ra, 2.1) for ra in (150.1, 150.4, 150.7)]
    places = [scattered(brick, HOSTS_A_BRICK, seed) for seed, brick in enumerate(bricks)]
    ra, dec = (np.concatenate([p[i] for p in places]) for i in (0, 1))
    for brick in bricks:
        write_brick(root, brick, ra, dec, noisy=True)
    table = write_parent(folder / "parent", parent_rows(ra, dec))
    n = len(ra)

    def cut(address: str) -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        cutouts_bricks(folder / "out", table, address, CutoutsBricks(), 1)

    print(f"{n} cutouts of 64 pixels, g r z, from {len(bricks)} bricks of 13 files:")
    print(f"  from a folder           {n / seconds(lambda: cut(str(root)), turns):6.0f} cutouts/s")
    survey = Survey(root)
    with serving(survey) as address:
        rate = n / seconds(lambda: cut(f"{address}/tree"), 1)
        whole = sum(p.stat().st_size for p in root.rglob("*.fz"))
    print(f"  from a local web server {rate:6.0f} cutouts/s (both on one core)")
    share = survey.bytes_sent / 2 / whole
    print(f"  fetched from it         {share:6.1%} of the bricks' bytes")
    against_astropy(root / coadd_path(bricks[0].name, "image", "r"), turns)


def against_astropy(path: Path, turns: int) -> None:
    boxes = np.random.default_rng(1).integers(0, 3500, (200, 2)).tolist()
    with path.open("rb") as stream, fits.open(path) as hdus:
        ours = TiledImage(stream)

        def each(read):
            for y, x in boxes:
                read((slice(y, y + 64), slice(x, x + 64)))

        mine = seconds(lambda: each(ours.section), turns)
        theirs = seconds(lambda: each(lambda box: hdus[1].section[box]), turns)
    ms = 1e3 * mine / len(boxes)
    print(f"  a section of 64 pixels  {ms:6.2f} ms, astropy's {theirs / mine:.1f}x")


def of_sweeps(folder: Path, turns: int) -> None:
    n = 1_000_000
    columns = sweeps.rows(*sweeps.sky(n))
    columns["FLUX_W1"][n // 50 :] = 0.1  # 2 % are selected
    path = sweeps.write(folder / "sweep.fits", columns)
    del columns
    cfg = Parent(selection=("plan",))

    def choose() -> None:
        shutil.rmtree(folder / "parents", ignore_errors=True)
        parent(folder / "parents", [path], cfg, 1)

    rate = n / seconds(choose, turns)
    print(f"a sweep of {n:,} rows, {path.stat().st_size / 2**20:.0f} MiB, 2 % selected:")
    print(f"  dhs parent              {rate / 1e3:6.0f} thousand rows/s")


def of_memory(folder: Path) -> None:
    brick = brick_of(150.1, 2.1)
    print("memory of cutting out, MiB:")
    for n in (200, 4000):
        ra, dec = scattered(brick, n)
        table = write_parent(folder / f"parent{n}", parent_rows(ra, dec))
        cfg = CutoutsBricks(hosts_per_part=200)
        out = folder / f"out{n}"
        peak = peak_mib(cutouts_bricks, out, table, str(folder / "tree"), cfg, 1)
        print(f"  {n:5d} hosts             {peak:6.0f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    console.quiet = True
    with tempfile.TemporaryDirectory() as folder:
        of_bricks(Path(folder), turns)
        of_sweeps(Path(folder), turns)
        of_memory(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
