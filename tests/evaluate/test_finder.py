"""What is said of a finder whose truth is known, and what is refused."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from darkhaloscope.config import Evaluate
from darkhaloscope.evaluate.against import against
from darkhaloscope.evaluate.calibration import calibration_error, purity, reliability
from darkhaloscope.evaluate.finder import judge
from darkhaloscope.evaluate.findings import Level
from darkhaloscope.evaluate.operating import Point, Refused, least_negatives, points
from darkhaloscope.evaluate.realness import matched, realness
from darkhaloscope.evaluate.roles import roles_of
from darkhaloscope.evaluate.stats import Estimate, mean_recall, rate
from evaluate.scored import EVERY, columns

CFG = Evaluate(resamples=200)


@pytest.fixture(scope="module")
def rows():
    return columns(np.random.default_rng(1), EVERY)


@pytest.fixture(scope="module")
def roles(rows):
    return roles_of(rows, CFG)


@pytest.fixture(scope="module")
def said(rows, roles):
    return {f.gate: f for f in judge(rows, roles, CFG)}


def test_every_row_has_its_role(rows, roles):
    assert (len(roles.anchors), len(roles.lenses)) == (68, 200)
    assert (len(roles.negatives), len(roles.chosen)) == (3100, 3100)
    assert {k: len(v) for k, v in roles.look_alikes.items()} == {"ring": 120, "ring_on_sky": 60}
    assert set(rows["split"][roles.chosen]) == {"val"}


def test_a_galaxy_is_one_negative_however_often_it_is_scored(rows):
    twice = {name: np.concatenate([v, v]) for name, v in rows.items()}
    again = roles_of(twice, CFG)
    assert len(again.negatives) == 3100
    same = {**rows, "host_id": np.where(rows["kind"] == "host", "host-1", rows["host_id"])}
    assert len(roles_of(same, CFG).negatives) == 1601


def test_a_galaxy_that_is_a_known_lens_is_no_negative(rows):
    same = {**rows, "ra_deg": np.full(len(rows["kind"]), 10.0), "dec_deg": np.arange(6698) * 0.01}
    near = np.flatnonzero((rows["kind"] == "luminous") & (rows["split"] == "test"))[:5]
    anchors = roles_of(same, CFG).anchors
    same["dec_deg"][near] = same["dec_deg"][anchors[:5]] + 1 / 3600
    assert len(roles_of(same, CFG).negatives) == 3095


def test_galaxies_in_both_splits_fail(rows, said):
    assert said["rows.splits"].level is Level.PASS
    hosts = rows["host_id"].copy()
    luminous = np.flatnonzero(rows["kind"] == "luminous")
    hosts[luminous[rows["split"][luminous] == "val"][:7]] = hosts[luminous[:7]]
    both = {**rows, "host_id": hosts}
    found = {f.gate: f for f in judge(both, roles_of(both, CFG), CFG)}["rows.splits"]
    assert (found.level, found.measured) == (Level.FAIL, "7 galaxies")


def test_thresholds_come_from_one_split_and_rates_from_the_other(rows, roles):
    at_hundredth, at_thousandth, *others = points(rows, roles, CFG.fpr)
    assert isinstance(at_hundredth, Point) and isinstance(at_thousandth, Point)
    assert [type(other) for other in others] == [Refused, Refused]
    chosen = rows["logit"][roles.chosen]
    assert (chosen > at_hundredth.threshold).mean() <= 0.01
    assert at_hundredth.achieved.value == pytest.approx(
        (rows["logit"][roles.negatives] > at_hundredth.threshold).mean()
    )
    assert at_hundredth.achieved.low < 0.01 < at_hundredth.achieved.high


def test_what_negatives_cannot_show_is_refused_with_what_is_needed(said):
    refused = said["recall.anchors.at_fpr_0.0001"]
    assert refused.level is Level.SKIP
    assert "3,100 negatives" in refused.measured and refused.limit == "30,000 of each"
    assert [least_negatives(fpr) for fpr in (1e-2, 1e-3, 1e-4)] == [300, 3000, 30_000]


def test_recall_is_that_of_a_finder_whose_truth_is_known(said, rows):
    truth = norm.sf(norm.isf(0.01) - 2.0)
    found = said["recall.injected.at_fpr_0.01"].number
    assert found.low < truth < found.high and found.n == 200
    assert said["recall.anchors.at_score"].level is Level.PASS  # the plan's 30%
    assert said["recall.visible.at_score"].n == (rows["visible"] == "yes").sum() == 45
    assert said["recall.anchors.tpr0"].number.value <= said["recall.anchors.tpr10"].number.value


def test_contamination_by_look_alikes_fails_only_where_its_interval_does(said, rows, roles):
    assert said["contamination.ring.at_score"].level is Level.FAIL  # 84%, the plan allows 15%
    few = {**rows, "score": np.where(rows["kind"] == "ring", 0.1, rows["score"])}
    again = {f.gate: f for f in judge(few, roles, CFG)}
    assert again["contamination.ring.at_score"].level is Level.PASS
    some = few["score"].copy()
    some[roles.look_alikes["ring_on_sky"][:9]] = 0.9
    again = {f.gate: f for f in judge({**few, "score": some}, roles, CFG)}
    assert again["contamination.ring_on_sky.at_score"].level is Level.WARN


def test_ranking_is_scikit_learns(said, rows, roles):
    both = np.concatenate([roles.lenses, roles.look_alikes["ring"]])
    truth = np.arange(len(both)) < len(roles.lenses)
    theirs = roc_auc_score(truth, rows["logit"][both])
    assert said["ranking.injected.auc_ring"].number.value == pytest.approx(theirs)
    found = said["ranking.injected.partial_auc"].number
    sides = rows["logit"][roles.lenses], rows["logit"][roles.negatives]
    assert found.value == pytest.approx(mean_recall(*sides, 0.01))
    assert found.low < found.value < found.high


def test_purity_is_what_it_would_be_on_the_sky(said):
    found = said["purity.anchors.at_fpr_0.01.of_0.001"].number
    recall, fpr = (
        said["recall.anchors.at_fpr_0.01"].number,
        said["false_positives.at_fpr_0.01"].number,
    )
    assert found.value == pytest.approx(
        1e-3 * recall.value / (1e-3 * recall.value + 0.999 * fpr.value)
    )
    assert found.low < found.value < found.high


def test_purity_without_a_false_positive_still_has_a_lower_bound():
    found = purity(rate(30, 68), Estimate(0.0, 0.0, 1.2e-4, 30_000), 1e-3)
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(1 / (1 + 999 * 1.2e-4 / (30 / 68)), abs=0.06)
    assert purity(rate(0, 68), rate(3, 100), 1e-3).value == 0.0
    with pytest.raises(ValueError, match=r"prevalence must lie in \(0, 1\), got 2"):
        purity(rate(1, 2), rate(1, 2), 2)


def test_calibration_of_probabilities_that_are_true_is_within_chance():
    rng = np.random.default_rng(2)
    score = rng.beta(0.8, 2, 1500)
    true, hosts = rng.random(1500) < score, np.arange(1500)
    good = calibration_error(score, true, hosts, 300)
    assert good.low == 0.0 and good.high < 0.06
    sure = calibration_error(score**3, true, hosts, 300)
    gap = sum(abs(b.score - b.share) * b.n for b in reliability(score**3, true)) / 1500
    assert sure.low < gap and sure.value == pytest.approx(gap, abs=0.01)
    with pytest.raises(ValueError, match=r"scores in \[0, 1\]"):
        calibration_error(score * 5, true, hosts)
    with pytest.raises(ValueError, match="needs 100 rows, got 40"):
        calibration_error(score[:40], true[:40], hosts[:40])


def test_a_better_finder_is_shown_to_be_better_and_its_twin_is_not(rows, roles):
    worse = {**rows, "logit": rows["logit"] - 1.2 * (rows["kind"] == "lens")}
    found = {f.gate: f for f in against(rows, worse, roles, CFG)}
    assert set(found) == {
        f"against.{side}.at_fpr_{fpr:g}" for side in ("anchors", "injected") for fpr in (0.01, 1e-3)
    }
    assert found["against.injected.at_fpr_0.01"].measured.startswith("difference shown: +0.")
    noise = np.random.default_rng(5).normal(0, 0.3, len(rows["logit"]))
    twin = {**rows, "logit": rows["logit"] + noise}
    assert all("not resolved" in f.measured for f in against(rows, twin, roles, CFG))
    same = against(rows, rows, roles, CFG)
    assert all(f.level is Level.SKIP for f in same)


def test_lenses_are_matched_by_their_hosts(rows, roles):
    bright = {**rows, "host_mag_r": rows["host_mag_r"] - 0.3 * (rows["place"] == "sky")}
    partner, alike = matched(bright, roles.anchors, roles.lenses)
    assert len(set(partner)) == 68 and set(alike) == {"r", "g - r", "r - z", "seeing", "depth"}
    gap = np.abs(bright["host_mag_r"][roles.anchors].mean() - bright["host_mag_r"][partner].mean())
    before = bright["host_mag_r"][roles.anchors].mean() - bright["host_mag_r"][roles.lenses].mean()
    assert gap < abs(before) / 2


@pytest.mark.parametrize("differs", [False, True])
def test_a_linear_probe_tells_injected_from_real_only_where_they_differ(rows, roles, differs):
    rng = np.random.default_rng(7)
    embedding = rng.normal(0, 1, (len(rows["logit"]), 40))
    if differs:
        embedding[roles.lenses, :8] += 1.0
    found = {f.gate: f for f in realness(rows, embedding, roles.anchors, roles.lenses)}
    told = found["realness.embedding"].number
    assert (told.low > 0.6) == differs
    assert found["realness.hosts"].number.low < 0.6
    assert "68 pairs" in found["realness.embedding"].measured


def test_the_probe_says_what_it_lacks(rows, roles):
    (asked,) = realness(rows, None, roles.anchors, roles.lenses)
    assert asked.level is Level.SKIP and "--embed" in asked.advice
    embedding = np.zeros((len(rows["logit"]), 3))
    (few,) = realness(rows, embedding, roles.anchors[:5], roles.lenses)
    assert "5 real lenses; 20 are needed" in few.advice
