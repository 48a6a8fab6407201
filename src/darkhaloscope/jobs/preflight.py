"""`dhs preflight`: a hundred injections over the plan's range, judged before a million are made."""

from dataclasses import asdict
from math import ceil
from pathlib import Path

import numpy as np

from darkhaloscope.config import Inject, Plan
from darkhaloscope.evaluate.findings import Level
from darkhaloscope.evaluate.gates import judge
from darkhaloscope.evaluate.preflight import judge_preflight
from darkhaloscope.io.bank import open_bank
from darkhaloscope.io.files import whole, write_json, write_text
from darkhaloscope.jobs.engine import Engine, Local
from darkhaloscope.jobs.hosts import open_cutouts
from darkhaloscope.jobs.inject import inject_all
from darkhaloscope.jobs.looks import Columns, look_at
from darkhaloscope.jobs.plan import plan
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.set_report import mosaic_of
from darkhaloscope.jobs.validate import FINDINGS, REPORT
from darkhaloscope.report import figures, page, pictures

INJECTIONS = 100
GRID = "grid.png"
_HERE = Local()


def preflight(
    out: Path, cutouts: Path, bank: Path, plan_cfg: Plan, cfg: Inject, engine: Engine = _HERE
) -> bool:
    """Plan and make a hundred pairs, judge them, draw them; True if the plan's criteria hold.

    Hosts are taken evenly over the store, cells of a grid by their names. Gates that need more rows
    say so; those that fail are told beside the criteria and count as well.
    Raises DhsError as plan and inject do
    """
    hosts = sum(open_cutouts(cutouts).rows.values())
    small = plan_cfg.model_copy(
        update={
            "tier": "debug",
            "tier_hosts": INJECTIONS,
            "pairs_per_host": ceil(INJECTIONS / min(hosts, INJECTIONS)),
            "rows_per_part": INJECTIONS * 2,
        }
    )
    plan(out / "plan", cutouts, bank, small, engine)
    inject_all(out / "stamps", out / "plan", cutouts, bank, cfg, engine)
    seen = look_at(out / "stamps", 1.0, engine)
    findings = judge_preflight(seen.sample, open_bank(bank).columns)
    findings += [f for f in judge(seen.tally, seen.sample) if not f.gate.startswith("probe.")]
    write_json(out / FINDINGS, {"findings": [asdict(f) for f in findings]})
    picture = _grid(out / "stamps", seen.sample)
    with whole(out / GRID) as temporary:
        temporary.write_bytes(picture)
    words = "Lenses in even steps of arc S/N, the faintest first; below each S/N and theta_E."
    write_text(
        out / REPORT,
        page.page(
            title="DarkHaloScope preflight",
            summary={"pairs": str(seen.tally.kinds["lens"]), "rows": str(seen.tally.rows)},
            findings=findings,
            sheets=[("A hundred injections", words, picture)],
            figures=figures.distributions(seen.sample),
            provenance={"plan": small.as_json(), "inject": cfg.as_json()},
        ),
    )
    failed = [f for f in findings if f.level is Level.FAIL]
    for f in findings:
        if f.gate.startswith("preflight.") or f in failed:
            console.print(f"  {f.level.upper()} {f.gate}: {f.measured}")
    console.print(f"preflight: {len(failed)} fail; report {out / REPORT}, picture {out / GRID}")
    return not failed


def _grid(stamps: Path, columns: Columns) -> bytes:
    pairs = pictures.choose(columns, "spread", INJECTIONS)
    row_of = {str(task): i for i, task in enumerate(columns["task_id"])}
    some = [row_of[f"{pair}-lens"] for pair in pairs]
    said = zip(columns["arc_snr"], columns["theta_E_arcsec"], strict=True)
    captions = np.array([f"S/N {snr:.0f}  {radius:.2f}″" for snr, radius in said], object)
    return mosaic_of(stamps, columns, some, captions)
