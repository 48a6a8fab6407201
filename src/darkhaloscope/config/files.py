"""Settings in a TOML file, by the sections of its stages."""

import tomllib
from pathlib import Path
from typing import Any

from darkhaloscope.config.banks import BankCosmos, BankHybrid, BankMerge, BankSersic, BankSurvey
from darkhaloscope.config.finders import Evaluate, GradeServe, Train
from darkhaloscope.config.hosts import (
    AnchorsBuild,
    AnchorsCutouts,
    CutoutsBricks,
    CutoutsNpz,
    CutoutsService,
    CutoutsSynthetic,
    Parent,
)
from darkhaloscope.config.sets import Export, Inject, Plan, Validate
from darkhaloscope.config.stage import Stage, build, hint
from darkhaloscope.errors import DhsError

SECTIONS: dict[str, type[Stage]] = {
    "parent": Parent,
    "bank.cosmos": BankCosmos,
    "bank.hybrid": BankHybrid,
    "bank.merge": BankMerge,
    "bank.sersic": BankSersic,
    "bank.survey": BankSurvey,
    "cutouts.synthetic": CutoutsSynthetic,
    "cutouts.npz": CutoutsNpz,
    "cutouts.bricks": CutoutsBricks,
    "cutouts.service": CutoutsService,
    "anchors.build": AnchorsBuild,
    "anchors.cutouts": AnchorsCutouts,
    "plan": Plan,
    "inject": Inject,
    "validate": Validate,
    "export": Export,
    "train": Train,
    "grade.serve": GradeServe,
    "evaluate": Evaluate,
}


def read_toml(path: Path) -> dict[str, dict[str, Any]]:
    """Settings by section name, every key of every section checked.

    Raises DhsError for a file that is not TOML, an unknown section or key, or a bad value.
    """
    sections = dict(_flatten(toml_of(path)))
    for name, settings in sections.items():
        if name not in SECTIONS:
            raise DhsError(f"{path}: unknown section [{name}]{hint(name, SECTIONS)}")
        if not isinstance(settings, dict):
            raise DhsError(f"{path}: [{name}] must be a section of settings, got {settings!r}")
        build(SECTIONS[name], settings, f"{path} [{name}]")
    return sections


def toml_of(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DhsError(f"{path}: cannot be read as TOML: {error}") from error


def _flatten(table: dict[str, Any], prefix: str = ""):
    for key, value in table.items():
        name = f"{prefix}{key}"
        if name in SECTIONS or not isinstance(value, dict):
            yield name, value
        elif any(section.startswith(f"{name}.") for section in SECTIONS):
            yield from _flatten(value, f"{name}.")
        else:
            yield name, value
