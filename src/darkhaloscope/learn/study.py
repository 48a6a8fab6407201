"""A study from its first set to its verdict."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from darkhaloscope.config import ENSEMBLE, Evaluate
from darkhaloscope.errors import DhsError
from darkhaloscope.evaluate.ablation import Study as Compared
from darkhaloscope.evaluate.ablation import compared, verdict
from darkhaloscope.evaluate.roles import roles_of
from darkhaloscope.io.files import write_json, write_text
from darkhaloscope.io.scores import read_scored
from darkhaloscope.jobs.progress import console
from darkhaloscope.jobs.versions import versions
from darkhaloscope.learn.ablate import Queue, begin, tables, work
from darkhaloscope.learn.judge import logit_of, score_of
from darkhaloscope.report import page
from darkhaloscope.report.ablation import study_figures, study_findings, study_table

TABLE, RESULT, REPORT = "ablation.md", "ablation.json", "ablation.html"


def ablate(queue: Queue, share: tuple[int, int] = (0, 1)) -> str:
    """Make what is missing of a study and judge it once all is there; the verdict, "" before.

    share : number and count of the machines that work on it, see ablate.work
    Raises DhsError as begin does, or where a stage fails
    """
    begin(queue)
    if not work(queue, share):
        console.print("ablate    this share is done; the table follows once all others are")
        return ""
    study = judged(queue)
    said = verdict(study)
    out = queue.out
    write_text(out / TABLE, study_table(study) + f"\n{said}\n")
    content = {"verdict": said, "lines": [asdict(line) for line in study.lines]}
    write_json(out / RESULT, {**content, "config": queue.study.as_json(), **versions()})
    write_text(out / REPORT, _report(queue, study, said))
    console.print(study_table(study), end="")
    console.print(f"ablate {out / REPORT}: {said}")
    return said


def judged(queue: Queue) -> Compared:
    """The table, from scores. Raises DhsError if conditions scored other rows"""
    logits: dict[str, np.ndarray] = {}
    columns: dict[str, np.ndarray] | None = None
    for name, seeds in tables(queue).items():
        found = [_in_order(paths) for paths in seeds]
        columns = columns or found[0]
        if not all(np.array_equal(one["task_id"], columns["task_id"]) for one in found):
            raise DhsError(
                f"finders of {name} scored other rows than the first condition's; remove "
                f"{queue.out / 'scores' / name} and go on"
            )
        logits[name] = np.stack([one["logit"] for one in found])
    if columns is None:
        raise DhsError(f"{queue.out} holds no scores")
    if queue.study.ensemble:
        shares = [score_of(some) for some in logits.values()]
        logits[ENSEMBLE] = logit_of(np.mean(shares, axis=0))
    roles = roles_of(columns, Evaluate())
    return compared(columns, roles, logits, queue.study.fpr, queue.study.resamples)


def _in_order(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    columns = read_scored(paths).columns
    order = np.argsort(columns["task_id"].astype(str), kind="stable")
    return {name: values[order] for name, values in columns.items()}


def _report(queue: Queue, study: Compared, said: str) -> str:
    cfg = queue.study
    differs = {name: condition.as_json() for name, condition in cfg.conditions.items()}
    return page.page(
        title="Ablation",
        summary={
            "conditions": f"{len(cfg.conditions)}, and all together"
            if cfg.ensemble
            else str(len(cfg.conditions)),
            "seeds each": str(len(cfg.seeds)),
            "negatives of a split": f"{study.negatives:,}",
            "resamples of hosts": f"{cfg.resamples:,}",
        },
        findings=study_findings(study),
        sheets=[],
        figures=study_figures(study),
        provenance={"study": cfg.as_json(), **differs, **versions()},
        headline=said,
        table="Table",
    )
