"""The report as one HTML file that needs nothing else: no script, no network, no other file."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined

from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.report.canvas import FigurePng, png_size

SYMBOLS = {Level.PASS: "✓", Level.WARN: "!", Level.FAIL: "✕", Level.INFO: "i", Level.SKIP: "–"}
WORST_FIRST = (Level.FAIL, Level.WARN, Level.SKIP, Level.PASS, Level.INFO)


@dataclass(frozen=True)
class Verdict:
    """What the whole page says, in one level and one sentence."""

    level: Level
    words: str
    counts: tuple[tuple[Level, int], ...]
    failing: tuple[Finding, ...]


def page(
    title: str,
    summary: Mapping[str, object],
    findings: Sequence[Finding],
    sheets: Sequence[tuple[str, str, bytes]],
    figures: Sequence[FigurePng],
    provenance: Mapping[str, str],
    evidence: Mapping[str, str] | None = None,
    headline: str = "",
    table: str = "Gates",
) -> str:
    """One HTML file: verdict, contact sheets, gates, distributions, provenance.

    summary : label to value, the key figures under the verdict
    findings : in any order; failing gates are listed first, each level in the order given
    sheets : (title, caption, PNG bytes)
    provenance : label to text (configuration, digests, versions), folded away
    evidence : gate, or the beginning of its name, to the title of the picture that shows it
    headline : what the verdict says; default how many gates pass
    table : heading of the findings; all their groups are open where it is not of gates
    Raises ValueError if a picture is no PNG
    """
    environment = Environment(
        loader=PackageLoader("darkhaloscope", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        title=title,
        summary=summary,
        verdict=_told(verdict(findings), headline) if headline else verdict(findings),
        table=table,
        findings=findings,
        groups=groups(findings),
        evidence=_links(
            findings, evidence or {}, [*titles_of(sheets), *(f.title for f in figures)]
        ),
        sheets=[_picture(*sheet) for sheet in sheets],
        figures=[_picture(figure.title, figure.caption, figure.png) for figure in figures],
        provenance=provenance,
        symbols=SYMBOLS,
    )


def _told(found: Verdict, words: str) -> Verdict:
    """A verdict that says something else than how many gates pass, so it does not praise either."""
    bad = found.level in _TO_LOOK_AT
    return replace(found, words=words, level=found.level if bad else Level.INFO)


@dataclass(frozen=True)
class Group:
    """Gates of one kind, the worst first; open if one of them wants to be looked at."""

    name: str
    findings: tuple[Finding, ...]
    counts: tuple[tuple[Level, int], ...]

    @property
    def open(self) -> bool:
        return any(f.level in _TO_LOOK_AT for f in self.findings)


_TO_LOOK_AT = {Level.FAIL, Level.WARN}


def groups(findings: Sequence[Finding]) -> list[Group]:
    """Those with a failing gate come first."""
    made = []
    for name in dict.fromkeys(finding.group for finding in findings):
        some = sorted(
            (f for f in findings if f.group == name), key=lambda f: WORST_FIRST.index(f.level)
        )
        counts = ((level, sum(f.level is level for f in some)) for level in WORST_FIRST)
        made.append(Group(name, tuple(some), tuple((level, n) for level, n in counts if n)))
    return sorted(made, key=lambda group: WORST_FIRST.index(group.findings[0].level) > 0)


def titles_of(sheets: Sequence[tuple[str, str, bytes]]) -> list[str]:
    return [title for title, _, _ in sheets]


def _links(
    findings: Sequence[Finding], evidence: Mapping[str, str], titles: Sequence[str]
) -> dict[str, str]:
    """Of each gate the anchor of the picture that shows it, where it is on the page."""
    found = {}
    for f in findings:
        named = [title for start, title in evidence.items() if f.gate.startswith(start)]
        if named and named[-1] in titles:
            found[f.gate] = anchor(named[-1])
    return found


def anchor(title: str) -> str:
    """A title as the name of a place on the page."""
    return "picture-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def verdict(findings: Sequence[Finding]) -> Verdict:
    """FAIL if any gate fails, else WARN if any warns, else PASS; SKIP where none was judged."""
    count = {level: sum(f.level is level for f in findings) for level in WORST_FIRST}
    judged = count[Level.FAIL] + count[Level.WARN] + count[Level.PASS]
    gates = "gate" if judged == 1 else "gates"
    if count[Level.FAIL]:
        level, words = Level.FAIL, f"{count[Level.FAIL]} of {judged} {gates} not passed"
    elif count[Level.WARN]:
        level, words = (
            Level.WARN,
            f"no gate fails, {count[Level.WARN]} of {judged} {gates} to look at",
        )
    elif judged:
        level, words = Level.PASS, f"all {judged} {gates} passed"
    else:
        level, words = Level.SKIP, "no gate was judged"
    return Verdict(
        level,
        words,
        tuple((each, n) for each, n in count.items() if n),
        tuple(f for f in findings if f.level is Level.FAIL),
    )


def _picture(title: str, caption: str, png: bytes) -> dict[str, object]:
    width, height = png_size(png)
    uri = "data:image/png;base64," + b64encode(png).decode("ascii")
    return {
        "id": anchor(title),
        "title": title,
        "caption": caption,
        "uri": uri,
        "width": width,
        "height": height,
    }
