"""Rows of a plan from its pairs: which kinds each pair brings, and what tells them apart."""

import numpy as np

from darkhaloscope.schema import KINDS


def rows_of_pairs(pairs: dict[str, np.ndarray], part: int) -> dict[str, np.ndarray]:
    """One row a kind; rows of a pair stand together."""
    n, k = len(pairs["pair_id"]), len(KINDS)
    rows = {name: np.repeat(values, k) for name, values in pairs.items()}
    kind = np.tile(np.array(KINDS, object), n)
    rows |= {
        "kind": kind,
        "task_id": np.array([f"{p}-{w}" for p, w in zip(rows["pair_id"], kind, strict=True)]),
        "label": (kind == "lens").astype(np.int32),
        "part": np.full(n * k, part, np.int32),
    }
    beside = kind == "unlensed"
    angle = np.arctan2(rows["source_y_arcsec"], rows["source_x_arcsec"])
    for axis, turn in (("x", np.cos(angle)), ("y", np.sin(angle))):
        name = f"source_{axis}_arcsec"
        rows[name] = np.where(beside, rows["theta_E_arcsec"] * turn, rows[name])
    return rows
