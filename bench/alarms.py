"""`make bench-gates`: how often gates fire on healthy sets, and how surely probes see a leak.

    python bench/alarms.py [SEEDS [HOSTS]]      by default 20 sets of 300 hosts

Every set has its own sky, plan and noise. The second table plants, in one feature of each probe
and of lens rows only, a shift that by itself would separate lenses and controls with a given AUC.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.stats import norm

from darkhaloscope.config import BankHybrid, CutoutsSynthetic, Inject, Plan
from darkhaloscope.evaluate.findings import Level
from darkhaloscope.evaluate.gates import judge
from darkhaloscope.evaluate.probes import PROBES, pairs_of, tell, verdict
from darkhaloscope.evaluate.stats import rate
from darkhaloscope.jobs.banks import bank_hybrid
from darkhaloscope.jobs.engine import Local
from darkhaloscope.jobs.inject import inject_all
from darkhaloscope.jobs.looks import Look, look_at
from darkhaloscope.jobs.plan import plan
from darkhaloscope.jobs.synthetic import cutouts_synthetic

PAIRS = (30, 60, 120, 250, 500)
AUCS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
DRAWS = 30


def healthy(folder: Path, bank: Path, seed: int, hosts: int) -> Look:
    cutouts, rows, stamps = (folder / f"{n}-{seed}" for n in ("cutouts", "plan", "stamps"))
    cutouts_synthetic(cutouts, CutoutsSynthetic(n_hosts=hosts, seed=seed), 2)
    plan(rows, cutouts, bank, Plan(seed=seed), Local(2))
    inject_all(stamps, rows, cutouts, bank, Inject(), Local(2))
    return look_at(stamps)


def alarms(looks: list[Look]) -> None:
    fired, unsure, sets = Counter(), Counter(), 0
    for seen in looks:
        found = judge(seen.tally, seen.sample)
        failing = [f.gate for f in found if f.level is Level.FAIL]
        fired.update(failing)
        unsure.update(f.gate for f in found if f.level is Level.WARN)
        sets += bool(failing)
    print(f"sets in which a gate failed: {rate(sets, len(looks))} of {len(looks)}")
    for name, count in (("failed", fired), ("to look at", unsure)):
        print(f"  {name}: " + (", ".join(f"{g} {n}" for g, n in count.most_common()) or "none"))


def power(columns: dict[str, np.ndarray]) -> None:
    """Share of draws in which a probe fails the set, against pairs and the AUC planted."""
    lens, control = pairs_of(columns, "unlensed")
    print(f"\n{len(lens)} pairs to draw from; share of {DRAWS} draws that fail, by AUC planted")
    print(f"{'probe':<14} pairs " + " ".join(f"{auc:>5.2f}" for auc in AUCS))
    for probe in PROBES:
        features = columns[f"probe.{probe.name}"]
        limit = probe.limits["unlensed"]
        for n in [n for n in PAIRS if n <= len(lens)]:
            shares = [_share(features, columns, lens, control, n, auc, limit) for auc in AUCS]
            print(f"{probe.name:<14} {n:5d} " + " ".join(f"{share:5.2f}" for share in shares))


def _share(features, columns, lens, control, n: int, auc: float, limit: float) -> float:
    rng = np.random.default_rng(n)
    failed = 0
    for _ in range(DRAWS):
        some = rng.choice(len(lens), n, replace=False)
        rows = np.concatenate([lens[some], control[some]])
        x = features[rows].astype(float)
        which = rng.integers(x.shape[1])
        width = x[:, which].std() or 1.0
        x[:n, which] += norm.ppf(auc) * np.sqrt(2) * width
        x[:, which] += 1e-9 * rng.standard_normal(2 * n) * width
        told = tell(x, np.arange(n), n + np.arange(n), columns["host_id"][rows].astype(str))
        failed += verdict(told, limit)[0] is Level.FAIL
    return failed / DRAWS


def main() -> None:
    given = [int(word) for word in sys.argv[1:]]
    seeds, hosts = (given + [20, 300][len(given) :])[:2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bank_hybrid(folder / "bank.h5", BankHybrid(n_sources=200))
        looks = [healthy(folder, folder / "bank.h5", seed, hosts) for seed in range(1, seeds + 1)]
    alarms(looks)
    names = looks[0].sample
    power({name: np.concatenate([seen.sample[name] for seen in looks[:3]]) for name in names})


if __name__ == "__main__":
    main()
