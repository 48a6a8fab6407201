"""How far graders agree beyond chance, and what each one's grades are worth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from darkhaloscope.evaluate.stats import Estimate, rate
from darkhaloscope.schema import GRADES

LEAST_OBJECTS = 50
"""With fewer the intervals miss the truth more often than they say."""


def cohen(first: np.ndarray, second: np.ndarray, grades: int, weighted: bool = False) -> Estimate:
    """Cohen's kappa of two graders, with its asymptotic 95% interval over objects.

    first, second : (object,) int, grades as numbers in [0, grades)
    weighted : grades that are near each other agree in part, linearly
    Raises ValueError for too few objects, numbers that are no grade, or one grade throughout
    Source: Cohen (1968); variance of Fleiss, Cohen & Everitt (1969)
    """
    both = _checked(np.stack([first, second], axis=1), grades)
    steps = np.abs(np.subtract.outer(np.arange(grades), np.arange(grades)))
    weight = 1 - steps / (grades - 1) if weighted else (steps == 0).astype(float)
    share = np.stack([np.bincount(side, minlength=grades) / len(both) for side in both.T])
    by_chance = (weight @ share[1])[both[:, 0]] + (share[0] @ weight)[both[:, 1]]
    return _beyond_chance(weight[both[:, 0], both[:, 1]], by_chance)


def fleiss(given: np.ndarray, grades: int) -> Estimate:
    """Fleiss' kappa of several graders, with its asymptotic 95% interval over objects.

    given : (object, grader) int, grades as numbers in [0, grades); every grader graded every object
    Raises ValueError as `cohen` does, and for fewer than two graders
    Source: Fleiss (1971); variance that holds without the assumption of no agreement, Gwet (2021)
    """
    given = _checked(given, grades)
    graders = given.shape[1]
    votes = (given[:, :, None] == np.arange(grades)).sum(1)
    agreeing = (votes * (votes - 1)).sum(1) / (graders * (graders - 1))
    share = votes.mean(0) / graders
    return _beyond_chance(agreeing, 2 * (votes / graders) @ share)


def _checked(given: np.ndarray, grades: int) -> np.ndarray:
    given = np.asarray(given)
    if given.ndim != 2 or given.shape[1] < 2:
        raise ValueError(f"agreement is of at least two graders, got shape {given.shape}")
    if len(given) < LEAST_OBJECTS:
        raise ValueError(
            f"agreement needs {LEAST_OBJECTS} objects that all have graded, got {len(given)}"
        )
    if given.min() < 0 or given.max() >= grades:
        raise ValueError(f"grades must be numbers from 0 to {grades - 1}")
    if len(np.unique(given)) == 1:
        raise ValueError("every object got the same grade; agreement cannot be told from chance")
    return given


def _beyond_chance(agreeing: np.ndarray, by_chance: np.ndarray) -> Estimate:
    """(observed - chance) / (1 - chance) with its interval by the delta method over objects.

    agreeing : (object,) how far graders agree; by_chance : twice the agreement that its grades
    would find by chance, whose mean is twice the expected agreement
    The interval is of Fisher's z, so that it stays below 1 and is not too short above.
    """
    n = len(agreeing)
    observed, expected = float(agreeing.mean()), float(by_chance.mean()) / 2
    kappa = (observed - expected) / (1 - expected)
    pull = (agreeing - observed) - (1 - kappa) * (by_chance - 2 * expected)
    error = math.sqrt(float(pull @ pull) / (n * (n - 1))) / (1 - expected)
    spread = float(t.ppf(0.975, n - 1)) * error
    return Estimate(kappa, *_around(kappa, spread), n)


def _around(kappa: float, spread: float) -> tuple[float, float]:
    if kappa >= 1:
        return 1.0, 1.0
    middle, half = math.atanh(kappa), spread / (1 - kappa**2)
    return math.tanh(middle - half), math.tanh(middle + half)


@dataclass(frozen=True)
class Calibration:
    """What one grader's grades are worth, by the controls whose nature is known.

    A grade is missing where no control tells of it.
    """

    completeness: Mapping[str, Estimate]
    """Of each grade but the last: share of known lenses given it or a better one."""
    false_rate: Mapping[str, Estimate]
    """The same of blanks."""
    lens_share: Mapping[str, Estimate]
    """Of each grade: share of known lenses among the controls given it, in the mix shown."""


def calibration(known: np.ndarray, blank: np.ndarray) -> Calibration:
    """Of one grader; Wilson 95% intervals.

    known, blank : (object,) int, grades of known lenses and of blanks as numbers in GRADES
    """
    known, blank = np.asarray(known, int), np.asarray(blank, int)
    return Calibration(_or_better(known), _or_better(blank), _lens_share(known, blank))


def _or_better(given: np.ndarray) -> dict[str, Estimate]:
    if not given.size:
        return {}
    return {
        grade: rate(int((given <= place).sum()), len(given))
        for place, grade in enumerate(GRADES[:-1])
    }


def _lens_share(known: np.ndarray, blank: np.ndarray) -> dict[str, Estimate]:
    lenses, others = (np.bincount(side, minlength=len(GRADES)) for side in (known, blank))
    return {
        grade: rate(int(k), int(k + other))
        for grade, k, other in zip(GRADES, lenses, others, strict=True)
        if k + other
    }
