"""The report as one HTML file that needs nothing else: no script, no network, no other file."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
) -> str:
    """One HTML file: verdict, contact sheets, gates, distributions, provenance.

    summary : label to value, the key figures under the verdict
    findings : in any order; failing gates are listed first, each level in the order given
    sheets : (title, caption, PNG bytes)
    provenance : label to text (configuration, digests, versions), folded away
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
        verdict=verdict(findings),
        findings=sorted(findings, key=lambda finding: WORST_FIRST.index(finding.level)),
        sheets=[_picture(*sheet) for sheet in sheets],
        figures=[_picture(figure.title, figure.caption, figure.png) for figure in figures],
        provenance=provenance,
        symbols=SYMBOLS,
    )


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
    return {"title": title, "caption": caption, "uri": uri, "width": width, "height": height}
