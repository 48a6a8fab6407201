"""Catalogues of lenses, and of what is none, in the form that their authors give them.

CSV, ECSV and other text, FITS and VOTable are read by astropy; columns are recognised by name.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from astropy.table import Column, Table
from astropy.utils.exceptions import AstropyWarning

from darkhaloscope.config import AnchorClass
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.designations import Impossible, box_of
from darkhaloscope.io.files import sha256
from darkhaloscope.survey.lens_columns import (
    DEGREES,
    NUMBERS,
    UNIT,
    WORDS,
    angle,
    plain,
    recognised,
    sexagesimal,
    unit_of,
    words,
)

Columns = dict[str, np.ndarray]

_FORMATS = {
    ".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".tsv": "ascii.tab", ".txt": "ascii", ".dat":
    "ascii", ".cat": "ascii", ".fits": "fits", ".fit": "fits", ".fits.gz": "fits",
    ".vot": "votable", ".votable": "votable", ".xml": "votable",
}  # fmt: skip
_ENOUGH_NAMES, _MANY_ROWS, _MOST_HOURS = 3, 20, 24.0


@dataclass(frozen=True)
class LensCatalogue:
    """Entries of a catalogue, one value each; NaN and empty words where it does not tell."""

    key: str  # what the catalogue is called
    columns: Columns
    recognised: dict[str, str]  # our names to theirs
    unused: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.columns["ra_deg"])


def curated() -> LensCatalogue:
    """The lenses that are shipped; `catalogue` of each entry says whose table it is of."""
    path = Path(__file__).with_name("known_lenses.csv")
    found = read_catalogue(path, "lens")
    table = _table(path)
    return LensCatalogue(
        "shipped with dhs",
        found.columns | {"catalogue": words(table["catalogue"])},
        found.recognised,
        found.unused,
        found.digest,
    )


def read_catalogue(path: Path, anchor_class: str) -> LensCatalogue:
    """A catalogue's entries, of the class that its own column tells, else of `anchor_class`.

    Raises DhsError for a file that cannot be read, lacks a position, or has it in another unit
    """
    table = _table(path)
    theirs = recognised(list(table.colnames))
    if missing := [name for name in ("ra_deg", "dec_deg") if name not in theirs]:
        raise DhsError(
            f"{path} has no column for {' and '.join(missing)}; it has "
            f"{', '.join(table.colnames)}; known are {_known(missing[0])} in any case"
        )
    columns = _columns(table, theirs, path)
    columns["anchor_class"] = np.where(
        columns["anchor_class"] == "", anchor_class, columns["anchor_class"]
    )
    _in_degrees(columns, table[theirs["ra_deg"]], theirs["ra_deg"], path)
    _known_classes(columns["anchor_class"], path)
    key = path.name[: -len(_end_of(path))]
    columns["catalogue"] = np.full(len(table), key, object)
    unused = tuple(n for n in table.colnames if n not in theirs.values())
    return LensCatalogue(key, columns, theirs, unused, sha256(path))


def _known_classes(classes: np.ndarray, path: Path) -> None:
    if strange := sorted(set(classes.tolist()) - set(get_args(AnchorClass))):
        raise DhsError(
            f"{path}: class {', '.join(strange)} is not known; known are "
            f"{', '.join(get_args(AnchorClass))}"
        )


def _known(name: str) -> str:
    return ", ".join((name, *NUMBERS[name]))


def _end_of(path: Path) -> str:
    """What the file's name ends with, of _FORMATS."""
    end = next((end for end in _FORMATS if path.name.lower().endswith(end)), None)
    if end is None:
        raise DhsError(f"{path}: {path.suffix} is not known; catalogues are {', '.join(_FORMATS)}")
    return end


def _table(path: Path) -> Table:
    if not path.is_file():
        raise DhsError(f"{path} is no file; give a catalogue: {', '.join(_FORMATS)}")
    kind = _FORMATS[_end_of(path)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)  # units that astropy does not know
            table = Table.read(path, format=kind)
    except Exception as error:  # astropy raises what its parsers raise
        raise DhsError(f"{path} cannot be read as a table: {error}") from error
    if not len(table):
        raise DhsError(f"{path} holds no entry")
    return table


def _columns(table: Table, theirs: dict[str, str], path: Path) -> Columns:
    n = len(table)
    columns: Columns = {}
    for ours in WORDS:
        there = ours in theirs
        columns[ours] = words(table[theirs[ours]]) if there else np.full(n, "", object)
    for ours in NUMBERS:
        there = ours in theirs
        columns[ours] = _numbers(ours, table, theirs, path) if there else np.full(n, np.nan)
    return columns


def _numbers(ours: str, table: Table, theirs: dict[str, str], path: Path) -> np.ndarray:
    column, name = table[theirs[ours]], theirs[ours]
    if ours not in ("ra_deg", "dec_deg"):
        return np.array([plain(value) for value in words(column)])
    degrees = np.array([angle(value, ours == "ra_deg") for value in words(column)])
    unit = unit_of(column, name)
    if unit and unit not in DEGREES and not sexagesimal(column):
        raise DhsError(f"{path}: column {name} is in {unit}; known are {', '.join(DEGREES)}")
    return degrees if sexagesimal(column) else degrees * DEGREES.get(unit, 1.0)


def _in_degrees(columns: Columns, column: Column, name: str, path: Path) -> None:
    """Raise DhsError if RA can only be hours or radians, by the names or by its range."""
    told = unit_of(column, name) or sexagesimal(column)
    as_read, as_hours, as_radians = (_agreeing(columns, f) for f in (1.0, 15.0, np.degrees(1.0)))
    for unit, agree in (("hours", as_hours), ("rad", as_radians)):
        if agree >= _ENOUGH_NAMES and agree > as_read and agree > len(column) / 2:
            raise DhsError(
                f"{path}: {agree} names agree with {name} in {unit}, {as_read} with degrees; call "
                f"the column {UNIT.sub('', name)} [{unit}], or give degrees"
            )
    ra = columns["ra_deg"]
    if not told and as_read == 0 and len(ra) >= _MANY_ROWS and np.nanmax(ra) <= _MOST_HOURS:
        raise DhsError(
            f"{path}: no {name} of {len(ra)} is above 24, so it may be hours; call the column "
            f"{name} [deg] or {name} [hours]"
        )


def _agreeing(columns: Columns, factor: float) -> int:
    """How many names would agree with their positions, were RA (radians: and Dec) so much more."""
    count = 0
    also = factor if factor not in (1.0, 15.0) else 1.0
    for name, ra, dec in zip(
        columns["name"], columns["ra_deg"] * factor, columns["dec_deg"] * also, strict=True
    ):
        try:
            box = box_of(str(name))
        except Impossible:
            continue
        count += box is not None and abs(dec) <= 90 and box.off_arcsec(ra, dec) < 2
    return count
