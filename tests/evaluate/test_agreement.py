"""Agreement against other implementations, published values, and the truth of made experiments."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from darkhaloscope.evaluate.agreement import LEAST_OBJECTS, calibration, cohen, fleiss
from darkhaloscope.schema import GRADES

# 10 subjects by 14 raters, counts of five categories: the worked example of Fleiss' kappa
WORKED = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
# Fleiss (1971), 30 patients by 6 psychiatrists, five diagnoses
PATIENTS = """444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444
222333 144444 224445 333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224
111155 224444 133333 555555"""
PUBLISHED_1971 = 0.430


def rated(counts, times: int) -> np.ndarray:
    """(object, grader) from counts, each object several times: kappa does not depend on that."""
    return np.array([np.repeat(np.arange(len(row)), row) for row in counts] * times)


def test_fleiss_has_the_published_values():
    assert fleiss(rated(WORKED, 5), 5).value == pytest.approx(0.210, abs=5e-4)
    patients = np.array([[int(d) - 1 for d in word] for word in PATIENTS.split()] * 2)
    assert fleiss(patients, 5).value == pytest.approx(PUBLISHED_1971, abs=5e-4)


@pytest.mark.parametrize("weights", [None, "linear"])
def test_cohen_is_that_of_scikit_learn(weights):
    rng = np.random.default_rng(3)
    for noise in (0.1, 0.5, 1.0):
        first = rng.integers(0, 4, 200)
        second = np.where(rng.random(200) < noise, rng.integers(0, 4, 200), first)
        found = cohen(first, second, 4, weights == "linear")
        assert found.value == pytest.approx(cohen_kappa_score(first, second, weights=weights))
        assert found.n == 200


def test_two_graders_with_the_same_habits_give_fleiss_the_value_of_cohen():
    rng = np.random.default_rng(1)
    first = rng.integers(0, 4, 4000)
    second = np.where(rng.random(4000) < 0.4, rng.integers(0, 4, 4000), first)
    both, ours = cohen(first, second, 4), fleiss(np.stack([first, second], axis=1), 4)
    assert ours.value == pytest.approx(both.value, abs=2e-3)
    assert ours.high - ours.low == pytest.approx(both.high - both.low, rel=0.02)


def test_full_agreement_is_one_and_too_little_or_too_few_is_refused():
    grades = np.arange(80) % 4
    assert cohen(grades, grades, 4).value == 1
    few = grades[: LEAST_OBJECTS - 1]
    with pytest.raises(ValueError, match="needs 50 objects that all have graded, got 49"):
        cohen(few, few, 4)
    with pytest.raises(ValueError, match="the same grade"):
        fleiss(np.full((80, 3), 2), 4)
    with pytest.raises(ValueError, match="two graders"):
        fleiss(grades[:, None], 4)
    with pytest.raises(ValueError, match="from 0 to 3"):
        cohen(grades, grades + 1, 4)


SHARES = np.array([0.10, 0.15, 0.25, 0.50])
"""Of surely, probably, possibly and not a lens, in the made experiments."""


def habits(slip: float) -> np.ndarray:
    """(true grade, given grade): mostly right, else a neighbour, seldom anything."""
    near = np.abs(np.subtract.outer(np.arange(4), np.arange(4))) == 1
    mixed = np.eye(4) * (1 - slip) + slip * (0.8 * near / near.sum(1)[:, None] + 0.05)
    return mixed / mixed.sum(1)[:, None]


def truths(graders: list[np.ndarray]) -> tuple[float, float, float]:
    """Cohen's kappa of the first two, weighted too, and Fleiss' of all, of the whole population."""
    pairs = [(a, b) for i, a in enumerate(graders) for b in graders[i + 1 :]]
    joint = [np.einsum("c,ci,cj->ij", SHARES, a, b) for a, b in pairs]
    plain = np.eye(4)
    linear = 1 - np.abs(np.subtract.outer(np.arange(4), np.arange(4))) / 3

    def beyond(observed, chance):
        return (observed - chance) / (1 - chance)

    chance = np.outer(joint[0].sum(1), joint[0].sum(0))
    of_two = [beyond((joint[0] * w).sum(), (chance * w).sum()) for w in (plain, linear)]
    share = np.mean([SHARES @ habit for habit in graders], axis=0)
    return *of_two, beyond(np.mean([np.trace(j) for j in joint]), share @ share)


@pytest.mark.parametrize("n", [100, 300])
def test_intervals_hold_the_truth_as_often_as_they_say(n):
    graders = [habits(0.3), habits(0.4), habits(0.3)]
    truth, rng, times = truths(graders), np.random.default_rng(5), 2000
    nature = rng.choice(4, (times, n), p=SHARES)
    drawn = rng.random((times, n, 3))
    given = np.stack(
        [(drawn[..., [i]] > habit.cumsum(1)[nature]).sum(-1) for i, habit in enumerate(graders)],
        axis=-1,
    )
    hits = np.zeros(3)
    for some in given:
        first, second = some[:, 0], some[:, 1]
        found = cohen(first, second, 4), cohen(first, second, 4, True), fleiss(some, 4)
        hits += [e.low <= t <= e.high for e, t in zip(found, truth, strict=True)]
    assert ((hits / times >= 0.93) & (hits / times <= 0.97)).all(), hits / times


def test_calibration_counts_controls():
    known, blank = np.repeat([0, 1, 2, 3], [6, 2, 1, 1]), np.repeat([1, 2, 3], [1, 2, 17])
    found = calibration(known, blank)
    assert {g: e.value for g, e in found.completeness.items()} == {"A": 0.6, "B": 0.8, "C": 0.9}
    assert {g: e.value for g, e in found.false_rate.items()} == {"A": 0.0, "B": 0.05, "C": 0.15}
    assert [found.lens_share[g].value for g in GRADES] == [1.0, 2 / 3, 1 / 3, 1 / 18]
    assert found.completeness["A"].n == 10 and found.lens_share["none"].n == 18
    assert 0.31 < found.completeness["A"].low < 0.6 < found.completeness["A"].high < 0.84


def test_calibration_says_nothing_of_what_no_control_tells():
    found = calibration(np.array([], int), np.array([3, 3]))
    assert found.completeness == {}
    assert list(found.lens_share) == ["none"]
