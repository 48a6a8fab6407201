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


def median_and_error(values: np.ndarray) -> tuple[float, float]:
    """Of the finite values, with the standard error of a normal distribution's median; NaN of none.

    The width is the MAD's, so that a few wild values do not hide a shift.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return float("nan"), float("nan")
    middle = float(np.median(finite))
    width = 1.4826 * float(np.median(np.abs(finite - middle)))
    return middle, width * float(np.sqrt(np.pi / 2 / finite.size))
