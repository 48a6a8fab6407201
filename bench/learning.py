"""`make bench-learning`: what a small net learns of the demo set within ten minutes of two cores.

    python bench/learning.py [EPOCHS [DEMO]]      by default 40 epochs; DEMO: a folder of `dhs demo`

On the fly, from the stored set, and from sets whose labels are shuffled among the rows of every
split. Trained on the hosts of the split train, the best weights chosen by the split val; AUC on the
split test, which nothing has seen, and on both together. A net that learned nothing still follows
some property of its own, such as brightness, so that one AUC of matched pairs is surely not 0.5: of
shuffled labels the mean over several shuffles tells.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy.stats import t as student

from darkhaloscope.config import Train
from darkhaloscope.evaluate.stats import auc
from darkhaloscope.io.parts import RECORD, parts_in
from darkhaloscope.jobs.demo import demo
from darkhaloscope.keys import generator
from darkhaloscope.learn.judge import load_judge
from darkhaloscope.learn.ranks import Ranks
from darkhaloscope.learn.stored import in_order, index_of
from darkhaloscope.learn.train import train_on

KINDS = ("host", "unlensed", "ring", "companion", "spiral")


SHUFFLES, SHUFFLED_EPOCHS = 5, 8


def shuffled(out: Path, stamps: Path, number: int) -> Path:
    """The set with kinds and labels given to rows of each split by chance."""
    out.mkdir()
    shutil.copy(stamps / RECORD, out / RECORD)
    for path in parts_in(stamps):
        table = pq.read_table(path)
        split = np.array(table["split"].to_pylist())
        order = np.arange(len(table))
        for name in np.unique(split):
            rows = np.flatnonzero(split == name)
            order[rows] = generator(name, str(number), "shuffled labels").permutation(rows)
        for name in ("kind", "label"):
            at = table.column_names.index(name)
            table = table.set_column(at, table.schema.field(name), table[name].take(order))
        pq.write_table(table, out / path.name, row_group_size=256)
    return out


def scores(out: Path, stamps: Path, split: str) -> dict[str, np.ndarray]:
    """Logit, kind and host of a split's rows."""
    judge = load_judge(out, torch.device("cpu"))
    rows = list(in_order(index_of(stamps, split), 256))
    return {"logit": np.concatenate([judge.ask(some).logit for some in rows])} | {
        name: np.concatenate([some.columns[name] for some in rows]) for name in ("kind", "host_id")
    }


def said(found: dict[str, np.ndarray], split: str) -> None:
    logit, host, lens = found["logit"], found["host_id"], found["kind"] == "lens"
    for kind in KINDS:
        its = found["kind"] == kind
        area = auc(logit[lens], logit[its], (host[lens], host[its]))
        print(
            f"  {split}, {kind}: AUC {area}, {lens.sum()} lenses and {its.sum()} controls on "
            f"{area.n} hosts",
            flush=True,
        )


def main() -> None:
    given = sys.argv[1:]
    epochs = int(given[0]) if given else 40
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = Path(given[1]) if len(given) > 1 else folder / "demo"
        if len(given) < 2:
            demo(made, {}, 2)
        stamps = made / "stamps"
        cfg = Train(
            arch="resnet_mini", batch_size=64, lr=2e-3, min_theta_over_psf=0, epochs=epochs,
            early_stopping_patience=0,
        )  # fmt: skip
        fly = cfg.model_copy(update={"source": "fly"})
        runs = {
            "on the fly": lambda out: train_on(
                out, stamps, fly, Ranks(), 1, made / "cutouts", made / "bank.h5"
            ),
            "stored": lambda out: train_on(out, stamps, cfg, Ranks()),
        }
        for what, run in runs.items():
            out = folder / what.replace(" ", "-")
            began = time.monotonic()
            run(out)
            print(f"{what}: {epochs} epochs in {time.monotonic() - began:.0f} s", flush=True)
            val, test = (scores(out, stamps, split) for split in ("val", "test"))
            said(test, "test")
            said({name: np.concatenate([val[name], test[name]]) for name in val}, "val and test")
        of_chance(folder, stamps, cfg)


def of_chance(folder: Path, stamps: Path, cfg: Train) -> None:
    """Mean AUC over shuffles, on the true kinds of the split test."""
    short = cfg.model_copy(update={"epochs": SHUFFLED_EPOCHS})
    areas = []
    for number in range(SHUFFLES):
        mixed = shuffled(folder / f"mixed-{number}", stamps, number)
        out = folder / f"shuffled-{number}"
        train_on(out, mixed, short.model_copy(update={"seed": number}), Ranks())
        found = scores(out, stamps, "test")
        lens = found["logit"][found["kind"] == "lens"]
        areas.append([auc(lens, found["logit"][found["kind"] == k]).value for k in KINDS])
    for kind, values in zip(KINDS, np.transpose(areas), strict=True):
        half = student.ppf(0.975, SHUFFLES - 1) * values.std(ddof=1) / SHUFFLES**0.5
        each = " ".join(f"{value:.2f}" for value in values)
        print(
            f"  labels shuffled, test, {kind}: mean AUC {values.mean():.3f} +/- {half:.3f}: {each}"
        )


if __name__ == "__main__":
    main()
