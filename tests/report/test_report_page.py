import re
from html.parser import HTMLParser

import pytest

from darkhaloscope.evaluate.findings import Finding, Level
from darkhaloscope.report.canvas import FigurePng, plain_axes, png_bytes
from darkhaloscope.report.page import page, verdict

PNG = png_bytes(plain_axes()[0])


def finding(gate: str, level: Level) -> Finding:
    return Finding(gate, level, f"{gate} measured", "0", 12, f"{gate} asks", f"{gate} advice")


FINDINGS = [
    finding("a.pass", Level.PASS),
    finding("a.info", Level.INFO),
    finding("a.warn", Level.WARN),
    finding("z.fail", Level.FAIL),
    finding("a.skip", Level.SKIP),
    finding("b.fail", Level.FAIL),
]


def made_page(**changes) -> str:
    parts = {
        "title": "Set",
        "summary": {"lenses": 12},
        "findings": FINDINGS,
        "sheets": [("Best", "brightest", PNG)],
        "figures": [FigurePng("Einstein radius", "12 lens rows", PNG)],
        "provenance": {"digest": "abc"},
    }
    return page(**(parts | changes))


class Tags(HTMLParser):
    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_fetches_nothing():
    html = made_page()
    tags = Tags(html)
    assert not tags.open
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in tags.tags}
    for _, attributes in tags.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert re.match(r"data:image/png;base64,|#", attributes.get(name) or "#")
    assert "url(" not in html
    assert "@import" not in html
    assert [a["width"] for tag, a in tags.tags if tag == "img"] == ["832", "832"]
    assert all(a["alt"] for tag, a in tags.tags if tag == "img")


def test_hostile_text_is_escaped():
    hostile = "<script>alert('x')</script>\"><img src=http://evil>"
    html = made_page(
        title=hostile,
        summary={hostile: hostile},
        findings=[Finding(hostile, Level.FAIL, hostile, hostile, 1, hostile, hostile)],
        sheets=[(hostile, hostile, PNG)],
        figures=[FigurePng(hostile, hostile, PNG)],
        provenance={hostile: hostile},
    )
    assert "<script" not in html
    assert "<img src=http" not in html
    assert html.count("&lt;script&gt;") > 10
    assert not Tags(html).open


def test_failing_gates_come_first():
    html = made_page()
    table = html[html.index("<tbody>") :]
    order = re.findall(r'<tr id="gate-([^"]+)"', table)
    assert order == ["z.fail", "b.fail", "a.warn", "a.skip", "a.pass", "a.info"]
    top = html[: html.index("<main>")]
    assert "2 of 4 gates not passed" in top
    assert "z.fail" in top
    assert "b.fail" in top
    assert "a.warn" not in top


def test_advice_is_shown_where_a_gate_does_not_pass():
    html = made_page()
    shown = {f.gate for f in FINDINGS if f"{f.gate} advice" in html}
    assert shown == {"z.fail", "b.fail", "a.warn", "a.skip"}


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([Level.PASS, Level.FAIL, Level.WARN], Level.FAIL),
        ([Level.PASS, Level.WARN], Level.WARN),
        ([Level.PASS, Level.INFO, Level.SKIP], Level.PASS),
        ([Level.SKIP, Level.INFO], Level.SKIP),
        ([], Level.SKIP),
    ],
)
def test_verdict_is_the_worst_level(levels, expected):
    assert verdict([finding("g.x", level) for level in levels]).level is expected


def test_empty_page_has_a_verdict_only():
    html = made_page(summary={}, findings=[], sheets=[], figures=[], provenance={})
    assert "no gate was judged" in html
    assert "<table" not in html
    assert "<img" not in html


def test_picture_that_is_no_png_is_refused():
    with pytest.raises(ValueError, match="not a PNG"):
        made_page(sheets=[("t", "c", b"GIF89a")])
