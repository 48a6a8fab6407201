"""Grades on the disk: each once, none lost, history kept, nothing mixed up."""

import sqlite3
import subprocess
import sys
import uuid

import pytest

from darkhaloscope.config import GradeServe
from darkhaloscope.errors import DhsError
from darkhaloscope.grading.store import Conflict, Event, create, is_made, open_grades
from darkhaloscope.io.files import write_text


def event(desk, number: int, action: str = "grade", grade: str | None = "B", **other) -> Event:
    item = list(desk.items)[number]
    values = {"key": str(uuid.uuid4()), "grader": "anna", "item": item, "action": action}
    return Event(**(values | {"grade": grade} | other))


def test_a_grade_is_kept_once_however_often_it_is_sent(grades_of):
    desk, _ = grades_of("anna", "ben")
    one = event(desk, 3, grade="A", note="arc", seconds=2.5)
    for _ in range(3):
        desk.grades.record(one)
    desk.grades.record(event(desk, 3, grader="ben"))
    rows = desk.grades.now()
    assert [(r["grader"], r["grade"], r["note"]) for r in rows] == [
        ("anna", "A", "arc"),
        ("ben", "B", ""),
    ]
    assert len(desk.grades.events()) == 2


def test_a_key_stands_for_one_thing(grades_of):
    desk, _ = grades_of()
    one = event(desk, 0)
    desk.grades.record(one)
    with pytest.raises(Conflict, match="stands for another grade"):
        desk.grades.record(event(desk, 1, key=one.key))
    assert [row["item"] for row in desk.grades.now()] == [one.item]


def test_undo_brings_back_the_grade_before_and_history_stays(grades_of):
    desk, _ = grades_of()
    held = []
    for action, grade in (
        ("grade", "A"),
        ("grade", "C"),
        ("undo", None),
        ("grade", "B"),
        ("undo", None),
        ("undo", None),
    ):
        desk.grades.record(event(desk, 0, action, grade))
        held.append(desk.grades.holds("anna", event(desk, 0).item)[0])
    assert held == ["A", "C", "A", "B", "A", None]
    assert desk.grades.now() == []
    assert [e["grade"] for e in desk.grades.events()] == ["A", "C", None, "B", None, None]
    with pytest.raises(DhsError, match="no grade of this object to undo"):
        desk.grades.record(event(desk, 0, "undo", None))


def test_a_peek_before_the_grade_is_told_with_it(grades_of):
    desk, _ = grades_of()
    for number, peeks_first in ((0, True), (1, False)):
        events = [event(desk, number), event(desk, number, "peek", None)]
        for each in reversed(events) if peeks_first else events:
            desk.grades.record(each)
    assert {row["item"]: row["peeked"] for row in desk.grades.now()} == {
        event(desk, 0).item: 1,
        event(desk, 1).item: 0,
    }


def test_events_can_be_neither_changed_nor_removed(grades_of):
    desk, _ = grades_of()
    desk.grades.record(event(desk, 0))
    for statement in ("UPDATE events SET grade = 'A'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="events are never"):
            desk.grades.db.execute(statement)


@pytest.mark.parametrize(
    "change",
    [{"item": "no such item"}, {"grader": "nobody"}, {"grade": "D"}, {"grade": None}],
)
def test_what_the_tables_do_not_allow_leaves_nothing(grades_of, change):
    desk, _ = grades_of()
    with pytest.raises(sqlite3.IntegrityError):
        desk.grades.record(event(desk, 0, **change))
    assert desk.grades.events() == [] and not desk.grades.db.in_transaction


KILLED = """
import os, signal, sys
from pathlib import Path
from darkhaloscope.grading.store import Event, open_grades
grades = open_grades(Path(sys.argv[1]))
items = [item.id for item in grades.items()]
for i, item in enumerate(items[:5]):
    grades.record(Event(f"key {i}", "anna", item, "grade", "A"))
grades.db.execute("BEGIN IMMEDIATE")
grades.db.execute(
    "INSERT INTO events (key, at_s, grader, item, action, grade, note) "
    "VALUES ('half', 0, 'anna', ?, 'grade', 'A', '')", (items[5],))
print("five saved", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_within_a_transaction_all_before_it_is_there_and_nothing_of_it(grades_of):
    desk, _ = grades_of()
    path = desk.grades.path
    command = [sys.executable, "-c", KILLED, path]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == "five saved\n" and done.returncode == -9
    rows = open_grades(path).now()
    assert len(rows) == 5
    events = open_grades(path).events()
    assert [e["key"] for e in events] == [f"key {i}" for i in range(5)]


def test_every_commit_is_on_the_disk_and_the_file_is_its_owners(grades_of):
    desk, _ = grades_of()
    pragma = {
        name: desk.grades.db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert desk.grades.path.stat().st_mode & 0o077 == 0


def test_the_same_file_goes_on_and_another_source_is_refused(grades_of):
    desk, tokens = grades_of("anna")
    desk.grades.record(event(desk, 0))
    again, same = grades_of("anna", "ben")
    assert same["anna"] == tokens["anna"] != same["ben"]
    assert list(again.items) == list(desk.items) and len(again.grades.now()) == 1
    with pytest.raises(DhsError, match="grades of another source: settings differ"):
        grades_of("anna", cfg=GradeServe(known_share=0.3))


def test_a_file_is_made_once(grades_of):
    desk, _ = grades_of()
    create(desk.grades.path, {"what is graded": "another"}, [])
    assert len(open_grades(desk.grades.path).items()) == 20


def test_what_is_no_grades_file_is_refused(tmp_path):
    with pytest.raises(DhsError, match="does not exist"):
        open_grades(tmp_path / "none.sqlite")
    write_text(tmp_path / "text", "not a database, but long enough to be looked at" * 9)
    with pytest.raises(DhsError, match="is no grades file"):
        open_grades(tmp_path / "text")
    sqlite3.connect(tmp_path / "empty.sqlite").close()
    with pytest.raises(DhsError, match="is no grades file"):
        open_grades(tmp_path / "empty.sqlite")


def test_an_empty_file_that_a_killed_run_left_is_made(grades_of, tmp_path):
    (tmp_path / "grades.sqlite").touch()
    assert not is_made(tmp_path / "grades.sqlite")
    assert len(grades_of()[0].items) == 20
    assert is_made(tmp_path / "grades.sqlite")


def test_graders_are_named_once(grades_of):
    for names in (("anna", "anna"), ("anna", " ")):
        with pytest.raises(DhsError, match="name each grader once"):
            grades_of(*names)
