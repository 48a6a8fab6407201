"""`dhs score`: a judge asked of stamps, cutouts or FITS files, a batch at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import read_json, whole
from darkhaloscope.io.parts import RECORD, parts_in
from darkhaloscope.io.scores import BESIDE, SKY, SOURCE_KEY, STAMPS
from darkhaloscope.io.tables import columns_of, images_in, read_pieces, read_table
from darkhaloscope.jobs.anchor_cutouts import TABLE as ANCHORS_TABLE
from darkhaloscope.jobs.hosts import open_cutouts, read_hosts, read_pixels
from darkhaloscope.jobs.progress import console, progress
from darkhaloscope.learn.batch import Rows, joined
from darkhaloscope.learn.judge import Judge, score_of
from darkhaloscope.schema import ANCHORS_SEEN, HOST
from darkhaloscope.sim.inject import crop, sky_sigma
from darkhaloscope.survey.fits_cutouts import find_fits, read_fits
from darkhaloscope.units import BANDS

_AT_ONCE = 256
_LENS = ("theta_E_arcsec", "arc_snr", "arc_snr_g", "source_mag_r")
_KNOWN = tuple(c.name for c in HOST)


def score(
    out: Path, judge: Judge, source: Path, embed: bool = False, splits: Sequence[str] = ()
) -> int:
    """Write scores of the rows of `source`; how many there are.

    out : .parquet or .csv; columns as in io.scores.BESIDE as far as the source has them, score in
    [0, 1], logit, and cause: why a row has no score (NaN)
    source : a stamp set, a cutout store, a FITS file or a folder of them
    splits : of these only, where rows have a split; all without them
    embed : write what the network's last layer is shown as well, `embedding_0` and so on
    Raises DhsError if stamps are of another size or scale than the judge's, or columns are missing
    """
    if out.suffix not in (".parquet", ".csv"):
        raise DhsError(f"{out}: scores are written as .parquet or .csv; name one of them")
    total, pieces = rows_of(source, judge)
    tables, bad = [], 0
    with progress("score", total, "rows") as advance:
        for piece in pieces:
            rows = _of_splits(piece, splits)
            advance(len(piece) - len(rows))
            for start in range(0, len(rows), _AT_ONCE):
                tables.append(_scored(judge, rows[start : start + _AT_ONCE], embed))
                bad += tables[-1]["cause"].to_pylist().count(_NOT_FINITE)
                advance(len(tables[-1]))
    if not tables:
        wanted = f" of split {' or '.join(splits)}" if splits else ""
        raise DhsError(f"{source} holds no row{wanted}")
    whole_table = pa.concat_tables(tables, promote_options="default")
    whole_table = whole_table.replace_schema_metadata({SOURCE_KEY: str(source.resolve())})
    with whole(out) as temporary:
        if out.suffix == ".csv":
            pacsv.write_csv(whole_table, temporary)
        else:
            pq.write_table(whole_table, temporary, compression="zstd")
    beside = f"; {bad} without a score: {_NOT_FINITE}" if bad else ""
    console.print(f"scores {out}: {len(whole_table)} rows{beside}")
    return len(whole_table)


_NOT_FINITE = "pixels that are no number"


def _of_splits(rows: Rows, splits: Sequence[str]) -> Rows:
    if not splits or "split" not in rows.columns:
        return rows
    return rows[np.isin(rows.columns["split"].astype(str), splits)]


def _scored(judge: Judge, rows: Rows, embed: bool) -> pa.Table:
    _of_the_judges_form(judge, rows)
    good = np.isfinite(rows.images).all((1, 2, 3))
    logit = np.full(len(rows), np.nan)
    told: dict[str, np.ndarray] = {}
    if good.any():
        asked = judge.ask(rows[good], embed)
        logit[good] = asked.logit
        for name, values in asked.told.items():
            told[name] = np.full(len(rows), np.nan)
            told[name][good] = values
    names = {name: rows.columns[name] for name in BESIDE if name in rows.columns}
    place = STAMPS if "arc_snr" in rows.columns else SKY
    names["place"] = np.full(len(rows), place, object)
    cause = np.where(good, "", _NOT_FINITE)
    return pa.table(names | {"score": score_of(logit), "logit": logit} | told | {"cause": cause})


def _of_the_judges_form(judge: Judge, rows: Rows) -> None:
    size, scales = rows.images.shape[-1], rows.columns["pixel_scale_arcsec"].astype(float)
    if size != judge.size_pix:
        raise DhsError(
            f"stamps of {size} pixels came; the finder was trained on {judge.size_pix}. Make them "
            "of that size, or train on theirs"
        )
    other = scales[np.abs(scales / judge.pixel_scale - 1) > 0.01]
    if other.size:
        raise DhsError(
            f"pixels of {other[0]:g} arcsec came; the finder was trained on {judge.pixel_scale:g}"
        )


def rows_of(source: Path, judge: Judge) -> tuple[int, Iterator[Rows]]:
    """How many rows a place holds, and the rows, some at a time.

    Raises DhsError if it is none of the places that `score` takes
    """
    if not source.exists():
        raise DhsError(f"{source} does not exist; give a stamp set, a cutout store, or FITS")
    record = source / RECORD
    said = read_json(record) if record.exists() else {}
    stage = str(said.get("stage", ""))
    if stage == "inject":
        return sum(said["usable"].values()), _of_stamps(source)
    if stage.startswith("cutouts"):
        store = open_cutouts(source)
        return sum(store.rows.values()), _of_cutouts(source, judge)
    if stage not in ("", "export"):
        raise DhsError(f"{source} is a {stage} folder; give a stamp set, a cutout store, or FITS")
    files = find_fits(source)
    return len(files), _together(_of_fits(path, judge) for path in files)


def _of_stamps(stamps: Path) -> Iterator[Rows]:
    names = ["task_id", "kind", "label", *_KNOWN, *_LENS, "size_pix", "image"]
    for path in parts_in(stamps):
        for table in read_pieces(path, names):
            if len(table):
                yield Rows(columns_of(table.drop_columns(["image"])), images_in(table))


def _of_cutouts(folder: Path, judge: Judge) -> Iterator[Rows]:
    store, told = open_cutouts(folder), _of_anchors(folder)
    for name in store.rows:
        columns = read_hosts(folder / name, None)
        if (columns["size_pix"] < judge.size_pix).any():
            raise DhsError(
                f"{folder / name} holds cutouts of {columns['size_pix'].min()} pixels; the finder "
                f"needs {judge.size_pix}"
            )
        for start in range(0, len(columns["host_id"]), _AT_ONCE):
            wanted = columns["host_id"][start : start + _AT_ONCE].astype(str)
            hosts = read_pixels(store, name, wanted, judge.size_pix)
            ids = {"task_id": hosts.columns["host_id"], "kind": hosts.columns["host_kind"]}
            for column, values in told.items():
                ids[column] = np.array([values[host] for host in wanted])
            yield Rows({**hosts.columns, **ids}, hosts.images)


_ANCHORS_TELL = ("name", "theta_E_arcsec", "visible")


def _of_anchors(folder: Path) -> dict[str, dict[str, Any]]:
    """What a store of `dhs anchors cutouts` knows of each host beside its cutout, by column."""
    path = folder / ANCHORS_TABLE
    if not path.exists():
        return {}
    rows = read_table(path, ANCHORS_SEEN, ("host_id", *_ANCHORS_TELL)).to_pylist()
    return {column: {row["host_id"]: row[column] for row in rows} for column in _ANCHORS_TELL}


def _together(pieces: Iterator[Rows]) -> Iterator[Rows]:
    """Neighbours that have the same columns, joined until there are enough for one batch."""
    waiting: list[Rows] = []
    for rows in pieces:
        other = waiting and waiting[0].columns.keys() != rows.columns.keys()
        if other or sum(map(len, waiting)) >= _AT_ONCE:
            yield joined(waiting)
            waiting = []
        waiting.append(rows)
    if waiting:
        yield joined(waiting)


def _of_fits(path: Path, judge: Judge) -> Rows:
    found = read_fits(path)
    size, least = found.images.shape[-1], judge.size_pix
    if size < least:
        raise DhsError(f"{path} is of {size} pixels; the finder needs at least {least}")
    images = np.ascontiguousarray(crop(found.images, least)[0])
    n = len(images)
    name = path.name.partition(".fits")[0]
    columns = {
        "task_id": np.array([f"{name}-{i}" if n > 1 else name for i in range(n)], object),
        "ra_deg": np.full(n, found.ra_deg),
        "dec_deg": np.full(n, found.dec_deg),
        "pixel_scale_arcsec": np.full(n, found.pixel_scale_arcsec),
        **found.table,
    }
    sigma = sky_sigma(np.nan_to_num(images))
    for i, band in enumerate(BANDS):
        columns.setdefault(f"sky_sigma_{band}_nmgy", sigma[:, i])
    return Rows(columns, images)
