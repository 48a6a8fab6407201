"""The table of real rows in docs/parents.md: `python docs/parents.py FOLDER` of DR10 LRG rows.

FOLDER holds the Parquet tables and the regions' median E(B-V), which `massive` needs.
"""

import csv
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from darkhaloscope.config import Parent
from darkhaloscope.flags import Flag
from darkhaloscope.jobs.parent import parent

TYPES = ("DEV", "SER", "EXP", "REX", "PSF")
CAUSES = (Flag.POINT_SOURCE, Flag.BRIGHT_STAR, Flag.BAD_PHOTOMETRY, Flag.GUARD_BAND)
SETTINGS = Parent(selection=("plan", "massive"), split_nside=256, split_tolerance=0.15)


def with_ebv(source: Path, out: Path) -> None:
    """The rows, with E(B-V) of their region."""
    with next(source.glob("*.csv")).open() as stream:
        ebv = {int(row["region_id"]): float(row["median_ebv"]) for row in csv.DictReader(stream)}
    for path in sorted(source.glob("*.parquet")):
        table = pq.read_table(path)
        values = [ebv[region] for region in table["region_id"].to_pylist()]
        pq.write_table(table.append_column("ebv", pa.array(values)), out / path.name)


def rows_of(out: Path) -> list[dict]:
    """All rows, usable and in quarantine."""
    names = ["type", "is_plan", "is_massive", "host_flags"]
    found = sorted(out.rglob("part-*.parquet"))
    return [row for path in found for row in pq.read_table(path, columns=names).to_pylist()]


def markdown(rows: list[dict]) -> str:
    head = ["type", "plan", "massive", *(str(c.name) for c in CAUSES), "usable", "massive, usable"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for kind in (*TYPES, "all"):
        some = [row for row in rows if kind in {row["type"], "all"}]
        good = [row for row in some if not row["host_flags"]]
        counts = [sum(row[f"is_{name}"] for row in some) for name in ("plan", "massive")]
        counts += [sum(bool(row["host_flags"] & c) for row in some) for c in CAUSES]
        counts += [len(good), sum(row["is_massive"] for row in good)]
        lines.append(f"| {kind} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


def main() -> None:
    with TemporaryDirectory() as folder:
        rows, out = Path(folder) / "rows", Path(folder) / "out"
        rows.mkdir()
        with_ebv(Path(sys.argv[1]), rows)
        parent(out, [rows], SETTINGS, 1)
        print(markdown(rows_of(out)))


if __name__ == "__main__":
    main()
