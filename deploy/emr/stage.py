"""What spark-submit runs: one stage of an experiment, on whatever Spark it was submitted to.

    spark-submit stage.py --stage 4a --output-s3 s3://bucket/sets --variant cosmos \
        --experiment-id first --cutouts s3://bucket/cutouts --cosmos-bank-h5 s3://bucket/bank.h5
    spark-submit stage.py --stage 4c … --psf-model moffat --moffat-beta 3.5

Stage 4a is `dhs plan`, 4c is `dhs inject`, with all their settings as flags or from --config.
They write OUTPUT/VARIANT/EXPERIMENT/plan and OUTPUT/VARIANT/EXPERIMENT/stamps. Exit codes are
those of `dhs`: 2 if the stage cannot be done as asked, or gives too few usable rows.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from darkhaloscope.cli import run
from darkhaloscope.config import Inject, Plan
from darkhaloscope.errors import DhsError
from darkhaloscope.io.bank import open_bank
from darkhaloscope.io.files import at, read_json
from darkhaloscope.io.parts import RECORD
from darkhaloscope.jobs.inject import inject_all
from darkhaloscope.jobs.plan import plan as plan_all
from darkhaloscope.jobs.spark import spark

STAGES = {"4a": "plan", "plan": "plan", "4c": "inject", "inject": "inject"}

verbs = App(name="stage.py", help=__doc__, suppress_keyboard_interrupt=False)


def _name(_, value: str) -> None:
    if not re.fullmatch(r"\w[\w.=-]*", value, re.ASCII):
        raise ValueError(f"{value!r} is no name of a folder; use letters, digits and _ . = -")


@dataclass(frozen=True)
class Experiment:
    """What both stages are told: where it lies, and what it is made from."""

    output_s3: Annotated[str, Parameter(help="folder or s3:// address above all variants")]
    variant: Annotated[str, Parameter(validator=_name, help="folder in it: a recipe")]
    experiment_id: Annotated[str, Parameter(validator=_name, help="folder in that: one set")]
    cutouts: Annotated[str, Parameter(help="cutout store: folder or address")]
    bank: Annotated[
        str, Parameter(name=["--cosmos-bank-h5", "--bank"], help="source bank: file or address")
    ]
    plan_name: Annotated[
        str, Parameter(name=["--manifests-subdir"], validator=_name, help="folder of the plan")
    ] = "plan"
    source_mode: Annotated[
        Literal["cosmos", "survey", "sersic", "hybrid"] | None,
        Parameter(help="what the bank's sources must all be; default: not checked"),
    ] = None

    @property
    def folder(self) -> Path:
        return at(self.output_s3) / self.variant / self.experiment_id

    @property
    def plan(self) -> Path:
        return self.folder / self.plan_name

    @property
    def made_from(self) -> tuple[Path, Path]:
        """Cutouts and bank. Raises DhsError if the bank is not of source_mode."""
        bank = at(self.bank)
        _agree(bank, self.source_mode)
        return at(self.cutouts), bank


_Flat = Parameter(name="*")
_Experiment = Annotated[Experiment, _Flat]
_Config = Annotated[str | None, Parameter(help="TOML file or address of settings, as `dhs` takes")]


@verbs.command
def plan(
    *,
    experiment: _Experiment,
    config: _Config = None,
    cfg: Annotated[Plan, _Flat] = Plan(),
) -> None:
    """Stage 4a: one row a stamp, every random number frozen."""
    sources = experiment.made_from
    with spark() as engine:
        plan_all(experiment.plan, *sources, cfg, engine)


@verbs.command
def inject(
    *,
    experiment: _Experiment,
    cosmos_salt: Annotated[
        str | None, Parameter(help="what the plan was drawn with; default: not checked")
    ] = None,
    config: _Config = None,
    cfg: Annotated[Inject, _Flat] = Inject(),
) -> None:
    """Stage 4c: the stamps of the plan."""
    sources = experiment.made_from
    _drawn_with(experiment.plan, cosmos_salt)
    with spark() as engine:
        inject_all(experiment.folder / "stamps", experiment.plan, *sources, cfg, engine)


@verbs.default
def neither(
    *_: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
    stage: Annotated[str | None, Parameter(help=f"one of {', '.join(STAGES)}")] = None,
) -> None:
    """Any other stage, or none."""
    allowed = "4a (plan) and 4c (inject)"
    raise DhsError(
        f"--stage {stage} is not known; known are {allowed}"
        if stage
        else f"--stage is missing; give one of {allowed}"
    )


def _agree(bank: Path, mode: str | None) -> None:
    found = sorted({str(source) for source in open_bank(bank).columns["source"]})
    if mode and found != [mode]:
        raise DhsError(
            f"--source-mode is {mode}, but the sources of {bank} are {', '.join(found)}; "
            "give the bank that is meant, or leave --source-mode out"
        )


def _drawn_with(plan: Path, salt: str | None) -> None:
    """Sources were drawn when the plan was made: another salt now would change nothing."""
    if salt is None or not (plan / RECORD).exists():
        return
    theirs = json.loads(read_json(plan / RECORD)["config"])["cosmos_salt"]
    if theirs != salt:
        raise DhsError(
            f"--cosmos-salt is {salt!r}, but {plan} was drawn with {theirs!r}; leave it out, or "
            "plan another experiment with it"
        )


def verb_first(tokens: list[str]) -> list[str]:
    """The plan's words in the order of ours: `… --stage 4c …` is `inject … …`."""
    for i, token in enumerate(tokens):
        flag, _, value = token.partition("=")
        if flag == "--stage":
            rest = tokens[i + 1 :] if value else tokens[i + 2 :]
            stage = STAGES.get(value or "".join(tokens[i + 1 : i + 2]))
            return [stage, *tokens[:i], *rest] if stage else tokens
    return tokens


if __name__ == "__main__":
    sys.exit(run(verb_first(sys.argv[1:]), verbs))
