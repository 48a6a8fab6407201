"""`dhs replay`: a row made again from its own columns, and held against what is stored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.flags import PASSING, names
from darkhaloscope.io.bank import Bank, open_bank
from darkhaloscope.io.files import whole
from darkhaloscope.io.parts import PARTS, QUARANTINE_DIR, parts_in
from darkhaloscope.io.tables import columns_of, image_from, read_table, rows_where
from darkhaloscope.jobs.hosts import open_cutouts, read_pixels
from darkhaloscope.jobs.inject import noise_generators
from darkhaloscope.jobs.light import render_rows
from darkhaloscope.jobs.stamps import check_bank, near, record_of_stamps
from darkhaloscope.report.replayed import Replayed, replay_sheet
from darkhaloscope.report.words import described
from darkhaloscope.schema import CUTOUTS, HOST, QUARANTINE, RENDERED, SCENE, STAMPS, band_columns
from darkhaloscope.sim.inject import inject

Columns = dict[str, np.ndarray]


def made_again(
    rows: Mapping[str, np.ndarray], hosts: np.ndarray, bank: Bank
) -> tuple[np.ndarray, np.ndarray]:
    """Added light and stamps of rows, from their own columns: two (row, band, y, x), nmgy.

    rows : schema.STAMPS without `image`, all of one run; hosts : (row, band, y, x), nmgy
    """
    light = render_rows(rows, bank, np.ones(len(hosts), bool))
    stamps = inject(
        hosts,
        light,
        np.stack([rows[name] for name in band_columns("electrons_per_nmgy_{b}")], axis=1),
        noise_generators(rows["task_id"]),
        photon_noise=bool(rows["photon_noise"][0]),
    )
    return light, stamps


def replay(task_id: str, stamps: Path, bank: Path, cutouts: Path | None, out: Path | None) -> bool:
    """Say what a row is, make it again, compare, and draw it; True if it is what is stored.

    cutouts : where its host is taken from; without them, from a row of the set that shows it alone
    out : PNG to write
    Raises DhsError if the row is not there or is in quarantine, its host is not to be found, or
    the bank or the cutouts are not those that the set was made from
    """
    record = record_of_stamps(stamps)
    check_bank(bank, record, stamps)
    path, row = _row(stamps, task_id)
    print("\n".join(_described(row)))
    size = int(row["size_pix"][0])
    if cutouts is None:
        host = _host_of_part(path, str(row["host_id"][0]), size)
    else:
        host = _host_of_store(cutouts, record, str(row["host_id"][0]), size)
    light, again = made_again(row, host[None], open_bank(bank))
    stored = image_from(row["image"][0], size)
    done = Replayed(
        {name: value[0] for name, value in row.items()}, host, light[0], stored, again[0]
    )
    print(f"\n{done.verdict}")
    if out is not None:
        with whole(out) as temporary:
            temporary.write_bytes(replay_sheet(done))
        print(f"picture {out}")
    return done.equal


def _described(row: Columns) -> list[str]:
    one = {name: value[0] for name, value in row.items()}
    parts = {"Host": HOST, "Scene": SCENE, "Rendering": RENDERED}
    return [
        line for title, columns in parts.items() for line in ("", title, *described(one, columns))
    ][1:]


def _row(stamps: Path, task_id: str) -> tuple[Path, Columns]:
    """The part that holds a row, and the row: all of schema.STAMPS, arrays of one value."""
    every = [column.name for column in STAMPS]
    for path in parts_in(stamps):
        if len(found := rows_where(path, "task_id", [task_id], every)):
            return path, columns_of(found)
    for path in sorted((stamps / QUARANTINE_DIR).glob(PARTS)):
        found = rows_where(path, "task_id", [task_id], [column.name for column in QUARANTINE])
        if len(found):
            row = columns_of(found)
            print("\n".join(_described(row)))
            raise DhsError(
                f"{task_id} is in quarantine: {row['cause'][0]}. No stamp of it was kept that "
                "could be compared; docs/schema.md and flags.py say what the cause means"
            )
    raise DhsError(f"{stamps} holds no row {task_id}{near(task_id, stamps)}")


def _host_of_part(path: Path, host_id: str, size: int) -> np.ndarray:
    """(band, y, x) of a host, from a row of its part that shows it with nothing added."""
    rows = columns_of(rows_where(path, "host_id", [host_id], ["kind", "image"]))
    alone = [
        image for image, kind in zip(rows["image"], rows["kind"], strict=True) if kind == "host"
    ]
    if not alone:
        raise DhsError(
            f"no row of {path} shows {host_id} with nothing added; give --cutouts, the store that "
            "the set was made from"
        )
    return image_from(alone[0], size)


def _host_of_store(cutouts: Path, record: Mapping[str, Any], host_id: str, size: int) -> np.ndarray:
    """(band, y, x) of a host, from its cutout."""
    store = open_cutouts(cutouts)
    if store.digest != record["cutouts"]:
        raise DhsError(
            f"the set was not made from {cutouts}, whose digest is another; give the store that "
            "it was planned with"
        )
    for name in store.rows:
        table = read_table(store.folder / name, CUTOUTS, ["host_id"])
        if host_id in table.column(0).to_pylist():
            found = read_pixels(store, name, np.array([host_id]), size)
            if cause := int(found.columns["host_flags"][0]) & PASSING:
                raise DhsError(f"{store.folder / name}: {names(cause)}; copy it again")
            return found.images[0]
    raise DhsError(f"{cutouts} holds no host {host_id}")
