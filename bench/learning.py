"""`make bench-learning`: what a small net learns of the demo set within ten minutes of two cores.

    python bench/learning.py [EPOCHS [DEMO]]      by default 50 epochs; DEMO: a folder of `dhs demo`

Trained on the split train, its best weights by the split val; AUC on the split test, which nothing
has seen. Then the same net on labels that were shuffled among the training rows.
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
from darkhaloscope.learn.train import sets_of, train

KINDS = ("host", "unlensed", "ring", "companion", "spiral")


class Shuffled(Stored):
    """Labels given to rows by chance, each row always the same."""

    def window(self, number: int) -> Rows:
        rows = super().window(number)
        share = float(self.index.lens.mean())
        label = intervals(rows.columns["task_id"], "shuffled", 1)[:, 0] < share
        return Rows({**rows.columns, "label": label.astype(np.int32)}, rows.images)


def main() -> None:
    given = sys.argv[1:]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        stamps = (Path(given[1]) if len(given) > 1 else folder / "demo") / "stamps"
        if len(given) < 2:
            demo(stamps.parent, {}, 2)
        cfg = Train(
            arch="resnet_mini", batch_size=64, lr=2e-3, min_theta_over_psf=0,
            epochs=int(given[0]) if given else 50, early_stopping_patience=0,
        )  # fmt: skip
        sets = sets_of(stamps, cfg)
        for what, source in (
            ("labels as they are", Stored(sets.train, cfg.seed, cfg.shuffle_rows)),
            ("labels shuffled", Shuffled(sets.train, cfg.seed, cfg.shuffle_rows)),
        ):
            began = time.monotonic()
            out = folder / what.replace(" ", "-")
            train(out, sets, source, cfg, Ranks())
            took = time.monotonic() - began
            print(f"{what}: {cfg.epochs} epochs of {len(sets.train)} rows in {took:.0f} s")
            judge = load_judge(out, torch.device("cpu"))
            for split in ("val", "test"):
                rows = list(in_order(index_of(stamps, split), 256))
                logit = np.concatenate([judge.ask(some).logit for some in rows])
                kind, host = (
                    np.concatenate([some.columns[name] for some in rows])
                    for name in ("kind", "host_id")
                )
                lens = kind == "lens"
                for name in KINDS:
                    its = kind == name
                    found = auc(logit[lens], logit[its], (host[lens], host[its]))
                    print(
                        f"  {split}, {name}: AUC {found}, {lens.sum()} lenses, {its.sum()} "
                        f"controls on {found.n} hosts",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
