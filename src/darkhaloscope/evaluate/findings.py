"""What a gate says: measured, limit, level, how many it rests on, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from darkhaloscope.evaluate.stats import Estimate


class Level(StrEnum):
    """Only FAIL makes the exit code 1."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    INFO = "info"  # shown beside the gates; has no limit
    SKIP = "skip"  # could not be judged, the advice says why


def passed(holds: bool) -> Level:
    """PASS or FAIL."""
    return Level.PASS if holds else Level.FAIL


@dataclass(frozen=True)
class Finding:
    """One line of the report's table."""

    gate: str  # "physics.replay": group and name
    level: Level
    measured: str  # with its unit, and its interval where it is a rate or an estimate
    limit: str  # what passes
    n: int  # unique hosts, or rows where the gate says so
    about: str  # what was asked, one sentence
    advice: str = ""  # what to do when it does not pass
    number: Estimate | None = None  # what was measured, where it is a rate or an AUC

    @property
    def group(self) -> str:
        return self.gate.split(".")[0]
