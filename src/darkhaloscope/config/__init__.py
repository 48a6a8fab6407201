"""One frozen model a stage: the only home of a default.

A TOML file fills the models, the command line's flags are built from them, and their JSON goes
into every file made with them. Unknown keys and impossible values fail before any work.
"""

from darkhaloscope.config.banks import (
    Bank,
    BankCosmos,
    BankHybrid,
    BankMerge,
    BankSersic,
    BankSurvey,
    Cuts,
)
from darkhaloscope.config.files import SECTIONS, read_toml
from darkhaloscope.config.finders import META, Difference, Evaluate, GradeServe, Train, View
from darkhaloscope.config.hosts import (
    AnchorClass,
    AnchorsBuild,
    AnchorsCutouts,
    CutoutsBricks,
    CutoutsNpz,
    CutoutsService,
    CutoutsSurvey,
    CutoutsSynthetic,
    LookAlike,
    Parent,
)
from darkhaloscope.config.sets import GRID_AXES, Export, Inject, Plan, Validate
from darkhaloscope.config.stage import Split, Splits, Stage, build, explain
from darkhaloscope.config.studies import ENSEMBLE, Condition, Study, read_study

__all__ = [
    "ENSEMBLE",
    "GRID_AXES",
    "META",
    "SECTIONS",
    "AnchorClass",
    "AnchorsBuild",
    "AnchorsCutouts",
    "Bank",
    "BankCosmos",
    "BankHybrid",
    "BankMerge",
    "BankSersic",
    "BankSurvey",
    "Condition",
    "CutoutsBricks",
    "CutoutsNpz",
    "CutoutsService",
    "CutoutsSurvey",
    "CutoutsSynthetic",
    "Cuts",
    "Difference",
    "Evaluate",
    "Export",
    "GradeServe",
    "Inject",
    "LookAlike",
    "Parent",
    "Plan",
    "Split",
    "Splits",
    "Stage",
    "Study",
    "Train",
    "Validate",
    "View",
    "build",
    "explain",
    "read_study",
    "read_toml",
]  # fmt: skip
