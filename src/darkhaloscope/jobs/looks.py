"""One look at a stamp set, piece by piece: all rows counted, a sample of pairs kept.

What is kept does not grow with the set but for a few bytes a row.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.features import features, fine_shares
from darkhaloscope.evaluate.metrics import added_metrics, stamp_metrics
from darkhaloscope.evaluate.sample import row_in_pair
from darkhaloscope.evaluate.tally import RANGES, Tally, tally, together
from darkhaloscope.io.others import read_rows, tables_in
from darkhaloscope.io.parts import QUARANTINE_DIR, parts_in
from darkhaloscope.io.tables import columns_of, images_in, read_pieces
from darkhaloscope.jobs.engine import Engine, Local
from darkhaloscope.jobs.progress import progress
from darkhaloscope.keys import unit_interval
from darkhaloscope.schema import BLOBS, STAMPS
from darkhaloscope.units import BANDS

Columns = dict[str, np.ndarray]

NAMES = [c.name for c in STAMPS if c.name not in BLOBS] + ["image"]
_HERE = Local()
_MOST_OF_A_PAIR = 1000


@dataclass(frozen=True)
class Look:
    """What one look saw."""

    tally: Tally
    sample: Columns
    """Of whole pairs: schema.STAMPS without pixels, `metric.` and `probe.` columns."""


def look_at(stamps: Path, share: float = 1.0, engine: Engine = _HERE) -> Look:
    """Count all rows of a stamp set, and keep a share of its pairs, chosen by their names.

    Raises DhsError if a file is damaged, or there is no row
    """
    return _look_through(stamps, parts_in(stamps), pieces_of, share, engine)


def look_at_others(stamps: Path, share: float = 1.0, engine: Engine = _HERE) -> Look:
    """The same of stamps in another layout, see io.others.

    Raises DhsError as look_at does, or if a table is of no layout that is known
    """
    return _look_through(stamps, tables_in(stamps), partial(read_rows, root=stamps), share, engine)


def _look_through(
    stamps: Path,
    paths: Sequence[Path],
    read: Callable[[Path], Iterator[Columns]],
    share: float,
    engine: Engine,
) -> Look:
    work = partial(_look_at_file, read, share)
    found: dict[Path, Look] = {}
    with progress("validate", len(paths), "parts") as advance:
        for path, seen in engine.run(work, paths):
            if seen is not None:
                found[path] = seen
            advance(1)
    if not found:
        raise DhsError(f"{stamps} holds no usable stamp; see its {QUARANTINE_DIR} for the causes")
    _alike(found)
    return _all_of([found[path] for path in paths if path in found])


def _alike(found: dict[Path, Look]) -> None:
    """Raises DhsError if files differ in what they hold."""
    first, *others = found
    names, sizes = _form(found[first])
    for path in others:
        theirs, size = _form(found[path])
        if apart := names ^ theirs:
            raise DhsError(
                f"{first} and {path} differ in the columns {', '.join(sorted(apart))}; make them "
                "alike, or judge them one by one"
            )
        if len(sizes | size) > 1:
            raise DhsError(f"{first} and {path} hold stamps of {sorted(sizes | size)} pixels")


def _form(seen: Look) -> tuple[set[str], set[int]]:
    return set(seen.sample), set(seen.tally.sizes)


def _look_at_file(
    read: Callable[[Path], Iterator[Columns]], share: float, path: Path
) -> tuple[Path, Look | None]:
    looks = [look(rows, share) for rows in whole_pairs(read(path))]
    return path, _all_of(looks) if looks else None


def _all_of(looks: Sequence[Look]) -> Look:
    return Look(together(seen.tally for seen in looks), _joined([seen.sample for seen in looks]))


def pieces_of(path: Path) -> Iterator[Columns]:
    """Rows of a part of ours some at a time, with `image` (row, band, y, x)."""
    for table in read_pieces(path, NAMES):
        if len(table):
            yield columns_of(table.drop_columns(["image"])) | {"image": images_in(table)}


def whole_pairs(pieces: Iterable[Columns]) -> Iterator[Columns]:
    """The same rows, those of a pair together, where they stand together in the file."""
    kept: Columns | None = None
    for piece in pieces:
        rows = piece if kept is None else _joined([kept, piece])
        if len(rows["pair_id"]) > _MOST_OF_A_PAIR + len(piece["pair_id"]):
            raise DhsError(
                f"pair {rows['pair_id'][0]} has more than {_MOST_OF_A_PAIR} rows; pair_id ties one "
                "lens and its controls"
            )
        last = rows["pair_id"] == rows["pair_id"][-1]
        start = len(last) - int(np.argmin(last[::-1])) if not last.all() else 0
        if start:
            yield {name: values[:start] for name, values in rows.items()}
        kept = {name: values[start:] for name, values in rows.items()}
    if kept is not None:
        yield kept


def look(rows: Columns, share: float) -> Look:
    """Count some rows and keep a share of their pairs.

    rows : schema.STAMPS without pixels, whole pairs, and `image`, (row, band, y, x) float32, nmgy
    """
    scale = _scale_of(rows["pixel_scale_arcsec"])
    images = rows["image"]
    rows = {name: values for name, values in rows.items() if name != "image"}
    host = row_in_pair(rows["pair_id"].astype(str), rows["kind"], "host")
    known = (rows.get(f"lens_center_{axis}_arcsec", np.zeros(len(host))) for axis in "xy")
    center = np.stack(list(known), axis=1)
    metrics = stamp_metrics(images, scale) | added_metrics(images, host, center, scale)
    columns = rows | {f"metric.{name}": values for name, values in metrics.items()}
    chosen = _chosen(rows["pair_id"], share)
    sample = {name: values[chosen] for name, values in columns.items()}
    few, theirs = images[chosen], host[chosen]
    fine = fine_shares(few - images[np.where(theirs >= 0, theirs, np.flatnonzero(chosen))])
    probes = features(few, sample, scale)
    sample |= {f"metric.added_fine_{band}": fine[:, i] for i, band in enumerate(BANDS)}
    return Look(tally(columns), sample | {f"probe.{name}": of for name, of in probes.items()})


def _scale_of(values: np.ndarray) -> float:
    """Raises DhsError if it is no pixel scale, or several"""
    low, high = RANGES["pixel_scale_arcsec"]
    found = np.unique(values)
    if len(found) != 1 or not low <= found[0] <= high:
        raise DhsError(
            f"pixel_scale_arcsec must be one value from {low} to {high} arcsec, got "
            f"{', '.join(f'{value:g}' for value in found[:5])}"
        )
    return float(found[0])


def _chosen(pair_id: np.ndarray, share: float) -> np.ndarray:
    """Rows of the pairs that belong to the sample."""
    if share >= 1:
        return np.ones(len(pair_id), bool)
    pairs, place = np.unique(pair_id.astype(str), return_inverse=True)
    return np.array([unit_interval(pair, "sample") < share for pair in pairs])[place]


def _joined(tables: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
