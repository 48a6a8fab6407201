"""What comes out: the table of grades, and what is printed of agreement and controls."""

import csv
import json
import uuid

import numpy as np
import pytest

from darkhaloscope.cli import run
from darkhaloscope.config import GradeServe
from darkhaloscope.evaluate.agreement import cohen
from darkhaloscope.grading.store import Event
from darkhaloscope.schema import GRADES


def give(desk, grader: str, item: str, grade: str, note: str = "") -> None:
    desk.grades.record(Event(str(uuid.uuid4()), grader, item, "grade", grade, note, 1.0))


def read(path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def graded(grades_of):
    """Anna knows; Ben mistakes a blank; both changed one mind."""
    desk, _ = grades_of("anna", "ben")
    sure = {"known": "A", "blank": "none", "object": "C"}
    for item in desk.items.values():
        give(desk, "anna", item.id, "B", note='first, "quick"')
        give(desk, "anna", item.id, sure[item.role], note='arc, "blue"')
        give(desk, "ben", item.id, sure[item.role])
    blank = next(item.id for item in desk.items.values() if item.role == "blank")
    give(desk, "ben", blank, "B")
    return desk


def test_the_table_has_a_row_a_grader_and_object_with_names_and_places(graded, tmp_path):
    assert run(["grade", "export", str(graded.grades.path), "--out", str(tmp_path / "g.csv")]) == 0
    rows = read(tmp_path / "g.csv")
    assert len(rows) == 40 and len({(r["grader"], r["item"]) for r in rows}) == 40
    known = {i.found.name: i.found for i in graded.items.values()}
    assert {float(r["ra_deg"]) for r in rows} == {f.ra_deg for f in known.values()}
    first = rows[0]
    assert first["note"] == 'arc, "blue"' and first["times"] == "2" and first["peeked"] == "0"
    assert first["kind"] == known[first["name"]].kind == "luminous"
    assert first["at_s"].startswith("20") and first["at_s"].endswith("+00:00")
    assert "token" not in (tmp_path / "g.csv").read_text()


def test_the_log_has_all_that_happened(graded, tmp_path):
    command = ["grade", "export", str(graded.grades.path), "--out", str(tmp_path / "l.csv")]
    assert run([*command, "--log"]) == 0
    rows = read(tmp_path / "l.csv")
    assert len(rows) == 61
    assert [r["grade"] for r in rows[:2]] == ["B", "A"] or rows[0]["role"] != "known"


def test_agreement_and_controls_are_said_or_why_not(graded, tmp_path, capsys):
    out = tmp_path / "a.json"
    assert run(["grade", "agreement", str(graded.grades.path), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "anna and ben, Cohen's kappa: agreement needs 50 objects that all have graded" in said
    assert "known lenses graded A or better: 1.000 [" in said
    found = json.loads(out.read_text())
    anna, ben = found["graders"]
    assert anna["estimates"]["blanks graded C or better"]["value"] == 0.0
    assert ben["estimates"]["blanks graded B or better"]["value"] == 0.5
    assert ben["estimates"]["of controls graded B, known lenses"] == {
        "value": 0.0, "low": 0.0, "high": pytest.approx(0.793, abs=1e-3), "n": 1,
    }  # fmt: skip
    assert ben["counts"] == "A 4, B 1, C 14, none 1"


def test_kappas_are_of_what_all_have_graded(grades_of, tmp_path, monkeypatch):
    monkeypatch.setattr("darkhaloscope.evaluate.agreement.LEAST_OBJECTS", 5)
    desk, _ = grades_of("anna", "ben", "cleo", cfg=GradeServe(known_share=0, blank_share=0))
    rng, items = np.random.default_rng(1), list(desk.items)
    given = {name: rng.integers(0, 4, 14) for name in ("anna", "ben", "cleo")}
    for name, n in (("anna", 14), ("ben", 12), ("cleo", 14)):
        for item, grade in list(zip(items, given[name], strict=True))[:n]:
            give(desk, name, item, GRADES[grade])
    out = tmp_path / "a.json"
    assert run(["grade", "agreement", str(desk.grades.path), "--out", str(out)]) == 0
    found = {(a["of"], a["between"]): a["value"] for a in json.loads(out.read_text())["agreement"]}
    shared = [given[name][:12] for name in ("anna", "ben")]
    assert found["all", "anna and ben, Cohen's kappa"] == pytest.approx(vars(cohen(*shared, 4)))
    assert {of for of, _ in found} == {"all"}  # there is no control
    assert found["all", "3 graders, Fleiss' kappa"]["n"] == 12
    assert found["all", "anna and cleo, linearly weighted"]["n"] == 14


def test_nothing_graded_yet_is_said(grades_of, tmp_path, capfd):
    desk, _ = grades_of()
    for verb in (["export", "--out", str(tmp_path / "g.csv")], ["agreement"]):
        assert run(["grade", verb[0], str(desk.grades.path), *verb[1:]]) == 2
        assert "holds no grade yet" in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "g.csv").exists()
