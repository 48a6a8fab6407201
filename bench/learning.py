"""`make bench-learning`: what a small net learns of the demo set within ten minutes of two cores.

    python bench/learning.py [EPOCHS [DEMO]]      by default 40 epochs; DEMO: a folder of `dhs demo`

On the fly, from the stored set, and from the stored set with labels shuffled among the training
rows. Trained on the hosts of the split train, the best weights chosen by the split val; AUC on the
split test, which nothing has seen, and on both together.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from darkhaloscope.config import Train
from darkhaloscope.evaluate.stats import auc
from darkhaloscope.jobs.demo import demo
from darkhaloscope.keys import intervals
from darkhaloscope.learn.batch import Rows
from darkhaloscope.learn.judge import load_judge
from darkhaloscope.learn.ranks import Ranks
from darkhaloscope.learn.stored import Stored, in_order, index_of
from darkhaloscope.learn.train import sets_of, train, train_on

KINDS = ("host", "unlensed", "ring", "companion", "spiral")


class Shuffled(Stored):
    """Labels given to rows by chance, each row always the same."""

    def window(self, number: int) -> Rows:
        rows = super().window(number)
        share = float(self.index.lens.mean())
        label = intervals(rows.columns["task_id"], "shuffled", 1)[:, 0] < share
        return Rows({**rows.columns, "label": label.astype(np.int32)}, rows.images)


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
        sets = sets_of(stamps, cfg)
        shuffled = Shuffled(sets.train, cfg.seed, cfg.shuffle_rows)
        runs = {
            "on the fly": lambda out: train_on(
                out, stamps, fly, Ranks(), 1, made / "cutouts", made / "bank.h5"
            ),
            "stored, labels shuffled": lambda out: train(out, sets, shuffled, cfg, Ranks()),
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


if __name__ == "__main__":
    main()
