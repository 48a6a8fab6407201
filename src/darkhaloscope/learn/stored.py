"""Training rows from a stamp set on disk, streamed and shuffled."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.io.parts import parts_in
from darkhaloscope.io.tables import columns_of, images_in, read_group, read_pieces, read_table
from darkhaloscope.keys import generator, unit_interval
from darkhaloscope.learn.batch import COLUMNS, Rows, joined
from darkhaloscope.schema import STAMPS

_LIGHT = ("split", "kind", "host_id", "theta_E_arcsec", "psf_fwhm_r_arcsec", "size_pix")
_OF_PAIRS = ("split", "pair_id", "theta_E_arcsec", "psf_fwhm_r_arcsec")
_PIXELS = ("size_pix", "image")
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Index:
    """Where the rows of a split lie: row groups of files, and rows of these.

    groups : file and number of each row group that holds any; starts : of each group, the first of
    its rows in `rows`, and the end of the last
    rows : place within the group; lens : whether it is one
    """

    groups: tuple[tuple[Path, int], ...]
    starts: np.ndarray
    rows: np.ndarray
    lens: np.ndarray
    hosts: int
    size: int

    def __len__(self) -> int:
        return len(self.rows)

    def of_group(self, group: int) -> np.ndarray:
        return self.rows[self.starts[group] : self.starts[group + 1]]


def index_of(
    stamps: Path, split: str, min_theta_over_psf: float = 0.0, most_pairs: int = 0
) -> Index:
    """Rows of a split whose pairs have an Einstein radius that the seeing can show.

    min_theta_over_psf : least theta_E over the r FWHM; a pair goes whole, since a set without
    small lenses but with their controls would tell lenses by their seeing
    most_pairs : take so many of these pairs, more pairs always with the fewer; 0 takes all
    Raises DhsError if a file is damaged, no row is left, or all are of one class
    """
    groups, rows, lens, starts, hosts, sizes = [], [], [], [0], set(), set()
    some = _some_pairs(stamps, split, min_theta_over_psf, most_pairs) if most_pairs else None
    names = _LIGHT if some is None else (*_LIGHT, "pair_id")
    for path in parts_in(stamps):
        for number, table in enumerate(read_pieces(path, names)):
            columns = columns_of(table)
            kept = _wanted(columns, split, min_theta_over_psf)
            if some is not None:
                kept &= np.array([pair in some for pair in columns["pair_id"]], bool)
            if kept.any():
                groups.append((path, number))
                rows.append(np.flatnonzero(kept).astype(np.int32))
                lens.append(columns["kind"][kept] == "lens")
                starts.append(starts[-1] + len(rows[-1]))
                hosts.update(columns["host_id"][kept])
                sizes.update(columns["size_pix"][kept].tolist())
    if not rows:
        raise DhsError(
            f"{stamps} holds no row of split {split} with theta_E >= {min_theta_over_psf:g} x "
            "seeing; make a larger set, or lower min_theta_over_psf"
        )
    both = np.concatenate(lens)
    if both.all() or not both.any():
        raise DhsError(
            f"split {split} of {stamps} holds {int(both.sum())} lenses and {int((~both).sum())} "
            "controls: a finder needs both; see the fractions of `dhs plan`"
        )
    if len(sizes) > 1:
        raise DhsError(f"{stamps} holds stamps of {sorted(sizes)} pixels; train on one size")
    where = np.concatenate(rows)
    return Index(tuple(groups), np.array(starts), where, both, len(hosts), sizes.pop())


def _wanted(columns: Columns, split: str, min_theta_over_psf: float) -> np.ndarray:
    seen = columns["theta_E_arcsec"] >= min_theta_over_psf * columns["psf_fwhm_r_arcsec"]
    return (columns["split"] == split) & seen


def _some_pairs(stamps: Path, split: str, min_theta_over_psf: float, n: int) -> set[str]:
    """The `n` pairs whose names come first by their hash; all where there are fewer."""
    pairs: set[str] = set()
    for path in parts_in(stamps):
        columns = columns_of(read_table(path, STAMPS, _OF_PAIRS))
        pairs.update(columns["pair_id"][_wanted(columns, split, min_theta_over_psf)])
    return set(sorted(pairs, key=lambda pair: unit_interval(pair, "most pairs"))[:n])


def rows_of(path: Path, group: int, some: np.ndarray) -> Rows:
    """Rows of one row group, by their places in it."""
    table = read_group(path, group, (*COLUMNS, *_PIXELS)).take(some)
    columns = columns_of(table.drop_columns(["image"]))
    return Rows({name: columns[name] for name in COLUMNS}, images_in(table))


def in_order(index: Index, batch_size: int) -> Iterator[Rows]:
    """All rows as they lie on disk, at most `batch_size` at once."""
    for group, (path, number) in enumerate(index.groups):
        rows = rows_of(path, number, index.of_group(group))
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size]


@dataclass(frozen=True)
class Stored:
    """Windows of a split's rows: row groups in an order of each pass's own, and their rows shuffled
    within the window. Every row comes once in a pass."""

    index: Index
    seed: int
    window_rows: int
    _order: Callable[[int], np.ndarray] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "_order", lru_cache(maxsize=2)(self._groups_of_pass))

    @property
    def windows_per_pass(self) -> int:
        return -(-len(self.index) // self.window_rows)

    def _groups_of_pass(self, number: int) -> np.ndarray:
        rng = generator(f"pass-{number}", str(self.seed), "order of row groups")
        return rng.permutation(len(self.index.groups))

    def window(self, number: int) -> Rows:
        around, place = divmod(number, self.windows_per_pass)
        order = self._order(around)
        ends = np.cumsum(np.diff(self.index.starts)[order])
        start = place * self.window_rows
        stop = min(start + self.window_rows, len(self.index))
        first, last = np.searchsorted(ends, [start, stop - 1], side="right")
        pieces = []
        for at in range(first, last + 1):
            group, before = order[at], (ends[at - 1] if at else 0)
            some = self.index.of_group(group)[max(start - before, 0) : stop - before]
            path, row_group = self.index.groups[group]
            pieces.append(rows_of(path, row_group, some))
        rng = generator(f"window-{number}", str(self.seed), "order of rows")
        return joined(pieces)[rng.permutation(stop - start)]

    def finished(self, rows: Rows) -> Rows:
        return rows

    def executor(self, workers: int) -> Executor:
        return ThreadPoolExecutor(workers)


def columns_of_index(index: Index, names: Sequence[str]) -> Columns:
    """Columns of all rows, in the order of the index."""
    found = []
    for group, (path, number) in enumerate(index.groups):
        some = columns_of(read_group(path, number, names))
        found.append({name: values[index.of_group(group)] for name, values in some.items()})
    return {name: np.concatenate([part[name] for part in found]) for name in names}
