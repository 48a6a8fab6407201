"""`make bench-validate`: stamps a second and memory of the look that `dhs validate` takes.

    python bench/validate.py [rows ...]      by default 20,000, 100,000 and 1,000,000

One pinned core, one thread. A set of about 6,000 rows is made, and its parts are linked under other
numbers until there are so many: each is read, unpacked, measured and counted anew.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE_PAIRS = 2500
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def make_set(folder: Path) -> Path:
    from darkhaloscope.config import BankHybrid, CutoutsSynthetic, Inject, Plan
    from darkhaloscope.jobs.banks import bank_hybrid
    from darkhaloscope.jobs.engine import Local
    from darkhaloscope.jobs.inject import inject_all
    from darkhaloscope.jobs.plan import plan
    from darkhaloscope.jobs.synthetic import cutouts_synthetic

    bank, cutouts, rows, stamps = (folder / n for n in ("bank.h5", "cutouts", "plan", "stamps"))
    bank_hybrid(bank, BankHybrid(n_sources=200))
    cutouts_synthetic(cutouts, CutoutsSynthetic(n_hosts=1500), 2)
    plan(rows, cutouts, bank, Plan(), Local(2))
    inject_all(stamps, rows, cutouts, bank, Inject(), Local(2))
    return stamps


def linked(stamps: Path, out: Path, rows: int) -> int:
    """Links to the parts until there are so many rows; how many there are."""
    import pyarrow.parquet as pq

    out.mkdir()
    parts, n, number = sorted(stamps.glob("part-*.parquet")), 0, 0
    while n < rows:
        part = parts[number % len(parts)]
        (out / f"part-{number:05d}.parquet").symlink_to(part)
        n, number = n + pq.read_metadata(part).num_rows, number + 1
    return n


def look(folder: Path, rows: int) -> None:
    """Take the look here, and say what it took."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from darkhaloscope.jobs.looks import look_at

    began, cpu = time.perf_counter(), time.process_time()
    seen = look_at(folder, SAMPLE_PAIRS * 4 / rows)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kept = len(seen.sample["kind"])
    print(
        f"{rows} rows: {rows / wall:.0f} stamps/s ({rows / cpu:.0f} a second of processor time), "
        f"peak {peak:.0f} MiB, {kept} rows kept"
    )


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        look(Path(sys.argv[2]), int(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as name:
        stamps = make_set(Path(name))
        for rows in [int(word) for word in sys.argv[1:]] or [20_000, 100_000, 1_000_000]:
            out = Path(name) / f"linked-{rows}"
            words = [sys.executable, __file__, "--one", str(out), str(linked(stamps, out, rows))]
            subprocess.run(words, check=True, env=os.environ | _ONE_THREAD)


if __name__ == "__main__":
    main()
