"""Whether a finder sees injected lenses as it sees real ones: a linear probe on matched sets."""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.probes import LEAST_PAIRS, Told, tell

Columns = Mapping[str, np.ndarray]

MATCHED = {
    "r": lambda c: c["host_mag_r"],
    "g - r": lambda c: c["host_mag_g"] - c["host_mag_r"],
    "r - z": lambda c: c["host_mag_r"] - c["host_mag_z"],
    "seeing": lambda c: c["psf_fwhm_r_arcsec"],
    "depth": lambda c: c["psf_depth_r_mag"],
}
"""What the hosts of both sets are made alike in, where it is known of all."""

_MOST_COMPONENTS = 12
_ROWS_A_COMPONENT = 8


def matched(
    columns: Columns, real: np.ndarray, injected: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """For each real lens the injected one on the most similar host, none twice; by what matched.

    Raises ValueError if there are fewer injected lenses than real ones
    """
    if len(injected) < len(real):
        raise ValueError(
            f"each of {len(real)} real lenses needs an injected one of its own, got {len(injected)}"
        )
    rows = np.concatenate([real, injected])
    all_values = {name: of(columns)[rows] for name, of in MATCHED.items()}
    values = {name: v for name, v in all_values.items() if np.isfinite(v).all()}
    if not values:
        return injected[: len(real)], []
    ranks = np.stack([rankdata(v) / len(v) for v in values.values()], axis=1)
    ours, theirs = ranks[: len(real)], ranks[len(real) :]
    cost = ((ours[:, None] - theirs[None]) ** 2).sum(-1)
    return injected[linear_sum_assignment(cost)[1]], list(values)


def realness(
    columns: Columns, embedding: np.ndarray | None, real: np.ndarray, injected: np.ndarray
) -> list[Finding]:
    """Probes shown the last layer, and the hosts alone, of real and of injected lenses.

    embedding : (row, feature) of all rows, or None
    """
    gate = "realness.embedding"
    about = "Shown what the last layer sees: a real lens, or an injected one on a like host?"
    if not len(real):
        return []
    why = _missing(embedding, real, injected)
    if why or embedding is None:
        return [Finding(gate, Level.SKIP, "not asked", "", len(real), about, why)]
    partner, alike = matched(columns, real, injected)
    hosts = columns["host_id"].astype(str)
    rows = np.concatenate([real, partner])
    seen = _components(embedding[rows])
    here, there = np.arange(len(real)), np.arange(len(real)) + len(real)
    told = tell(seen, here, there, hosts[rows])
    found = [_finding(gate, told, f"{about} Hosts matched in {', '.join(alike) or 'nothing'}.")]
    if alike:
        table = np.stack([MATCHED[name](columns)[rows] for name in alike], axis=1)
        told = tell(table, here, there, hosts[rows])
        about = "Shown what hosts are matched in alone: the match is good where nothing is told."
        found.append(_finding("realness.hosts", told, about))
    return found


def _missing(embedding: np.ndarray | None, real: np.ndarray, injected: np.ndarray) -> str:
    if embedding is None:
        return "Score all sets with `dhs score --embed`."
    if len(real) < LEAST_PAIRS:
        return f"{len(real)} real lenses; {LEAST_PAIRS} are needed."
    if len(injected) < len(real):
        return f"{len(injected)} injected lenses for {len(real)} real ones; as many are needed."
    return ""


def _components(values: np.ndarray) -> np.ndarray:
    """The leading principal components, as many as so few rows can hold."""
    spread = values.std(0)
    scaled = (values - values.mean(0)) / np.where(spread > 0, spread, 1)
    n = max(2, min(_MOST_COMPONENTS, len(values) // _ROWS_A_COMPONENT))
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    return left[:, :n] * singular[:n]


def _finding(gate: str, told: Told, about: str) -> Finding:
    words = f"AUC {told.auc}, by chance 0.500 ± {told.null:.3f}, p {told.p:.2f}, {told.pairs} pairs"
    return Finding(gate, Level.INFO, words, "0.5: alike", told.auc.n, about, "", told.auc)
