"""A planted difference is found, a study of equals says that nothing is resolved."""

import numpy as np
import pytest

from darkhaloscope.config import Evaluate
from darkhaloscope.evaluate.ablation import compared, verdict
from darkhaloscope.evaluate.conditions import Trials, measured, recalls
from darkhaloscope.evaluate.roles import roles_of
from darkhaloscope.evaluate.stats import recall_at
from darkhaloscope.report.ablation import study_figures, study_findings, study_table
from evaluate.scored import EVERY, columns


def _study(seed: int, shifts: dict[str, float], fprs=(0.01, 0.001, 1e-4)):
    """Finders of three seeds each, whose lenses score so much higher than the first's."""
    rng = np.random.default_rng(seed)
    rows = columns(rng, EVERY)
    lens = rows["kind"] == "lens"
    n = len(lens)
    logits = {
        name: np.stack(
            [
                rows["logit"] + lens * (shift + rng.normal(0, 0.1)) + rng.normal(0, 0.5, n)
                for _ in range(3)
            ]
        )
        for name, shift in shifts.items()
    }
    return compared(rows, roles_of(rows, Evaluate()), logits, fprs, 200)


def test_a_planted_difference_is_found_and_named():
    study = _study(1, {"real": 0.0, "sersic": -1.2, "twin": 0.0})
    said = verdict(study)
    assert said.startswith("Sersic finds fewer real lenses at false-positive rate 0.01, -0.")
    assert "twin" not in said and "not resolved" in said
    assert study.refused == {1e-4: 30_000}
    shown = {line.condition for line in study.lines if line.beside and line.beside.shown}
    assert shown == {"sersic"}


def test_equals_are_not_resolved_in_almost_all_studies():
    said = [verdict(_study(s, {"a": 0.0, "b": 0.0, "c": 0.0}, (0.01,))) for s in range(12)]
    resolved = sum(not words.startswith("Not resolved") for words in said)
    assert resolved <= 2  # Holm: one of 20 by chance; three of 12 with a chance of 2%
    assert "would have been shown with a chance of 80%" in said[0]


def test_without_negatives_a_study_says_what_it_needs():
    study = _study(1, {"a": 0.0, "b": 0.0}, (1e-4,))
    assert study.lines == ()
    words = "Not resolved: 3,100 negatives of each split are too few; 0.0001 needs 30,000."
    assert verdict(study) == words


def test_recall_of_seeds_is_that_of_each_alone():
    rng = np.random.default_rng(2)
    trials = Trials(rng.normal(1.5, 1, (3, 80)), rng.normal(0, 1, (3, 500)))
    alone = [recall_at(trials.lens[i], trials.chosen[i], 0.02).value for i in range(3)]
    assert recalls(trials, 0.02).tolist() == pytest.approx(alone)
    (one, _), (difference,) = measured(
        [trials, trials], (np.arange(80), np.arange(500) + 80), 0.02, 100
    )
    assert one.value == pytest.approx(np.mean(alone)) and difference.value == 0.0


def test_a_side_of_few_lenses_is_not_compared():
    rng = np.random.default_rng(3)
    rows = columns(rng, (("lens", "sky", "test", 12), *EVERY[4:7]))
    logits = {name: rows["logit"] + rng.normal(0, 0.3, (3, len(rows["kind"]))) for name in "ab"}
    study = compared(rows, roles_of(rows, Evaluate()), logits, (0.01,), 100)
    assert study.lines == ()
    assert verdict(study) == "Not resolved: lenses on 20 hosts or more are needed."


def test_lenses_that_all_are_found_have_an_interval_all_the_same():
    study = _study(1, {"a": 20.0, "b": 20.0}, (0.01,))
    recall = study.lines[0].recall
    assert recall.value == recall.high == 1.0 and recall.low == pytest.approx(0.947, abs=0.01)
    assert study.lines[1].beside and study.lines[1].beside.p == 1.0


def test_fewer_than_three_seeds_are_refused():
    with pytest.raises(ValueError, match="needs 3 seeds or more, got 2"):
        Trials(np.zeros((2, 5)), np.zeros((2, 5)))


def test_the_table_has_a_line_for_every_condition_and_what_is_refused():
    study = _study(1, {"real": 0.0, "sersic": -1.2})
    table = study_table(study).splitlines()
    assert len(table) == 2 + 2 * 2 * 2  # sides, rates, conditions
    assert "| injected | 0.01 | sersic |" in study_table(study)
    assert [f.gate for f in study_findings(study)][-1] == "refused.fpr_0.0001"
    assert len(study_figures(study)) == 4
