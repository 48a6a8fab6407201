"""Probes: classifiers that are shown one thing only, and should not tell lenses from controls.

Each is a discriminant on the ranks of its features and their squares, scored on hosts that it was
not fitted on. Its null comes from the same fit with lens and control exchanged in pairs at random.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.sample import Columns, kinds_of, paired
from darkhaloscope.evaluate.stats import Estimate, auc
from darkhaloscope.keys import generator, unit_interval

PAIRS = 2000
"""At most so many pairs are looked at, so that what a probe can tell does not hang on the set."""

LEAST_PAIRS = LEAST_HOSTS = 20
_FOLDS = 5
_PERMUTATIONS = 99
_SURELY = 0.01
"""Chance of so large an AUC by luck, below which a probe may fail a set."""


@dataclass(frozen=True)
class Told:
    """What a probe told of lenses and the controls of one kind."""

    auc: Estimate
    p: float  # chance of as large an AUC where nothing is to be told
    null: float  # standard deviation of the AUC there
    pairs: int


def tell(features: np.ndarray, lens: np.ndarray, control: np.ndarray, hosts: np.ndarray) -> Told:
    """Fit and score one probe on pairs, or on as many rows of either kind that are none.

    features : (row, feature); lens, control : rows of each pair; hosts : (row,)
    The null exchanges the rows of pairs; where lenses and controls are on other hosts, whole hosts.
    Raises ValueError for fewer than LEAST_PAIRS pairs
    """
    n = len(lens)
    if n < LEAST_PAIRS:
        raise ValueError(f"a probe needs {LEAST_PAIRS} pairs, got {n}")
    x = _prepared(np.concatenate([features[lens], features[control]]))
    theirs = hosts[lens], hosts[control]
    turns = _exchanged(*theirs)
    label = np.concatenate([np.ones(n), -np.ones(n)])
    truth = np.concatenate([label[:, None], turns], axis=1)
    scores = _scores(x, truth, np.concatenate(theirs))
    found = auc(scores[:n, 0], scores[n:, 0], theirs)
    nulls = _aucs(scores[:, 1:], turns > 0)
    p = (1 + int((nulls >= found.value).sum())) / (1 + _PERMUTATIONS)
    return Told(found, p, float(nulls.std()), n)


def _exchanged(lens: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Labels as chance would give them: (row, permutation), 1 and -1, lenses' rows first.

    lens, control : host of each pair's rows
    """
    rng = generator("probe", str(len(lens)), "permutations")
    if (lens == control).all():
        turns = rng.integers(0, 2, (len(lens), _PERMUTATIONS)) * 2 - 1
        return np.concatenate([turns, -turns])
    unique, place = np.unique(np.concatenate([lens, control]), return_inverse=True)
    label = np.where(np.isin(unique, lens), 1, -1)
    return np.stack([rng.permutation(label)[place] for _ in range(_PERMUTATIONS)], axis=1)


def _prepared(features: np.ndarray) -> np.ndarray:
    """Ranks as a normal distribution has them, and their squares; constant features are left out.

    Ranks stay what they are under any stretch, and no wild value rules a fit.
    """
    varied = features[:, np.ptp(features, axis=0) > 0]
    ranks = rankdata(varied, axis=0)
    normal = ndtri((ranks - 0.5) / len(features))
    x = np.concatenate([normal, normal**2], axis=1)
    spread = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _scores(x: np.ndarray, truth: np.ndarray, hosts: np.ndarray) -> np.ndarray:
    """Of each row by a fit to the hosts of other folds: (row, truth)."""
    unique, place = np.unique(hosts.astype(str), return_inverse=True)
    order = np.argsort([unit_interval(host, "fold") for host in unique])
    fold = np.empty(len(unique), int)
    fold[order] = np.arange(len(unique)) % _FOLDS
    scores = np.zeros(truth.shape)
    for number in range(_FOLDS):
        out = fold[place] == number
        fit = x[~out]
        ridge = (0.02 * len(fit) + x.shape[1]) * np.eye(x.shape[1])
        scores[out] = x[out] @ np.linalg.solve(fit.T @ fit + ridge, fit.T @ truth[~out])
    return scores


def _aucs(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Of each column."""
    ranks = rankdata(scores, axis=0)
    m = positive.sum(axis=0)
    above = (ranks * positive).sum(axis=0) - m * (m + 1) / 2
    return above / (m * (len(scores) - m))


def pairs_of(columns: Columns, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of lens and of one kind of control in the pairs that have both; PAIRS at most.

    Where no pair has both, the set is not paired: then as many rows of either kind, as they come.
    """
    lens, control = paired(columns, kind)
    if lens.size:
        some = _first(columns["pair_id"][lens])
        return lens[some], control[some]
    rows = [np.flatnonzero(columns["kind"] == name) for name in ("lens", kind)]
    most = min(map(len, rows))
    lens, control = (some[_first(columns["pair_id"][some])][:most] for some in rows)
    return lens, control


def _first(names: np.ndarray) -> np.ndarray:
    """Which PAIRS of them at most are taken, whatever their order."""
    at = [unit_interval(str(name), "probe") for name in names]
    return np.argsort(at, kind="stable")[:PAIRS]


@dataclass(frozen=True)
class Probe:
    """A group of features, and the AUC up to which it may tell lenses from each kind of control.

    A kind without a limit is told of, but not judged: there the light itself differs.
    """

    name: str
    limits: Mapping[str, float]
    about: str

    def judge(self, columns: Columns, kind: str) -> Finding:
        gate = f"probe.{self.name}.{kind}"
        limit = self.limits.get(kind)
        passes = f"AUC <= {limit:.2f}" if limit else ""
        about = f"{self.about}: lens or {kind}?"
        lens, control = pairs_of(columns, kind)
        hosts = columns["host_id"].astype(str)
        n = len(np.unique(hosts[lens]))
        if n < LEAST_HOSTS:
            advice = f"Too few to tell: pairs on {LEAST_HOSTS} hosts are needed."
            measured = f"{len(lens)} pairs on {n} hosts"
            return Finding(gate, Level.SKIP, measured, passes, n, about, advice)
        told = tell(columns[f"probe.{self.name}"], lens, control, hosts)
        level, advice = verdict(told, limit)
        measured = f"AUC {told.auc}, by chance 0.500 ± {told.null:.3f}, p {told.p:.2f}"
        return Finding(
            gate,
            level,
            f"{measured}, {told.pairs} pairs",
            passes,
            told.auc.n,
            about,
            advice,
            told.auc,
        )


def verdict(told: Told, limit: float | None) -> tuple[Level, str]:
    """Level and advice: a set fails where a probe surely tells more than it may."""
    if limit is None:
        return Level.INFO, ""
    if told.auc.low > limit and told.p <= _SURELY:
        return Level.FAIL, "These features alone tell the label: match them between the kinds."
    if told.auc.high > limit:
        return Level.WARN, "The interval reaches beyond the limit: more hosts are needed to tell."
    return Level.PASS, ""


_ALIKE: dict[str, float] = dict.fromkeys(("host", "unlensed", "ring", "companion", "spiral"), 0.55)
"""What no light that was added may change."""

_SAME_LIGHT: dict[str, float] = dict.fromkeys(("unlensed", "ring", "companion", "spiral"), 0.55)
"""What is the same where the lens's light is there, otherwise arranged."""

_REARRANGED: dict[str, float] = dict.fromkeys(("unlensed", "ring", "companion", "spiral"), 0.75)
"""What the arrangement changes, but must not give away."""

PROBES = (
    Probe("core", _REARRANGED, "Shown the core alone"),
    Probe("outer", _ALIKE, "Shown the outer annulus alone"),
    Probe("total", _SAME_LIGHT, "Shown total flux and colour alone"),
    Probe("metadata", _ALIKE, "Shown the columns of the host alone"),
    Probe("noise", _ALIKE, "Shown the noise's power spectrum alone"),
    Probe("normalisation", _ALIKE, "Shown level, width and floor alone"),
    Probe("masks", _ALIKE, "Shown where data are missing alone"),
    Probe("profile", _REARRANGED, "Shown the radial profile alone"),
)


def probe_all(columns: Columns) -> list[Finding]:
    """Every probe on every kind of control that the set has, and the control that must succeed."""
    kinds = [kind for kind in kinds_of(columns) if kind != "lens"]
    return [
        *(probe.judge(columns, kind) for probe in PROBES for kind in kinds),
        arc_control(columns),
    ]


def arc_control(columns: Columns) -> Finding:
    """The probe that must succeed: it is shown where arcs are."""
    gate, limit = "probe.arc_control", "AUC > 0.5, interval and all"
    about = "Positive control, shown where arcs lie: lens or host? A probe that is not blind tells."
    lens, control = pairs_of(columns, "host")
    n = len(np.unique(columns["host_id"][lens].astype(str)))
    if n < LEAST_HOSTS:
        measured = f"{len(lens)} pairs with a host row, on {n} hosts"
        return Finding(gate, Level.SKIP, measured, limit, n, about, "More hosts are needed.")
    told = tell(columns["probe.arc"], lens, control, columns["host_id"].astype(str))
    level = Level.PASS if told.auc.low > 0.5 else Level.FAIL
    if level is Level.FAIL and told.pairs < _SURE_PAIRS:
        level = Level.WARN
    return Finding(
        gate,
        level,
        f"AUC {told.auc}, {told.pairs} pairs",
        limit,
        told.auc.n,
        about,
        "Nothing was added, or stamps are zeroed, or hosts and lenses swapped; or pairs are few.",
        told.auc,
    )


_SURE_PAIRS = 60
