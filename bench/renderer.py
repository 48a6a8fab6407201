"""`make bench`: renderers on the same work, accuracy beside speed, ratios within one run.

One process, pinned to one core and one thread. The methods take turns; the ratio of a method to
the slowest is the median over turns of the ratio of their times in that turn.
"""

import argparse
import os
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import numpy as np
import peers
import torch
from matplotlib.figure import Figure
from work import SCALE, SIZE, Work, draw

from darkhaloscope.sim.grid import Grid
from darkhaloscope.sim.psf import Moffat
from darkhaloscope.sim.render import render
from darkhaloscope.sim.sources import Templates

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- made by make bench -->", "<!-- end -->"
SLOW_ROWS = 24  # of methods that take more than 5 ms a stamp


def ours(tolerance: float, compiled: bool) -> tuple[str, peers.Method]:
    grid, psf = Grid(SIZE, SCALE, tolerance), Moffat(includes_pixel=False)
    kept: dict[int, tuple] = {}

    def run(work: Work) -> np.ndarray:
        # templates are resident: prepared once, as in a run over a bank
        if id(work) not in kept:
            kept[id(work)] = work.scenes(), Templates(torch.from_numpy(work.templates))
        return render(*kept[id(work)], grid, psf, compiled=compiled).numpy()

    how = "compiled" if compiled else "eager"
    return f"DarkHaloScope, tolerance {tolerance:g}, {how}", run


def methods() -> tuple[dict[str, peers.Method], list[str]]:
    """All that can run, and the names of peers that are not installed."""
    made = [ours(tolerance, compiled) for compiled in (True, False) for tolerance in (1e-3, 1e-2)]
    missing = []
    for name, maker in peers.MAKERS.items():
        try:
            made.append(maker())
        except ImportError as error:
            print(f"{name} is left out: {error}")
            missing.append(name)
    return dict(made), missing


def pinned() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


def measured(every: dict[str, peers.Method], work: Work, turns: int) -> list[dict]:
    """A row a method: name, stamps per second, ratio to the slowest, errors."""
    few = work[:SLOW_ROWS]
    truth = few.truth()
    results, batches = [], {}
    for name, run in every.items():
        error = np.abs(run(few) - truth).max((2, 3)) / truth.max((2, 3))
        flux = np.abs(run(few).sum((2, 3)) / truth.sum((2, 3)) - 1)
        run(few)
        start = time.perf_counter()
        run(few)
        slow = (time.perf_counter() - start) / len(few) > 0.005
        batches[name] = few if slow else work
        run(batches[name])
        results.append(
            {
                "method": name,
                "error_median": float(np.median(error)), "error_worst": float(error.max()),
                "flux_median": float(np.median(flux)), "flux_worst": float(flux.max()),
                "seconds": [],
            }
        )  # fmt: skip
    for _ in range(turns):
        for result in results:
            batch = batches[result["method"]]
            start = time.perf_counter()
            every[result["method"]](batch)
            result["seconds"].append((time.perf_counter() - start) / len(batch))
    slowest = max(results, key=lambda r: np.median(r["seconds"]))["seconds"]
    for result in results:
        result["ratio"] = float(np.median(np.array(slowest) / result["seconds"]))
        result["per_second"] = float(1 / np.median(result["seconds"]))
    return results


def table(results: list[dict]) -> str:
    lines = [
        "| method | stamps/s | ratio | worst pixel / peak: median, worst | flux: median, worst |",
        "|---|---|---|---|---|",
    ]
    for r in sorted(results, key=lambda r: -r["ratio"]):
        lines.append(
            f"| {r['method']} | {r['per_second']:.0f} | {r['ratio']:.1f} | "
            f"{r['error_median']:.2%}, {r['error_worst']:.2%} | "
            f"{r['flux_median']:.3%}, {r['flux_worst']:.3%} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=240, help="stamps a turn")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    pinned()
    every, missing = methods()
    results = measured(every, draw(args.rows), args.turns)
    said = f"{SIZE} x {SIZE} x 3 bands, one core, medians of {args.turns} turns\n\n{table(results)}"
    print(said)
    if args.write and missing:
        print(f"\n{PAGE.name} is left as it is, for want of {', '.join(missing)}")
    elif args.write:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(before + BEGIN + "\n\n" + said + "\n\n" + END + rest.partition(END)[2])
        draw_figure(results)


def draw_figure(results: list[dict]) -> None:
    """Speed as bars, the errors beside them."""
    ordered = sorted(results, key=lambda r: r["ratio"])
    names = [r["method"] for r in ordered]
    own = [name.startswith("DarkHaloScope") for name in names]
    figure = Figure(figsize=(8.0, 3.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.barh(
        names, [r["ratio"] for r in ordered], color=["#c1440e" if o else "#8a94a6" for o in own]
    )
    for place, r in enumerate(ordered):
        said = f"{r['ratio']:.0f} ×   {r['error_median']:.2%}, worst {r['error_worst']:.2%}"
        axes.text(r["ratio"] + 1, place, said, va="center", fontsize=8)
    axes.set_xlim(0, 1.5 * ordered[-1]["ratio"])
    axes.set_xlabel(
        "stamps per second on one core, over lenstronomy as written\n"
        "percentages: worst pixel over the peak, median and worst stamp"
    )
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(PAGE.parent / "figures" / "performance.png")


if __name__ == "__main__":
    main()
