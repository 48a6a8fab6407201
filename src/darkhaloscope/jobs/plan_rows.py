"""Rows of a plan from its pairs: which kinds each pair brings, and what tells them apart."""

import numpy as np

from darkhaloscope.config import Plan
from darkhaloscope.keys import intervals
from darkhaloscope.schema import KINDS
from darkhaloscope.sim.controls import PAINTED


def rows_of_pairs(pairs: dict[str, np.ndarray], part: int, cfg: Plan) -> dict[str, np.ndarray]:
    """One row a kind; rows of a pair stand together, the lens first."""
    brought = _brought(pairs["pair_id"], cfg)
    pair, which = np.nonzero(np.stack(list(brought.values()), axis=1))
    rows = {name: values[pair] for name, values in pairs.items()}
    kind = np.array(list(brought), object)[which]
    rows |= {
        "kind": kind,
        "task_id": np.array(
            [f"{p}-{w}" for p, w in zip(rows["pair_id"], kind, strict=True)], object
        ),
        "label": (kind == "lens").astype(np.int32),
        "part": np.full(len(kind), part, np.int32),
    }
    beside = kind == "unlensed"
    radius = np.hypot(rows["source_x_arcsec"], rows["source_y_arcsec"])
    around = np.isin(kind, list(PAINTED))
    for axis in "xy":
        name = f"source_{axis}_arcsec"
        turn = np.where(radius > 0, rows[name] / np.maximum(radius, 1e-30), axis == "x")
        rows[name] = np.where(beside, rows["theta_E_arcsec"] * turn, rows[name])
        rows[name] = np.where(around, 0.0, rows[name])
    return rows


def _brought(pair_id: np.ndarray, cfg: Plan) -> dict[str, np.ndarray]:
    """Which pairs have a row of each kind: by name, so that no setting changes another's choice."""
    u = intervals(pair_id, f"kinds-{cfg.seed}", len(KINDS))
    shares = {"lens": 1.0} | cfg.controls
    return {kind: u[:, KINDS.index(kind)] < share for kind, share in shares.items()}
