"""`dhs anchors build`: catalogues in, a table of anchors out, and all that cannot be one."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from darkhaloscope import __version__
from darkhaloscope.config import AnchorsBuild
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.anchors import Judged, judge
from darkhaloscope.flags import names
from darkhaloscope.io.files import write_json, write_text
from darkhaloscope.io.parts import PartStore, claim
from darkhaloscope.io.tables import write_table
from darkhaloscope.jobs import anchor_report
from darkhaloscope.jobs.progress import console
from darkhaloscope.keys import digest_of
from darkhaloscope.schema import ANCHORS, ANCHORS_QUARANTINE
from darkhaloscope.survey.bricks import names_of
from darkhaloscope.survey.lens_catalogues import LensCatalogue, curated, read_catalogue
from darkhaloscope.survey.lens_columns import NUMBERS
from darkhaloscope.survey.split import NSIDE, sky_pixels
from darkhaloscope.survey.tractor import telescope_of_rows

Columns = dict[str, np.ndarray]

REPORT = "anchors.html"
_MERGED = tuple(name for name in NUMBERS if name not in ("ra_deg", "dec_deg"))
"""Numbers that a lens has from the first of its catalogues that tells them."""


def build(out: Path, sources: list[Path], anchor_class: str, cfg: AnchorsBuild) -> None:
    """Write the table of anchors, its quarantine and a report.

    sources : catalogues; without any, the lenses that dhs ships are the anchors
    Raises DhsError for a catalogue that cannot be used, before any work, or if no entry passes
    """
    given = [read_catalogue(path, anchor_class) for path in sources]
    _all_different(sources, given)
    shipped = curated()
    if not given and not cfg.curated:
        raise DhsError(
            "there is nothing to build from; name a catalogue, or leave out --no-curated"
        )
    identity = {"stage": "anchors", "config": cfg.identity(), "class": anchor_class}
    sums = {c.key: c.digest for c in (*given, shipped)}
    store = claim(out, identity | {"catalogues": digest_of(*sums.values()), "dhs": __version__})
    for catalogue in given:
        _say_what_was_read(catalogue)
    rows = _together([*given, shipped])
    asked = np.arange(len(rows["name"])) < sum(map(len, given))
    judged = judge(
        rows,
        match_arcsec=cfg.match_arcsec,
        alone=cfg.alone,
        candidates=cfg.candidates,
        telescope=cfg.telescope,
    )
    wanted = asked | cfg.curated
    good, bad = _anchors(rows, judged, wanted), _quarantined(rows, judged, wanted)
    _write(store, good, bad, rows, sums)
    findings = anchor_report.build_findings(rows, judged, wanted, good, cfg)
    write_json(out / "findings.json", anchor_report.as_json(findings))
    write_text(out / REPORT, anchor_report.build_page(good, bad, findings, store.identity, sums))
    anchor_report.say(bad, findings)
    if not len(good["name"]):
        causes = ", ".join(f"{n} {cause}" for cause, n in Counter(bad["cause"]).most_common())
        raise DhsError(f"no entry can be an anchor: {causes}; see {out / REPORT}")
    console.print(f"anchors {out}: {len(good['name'])} anchors, report {out / REPORT}")


def _all_different(sources: list[Path], given: list[LensCatalogue]) -> None:
    """One catalogue under two names would confirm itself."""
    for attribute, what in (("digest", "hold the same bytes"), ("key", "have the same name")):
        count = Counter(getattr(c, attribute) for c in given)
        twice = [
            str(p) for p, c in zip(sources, given, strict=True) if count[getattr(c, attribute)] > 1
        ]
        if twice:
            raise DhsError(
                f"{' and '.join(twice)} {what}; an entry must be confirmed by another catalogue, "
                "so name each once"
            )


def _say_what_was_read(catalogue: LensCatalogue) -> None:
    known = ", ".join(f"{ours} = {theirs}" for ours, theirs in catalogue.recognised.items())
    beside = f"; not used: {', '.join(catalogue.unused)}" if catalogue.unused else ""
    console.print(f"  {catalogue.key}: {len(catalogue)} entries; {known}{beside}", markup=False)


def _together(catalogues: list[LensCatalogue]) -> Columns:
    rows = {
        name: np.concatenate([c.columns[name] for c in catalogues])
        for name in catalogues[0].columns
    }
    place = {
        "ra": np.nan_to_num(rows["ra_deg"]),
        "dec": np.clip(np.nan_to_num(rows["dec_deg"]), -90, 90),
    }
    return rows | {"telescope": telescope_of_rows(place)}


def _anchors(rows: Columns, judged: Judged, wanted: np.ndarray) -> Columns:
    """One row a lens, of its first entry; what that does not tell is of the others."""
    sound = judged.flags == 0
    members: dict[int, list[int]] = {}
    for i in np.flatnonzero(sound):
        members.setdefault(int(judged.group[i]), []).append(int(i))
    chosen = [some for some in members.values() if wanted[some].any()]
    made = [_merged(rows, judged, some) for some in chosen]
    columns = {c.name: [row[c.name] for row in made] for c in ANCHORS if c.name != "host_id"}
    columns["host_id"] = _ids(columns)
    order = np.lexsort((np.array(columns["host_id"], str), np.array(columns["brick"], str)))
    return {c.name: np.array(columns[c.name], _dtype(c))[order] for c in ANCHORS}


def _dtype(column) -> type:
    kind = column.dtype.to_pandas_dtype()
    return object if kind is np.object_ else kind


def _merged(rows: Columns, judged: Judged, some: list[int]) -> dict:
    """An anchor of the entries of one lens."""
    first = some[0]
    sharpest = min(some, key=lambda i: np.nan_to_num(judged.names[i].step_arcsec, nan=np.inf))
    return _row(rows, judged, first, sharpest) | {
        **{name: _first_known(rows[name][some]) for name in _MERGED},
        "reference": _each_once(rows["reference"][some]),
        "catalogues": _each_once(rows["catalogue"][some]),
    }


def _row(rows: Columns, judged: Judged, i: int, named: int) -> dict:
    """An entry as a row of schema.ANCHORS; named : the entry whose name it takes."""
    ra, dec = float(rows["ra_deg"][i]), float(rows["dec_deg"][i])
    on_sky = bool(np.isfinite(ra + dec)) and abs(dec) <= 90
    said = judged.names[named]
    unknown = {c.name: _NOTHING.get(_dtype(c), 0) for c in ANCHORS}
    return (
        unknown
        | {name: float(rows[name][i]) for name in _MERGED}
        | {
            "ra_deg": ra,
            "dec_deg": dec,
            "brick": names_of(np.array([ra % 360]), np.array([dec]))[0] if on_sky else "",
            "telescope": rows["telescope"][i],
            "release": -1,
            "healpix": int(sky_pixels(np.array([ra % 360]), np.array([dec]), NSIDE)[0])
            if on_sky
            else -1,
            "split": "test",
            "host_flags": int(judged.flags[i]),
            "name": rows["name"][named],
            "anchor_class": rows["anchor_class"][i],
            "label": int(rows["anchor_class"][i] == "lens"),
            "reference": rows["reference"][i],
            "catalogues": rows["catalogue"][i],
            "name_says": said.says if not said.disagrees else "disagrees",
            "name_off_arcsec": said.off_arcsec,
            "name_step_arcsec": said.step_arcsec,
            "separation_arcsec": float(judged.separation_arcsec[i]),
        }
    )


_NOTHING = {np.float64: np.nan, object: ""}


def _first_known(values: np.ndarray) -> float:
    known = values[np.isfinite(values.astype(float))]
    return float(known[0]) if len(known) else np.nan


def _each_once(words: np.ndarray) -> str:
    return "; ".join(dict.fromkeys(str(word) for word in words if word))


def _ids(columns: dict[str, list]) -> list[str]:
    """Names without spaces; by position where there is none, and behind one that is there twice."""
    plain = ["".join(str(name).split()) for name in columns["name"]]
    count = Counter(plain)
    at = [
        f"{ra:.5f}{dec:+.5f}" for ra, dec in zip(columns["ra_deg"], columns["dec_deg"], strict=True)
    ]
    return [
        name if name and count[name] == 1 else f"{name or 'at'}-{where}"
        for name, where in zip(plain, at, strict=True)
    ]


def _quarantined(rows: Columns, judged: Judged, wanted: np.ndarray) -> Columns:
    """Entries that cannot be anchors, as they came, in their order."""
    some = np.flatnonzero((judged.flags != 0) & wanted)
    made = [_row(rows, judged, int(i), int(i)) for i in some]
    for row, i in zip(made, some, strict=True):
        row["host_id"] = f"entry-{i}"
        row["cause"], row["detail"] = names(int(judged.flags[i])), judged.detail[i]
    return {c.name: np.array([r[c.name] for r in made], _dtype(c)) for c in ANCHORS_QUARANTINE}


def _write(store: PartStore, good: Columns, bad: Columns, rows: Columns, sums: dict) -> None:
    """The good rows last: their file is the commit."""
    if len(bad["name"]):
        write_table(store.quarantine(0), bad, ANCHORS_QUARANTINE, store.metadata())
    write_table(store.path(0), good, ANCHORS, store.metadata())
    store.write_record(
        anchors=len(good["name"]),
        entries=len(rows["name"]),
        classes=dict(sorted(Counter(good["anchor_class"].tolist()).items())),
        quarantined=dict(sorted(Counter(bad["cause"].tolist()).items())),
        sums=json.dumps(sums, sort_keys=True),
    )
