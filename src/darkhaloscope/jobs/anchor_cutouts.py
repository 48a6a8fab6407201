"""`dhs anchors cutouts`: pixels of anchors, by the code that training hosts come by, and tested."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from darkhaloscope import __version__
from darkhaloscope.config import AnchorsCutouts, CutoutsBricks, CutoutsService, CutoutsSurvey
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.central import Central, expected_mag_r, nearest_source
from darkhaloscope.evaluate.visibility import point_depth, visibility
from darkhaloscope.flags import FATAL, Flag, names
from darkhaloscope.io.files import write_json, write_text
from darkhaloscope.io.parts import PartStore, claim, parts_in, record_of
from darkhaloscope.io.tables import image_from, read_table, write_table
from darkhaloscope.jobs import anchor_report, anchor_sheets
from darkhaloscope.jobs.cutout_store import write_part, write_record
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.survey_cutouts import cutouts_bricks, cutouts_service
from darkhaloscope.schema import ANCHORS, ANCHORS_SEEN, CUTOUT_QUARANTINE, CUTOUTS, band_columns
from darkhaloscope.survey.sed import colour_grid
from darkhaloscope.units import BANDS

Row = dict[str, Any]

_NO_GALAXIES = ("spike", "ghost", "artefact")
"""Classes of what need not have a galaxy in its middle; they are not asked for one."""

TABLE, REPORT = "anchors.parquet", "anchors.html"


def cutouts(
    out: Path, anchors: Path, root: str | None, url: str | None, cfg: AnchorsCutouts, processes: int
) -> None:
    """Fetch into OUT.fetched, test each cutout, and write the store of those that pass.

    root or url : of the coadds, or of the viewer
    Raises DhsError if both or none are given, an input cannot be used, or no anchor passes
    """
    if (root is None) == (url is None):
        raise DhsError("give --root of a coadd tree, or --url of the viewer, and not both")
    record = record_of(anchors, "anchors", "table of anchors", "dhs anchors build")
    fetched = out.with_name(f"{out.name}.fetched")
    _fetch(fetched, anchors, root, url, cfg, processes)
    identity = {"stage": "cutouts anchors", "config": cfg.identity(), "dhs": __version__}
    store = claim(out, identity | {"anchors": record["digest"], "from": root or url})
    of = {row["host_id"]: row for row in _anchors(anchors)}
    judged = [
        _judged_part(PartStore(fetched, {}), store, part, of, cfg) for part in _parts(fetched)
    ]
    told = [row for part in judged for row in part]
    write_table(out / TABLE, told, ANCHORS_SEEN, store.metadata())
    _report(out, fetched, told, cfg, store.identity)
    if not write_record(store):
        raise DhsError(f"no anchor passes; see {out / REPORT}")
    console.print(f"report {out / REPORT}")


def _fetch(fetched, anchors, root, url, cfg: AnchorsCutouts, processes: int) -> None:
    if root is not None:
        cutouts_bricks(fetched, anchors, root, _only(CutoutsBricks, cfg), processes)
    else:
        answers = fetched.with_name(f"{fetched.name}.answers")
        cutouts_service(fetched, anchors, url, answers, _only(CutoutsService, cfg))


S = TypeVar("S", bound=CutoutsSurvey)


def _only(model: type[S], cfg: AnchorsCutouts) -> S:
    """The settings that fetching knows."""
    return model(**{name: getattr(cfg, name) for name in model.model_fields})


def _anchors(folder: Path) -> Iterator[Row]:
    for path in parts_in(folder):
        yield from read_table(path, ANCHORS).to_pylist()


def _parts(folder: Path) -> list[int]:
    return [int(path.stem.removeprefix("part-")) for path in parts_in(folder)]


def _judged_part(
    fetched: PartStore, store: PartStore, part: int, of: dict[str, Row], cfg: AnchorsCutouts
) -> list[Row]:
    """One part of the store: its cutouts tested, and what was found of each anchor."""
    rows = read_table(fetched.path(part), CUTOUTS).to_pylist()
    told = [_tested(row, of[row["host_id"]], cfg) for row in rows]
    unseen = _quarantined(fetched.quarantine(part))
    told += [_unseen(row, of[row["host_id"]]) for row in unseen]
    write_part(store, part, [*rows, *unseen])
    return told


def _quarantined(path: Path) -> list[Row]:
    return read_table(path, CUTOUT_QUARANTINE).to_pylist() if path.exists() else []


def _tested(row: Row, anchor: Row, cfg: AnchorsCutouts) -> Row:
    """What a cutout shows; its flags and `detail` are set where it does not pass."""
    image = image_from(row["image"], row["size_pix"])
    at = row["host_center_x_arcsec"], row["host_center_y_arcsec"]
    found = nearest_source(image, at, row["pixel_scale_arcsec"])
    kind, of_lens = anchor["anchor_class"], anchor["label"] == 1
    z_lens, theta_E = (anchor[n] if of_lens else np.nan for n in ("z_lens", "theta_E_arcsec"))
    allowed = expected_mag_r(anchor["host_mag_r"], z_lens, cfg.mag_tolerance, colour_grid())
    flags, detail = _faults(found, allowed, cfg.max_off_arcsec)
    if kind in _NO_GALAXIES:
        flags, detail = Flag(0), ""
    row["host_flags"] |= int(flags)
    row["detail"] = detail
    expected = visibility(theta_E, row["psf_fwhm_r_arcsec"], _depth_g(row), anchor["arc_mag_g"])
    return _told(anchor, row, found, allowed) | {
        "visible": expected.seen,
        "visible_reason": expected.reason,
        "theta_over_seeing": expected.theta_over_seeing,
        "arc_snr_g_low": expected.arc_snr_low,
        "arc_snr_g_high": expected.arc_snr_high,
    }


def _depth_g(row: Row) -> float:
    """The catalogue's, or what the pixels' inverse variance and the PSF's width come to."""
    if np.isfinite(row["psf_depth_g_mag"]):
        return row["psf_depth_g_mag"]
    invvar = image_from(row["invvar"], row["size_pix"])[BANDS.index("g")]
    return point_depth(
        float(np.median(invvar)), row["psf_fwhm_g_arcsec"], row["pixel_scale_arcsec"]
    )


def _faults(found: Central, allowed: tuple[float, float], most: float) -> tuple[Flag, str]:
    if not found.off_arcsec <= most:
        near = f"{found.off_arcsec:.1f} arcsec away" if found.snr else "nowhere in the cutout"
        return Flag.NO_CENTRAL_GALAXY, f"the nearest source of light is {near}, {most:g} is allowed"
    if not allowed[0] <= found.mag_r <= allowed[1]:
        words = f"r = {found.mag_r:.2f}, {allowed[0]:.1f} to {allowed[1]:.1f} is allowed"
        return Flag.WRONG_FLUX, words
    return Flag(0), ""


def _told(anchor: Row, row: Row, found: Central, allowed: tuple[float, float]) -> Row:
    """A row of schema.ANCHORS_SEEN but for its visibility; of the sky what the cutout knows."""
    measured = ("psf_fwhm_{b}_arcsec", "psf_depth_{b}_mag", "nexp_{b}")
    of_cutout = [name for pattern in measured for name in band_columns(pattern)]
    return (
        anchor
        | {name: row[name] for name in ("telescope", "ebv_mag", *of_cutout)}
        | {
            "host_flags": row["host_flags"],
            "center_off_arcsec": found.off_arcsec,
            "center_mag_r": found.mag_r,
            "center_mag_r_bright": allowed[0],
            "center_mag_r_faint": allowed[1],
            "cause": names(row["host_flags"] & FATAL),
            "detail": row["detail"],
        }
    )


def _unseen(row: Row, anchor: Row) -> Row:
    """An anchor of which there are no usable pixels."""
    nothing = dict.fromkeys(("theta_over_seeing", "arc_snr_g_low", "arc_snr_g_high"), np.nan)
    blank = _told(anchor, row, Central(np.nan, np.nan, 0.0), (np.nan, np.nan))
    return blank | nothing | {"visible": "not known", "visible_reason": "there is no cutout"}


def _report(out: Path, fetched: Path, told: list[Row], cfg: AnchorsCutouts, identity: dict) -> None:
    findings = anchor_sheets.findings(told)
    sheets = anchor_sheets.sheets(fetched, told, cfg.sheet_cutouts)
    write_json(out / "findings.json", anchor_report.as_json(findings))
    write_text(out / REPORT, anchor_sheets.page_of(told, findings, sheets, identity))
    anchor_sheets.say(told)
