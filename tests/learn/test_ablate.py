"""A study end to end in miniature: a planted difference found, a null study unresolved, resumed."""

import json

import pytest

from darkhaloscope.cli import run
from darkhaloscope.config import BankSersic, CutoutsSynthetic, read_study
from darkhaloscope.errors import DhsError
from darkhaloscope.jobs.banks import bank_sersic
from darkhaloscope.jobs.synthetic import cutouts_synthetic
from darkhaloscope.learn.ablate import flags_of

STUDY = """
cutouts = "cutouts"
bank = "bank.h5"
seeds = [1, 2, 3]
fpr = [0.1, 0.001]
resamples = 200

[plan]
theta_E_min_arcsec = 1.2
min_arc_snr = 45.0
arc_mag_r_max = 21.5
pairs_per_host = 2
ring_fraction = 0.0
companion_fraction = 0.0
spiral_fraction = 0.0
unlensed_fraction = 0.0
host_weighting = "equal"

[train]
arch = "resnet_mini"
batch_size = 16
lr = 2e-3
epochs = 2
min_theta_over_psf = 0.0
early_stopping_patience = 0

[conditions.base]

[conditions.blind]
train = { lr = 1e-9 }

[conditions.twin]
seeds = [11, 12, 13]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    sky = CutoutsSynthetic(n_hosts=120, size_pix=40, split_fractions=(0.4, 0.3, 0.3))
    cutouts_synthetic(folder / "cutouts", sky, 1)
    bank_sersic(folder / "bank.h5", BankSersic(n_sources=12))
    (folder / "study.toml").write_text(STUDY)
    return folder


def test_a_study_runs_from_sets_to_verdict_and_goes_on_where_it_stopped(place, capfd):
    out = place / "out"
    words = ["ablate", str(place / "study.toml"), "--out", str(out), "--device", "cpu"]
    assert run([*words, "--share", "1/9"]) == 0  # one of nine trainings
    scores = out / "scores" / "base" / "seed-1" / "stamps.parquet"
    before = scores.stat().st_mtime_ns
    assert run([*words, "--share", "2/9"]) == 0
    assert not (out / "ablation.json").exists()
    assert run(words) == 0
    assert scores.stat().st_mtime_ns == before, "what is done is not done again"
    assert len(list((out / "sets").iterdir())) == 1, (
        "conditions that differ in training share a set"
    )
    found = json.loads((out / "ablation.json").read_text())
    assert [line["condition"] for line in found["lines"]] == ["base", "blind", "twin", "ensemble"]
    assert found["verdict"].startswith("Blind finds fewer injected lenses at false-positive rate")
    assert "twin" not in found["verdict"]
    assert found["verdict"] in (out / "ablation.html").read_text()
    said = " ".join(capfd.readouterr().err.split())
    assert "this share is done" in said and "| injected | 0.1 | twin |" in said
    again = STUDY.replace("epochs = 2", "epochs = 4")
    (place / "other.toml").write_text(again)
    assert run(["ablate", str(place / "other.toml"), "--out", str(out)]) == 2


def test_flags_are_the_settings(tmp_path, capfd):
    from darkhaloscope.config import Train

    cfg = Train(bands=("g", "z"), augment=False, use_bf16=True, lr=1e-3, meta_cols=("ebv",))
    assert list(flags_of(cfg)) == [
        *("--bands", "g", "--bands", "z", "--meta-cols", "ebv"),
        *("--lr", "0.001", "--use-bf16", "--no-augment"),
    ]
    words = ["train", str(tmp_path / "none"), "--out", str(tmp_path / "out"), *flags_of(cfg)]
    assert run(words) == 2  # the command line takes them: it is the set that it misses
    assert "none holds no finished stamp set" in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("seeds = [1, 2, 3]\nfpr", "seeds = [1, 2]\nfpr", "three or more different seeds"),
        ("lr = 1e-9", "lrr = 1e-9", "conditions.blind, train: unknown key 'lrr'"),
        ("lr = 1e-9", "seed = 4", "comes from seeds"),
        ("[conditions.twin]", "[conditions.ensemble]", "not 'ensemble'"),
        ("fpr = [0.1, 0.001]", "fpr = [2.0]", "fpr must be values between 0 and 1"),
        ('bank = "bank.h5"', 'banks = "bank.h5"', "unknown key 'banks'"),
    ],
)
def test_a_study_that_cannot_be_run_is_refused_before_any_work(tmp_path, was, now, said):
    (tmp_path / "study.toml").write_text(STUDY.replace(was, now))
    with pytest.raises(DhsError, match=said):
        read_study(tmp_path / "study.toml")


def test_a_wrong_share_is_refused(place, capfd):
    words = ["ablate", str(place / "study.toml"), "--out", str(place / "x"), "--share", "5/4"]
    assert run(words) == 2
    assert "--share must be such as 1/4, got 5/4" in " ".join(capfd.readouterr().err.split())
