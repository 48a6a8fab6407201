"""What is said of anchors: a table on the terminal, and a page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from rich.markup import escape
from rich.table import Table

from darkhaloscope.config import AnchorsBuild
from darkhaloscope.evaluate.anchors import AGREES, NO_POSITION, Judged
from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.flags import Flag
from darkhaloscope.jobs.progress import console
from darkhaloscope.report import anchored, page

Columns = Mapping[str, np.ndarray]

_LINES, _LINES_OF_PAGE = 40, 300
_ADVICE = {
    Flag.NAME_DISAGREES: "correct the name or the position; see the detail for what would agree",
    Flag.ELSEWHERE: "take the position of the other catalogue: one of the two was mistyped",
    Flag.NOT_CONFIRMED: "give another catalogue that has it, or --alone to do without",
    Flag.BAD_VALUES: "correct the value, or its unit",
    Flag.CANDIDATE: "take confirmed lenses, or --candidates",
    Flag.NOT_A_GALAXY: "clusters and groups are larger than a stamp; leave them out",
    Flag.CLASS_CONFLICT: "decide which of the two catalogues is right",
    Flag.OTHER_TELESCOPE: "--telescope 90prime-mosaic, or both, takes them",
}
_ABOUT = {
    Flag.NAME_DISAGREES: "Does the position in a name agree with the entry's own?",
    Flag.ELSEWHERE: "Does another catalogue have the name at another position?",
    Flag.NOT_CONFIRMED: "Has another catalogue an entry within the match radius?",
    Flag.BAD_VALUES: "Can the position, the Einstein radius and the redshifts be true?",
    Flag.CANDIDATE: "Does its catalogue call the lens certain?",
    Flag.NOT_A_GALAXY: "Is the lens one galaxy?",
    Flag.CLASS_CONFLICT: "Do all catalogues call it the same?",
    Flag.OTHER_TELESCOPE: "Does it lie on the sky of the telescope asked for?",
}


def build_findings(
    rows: Columns, judged: Judged, wanted: np.ndarray, good: Columns, cfg: AnchorsBuild
) -> list[Finding]:
    """One finding a question; entries that fail it go to quarantine, which is a warning."""
    n = int(wanted.sum())
    found = []
    for flag, about in _ABOUT.items():
        hit = int((((judged.flags & int(flag)) != 0) & wanted).sum())
        level = Level.WARN if hit else Level.PASS
        found.append(
            Finding(
                f"entries.{str(flag.name).lower()}", level, f"{hit} of {n} do not pass", "0", n,
                about, _ADVICE[flag],
            )
        )  # fmt: skip
    passed = Level.PASS if len(good["name"]) else Level.FAIL
    apart = good["separation_arcsec"][np.isfinite(good["separation_arcsec"])]
    most = f"{apart.max():.2f} arcsec at most" if len(apart) else "none has another entry"
    silent = int((good["name_says"] == NO_POSITION).sum())
    merged = sum("; " in words for words in good["catalogues"])
    return [
        Finding("anchors.count", passed, f"{len(good['name'])} anchors", "1 or more",
                len(good["name"]), "Is there anything to score?", "see why entries were refused"),
        *found,
        Finding("anchors.separation", Level.INFO, most, f"{cfg.match_arcsec:g} arcsec", len(apart),
                "How far are catalogues apart on the anchors?"),
        Finding("anchors.names", Level.INFO,
                f"{silent} without a position in it, {(good['name_says'] == AGREES).sum()} agree",
                "", len(good["name"]), "What do the anchors' names say of their positions?"),
        Finding("anchors.merged", Level.INFO, f"{merged} anchors are of two catalogues or more", "",
                len(good["name"]), "How many entries of one lens were put together?"),
    ]  # fmt: skip


def quarantine_findings(bad: Columns) -> list[Finding]:
    """One line for each entry refused, the first of them."""
    lines = []
    for i in range(min(len(bad["name"]), _LINES_OF_PAGE)):
        name = str(bad["name"][i]) or str(bad["host_id"][i])
        lines.append(
            Finding(f"refused.{name}", Level.INFO, str(bad["cause"][i]), "", 1,
                    f"{bad['catalogues'][i]}: {bad['detail'][i]}")
        )  # fmt: skip
    if (more := len(bad["name"]) - len(lines)) > 0:
        lines.append(
            Finding("refused.more", Level.INFO, f"{more} more", "", more, "In quarantine/")
        )
    return lines


def build_page(
    good: Columns,
    bad: Columns,
    findings: Sequence[Finding],
    identity: Mapping[str, str],
    sums: Mapping[str, str],
) -> str:
    """The report of a table of anchors."""
    classes = Counter(good["anchor_class"].tolist())
    return page.page(
        title="DarkHaloScope anchors",
        summary={
            "anchors": f"{len(good['name']):,}",
            "of them lenses": f"{classes['lens']:,}",
            "with an Einstein radius": f"{np.isfinite(good['theta_E_arcsec']).sum():,}",
            "entries refused": f"{len(bad['name']):,}",
        },
        findings=[*findings, *quarantine_findings(bad)],
        sheets=[],
        figures=anchored.figures(good["theta_E_arcsec"][good["label"] == 1]),
        provenance={
            **{k: str(v) for k, v in identity.items()},
            "catalogues (SHA-256)": _lines(sums),
        },
    )


def _lines(sums: Mapping[str, str]) -> str:
    return "\n".join(f"{name} {digest}" for name, digest in sums.items())


def say(bad: Columns, findings: Sequence[Finding]) -> None:
    """The refused entries as a table, and how many there are of each cause."""
    table = Table("name", "cause", "what was met", title="Refused", title_justify="left")
    for i in range(min(len(bad["name"]), _LINES)):
        words = (bad[column][i] for column in ("name", "cause", "detail"))
        table.add_row(*(escape(str(word)) for word in words))
    if len(bad["name"]):
        console.print(table)
    if len(bad["name"]) > _LINES:
        console.print(f"  and {len(bad['name']) - _LINES} more, in quarantine/")
    for finding in findings:
        if finding.level in (Level.WARN, Level.FAIL):
            console.print(f"  {finding.gate}: {finding.measured}; {finding.advice}")


def as_json(findings: Sequence[Finding]) -> dict:
    return {"findings": [asdict(finding) for finding in findings]}
