"""`dhs grade serve`: open what is graded, mix in the controls, and serve it to the graders."""

import secrets
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from darkhaloscope.config import GradeServe
from darkhaloscope.errors import DhsError
from darkhaloscope.grading.desk import Desk
from darkhaloscope.grading.items import Item, Offered, mix
from darkhaloscope.grading.places import Place, open_place, shown_size
from darkhaloscope.grading.store import Grades, check, create, is_made, open_grades
from darkhaloscope.io.files import sha256
from darkhaloscope.jobs.progress import console

_POSITION = (("ra_deg", "dec_deg"), ("ra", "dec"), ("RA", "DEC"))


def serve(
    asked: Path,
    grades: Path,
    graders: Sequence[str],
    known: Sequence[Path],
    blanks: Sequence[Path],
    port: int,
    cfg: GradeServe,
) -> None:
    """Serve until interrupted; say each grader's address, and at the end what was graded.

    known : stores of known lenses to mix in, or tables of their positions; blanks : stores
    Raises DhsError if a place cannot be used, the file grades something else, or the port is taken
    """
    web = _web()
    with ThreadPoolExecutor(1, "keeper") as keeper:
        desk = keeper.submit(open_desk, asked, grades, known, blanks, cfg, keeper).result()
        tokens = keeper.submit(tokens_of, desk.grades, graders).result()
        here = web.listening(port)
        counted = Counter(item.role for item in desk.items.values())
        console.print(f"{grades}: {counted['object']} objects, {counted['known']} known lenses, "
                      f"{counted['blank']} blanks, in an order of each grader's own")  # fmt: skip
        for grader, token in tokens.items():
            address = f"http://{web.HERE}:{here.getsockname()[1]}/?token={token}"
            print(f"{grader}: {address}", flush=True)
        console.print("Each address is one grader's; Ctrl-C ends. Grades are saved as they come.")
        web.run(desk, tokens, here)
        done = Counter(row["grader"] for row in keeper.submit(desk.grades.now).result())
        keeper.submit(desk.grades.close).result()
    for grader in tokens:
        console.print(f"{grader}: {done[grader]} of {len(desk.items)} graded")


def _web() -> ModuleType:
    try:
        from darkhaloscope.grading import server
    except ImportError as error:
        raise DhsError(
            "the grading page is served by aiohttp, which is not installed; "
            "pip install 'darkhaloscope[grade]'"
        ) from error
    return server


def open_desk(
    asked: Path,
    grades: Path,
    known: Sequence[Path],
    blanks: Sequence[Path],
    cfg: GradeServe,
    keeper: ThreadPoolExecutor,
) -> Desk:
    """The grades file, made if it is not there, and the places of its pictures.

    Raises DhsError as `serve` does
    """
    tables = [path for path in known if path.is_file()]
    lenses = _opened([path for path in known if path not in tables])
    plain = _opened(blanks)
    places = [open_place(asked), *lenses, *plain]
    identity = {
        "what is graded": places[0].digest,
        "known lenses": " ".join([p.digest for p in lenses] + sorted(map(sha256, tables))),
        "blanks": " ".join(p.digest for p in plain),
        "settings": cfg.as_json(),
    }
    if not is_made(grades):
        create(grades, identity, _mixed(places, len(lenses), tables, cfg))
    opened = open_grades(grades)
    check(opened, identity)
    size = shown_size([item.found for item in opened.items()], cfg.size_pix)
    return Desk(opened, places, size, keeper, cfg.seed)


def _opened(folders: Sequence[Path]) -> list[Place]:
    """In an order of their own, so that the same flags in another order are the same."""
    return sorted((open_place(folder) for folder in folders), key=lambda place: place.digest)


def _mixed(
    places: Sequence[Place], lenses: int, tables: Sequence[Path], cfg: GradeServe
) -> list[Item]:
    offered = [Offered(i, place.objects(), place.is_stamps) for i, place in enumerate(places)]
    known, blanks = offered[1 : 1 + lenses], offered[1 + lenses :]
    positions = np.concatenate([np.empty((0, 2)), *map(read_positions, tables)])
    items = mix(offered[0], known, blanks, positions, cfg, secrets.token_hex(16))
    if not items:
        raise DhsError(f"{places[0].folder} holds nothing to grade")
    shown_size([item.found for item in items], cfg.size_pix)
    return items


def read_positions(path: Path) -> np.ndarray:
    """(row, 2) deg, right ascension and declination, of a CSV or Parquet table.

    Raises DhsError for a file that cannot be read, or has no such columns of numbers
    """
    try:
        table = pacsv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DhsError(f"{path}: cannot be read as CSV or Parquet: {error}") from error
    for names in _POSITION:
        if set(names) <= set(table.column_names):
            return np.stack([table[name].to_numpy().astype(float) for name in names], axis=1)
    raise DhsError(
        f"{path} lacks the columns ra_deg and dec_deg (or ra and dec); it has "
        f"{', '.join(table.column_names)}"
    )


def tokens_of(grades: Grades, graders: Sequence[str]) -> dict[str, str]:
    """Of each grader the token of the address. Raises DhsError for no name, or an empty one."""
    names = [name.strip() for name in graders]
    if not names or not all(names) or len(set(names)) < len(names):
        raise DhsError("name each grader once: --grader anna --grader ben")
    return {name: grades.token_of(name) for name in names}
