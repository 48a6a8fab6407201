"""`make bench-stored-or-fly`: the stored set against lenses made on the fly, at equal steps.

    python bench/stored_or_fly.py [EPOCHS [SEEDS [FOLDER]]]      by default 25 epochs of 3 seeds

Both train on the same hosts and settings; both are judged on lenses and controls of another sky,
made of templates that training never saw. Each run has one thread; two go at once. With a FOLDER
it can be killed and started again.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from darkhaloscope.evaluate.stats import auc, recall_at

ARCH = ("--arch", "resnet_mini", "--batch-size", "64", "--lr", "2e-3", "--device", "cpu")
ALWAYS = ("--early-stopping-patience", "0", "--min-theta-over-psf", "0")
KINDS = ("host", "unlensed", "ring", "companion", "spiral")
FPRS = (1e-3, 1e-2)


def dhs(*words) -> None:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "darkhaloscope.cli", *map(str, words)]
    done = subprocess.run(command, env=env, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)


def sets(folder: Path) -> tuple[Path, Path]:
    """A demo set to train on, and another sky to be judged on: folders."""
    train, test = folder / "train", folder / "test"
    dhs("demo", "--out", train)
    test.mkdir(exist_ok=True)
    words = ("--cutouts", test / "cutouts", "--bank", train / "bank.h5")
    dhs("cutouts", "synthetic", "--out", test / "cutouts", "--n-hosts", 1500, "--seed", 77,
        "--split-fractions", 0, 0, 1)  # fmt: skip
    dhs("plan", *words, "--out", test / "plan", "--seed", 77,
        *(w for kind in KINDS for w in (f"--{kind}-fraction", 1)))  # fmt: skip
    dhs("inject", "--plan", test / "plan", *words, "--out", test / "stamps")
    return train, test


def run(folder: Path, source: str, seed: int, epochs: int) -> dict[str, np.ndarray]:
    """Train and score one: the test set's kind, host and logit."""
    train, out = folder / "train", folder / f"{source}-{seed}"
    inputs = ("--cutouts", train / "cutouts", "--bank", train / "bank.h5")
    dhs("train", train / "stamps", "--out", out, "--source", source, "--seed", seed, *ARCH, *ALWAYS,
        "--epochs", epochs, *(inputs if source == "fly" else ()))  # fmt: skip
    scores = folder / f"{source}-{seed}.parquet"
    dhs("score", out, folder / "test" / "stamps", "--out", scores, "--device", "cpu")
    table = pq.read_table(scores)
    return {name: table[name].to_numpy() for name in ("kind", "host_id", "logit")}


def line(found: dict[str, np.ndarray], kind: str) -> str:
    lens, control = (found["kind"] == name for name in ("lens", kind))
    logit, host = found["logit"], found["host_id"]
    area = auc(logit[lens], logit[control], (host[lens], host[control]))
    rates = [recall_at(logit[lens], logit[control], fpr) for fpr in FPRS]
    return f"{area} | " + " | ".join(map(str, rates))


def main() -> None:
    given = sys.argv[1:]
    epochs, seeds = (int(word) for word in (given + ["25", "3"][len(given) :])[:2])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(given[2] if len(given) > 2 else name)
        folder.mkdir(exist_ok=True)
        sets(folder)
        todo = [(source, seed) for seed in range(1, seeds + 1) for source in ("stored", "fly")]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda what: run(folder, *what, epochs), todo))
    n = {kind: int((found[0]["kind"] == kind).sum()) for kind in ("lens", *KINDS)}
    print(f"{epochs} epochs; test rows: " + ", ".join(f"{c} {k}" for k, c in n.items()))
    print(
        "| source | seed | control | AUC | " + " | ".join(f"TPR at FPR {f:g}" for f in FPRS) + " |"
    )
    print("|---|---|---|---|" + "---|" * len(FPRS))
    for kind in KINDS:
        for (source, seed), scores in sorted(zip(todo, found, strict=True), key=lambda o: o[0]):
            print(f"| {source} | {seed} | {kind} | {line(scores, kind)} |")
    for kind in KINDS:
        means = {
            source: [line_value(s, kind) for (src, _), s in zip(todo, found, strict=True)
                     if src == source]
            for source in ("stored", "fly")
        }  # fmt: skip
        said = ", ".join(
            f"{source} {np.mean(of):.3f} ± {np.std(of, ddof=1) / len(of) ** 0.5:.3f}"
            for source, of in means.items()
        )
        print(f"{kind}: mean AUC over seeds and its error: {said}")


def line_value(found: dict[str, np.ndarray], kind: str) -> float:
    lens, control = (found["kind"] == name for name in ("lens", kind))
    return auc(found["logit"][lens], found["logit"][control]).value


if __name__ == "__main__":
    main()
