"""What is counted of every row of a set, exactly, however many there are."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from darkhaloscope.evaluate.sample import row_in_pair
from darkhaloscope.flags import FATAL
from darkhaloscope.schema import BLOBS, STAMPS, band_columns

Columns = Mapping[str, np.ndarray]

OF_A_ROW = {"task_id", "kind", "label", "source_x_arcsec", "source_y_arcsec"}.union(
    {"flux_inside", "arc_snr"}, band_columns("arc_flux_{b}_nmgy"), band_columns("arc_snr_{b}")
)
"""Columns that may differ between the rows of a pair; all others tell the kind if they do."""

_SHARED = [c.name for c in STAMPS if c.name not in OF_A_ROW | BLOBS]
_FLOATS = [c.name for c in STAMPS if str(c.dtype) == "double"]

RANGES = {
    "arcsec": (-60.0, 60.0),
    "mag": (-5.0, 40.0),
    "nmgy": (-1e6, 1e6),
    "rad": (-50.0, 50.0),
    "deg": (-90.0, 360.0),
    "km/s": (10.0, 1000.0),
    "e-/nmgy": (0.0, 1e6),
    "": (-1e4, 1e7),
} | {
    "pixel_scale_arcsec": (0.05, 2.0),
    "ebv_mag": (0.0, 10.0),
    "host_q": (0.0, 1.0),
    "lens_q": (0.0, 1.0),
    "theta_E_arcsec": (0.01, 20.0),
    "source_hlr_arcsec": (0.0, 10.0),
    "z_lens": (0.0, 3.0),
    "z_source": (0.0, 10.0),
    "gamma1": (-0.5, 0.5),
    "gamma2": (-0.5, 0.5),
    "magnification": (0.0, 1e5),
    **dict.fromkeys(band_columns("psf_fwhm_{b}_arcsec"), (0.3, 6.0)),
    **dict.fromkeys(band_columns("psf_depth_{b}_mag"), (18.0, 30.0)),
    **dict.fromkeys(band_columns("sky_sigma_{b}_nmgy"), (1e-5, 1.0)),
    **dict.fromkeys(band_columns("host_mag_{b}"), (8.0, 30.0)),
    **dict.fromkeys(band_columns("bulge_fraction_{b}"), (0.0, 1.0)),
}
"""Least and largest value that a unit allows, or a column: beyond lies another unit, such as an
inverse variance where a magnitude should be, or pixels for arcsec."""

_LIMITS = {c.name: RANGES.get(c.name, RANGES[c.unit]) for c in STAMPS if c.name in _FLOATS}


@dataclass(frozen=True)
class Tally:
    """Counts of some rows; `together` adds them up.

    faults : rows (of `broken_pairs`: pairs) by what is wrong with them
    columns : names by what is wrong with them
    tasks, pairs, lenses : uint64, one a row, a pair, a lens: hashes of names, and of pixels
    hosts, templates : (n, 2) uint64, hashes of a name and of its split, each once
    empty : rows without a value, by kind and column
    """

    kinds: Counter[str]
    sizes: frozenset[int]  # pix, sides of stamps
    empty: Counter[tuple[str, str]]
    faults: Counter[str]
    columns: dict[str, frozenset[str]]
    added_to_hosts: float  # nmgy, the largest of any band
    tasks: np.ndarray
    pairs: np.ndarray
    lenses: np.ndarray
    hosts: np.ndarray
    templates: np.ndarray

    @property
    def rows(self) -> int:
        return self.kinds.total()

    @property
    def unpaired(self) -> bool:
        """Whether every row is a pair of its own, though there are controls."""
        return len(self.pairs) == self.rows > self.kinds["lens"]

    @property
    def n_hosts(self) -> int:
        return len(np.unique(self.hosts[:, 0]))


def tally(columns: Columns) -> Tally:
    """Count rows, of which those of a pair are all there.

    columns : schema.STAMPS without pixels, and `metric.` columns of metrics.stamp_metrics
    """
    kind = columns["kind"].astype(str)
    pair = np.unique(columns["pair_id"].astype(str), return_inverse=True)[1]
    hosts = kind == "host"
    faults = {
        "bad_pixels": columns["metric.bad_pixels"] > 0,
        "empty": columns["metric.empty"] > 0,
        "broken_pairs": _broken(kind, pair),
    }
    if "label" in columns:
        faults["label"] = columns["label"] != (kind == "lens")
    if "flags" in columns:
        faults["flags"] = (columns["flags"] & int(FATAL)) != 0
    light = [name for name in band_columns(_ARC_FLUX) if name in columns]
    added = [np.abs(np.nan_to_num(columns[name][hosts])).max(initial=0) for name in light]
    names = {
        "telling": frozenset(_telling(columns, pair)),
        "leaking": frozenset(_leaking(columns, kind, pair)),
        "units": frozenset(_beyond(columns)),
        "absent": frozenset(name for name in _ASKED_FOR if name not in columns),
    }
    return Tally(
        Counter(kind.tolist()),
        frozenset(columns["size_pix"].tolist()),
        _empty(columns, kind),
        Counter({name: int(which.sum()) for name, which in faults.items()}),
        names,
        float(np.max(added, initial=0)),
        hashes(columns["task_id"]),
        np.unique(hashes(columns["pair_id"])),
        columns["metric.pixels"][kind == "lens"],
        _with_split(columns, "host_id"),
        _with_split(columns, "template_id" if "template_id" in columns else "host_id"),
    )


def together(tallies: Iterable[Tally]) -> Tally:
    """The counts of all. Raises ValueError if there are none"""
    every = list(tallies)
    if not every:
        raise ValueError("no rows were counted, so there is nothing to add up")
    names = {key: frozenset().union(*(t.columns[key] for t in every)) for key in every[0].columns}
    stacked = {
        name: np.concatenate([getattr(t, name) for t in every])
        for name in ("tasks", "pairs", "lenses", "hosts", "templates")
    }
    for name in ("hosts", "templates"):
        stacked[name] = np.unique(stacked[name], axis=0)
    return Tally(
        sum((t.kinds for t in every), Counter()),
        frozenset().union(*(t.sizes for t in every)),
        sum((t.empty for t in every), Counter()),
        sum((t.faults for t in every), Counter()),
        names,
        max(t.added_to_hosts for t in every),
        **stacked,
    )


_ARC_FLUX = "arc_flux_{b}_nmgy"
_ASKED_FOR = ("label", "flags", "split", "template_id", *band_columns(_ARC_FLUX))
"""Columns that ours always have and another layout may not."""


def _broken(kind: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """Pairs without exactly one lens, or with a kind twice."""
    n = pair.max(initial=-1) + 1
    lenses = np.bincount(pair, kind == "lens", n)
    twice = np.zeros(n, bool)
    for name in np.unique(kind):
        twice |= np.bincount(pair, kind == name, n) > 1
    return (lenses != 1) | twice


def _telling(columns: Columns, pair: np.ndarray) -> list[str]:
    """Columns that differ within a pair."""
    first = np.unique(pair, return_index=True)[1][pair]
    return [n for n in _SHARED if n in columns and not _same(columns[n], columns[n][first])]


def _same(one: np.ndarray, two: np.ndarray) -> bool:
    if one.dtype.kind == "f":
        return bool(np.array_equal(one, two, equal_nan=True))
    return bool((one == two).all())


def _leaking(columns: Columns, kind: np.ndarray, pair: np.ndarray) -> list[str]:
    """Columns that are empty in a row and filled in its pair's lens, or the other way round."""
    lens = row_in_pair(pair, kind, "lens")
    (rows,) = np.nonzero(lens >= 0)
    theirs = lens[rows]
    there = [name for name in _FLOATS if name in columns]
    empty = {name: np.isnan(columns[name]) for name in there}
    return [name for name, which in empty.items() if (which[rows] != which[theirs]).any()]


def _empty(columns: Columns, kind: np.ndarray) -> Counter[tuple[str, str]]:
    found = Counter()
    for name in _FLOATS:
        if name in columns and (lost := np.isnan(columns[name])).any():
            found.update((one, name) for one in kind[lost])
    return found


def _beyond(columns: Columns) -> list[str]:
    """Columns with values that their unit does not allow."""
    lens = columns["kind"] == "lens"
    found = []
    for name, (low, high) in _LIMITS.items():
        if name in columns:
            values = columns[name][lens] if name == "theta_E_arcsec" else columns[name]
            if ((values < low) | (values > high)).any():
                found.append(name)
    return found


def _with_split(columns: Columns, name: str) -> np.ndarray:
    split = columns.get("split", np.zeros(len(columns[name]), int))
    known = columns[name].astype(str) != ""
    both = np.stack([hashes(columns[name][known]), hashes(split[known])], axis=1)
    return np.unique(both, axis=0)


def hashes(words: np.ndarray) -> np.ndarray:
    """uint64 of each word; the same anywhere."""
    unique, place = np.unique(np.asarray(words).astype(str), return_inverse=True)
    digests = (hashlib.blake2b(word.encode(), digest_size=8).digest() for word in unique)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)[place]
