"""`make bench-plan`: rows a second and memory of `dhs plan` on one core, for more and more rows.

python bench/plan.py [rows ...]     by default 100,000 and 1,000,000
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from darkhaloscope.config import BankHybrid, CutoutsSynthetic, Plan
from darkhaloscope.jobs.banks import bank_hybrid
from darkhaloscope.jobs.engine import Local
from darkhaloscope.jobs.synthetic import cutouts_synthetic

HOSTS, ROWS_A_PAIR = 2000, 4.25


def make_inputs(folder: Path) -> None:
    bank_hybrid(folder / "bank.h5", BankHybrid(n_sources=400))
    cutouts_synthetic(folder / "cutouts", CutoutsSynthetic(n_hosts=HOSTS), 2)


def planned(folder: Path, rows: int) -> None:
    """Plan about so many rows here, and say what it took."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from darkhaloscope.jobs.plan import plan

    replicates = max(1, round(rows / ROWS_A_PAIR / HOSTS))
    wall, cpu = time.perf_counter(), time.process_time()
    cfg = Plan(pairs_per_host=replicates)
    out = folder / f"plan-{rows}"
    plan(out, folder / "cutouts", folder / "bank.h5", cfg, Local(1))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows} rows asked: {wall:.1f} s, {cpu:.1f} s of processor time, peak {peak:.0f} MiB")


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        planned(Path(sys.argv[2]), int(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as name:
        make_inputs(Path(name))
        for rows in [int(word) for word in sys.argv[1:]] or [100_000, 1_000_000]:
            subprocess.run([sys.executable, __file__, "--one", name, str(rows)], check=True)


if __name__ == "__main__":
    main()
