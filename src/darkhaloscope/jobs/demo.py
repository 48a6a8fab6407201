"""`dhs demo`: the whole flow on the embedded sky and bank, ended by a report to open."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkhaloscope.config import BankHybrid, CutoutsSynthetic, Inject, Plan, Validate, build
from darkhaloscope.jobs.banks import bank_hybrid
from darkhaloscope.jobs.engine import Local
from darkhaloscope.jobs.inject import inject_all
from darkhaloscope.jobs.plan import plan
from darkhaloscope.jobs.synthetic import cutouts_synthetic
from darkhaloscope.jobs.validate import REPORT, validate

_ROWS_PER_PART = 180
"""Small parts, so that a demo can be killed and resumed."""


def demo(out: Path, sections: Mapping[str, Mapping[str, Any]], processes: int) -> bool:
    """Run every stage into `out`; stages that are there already are kept. True if no gate fails.

    sections : settings by the section names of a TOML file
    """

    def settings(model, section, **defaults):
        return build(model, defaults | dict(sections.get(section, {})), f"[{section}]")

    bank, cutouts, rows, stamps = (out / name for name in ("bank.h5", "cutouts", "plan", "stamps"))
    plan_cfg = settings(Plan, "plan", rows_per_part=_ROWS_PER_PART)
    inject_cfg, validate_cfg = settings(Inject, "inject"), settings(Validate, "validate")
    bank_hybrid(bank, settings(BankHybrid, "bank.hybrid"))
    cutouts_synthetic(cutouts, settings(CutoutsSynthetic, "cutouts.synthetic"), processes)
    engine = Local(processes)
    plan(rows, cutouts, bank, plan_cfg, engine)
    inject_all(stamps, rows, cutouts, bank, inject_cfg, engine)
    passed = validate(stamps, out, bank, validate_cfg, engine)
    print(f"Open {(out / REPORT).resolve()}")
    return passed
