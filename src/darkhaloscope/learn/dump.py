"""What was made on the fly, written down as a stamp set, so that its gates can judge it."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from darkhaloscope.io.parts import COUNTS_KEY, claim
from darkhaloscope.io.tables import image_bytes
from darkhaloscope.jobs.inject import quarantine
from darkhaloscope.jobs.progress import console, progress
from darkhaloscope.jobs.versions import versions
from darkhaloscope.learn.fly import OnTheFly
from darkhaloscope.schema import KINDS, STAMPS


def dump(out: Path, fly: OnTheFly, windows: Iterable[int]) -> None:
    """Write windows as the parts of a stamp set, before they are shuffled and augmented.

    Raises DhsError if the folder holds something else
    """
    wanted = list(windows)
    store = claim(
        out,
        {
            "stage": "inject",
            "config": fly.inject.identity(),
            "plan": f"on the fly, windows {wanted[0]} to {wanted[-1]} of seed {fly.seed}",
            "plan_config": fly.plan.as_json(),
            "bank": fly.bank,
            "cutouts": fly.cutouts,
            **versions(),
        },
    )
    commits, planned, usable = [], Counter(), Counter()
    with progress("dump", len(wanted), "windows") as advance:
        for number in wanted:
            columns, images, flagged = fly.made(number)
            made = Counter(columns["kind"].tolist())
            usable += made
            planned += made + Counter(flagged["kind"].tolist())
            counts = {"usable": dict(made), "causes": dict(Counter(flagged["cause"].tolist()))}
            with store.writer(number, STAMPS) as writer:
                writer.add(columns | {"image": [image_bytes(image) for image in images]})
                writer.note(COUNTS_KEY, counts)
            quarantine(store, number, flagged)
            commits.append(store.committed(number, counts, writer))
            advance(1)
    digest = store.write_record(
        commits,
        planned={kind: planned[kind] for kind in KINDS if planned[kind]},
        usable=dict(usable),
        quarantined={},
    )
    console.print(
        f"dump {out}: {usable.total()} rows of {len(wanted)} windows, digest {digest[:16]}"
    )
