"""What is said and shown of anchors' cutouts: contact sheets, findings, a page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from darkhaloscope.evaluate.anchors import NO_POSITION
from darkhaloscope.evaluate.designations import box_of
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.evaluate.stats import rate
from darkhaloscope.io.parts import parts_in
from darkhaloscope.io.tables import image_from, rows_where
from darkhaloscope.jobs.progress import console
from darkhaloscope.report import anchored, page
from darkhaloscope.report.mosaic import mosaic
from darkhaloscope.schema import band_columns

Row = Mapping[str, Any]

_ASKED = {
    "NO_CENTRAL_GALAXY": "Does a source of light stand at the anchor's position?",
    "WRONG_FLUX": "Is it as bright as the catalogue says, or as a lens galaxy of its redshift is?",
}
_ADVICE = {
    "NO_CENTRAL_GALAXY": "look at the sheet: is the position wrong, or the galaxy too faint here?",
    "WRONG_FLUX": "look at the sheet: a star, a neighbour, or another object than the catalogue's",
}
_IN_SHORT = {"NO_CENTRAL_GALAXY": "off centre", "WRONG_FLUX": "wrong flux"}
_SORTS = (
    (
        "Anchors",
        "passing",
        "What a finder is judged by: name, class of what is no lens, Einstein radius, and whether "
        "the ground may show it (yes, perhaps, no).",
    ),
    ("Refused", "failing", "Their cutouts do not show what they should; see the causes."),
)


def findings(told: Sequence[Row]) -> list[Finding]:
    """One finding a question, and how many are expected to be seen."""
    n, passing = len(told), [row for row in told if not row["cause"]]
    with_pixels = [r for r in told if not r["cause"] or any(c in r["cause"] for c in _ASKED)]
    found = [
        Finding("cutouts.count", Level.PASS if passing else Level.FAIL,
                f"{len(passing)} of {n} anchors pass", "1 or more", n,
                "Is there anything to score?", "see why cutouts were refused"),
        Finding("cutouts.pixels", Level.WARN if len(with_pixels) < n else Level.PASS,
                f"{n - len(with_pixels)} of {n} without usable pixels", "0", n,
                "Has the survey whole, clean images of all anchors?",
                _causes(r for r in told if r not in with_pixels)),
    ]  # fmt: skip
    for cause, about in _ASKED.items():
        hit = sum(cause in row["cause"] for row in told)
        level = Level.WARN if hit else Level.PASS
        found.append(
            Finding(f"cutouts.{cause.lower()}", level, f"{hit} of {len(with_pixels)} do not pass",
                    "0", len(with_pixels), about, _ADVICE[cause])
        )  # fmt: skip
    return [*found, *_visible(passing), *_refused(told)]


def _visible(passing: Sequence[Row]) -> list[Finding]:
    """Of the lenses that pass, how many the ground may show."""
    known = [r for r in passing if r["label"] == 1 and r["visible"] != "not known"]
    if not known:
        return []
    count = Counter(row["visible"] for row in known)
    share = rate(count["yes"] + count["perhaps"], len(known))
    words = ", ".join(f"{count[word]} {word}" for word in ("yes", "perhaps", "no"))
    return [
        Finding("visible.lenses", Level.INFO, f"{words}; not 'no': {share}", "", len(known),
                "How many lenses can be seen from the ground, by size and arc (Rojas et al. 2023)?",
                number=share)
    ]  # fmt: skip


def _refused(told: Sequence[Row]) -> list[Finding]:
    return [
        Finding(f"refused.{row['name'] or row['host_id']}", Level.INFO, row["cause"], "", 1,
                row["detail"] or "by its pixels")
        for row in told if row["cause"]
    ]  # fmt: skip


def _causes(rows) -> str:
    count = Counter(row["cause"] for row in rows)
    return ", ".join(f"{n} {cause}" for cause, n in count.most_common())


def sheets(fetched: Path, told: Sequence[Row], most: int) -> list[tuple[str, str, bytes]]:
    """Contact sheets of the cutouts that pass, and of those that do not and have pixels."""
    made = []
    for title, sort, words in _SORTS:
        rows = [r for r in told if bool(r["cause"]) == (sort == "failing")]
        pixels = _pixels(fetched, [r["host_id"] for r in rows])
        shown = [r for r in rows if r["host_id"] in pixels][:most]
        if shown:
            made.append((title, words, _mosaic(shown, pixels)))
    return made


def _pixels(fetched: Path, hosts: list[str]) -> dict[str, Row]:
    columns = ["host_id", "size_pix", "image", *band_columns("sky_sigma_{b}_nmgy")]
    return {
        row["host_id"]: row
        for path in parts_in(fetched)
        for row in rows_where(path, "host_id", hosts, columns).to_pylist()
    }


def _mosaic(rows: Sequence[Row], pixels: Mapping[str, Row]) -> bytes:
    seen = [pixels[row["host_id"]] for row in rows]
    images = [image_from(one["image"], one["size_pix"]) for one in seen]
    sigma = np.array([[one[n] for n in band_columns("sky_sigma_{b}_nmgy")] for one in seen])
    return mosaic(images, sigma, [_caption(row) for row in rows], across=8)


def _caption(row: Row) -> str:
    """As short as a panel is wide."""
    box = None if row["name_says"] == NO_POSITION else box_of(row["name"])
    name = row["host_id"][:10] if box is None else f"J{box.digits[0][:4]}{box.digits[1][:5]}"
    if row["cause"]:
        first = row["cause"].partition("|")[0]
        return f"{name} {_IN_SHORT.get(first, first.lower().replace('_', ' '))}"
    if row["label"] == 0:
        return f"{name} {row['anchor_class']}"
    theta = row["theta_E_arcsec"]
    size = f' {theta:.2f}"' if np.isfinite(theta) else ""
    seen = "" if row["visible"] == "not known" else f" {row['visible']}"
    return f"{name}{size}{seen}"


def page_of(
    told: Sequence[Row],
    found: Sequence[Finding],
    shown: Sequence[tuple[str, str, bytes]],
    identity: Mapping[str, str],
) -> str:
    """The report of a store of anchors."""
    passing = [row for row in told if not row["cause"]]
    classes = Counter(row["anchor_class"] for row in passing)
    size, seeing = (
        np.array([row[name] for row in passing if row["label"] == 1], float)
        for name in ("theta_E_arcsec", "psf_fwhm_r_arcsec")
    )
    return page.page(
        title="DarkHaloScope anchors, as the survey shows them",
        summary={
            "anchors": f"{len(passing):,}",
            "refused": f"{len(told) - len(passing):,}",
            **{kind: f"{n:,}" for kind, n in sorted(classes.items())},
        },
        findings=found,
        sheets=shown,
        figures=anchored.figures(size, seeing),
        provenance={name: str(value) for name, value in identity.items()},
        evidence={"cutouts.": "Refused"},
    )


def say(told: Sequence[Row]) -> None:
    """The refused anchors as a table."""
    table = Table("anchor", "cause", "what was met", title="Refused", title_justify="left")
    for row in told:
        if row["cause"]:
            table.add_row(*(escape(str(row[name])) for name in ("host_id", "cause", "detail")))
    if table.row_count:
        console.print(table)
