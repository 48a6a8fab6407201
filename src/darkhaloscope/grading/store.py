"""Grades in one SQLite file: each is on the disk before anyone is told that it is saved.

`events` is what happened, in order, and is never changed; `grades` is what holds now, one row a
grader and item, and follows from it. Both are written in one transaction.
"""

import contextlib
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from darkhaloscope.errors import DhsError
from darkhaloscope.grading.items import Item
from darkhaloscope.grading.places import Found

_FORMAT = "1"
_PATIENCE_S = 30.0

_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE graders (grader TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE)",
    """CREATE TABLE items (
      number INTEGER PRIMARY KEY, item TEXT NOT NULL UNIQUE, role TEXT NOT NULL,
      place INTEGER NOT NULL, found TEXT NOT NULL)""",
    """CREATE TABLE events (
      number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, at_s REAL NOT NULL,
      grader TEXT NOT NULL REFERENCES graders, item TEXT NOT NULL REFERENCES items (item),
      action TEXT NOT NULL CHECK (action IN ('grade', 'undo', 'peek')),
      grade TEXT CHECK (grade IN ('A', 'B', 'C', 'none')), note TEXT NOT NULL, seconds REAL,
      CHECK ((action = 'grade') = (grade IS NOT NULL)))""",
    "CREATE INDEX events_of ON events (grader, item)",
    """CREATE TABLE grades (
      grader TEXT NOT NULL REFERENCES graders, item TEXT NOT NULL REFERENCES items (item),
      event INTEGER NOT NULL UNIQUE REFERENCES events (number), PRIMARY KEY (grader, item))""",
    """CREATE TRIGGER events_stay BEFORE UPDATE ON events
      BEGIN SELECT RAISE(ABORT, 'events are never changed'); END""",
    """CREATE TRIGGER events_last BEFORE DELETE ON events
      BEGIN SELECT RAISE(ABORT, 'events are never removed'); END""",
)

_NOW = """
SELECT g.grader, g.item, i.role, i.place, i.found, e.grade, e.note, e.at_s, e.seconds,
  EXISTS (SELECT 1 FROM events p WHERE p.grader = g.grader AND p.item = g.item
          AND p.action = 'peek' AND p.number < g.event) AS peeked,
  (SELECT count(*) FROM events p WHERE p.grader = g.grader AND p.item = g.item
   AND p.action = 'grade') AS times
FROM grades g JOIN items i USING (item) JOIN events e ON e.number = g.event
"""


@dataclass(frozen=True)
class Event:
    """What a grader did. `key` is the page's own, so that one thing sent twice is done once."""

    key: str
    grader: str
    item: str
    action: str
    grade: str | None = None
    note: str = ""
    seconds: float | None = None


class Conflict(DhsError):
    """A key that already stands for something else."""


@dataclass(frozen=True)
class Grades:
    """A grades file, open for one thread at a time."""

    path: Path
    db: sqlite3.Connection

    def close(self) -> None:
        self.db.close()

    def meta(self, key: str) -> str:
        return self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]

    def items(self) -> list[Item]:
        """In the order in which they were mixed."""
        rows = self.db.execute("SELECT item, role, place, found FROM items ORDER BY number")
        return [Item(i, role, place, Found(**json.loads(f))) for i, role, place, f in rows]

    def token_of(self, grader: str) -> str:
        """The grader's own; it stays, so that a page lives on when the server is started again."""
        with _written(self.db) as db:
            db.execute(
                "INSERT INTO graders VALUES (?, ?) ON CONFLICT DO NOTHING",
                (grader, secrets.token_urlsafe(24)),
            )
            row = db.execute("SELECT token FROM graders WHERE grader = ?", (grader,)).fetchone()
        return row[0]

    def record(self, event: Event) -> None:
        """Keep an event, and what it changes, on the disk; nothing if it is there already.

        Raises Conflict if its key stands for another event, DhsError if there is nothing to undo
        """
        with _written(self.db) as db:
            if self._is_known(event):
                return
            columns = ("key", "grader", "item", "action", "grade", "note", "seconds")
            number = db.execute(
                f"INSERT INTO events (at_s, {', '.join(columns)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (time.time(), *(getattr(event, name) for name in columns)),
            ).lastrowid
            if event.action == "grade":
                self._set(event, number)
            elif event.action == "undo":
                self._undo(event)

    def _is_known(self, event: Event) -> bool:
        row = self.db.execute(
            "SELECT grader, item, action, grade, note FROM events WHERE key = ?", (event.key,)
        ).fetchone()
        if row and row != (event.grader, event.item, event.action, event.grade, event.note):
            raise Conflict(f"the key {event.key} stands for another grade; make a new one")
        return row is not None

    def _set(self, event: Event, number: int | None) -> None:
        self.db.execute(
            "INSERT INTO grades VALUES (?, ?, ?) ON CONFLICT (grader, item) "
            "DO UPDATE SET event = excluded.event",
            (event.grader, event.item, number),
        )

    def _undo(self, event: Event) -> None:
        """The grade before the one that holds holds again, or none."""
        mine = (event.grader, event.item)
        if not self.db.execute("DELETE FROM grades WHERE grader = ? AND item = ?", mine).rowcount:
            raise DhsError("there is no grade of this object to undo")
        if left := self._standing(*mine):
            self._set(event, left[-1])

    def _standing(self, grader: str, item: str) -> list[int]:
        """Numbers of the grades that no later undo took back."""
        left: list[int] = []
        for number, action in self.db.execute(
            "SELECT number, action FROM events WHERE grader = ? AND item = ? AND action != 'peek' "
            "ORDER BY number",
            (grader, item),
        ):
            if action == "grade":
                left.append(number)
            else:
                left.pop()
        return left

    def holds(self, grader: str, item: str) -> tuple[str | None, str]:
        """The grade and the note that hold; None and nothing where there is no grade."""
        row = self.db.execute(
            "SELECT grade, note FROM grades g JOIN events e ON e.number = g.event "
            "WHERE g.grader = ? AND g.item = ?",
            (grader, item),
        ).fetchone()
        return row or (None, "")

    def now(self, grader: str | None = None) -> list[dict[str, Any]]:
        """Every grade that holds, with what was graded; of one grader, or of all."""
        query = _NOW + ("WHERE g.grader = ? " if grader else "") + "ORDER BY g.grader, i.number"
        return _rows(self.db.execute(query, (grader,) if grader else ()))

    def events(self) -> list[dict[str, Any]]:
        """All that ever happened, in order."""
        query = "SELECT e.*, i.role, i.place, i.found FROM events e JOIN items i USING (item)"
        return _rows(self.db.execute(f"{query} ORDER BY e.number"))


@contextlib.contextmanager
def _written(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One transaction, on the disk when the block has ended, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _rows(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    found = [dict(zip(names, row, strict=True)) for row in cursor]
    for row in found:
        about = json.loads(row.pop("found"))
        row |= {name: about[name] for name in ("name", "kind", "ra_deg", "dec_deg")}
    return found


def create(path: Path, identity: dict[str, str], items: Sequence[Item]) -> None:
    """Make a grades file for these items, whole or not at all; one that is there stays as it is.

    identity : what it grades, see `check`
    Raises DhsError if the place cannot be written
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # it holds the graders' tokens
    except OSError as error:
        raise DhsError(f"cannot write {path}: {error.strerror}; choose another place") from error
    with contextlib.closing(_connected(path)) as db, _written(db):
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return
        for table in _TABLES:
            db.execute(table)
        meta = {"format": _FORMAT, "name": secrets.token_hex(8), "identity": json.dumps(identity)}
        db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        db.executemany(
            "INSERT INTO items (item, role, place, found) VALUES (?, ?, ?, ?)",
            [(i.id, i.role, i.place, json.dumps(asdict(i.found))) for i in items],
        )


def is_made(path: Path) -> bool:
    """Whether the file holds anything; one that a killed `create` left does not.

    Raises DhsError if it is no SQLite file
    """
    if not path.is_file():
        return False
    with _readable(path), contextlib.closing(_connected(path)) as db:
        return db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0


def open_grades(path: Path) -> Grades:
    """Raises DhsError if the file is missing, or is no grades file of this version."""
    if not path.is_file():
        raise DhsError(f"{path} does not exist; `dhs grade serve` makes it")
    with _readable(path):
        found = Grades(path, _connected(path))
        if (version := found.meta("format")) == _FORMAT:
            found.db.execute("PRAGMA journal_mode = WAL")
            return found
    found.db.close()
    raise DhsError(f"{path} is of format {version}, this is {_FORMAT}; name a new file")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise DhsError(
            f"{path} is no grades file ({error}); name a file of `dhs grade serve`, or a new one"
        ) from error


def check(grades: Grades, identity: dict[str, str]) -> None:
    """Raises DhsError if the file grades something else than `identity` says."""
    theirs = json.loads(grades.meta("identity"))
    differing = sorted(k for k in theirs | identity if theirs.get(k) != identity.get(k))
    if differing:
        raise DhsError(
            f"{grades.path} holds grades of another source: {', '.join(differing)} differ; give "
            "the stores and settings that it was begun with, or name a new file"
        )


def _connected(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, _PATIENCE_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    return db
