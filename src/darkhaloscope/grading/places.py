"""What a cutout store or a stamp set offers to a grader: its objects, and the pixels of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import read_json, sha256
from darkhaloscope.io.parts import RECORD, parts_in
from darkhaloscope.io.tables import columns_of, image_from, read_group, read_pieces
from darkhaloscope.sim.inject import crop

_NAMES = {"cutouts": ("host_id", "host_kind"), "inject": ("task_id", "kind")}
"""Of each stage's tables: the column that names a row, and the one that says what it is."""


@dataclass(frozen=True)
class Found:
    """One object of a place, and where in it its pixels are."""

    name: str
    kind: str
    """host_kind of a cutout, kind of a stamp."""
    ra_deg: float
    dec_deg: float
    size_pix: int
    pixel_scale_arcsec: float
    file: str
    group: int
    row: int


@dataclass(frozen=True)
class Place:
    """A finished cutout store or stamp set."""

    folder: Path
    digest: str
    sums: dict[str, str]
    is_stamps: bool

    def objects(self) -> list[Found]:
        """All of them, in the place's own order. Raises DhsError for files of another version."""
        return [found for path in parts_in(self.folder) for found in self._of(path)]

    def _of(self, path: Path) -> Iterator[Found]:
        name, kind = _NAMES["inject" if self.is_stamps else "cutouts"]
        numbers = ("ra_deg", "dec_deg", "size_pix", "pixel_scale_arcsec")
        for group, table in enumerate(read_pieces(path, [name, kind, *numbers])):
            for row, said in enumerate(table.to_pylist()):
                values = {number: said[number] for number in numbers}
                yield Found(said[name], said[kind], **values, file=path.name, group=group, row=row)

    def image(self, file: str, group: int, row: int, size_pix: int) -> np.ndarray:
        """(band, y, x) nmgy, cut to `size_pix`.

        Raises DhsError if the file is missing, or is not the one that the place was made with
        """
        _unaltered(self.folder / file, self.sums[file])
        columns = _pixels(self.folder / file, group)
        return crop(image_from(columns["image"][row], int(columns["size_pix"][row])), size_pix)[0]


@lru_cache(maxsize=4096)
def _unaltered(path: Path, sum_: str) -> None:
    try:
        same = sha256(path) == sum_
    except OSError as error:
        raise DhsError(f"{path}: {error.strerror}; put it back") from error
    if not same:
        raise DhsError(f"{path} was altered since its run was finished; make it again")


@lru_cache(maxsize=8)
def _pixels(path: Path, group: int) -> dict[str, np.ndarray]:
    """Of neighbours too, since a file is read by groups of rows."""
    return columns_of(read_group(path, group, ["image", "size_pix"]))


def open_place(folder: Path) -> Place:
    """Raises DhsError if it is no finished cutout store or stamp set."""
    record = folder / RECORD
    if not record.exists():
        raise DhsError(
            f"{folder} holds no finished cutout store or stamp set (no {RECORD}); give the output "
            "of `dhs cutouts` or `dhs inject`"
        )
    said: dict[str, Any] = read_json(record)
    stage = str(said.get("stage", ""))
    if stage != "inject" and not stage.startswith("cutouts"):
        raise DhsError(f"{folder} is a {stage} folder; give a cutout store or a stamp set")
    return Place(folder, said["digest"], said["parts"], stage == "inject")


def shown_size(objects: Sequence[Found], asked: int | None) -> int:
    """Side of all pictures, in pixels: as asked, or that of the smallest; one, so that it tells
    nothing.

    Raises DhsError if an object is smaller than asked, or scales differ
    """
    scales = {round(found.pixel_scale_arcsec, 4) for found in objects}
    if len(scales) > 1:
        raise DhsError(
            f"pixels of {', '.join(f'{s:g}' for s in sorted(scales))} arcsec came together; what "
            "is graded and its controls must be of one scale, or the grader would tell them apart"
        )
    least = min(found.size_pix for found in objects)
    if asked and asked > least:
        raise DhsError(f"size_pix = {asked} is more than the smallest picture has, {least}")
    return asked or least
