"""What building and opening banks costs: `make bench-banks`.

Ratios within one run on one pinned core, medians of several turns: building against GalSim's own
drawing of the same galaxies, two processes against one, opening a bank of 20,000 templates, and
the memory of building 60,000.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import galsim
import numpy as np
from astropy.table import Table, vstack

from darkhaloscope.config import BankCosmos
from darkhaloscope.io.bank import MADE, TEXT, bank_writer, read_bank
from darkhaloscope.jobs import bank_parts, pool
from darkhaloscope.jobs.banks import CosmosMaker, bank_cosmos

NAME = "real_galaxy_catalog_26_extension_example.fits"


def real_data() -> Path:
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("DHS_REAL_DATA", default)) / "hst_cosmos_100"


def draw_all(folder: Path, **options) -> None:
    """GalSim's own drawing as its documentation shows it, images read anew as a bank reads them."""
    catalogue = galsim.COSMOSCatalog(NAME, dir=str(folder), exclusion_level="none")
    psf, rng = galsim.Gaussian(fwhm=0.15), galsim.BaseDeviate(1)
    for i in range(len(catalogue)):
        galaxy = catalogue.makeGalaxy(i, gal_type="real", rng=rng, **options)
        galsim.Convolve(galaxy, psf).drawImage(nx=128, ny=128, scale=0.03, method="no_pixel")


def against_galsim(turns: int) -> None:
    folder = real_data()
    maker = CosmosMaker(folder, BankCosmos())
    works = {
        "GalSim makeGalaxy and drawImage": lambda: draw_all(folder),
        "GalSim without noise padding": lambda: draw_all(folder, noise_pad_size=0),
        "building the bank": lambda: list(maker.make(range(100))),
    }
    seconds = {name: [] for name in works}
    for turn in range(turns + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    for name, taken in seconds.items():
        print(f"{name:<34} {100 / np.median(taken):6.0f} galaxies/s")
    ours = np.array(seconds["building the bank"])
    for name in list(works)[:2]:
        print(f"building costs {np.median(ours / np.array(seconds[name])):.2f} x {name}")


def many(folder: Path, copies: int) -> Path:
    """The example catalogue over and over, its images linked, not copied."""
    for path in real_data().iterdir():
        if path.name != NAME and not path.name.endswith("_fits.fits"):
            (folder / path.name).symlink_to(path)
    table = Table.read(real_data() / NAME)
    whole = vstack([table] * copies, metadata_conflicts="silent")
    whole["IDENT"] = np.arange(len(whole))
    whole.write(folder / NAME)
    return folder


def two_processes(turns: int) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory() as place:
        folder = many(Path(place), 60)
        maker = CosmosMaker(folder, BankCosmos())
        ratios = []
        for turn in range(turns):
            taken = []
            for processes in (1, 2):
                parts = Path(place) / f"{turn}-{processes}"
                parts.mkdir()
                tasks = [
                    bank_parts._Task(maker, tuple(range(k, k + 250)), "cosmos", parts / f"{k}.npz")
                    for k in range(0, 6000, 250)
                ]
                start = time.perf_counter()
                list(pool.each(bank_parts._make_part, tasks, processes))
                taken.append(time.perf_counter() - start)
            ratios.append(taken[0] / taken[1])
    ratio = np.median(ratios)
    print(f"two processes against one, 6,000 galaxies, start-up included: {ratio:.2f} x")


def opening(n: int = 20_000) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "bank.h5"
        columns = {name: np.full(n, value) for name, value in MADE.items()}
        columns |= {name: np.array([f"{name}{i}" for i in range(n)]) for name in TEXT}
        about = {"size": 128, "pixel_scale": 0.03, "psf_fwhm": 0.15, "identity": {}}
        flat = np.full((500, 128, 128), 1 / 128**2, np.float32)
        with bank_writer(path, columns, **about) as writer:
            for _ in range(n // 500):
                writer.add(flat)
        taken = []
        for _ in range(7):
            start = time.perf_counter()
            read_bank(path)
            taken.append(time.perf_counter() - start)
        print(f"opening {n} templates ({path.stat().st_size / 2**30:.2f} GiB): "
              f"{np.median(taken):.3f} s, first {taken[0]:.3f} s")  # fmt: skip


def memory(n: int) -> None:
    """Peak memory of one process after each tenth of n galaxies."""
    with tempfile.TemporaryDirectory() as place:
        folder, peaks, done = many(Path(place), n // 100), [], [0]
        real = bank_parts._make_part

        def watched(task):
            result = real(task)
            done[0] += result
            peaks.append((done[0], _resident()))
            return result

        bank_parts._make_part = watched
        bank_cosmos(Path(place) / "bank.h5", folder, BankCosmos(min_snr=20), 1)
        peaks.append((n, _resident()))
    for at in np.linspace(0, len(peaks) - 1, 11).astype(int):
        print(f"after {peaks[at][0]:6d} galaxies: {peaks[at][1]:.0f} MiB")


def _resident() -> float:
    words = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(words[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--memory", type=int, default=0, metavar="N", help="galaxies to build")
    parser.add_argument("--pinned", action="store_true", help="only what runs on one core")
    args = parser.parse_args()
    if not real_data().is_dir():
        sys.exit(f"no real data at {real_data()}; set DHS_REAL_DATA to the folder that holds them")
    if args.memory:
        memory(args.memory)
        return
    if args.pinned:
        against_galsim(args.turns)
        return
    two_processes(args.turns)
    opening()
    core = str(min(os.sched_getaffinity(0)))  # before libraries count cores and start threads
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, __file__, "--pinned", "--turns", str(args.turns)]
    subprocess.run(["taskset", "-c", core, *words], env=alone, check=True)


if __name__ == "__main__":
    main()
