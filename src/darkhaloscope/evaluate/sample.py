"""Columns of a sample of whole pairs, as the gates on distributions take them."""

from collections.abc import Mapping

import numpy as np

from darkhaloscope.schema import KINDS

Columns = Mapping[str, np.ndarray]
"""schema.STAMPS without pixels, `metric.` columns of metrics and `probe.` ones of features."""

NO_HOST_ROWS = "Pairs need a row of kind host, from which the added light is told."


def of(columns: Columns, name: str, kind: str) -> np.ndarray:
    """A column of the rows of one kind."""
    return columns[name][columns["kind"] == kind]


def unique_hosts(columns: Columns, kind: str | None = None) -> int:
    ids = columns["host_id"] if kind is None else of(columns, "host_id", kind)
    return len(np.unique(ids.astype(str)))


def kinds_of(columns: Columns) -> list[str]:
    """Kinds that are there, in the order of KINDS."""
    there = set(columns["kind"].astype(str))
    return [kind for kind in KINDS if kind in there]


def paired(columns: Columns, kind: str = "host") -> tuple[np.ndarray, np.ndarray]:
    """Rows of the lenses whose pair has a row of a kind, and these."""
    row_of = {
        name: dict(zip(columns["pair_id"][rows], rows, strict=True))
        for name in ("lens", kind)
        for rows in [np.flatnonzero(columns["kind"] == name)]
    }
    shared = sorted(row_of["lens"].keys() & row_of[kind].keys())
    lens, other = ([row_of[name][pair] for pair in shared] for name in ("lens", kind))
    return np.array(lens, int), np.array(other, int)


def median_and_error(values: np.ndarray, hosts: np.ndarray | None = None) -> tuple[float, float]:
    """Of the finite values, with the standard error of a normal distribution's median; NaN of none.

    The width is the MAD's, so that a few wild values do not hide a shift. Values on one host count
    once in the error, where hosts are given.
    """
    known = np.isfinite(values)
    finite = values[known]
    if not finite.size:
        return float("nan"), float("nan")
    n = finite.size if hosts is None else len(np.unique(hosts[known].astype(str)))
    middle = float(np.median(finite))
    width = 1.4826 * float(np.median(np.abs(finite - middle)))
    return middle, width * float(np.sqrt(np.pi / 2 / n))
