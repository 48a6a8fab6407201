"""What came of grading: a table of grades, and how far graders agree and can be trusted."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.agreement import calibration, cohen, fleiss
from darkhaloscope.evaluate.stats import Estimate
from darkhaloscope.grading.store import open_grades
from darkhaloscope.io.files import whole, write_json
from darkhaloscope.jobs.progress import console
from darkhaloscope.schema import GRADES

Row = dict[str, Any]
_FIRST = ("grader", "name", "role", "kind", "ra_deg", "dec_deg")


def export(grades: Path, out: Path, log: bool) -> int:
    """Write a CSV of the grades that hold, a row a grader and object; how many rows.

    log : of everything that happened instead, undone and changed grades too, in order
    Raises DhsError if there is none yet
    """
    with closing(open_grades(grades)) as found:
        rows = found.events() if log else found.now()
    if not rows:
        raise DhsError(f"{grades} holds no grade yet")
    names = [*_FIRST, *(n for n in rows[0] if n not in _FIRST and n not in ("key", "place"))]
    with whole(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row | {"at_s": _moment(row["at_s"])} for row in rows)
    console.print(f"{out}: {len(rows)} {'events' if log else 'grades'}")
    return len(rows)


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def agreement(grades: Path, out: Path | None) -> dict[str, Any]:
    """Print how far graders agree, and what the controls say of each; JSON to `out` if given.

    Raises DhsError if there is no grade yet
    """
    with closing(open_grades(grades)) as opened:
        rows = opened.now()
    if not rows:
        raise DhsError(f"{grades} holds no grade yet")
    found = {"agreement": list(_agreements(rows)), "graders": list(_graders(rows))}
    for line in found["agreement"]:
        print(f"{line['of']}, {line['between']}: {line.get('said') or line['value']}")
    for grader in found["graders"]:
        print(f"\n{grader['grader']}: {grader['counts']}")
        for name, value in grader["estimates"].items():
            print(f"  {name}: {value}")
    if out is not None:
        write_json(out, _plain(found))
    return found


def _agreements(rows: Sequence[Row]) -> Iterator[Row]:
    """Of all pairs and of all graders together, with and without controls where there are any."""
    asked = [row for row in rows if row["role"] == "object"]
    for of, some in {"all": rows, "without controls": asked}.items():
        if of != "all" and len(some) in (0, len(rows)):
            continue
        given = _by_grader(some)
        for one, other in combinations(sorted(given), 2):
            first, second = _table([given[one], given[other]]).T
            for name, weighted in (("Cohen's kappa", False), ("linearly weighted", True)):
                ask = partial(cohen, first, second, len(GRADES), weighted)
                yield _judged(of, f"{one} and {other}, {name}", ask)
        if len(given) > 2:
            every = _table([given[name] for name in sorted(given)])
            between = f"{len(given)} graders, Fleiss' kappa"
            yield _judged(of, between, partial(fleiss, every, len(GRADES)))


def _by_grader(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["grader"], {})[row["item"]] = GRADES.index(row["grade"])
    return found


def _table(given: Sequence[dict[str, int]]) -> np.ndarray:
    """(object, grader), of the objects that all have graded."""
    shared = sorted(set.intersection(*map(set, given)))
    return np.array([[grades[item] for grades in given] for item in shared], int).reshape(
        len(shared), len(given)
    )


def _judged(of: str, between: str, ask: Callable[[], Estimate]) -> Row:
    """The estimate, or why there is none."""
    try:
        value = ask()
    except ValueError as error:
        return {"of": of, "between": between, "said": str(error)}
    return {"of": of, "between": between, "value": value}


def _graders(rows: Sequence[Row]) -> Iterator[Row]:
    for grader in sorted({row["grader"] for row in rows}):
        mine = [row for row in rows if row["grader"] == grader]
        known, blank = (
            np.array([GRADES.index(r["grade"]) for r in mine if r["role"] == role], int)
            for role in ("known", "blank")
        )
        found = calibration(known, blank)
        named = (
            ("known lenses graded {} or better", found.completeness),
            ("blanks graded {} or better", found.false_rate),
            ("of controls graded {}, known lenses", found.lens_share),
        )
        yield {
            "grader": grader,
            "counts": ", ".join(f"{g} {sum(r['grade'] == g for r in mine)}" for g in GRADES),
            "estimates": {
                words.format(grade): value
                for words, values in named
                for grade, value in values.items()
            },
        }


def _plain(found: Any) -> Any:
    """The same for JSON."""
    if isinstance(found, Estimate):
        return vars(found)
    if isinstance(found, dict):
        return {key: _plain(value) for key, value in found.items()}
    return [_plain(value) for value in found] if isinstance(found, list) else found
