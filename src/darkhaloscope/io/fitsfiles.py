"""FITS files of stamps: tables by the schema and images streamed row by row, big-endian."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from darkhaloscope.errors import DhsError
from darkhaloscope.schema import Column

UNITS = {
    "nmgy": "nanomaggy",
    "nmgy^-2": "1/nanomaggy^2",
    "e-/nmgy": "electron/nanomaggy",
    "pix": "pixel",
    "bits": "",
}
"""Our units in the words of the Legacy Surveys' files, where they differ."""

_FORMATS = {"b1": "L", "i4": "J", "i8": "K", "f8": "D"}


def start(path: Path, cards: Mapping[str, object]) -> None:
    """A file with an empty primary HDU that says what the file is."""
    fits.PrimaryHDU(header=fits.Header(cards)).writeto(path)


def append_images(
    path: Path,
    name: str,
    shape: Sequence[int],
    pieces: Iterable[np.ndarray],
    cards: Mapping[str, object],
) -> None:
    """An image HDU of float32 of this shape, whose first axis comes in pieces; memory is one's."""
    header = fits.ImageHDU(name=name).header
    header["BITPIX"], header["NAXIS"] = -32, len(shape)
    for axis, length in enumerate(reversed(shape), start=1):
        header.set(f"NAXIS{axis}", length, after=f"NAXIS{axis - 1}" if axis > 1 else "NAXIS")
    header.update(cards)
    with fits.StreamingHDU(str(path), header) as stream:
        for piece in pieces:
            stream.write(np.ascontiguousarray(piece, ">f4"))


def append_table(
    path: Path,
    name: str,
    columns: Sequence[Column],
    values: Mapping[str, np.ndarray],
    also: Mapping[str, np.ndarray],
) -> None:
    """A binary table: columns of the schema with TUNIT and TCOMM, and others beside them.

    Raises DhsError if a word in it is not ASCII, which FITS demands
    """
    try:
        made = [_column(c.name, values[c.name], UNITS.get(c.unit, c.unit)) for c in columns]
        made += [_column(key, value) for key, value in also.items()]
        table = fits.BinTableHDU.from_columns(made, name=name)
    except UnicodeEncodeError as error:
        raise DhsError(f"{path.name}: FITS knows ASCII only: {error}") from error
    for number, column in enumerate(columns, start=1):
        table.header[f"TCOMM{number}"] = column.meaning
    with fits.open(path, mode="append") as hdus:
        hdus.append(table)


def _column(name: str, values: np.ndarray, unit: str = "") -> fits.Column:
    if values.dtype == object:
        words = np.array([str(value).encode("ascii") for value in values])
        form = f"{max(words.dtype.itemsize, 1)}A"
    else:
        words, form = values, _FORMATS[values.dtype.kind + str(values.dtype.itemsize)]
    return fits.Column(name, form, unit or None, array=words)
