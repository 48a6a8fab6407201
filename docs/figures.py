"""The README's figure from a demo: `python docs/figures.py demo`."""

import sys
from pathlib import Path

from darkhaloscope.jobs.looks import look_at
from darkhaloscope.jobs.set_report import resolved
from darkhaloscope.jobs.stamps import images_of
from darkhaloscope.report import pictures

PAIRS = 4


def main(demo: Path) -> None:
    columns = look_at(demo / "stamps").sample
    chosen = pictures.choose(resolved(columns), "best", PAIRS)
    images = images_of(demo / "stamps", set(pictures.task_ids(columns, chosen)))
    out = Path(__file__).parent / "figures" / "contact_sheet.png"
    out.parent.mkdir(exist_ok=True)
    out.write_bytes(pictures.contact_sheet(pictures.pairs_of(columns, images, chosen)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
