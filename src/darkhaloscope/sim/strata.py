"""An order in which any first part of a catalogue is a fair sample of all of it."""

from collections.abc import Sequence

import numpy as np


def fair_order(columns: Sequence[np.ndarray], shuffle: np.ndarray, bins: int = 5) -> np.ndarray:
    """Indices such that each prefix is stratified in every column, without replacement.

    columns : one value an object each, NaN where not known; the first is stratified most finely
    shuffle : (object,) random numbers that decide within a stratum
    bins : classes of a column, of equal number; what is not known is a class of its own
    Returns (object,) a permutation: objects sorted by stratum and visited in bit-reversed order,
    so that a prefix is a nearly even comb through the strata.
    """
    classes = [_classes(np.asarray(values, float), bins) for values in columns]
    by_stratum = np.lexsort((shuffle, *reversed(classes)))
    return by_stratum[_bit_reversed(len(by_stratum))]


def _classes(values: np.ndarray, bins: int) -> np.ndarray:
    known = np.isfinite(values)
    result = np.full(len(values), bins)
    if known.any():
        edges = np.quantile(values[known], np.linspace(0, 1, bins + 1)[1:-1])
        result[known] = np.searchsorted(edges, values[known])
    return result


def _bit_reversed(n: int) -> np.ndarray:
    numbers = np.arange(1 << max(1, (n - 1).bit_length()))
    width = len(numbers).bit_length() - 1
    reversed_bits = np.zeros_like(numbers)
    for bit in range(width):
        reversed_bits |= (numbers >> bit & 1) << (width - 1 - bit)
    return reversed_bits[reversed_bits < n]
