"""Scores of stamps, cutouts and FITS; ensembles and calibrations that can be saved."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from astropy.io import fits

from darkhaloscope.cli import run
from darkhaloscope.config import Export, Train
from darkhaloscope.io.scores import read_scores
from darkhaloscope.jobs.export import export
from darkhaloscope.jobs.stamps import images_of
from darkhaloscope.learn.checkpoint import Spec, save
from darkhaloscope.learn.judge import Together, load_judge, logit_of, score_of
from darkhaloscope.learn.nets import build_net
from darkhaloscope.learn.score import score
from darkhaloscope.learn.view import Scaling
from tolerance import assert_within

CPU = torch.device("cpu")


def _checkpoint(folder, seed=1, size=48, scale=0.262, **settings):
    """A net as it starts; its scores are as good as any for what is asked here."""
    cfg = Train(arch="resnet_mini", **settings)
    torch.manual_seed(seed)
    net = build_net(cfg, size)
    with torch.no_grad():
        net.head.weight *= 20
    n = len(cfg.meta_cols)
    save(folder, net, Spec(cfg, Scaling((0.0,) * n, (1.0,) * n), size, scale, {}, {}))
    return folder / "checkpoint.json"


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return _checkpoint(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return _checkpoint(tmp_path_factory.mktemp("other"), seed=2, difference="core")


@pytest.fixture
def refused(capfd):
    def call(*words) -> str:
        assert run([str(word) for word in words]) == 2
        return " ".join(capfd.readouterr().err.split())

    return call


def _table(path):
    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


def test_stamps_are_scored_by_name(one, stamps, tmp_path):
    assert run(["score", str(one), str(stamps), "--out", str(tmp_path / "s.csv")]) == 0
    scores = read_scores(tmp_path / "s.csv")
    assert len(scores) == 144 and all(0 < s < 1 for s in scores.values())
    again = tmp_path / "s.parquet"
    score(again, load_judge(one.parent, CPU), stamps)
    found = _table(again)
    assert [scores[t] for t in found["task_id"]] == found["score"].tolist()
    assert set(found["kind"]) == {"lens", "host", "unlensed", "ring", "companion", "spiral"}


def test_cutouts_and_fits_are_scored_as_the_stamps_that_they_are(one, inputs, stamps, tmp_path):
    """A host alone is its own cutout; a stamp in FITS is the stamp."""
    judge = load_judge(one, CPU)
    score(tmp_path / "stamps.parquet", judge, stamps)
    score(tmp_path / "cutouts.parquet", judge, inputs / "cutouts")
    of_stamps, of_cutouts = (_table(tmp_path / f"{n}.parquet") for n in ("stamps", "cutouts"))
    known = dict(zip(of_cutouts["task_id"], of_cutouts["logit"], strict=True))
    hosts = of_stamps["kind"] == "host"
    want = [known[host] for host in of_stamps["host_id"][hosts]]
    assert_within(of_stamps["logit"][hosts], want, 1e-4, "hosts")
    tasks = tuple(of_stamps["task_id"][:3].tolist())
    export(tmp_path / "fits", stamps, None, Export(layout="fits", task_id=tasks))
    score(tmp_path / "fits.parquet", judge, tmp_path / "fits")
    of_fits = _table(tmp_path / "fits.parquet")
    known = dict(zip(of_stamps["task_id"], of_stamps["logit"], strict=True))
    assert sorted(of_fits["task_id"]) == sorted(tasks)
    want = [known[task] for task in of_fits["task_id"]]
    assert_within(of_fits["logit"], want, 1e-4, "FITS")


def _viewers_fits(path, image, **cards):
    """As the viewer's cutout service writes them: one HDU, no PSF."""
    header = fits.Header({"BANDS": "grz", "CRVAL1": 150.0, "CRVAL2": 2.0, "CTYPE1": "RA---TAN",
                          "CTYPE2": "DEC--TAN", "CD1_1": -0.262 / 3600, "CD2_2": 0.262 / 3600,
                          "CD1_2": 0.0, "CD2_1": 0.0, **cards})  # fmt: skip
    fits.PrimaryHDU(image, header).writeto(path)


def test_the_viewers_fits_are_scored_and_bad_pixels_named(one, stamps, tmp_path):
    task = read_first(stamps)
    image = images_of(stamps, [task])[task]
    wide = np.pad(image, ((0, 0), (6, 6), (6, 6)), mode="reflect")
    folder = tmp_path / "in"
    folder.mkdir()
    _viewers_fits(folder / "a.fits", wide)
    spoilt = wide.copy()
    spoilt[1, 30, 30] = np.nan
    _viewers_fits(folder / "b.fits", spoilt)
    score(tmp_path / "out.parquet", load_judge(one, CPU), folder)
    found = _table(tmp_path / "out.parquet")
    assert found["task_id"].tolist() == ["a", "b"] and found["ra_deg"].tolist() == [150.0] * 2
    assert np.isfinite(found["score"][0]) and np.isnan(found["score"][1])
    assert found["cause"].tolist() == ["", "pixels that are no number"]


def read_first(stamps) -> str:
    return _table(next(iter(sorted(stamps.glob("part-*.parquet")))))["task_id"][0]


def test_both_k_are_told_where_a_difference_is_shown(other, stamps, tmp_path):
    score(tmp_path / "s.parquet", load_judge(other, CPU), stamps)
    found = _table(tmp_path / "s.parquet")
    assert (found["k_core"] > 0).all() and (found["k_global"] > 0).all()
    assert not np.array_equal(found["k_core"], found["k_global"])


@pytest.mark.parametrize("method", ["mean", "rank", "learned"])
def test_an_ensemble_is_saved_and_asked(one, other, stamps, tmp_path, method):
    out = tmp_path / "ensemble.json"
    words = ["ensemble", one, other, "--stamps", stamps, "--out", out, "--method", method]
    assert run([str(word) for word in words]) == 0
    together = load_judge(out, CPU)
    assert isinstance(together, Together)
    score(tmp_path / "s.parquet", together, stamps)
    found = _table(tmp_path / "s.parquet")
    logits = np.stack([found["logit_0"], found["logit_1"]], axis=1)
    assert_within(found["logit"], together.put_together(logits), 1e-9, method)
    if method == "mean":
        assert_within(found["score"], score_of(logits).mean(1), 1e-9, "mean")
    if method == "rank":
        order = np.argsort(logits.sum(1))
        rise = np.corrcoef(np.arange(len(order)), found["score"][order])[0, 1]
        assert rise > 0.5 and found["score"].max() <= 1


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_calibrated_judge_is_saved_and_asked(one, stamps, tmp_path, method):
    out = tmp_path / "calibrated.json"
    words = ["calibrate", one, "--stamps", stamps, "--out", out, "--method", method]
    assert run([str(word) for word in words]) == 0
    score(tmp_path / "s.parquet", load_judge(out, CPU), stamps)
    found = _table(tmp_path / "s.parquet")
    order = np.argsort(found["logit_before"])
    assert (np.diff(found["logit"][order]) >= 0).all()  # ranks stay, or are tied
    val = found["split"] == "val"
    lens = found["kind"] == "lens"
    share = lens[val].mean()
    if method == "isotonic":
        assert abs(found["score"][val].mean() - share) < 0.02


def test_a_logit_is_a_score_and_back():
    logit = np.linspace(-20, 20, 41)
    assert_within(logit_of(score_of(logit)), logit, 1e-3, "logit")
    assert np.isfinite(logit_of(np.array([0.0, 1.0]))).all()


def test_what_a_judge_was_not_trained_on_is_refused(stamps, refused, tmp_path):
    out = tmp_path / "s.csv"
    larger = _checkpoint(tmp_path / "larger", size=64)
    assert "stamps of 48 pixels came; the finder was trained on 64" in refused(
        "score", larger, stamps, "--out", out
    )
    finer = _checkpoint(tmp_path / "finer", scale=0.2)
    assert "pixels of 0.262 arcsec came; the finder was trained on 0.2" in refused(
        "score", finer, stamps, "--out", out
    )
    told = _checkpoint(tmp_path / "told", meta_cols=("psfsize_r",))
    image = np.random.default_rng(1).normal(size=(3, 48, 48)).astype("f4")
    _viewers_fits(tmp_path / "x.fits", image)
    assert "the finder needs psf_fwhm_r_arcsec of every row" in refused(
        "score", told, tmp_path / "x.fits", "--out", out
    )
    _viewers_fits(tmp_path / "four.fits", np.zeros((4, 48, 48), "f4"))
    assert "holds no image of shape (3, y, x)" in refused(
        "score", told, tmp_path / "four.fits", "--out", out
    )
    _viewers_fits(tmp_path / "gri.fits", image, BANDS="gri")
    assert "holds bands gri; bands grz are needed" in refused(
        "score", told, tmp_path / "gri.fits", "--out", out
    )
    assert "scores are written as .parquet or .csv" in refused(
        "score", told, stamps, "--out", tmp_path / "s.txt"
    )
    assert "--device cuda:77 is not to be had" in refused(
        "score", told, stamps, "--out", out, "--device", "cuda:77"
    )
    assert not out.exists()


def test_a_checkpoint_that_was_altered_is_refused(one, stamps, refused, tmp_path):
    folder = tmp_path / "altered"
    path = _checkpoint(folder)
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"config": said["config"] | {"softening": 5.0}}))
    assert "its view is not the one that it was trained with" in refused(
        "score", path, stamps, "--out", tmp_path / "s.csv"
    )
    path.write_text(json.dumps(said | {"config": said["config"] | {"arch": "convnext_mini"}}))
    assert "weights of another network" in refused(
        "score", path, stamps, "--out", tmp_path / "s.csv"
    )
    path.write_text(json.dumps(said))
    weights = next(folder.glob("weights-*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-4] + b"1234")
    assert "is missing or altered" in refused("score", path, stamps, "--out", tmp_path / "s.csv")
    assert "is no checkpoint of `dhs train`" in refused(
        "score", stamps / "run.json", stamps, "--out", tmp_path / "s.csv"
    )


def test_an_ensemble_knows_its_members_by_their_bytes(one, other, stamps, refused, tmp_path):
    mine = _checkpoint(tmp_path / "mine", seed=3)
    out = tmp_path / "ensemble.json"
    assert run([str(w) for w in ("ensemble", one, mine, "--stamps", stamps, "--out", out)]) == 0
    _checkpoint(tmp_path / "mine", seed=4)
    said = refused("score", out, stamps, "--out", tmp_path / "s.csv")
    assert "not the one that" in said
    assert "needs at least two members, got 1" in refused(
        "ensemble", one, "--stamps", stamps, "--out", out
    )
