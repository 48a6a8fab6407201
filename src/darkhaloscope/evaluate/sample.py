"""Columns of a sample of whole pairs, as the gates on distributions take them."""

from collections.abc import Mapping, Sequence

import numpy as np

from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.schema import KINDS
from darkhaloscope.units import BANDS

Columns = Mapping[str, np.ndarray]
"""schema.STAMPS without pixels, `metric.` columns of metrics and `probe.` ones of features."""


def without_host_rows(
    gate: str, limit: str, about: str, measured: str = "no pair with a host row"
) -> Finding:
    """A gate on added light where there is none to be told."""
    advice = "Pairs need a row of kind host, from which the added light is told."
    return Finding(gate, Level.SKIP, measured, limit, 0, about, advice)


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


def row_in_pair(pair_id: np.ndarray, kind: np.ndarray, wanted: str) -> np.ndarray:
    """The number of the row of one kind in each row's pair, -1 where there is none."""
    pair = np.unique(pair_id, return_inverse=True)[1]
    found = np.full(pair.max(initial=-1) + 1, -1)
    (rows,) = np.nonzero(kind == wanted)
    found[pair[rows]] = rows
    return found[pair]


def paired(columns: Columns, kind: str = "host") -> tuple[np.ndarray, np.ndarray]:
    """Rows of the lenses whose pair has a row of a kind, and these."""
    theirs = row_in_pair(columns["pair_id"].astype(str), columns["kind"], kind)
    (lens,) = np.nonzero((columns["kind"] == "lens") & (theirs >= 0))
    return lens, theirs[lens]


def by_band(values: Sequence[float], form: str) -> str:
    """g, r and z in words."""
    return ", ".join(f"{band} {value:{form}}" for band, value in zip(BANDS, values, strict=True))


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
