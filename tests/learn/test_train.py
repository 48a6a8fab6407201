"""Training: one recipe that can be killed, watched and taken up again."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from darkhaloscope.cli import run
from darkhaloscope.config import Train
from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import read_json
from darkhaloscope.learn.checkpoint import load
from darkhaloscope.learn.judge import load_judge
from darkhaloscope.learn.meta import balanced
from darkhaloscope.learn.ranks import Ranks
from darkhaloscope.learn.source import Stream
from darkhaloscope.learn.stored import in_order
from darkhaloscope.learn.train import Training, sets_of, train, train_on

CFG = Train(
    arch="resnet_mini",
    epochs=4,
    batch_size=24,
    lr=1e-3,
    min_theta_over_psf=0,
    shuffle_rows=40,
    early_stopping_patience=0,
)


def cfg(**settings) -> Train:
    return CFG.model_copy(update=settings)


@pytest.fixture(scope="module")
def whole(stamps, tmp_path_factory):
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    train_on(out, stamps, CFG, Ranks(), workers=0)
    return out


def _weights(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / "state.pt", weights_only=True)["tensors"]


def _same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


class Killed(Exception):
    """In place of a signal."""


@pytest.mark.parametrize(("step", "workers"), [(1, 0), (6, 1), (11, 2)])
def test_stopped_at_any_step_it_ends_as_if_it_had_not_been(
    whole, stamps, tmp_path, monkeypatch, step, workers
):
    taken = Training.step

    def until(self, rows):
        if self.state.step == step:
            raise Killed
        return taken(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", until)
        with pytest.raises(Killed):
            train_on(tmp_path, stamps, cfg(save_every_s=1e-9), Ranks(), workers)
    train_on(tmp_path, stamps, CFG, Ranks(), workers)
    assert _same(_weights(whole), _weights(tmp_path))
    ours, theirs = (read_json(out / "checkpoint.json") for out in (whole, tmp_path))
    assert ours["weights_sha256"] == theirs["weights_sha256"]
    assert _curves(whole) == _curves(tmp_path)


def _curves(out: Path) -> list[dict[str, str]]:
    with (out / "curves.csv").open() as stream:
        return [
            {k: v for k, v in row.items() if k != "rows_per_s"} for row in csv.DictReader(stream)
        ]


@pytest.mark.timeout(300)
def test_killed_by_the_system_it_goes_on(whole, stamps, tmp_path):
    """SIGKILL at whatever moment, of the command itself."""
    words = [f"--{name.replace('_', '-')}={getattr(CFG, name)}" for name in (
        "arch", "epochs", "batch_size", "lr", "min_theta_over_psf", "shuffle_rows",
        "early_stopping_patience")]  # fmt: skip
    command = [sys.executable, "-m", "darkhaloscope.cli", "train", str(stamps), "--out",
               str(tmp_path), *words, "--device=cpu", "--save-every-s=1e-9"]  # fmt: skip
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (tmp_path / "state.pt").exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "curves.csv").exists() or len(_curves(tmp_path)) < CFG.epochs
    train_on(tmp_path, stamps, CFG, Ranks(), 1)
    assert _same(_weights(whole), _weights(tmp_path))


def test_what_a_run_leaves(whole):
    said = read_json(whole / "checkpoint.json")
    assert said["config"]["arch"] == "resnet_mini" and said["view"]["norm_method"] == "outer"
    assert said["made_from"]["stamps"] and said["validation"]["aucs"]["host"]["n"] == 4
    rows = _curves(whole)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    events = EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("train/loss")) == 4
    net, spec = load(whole)
    assert spec.cfg == CFG and not net.training
    names = load_file(whole / said["weights"]).keys()
    assert names == net.state_dict().keys()


def test_it_learns_what_it_is_shown(stamps, tmp_path):
    """A net that is shown some rows again and again knows them: the loop goes down the gradient."""
    small = cfg(epochs=12, lr=5e-3, augment=False, loss="bce", ema_decay=0.9)
    train_on(tmp_path, stamps, small, Ranks(), 1)
    first, *_, last = [float(row["train_loss"]) for row in _curves(tmp_path)]
    assert last < 0.5 * first


def test_it_stops_when_validation_no_longer_rises(stamps, tmp_path):
    idle = cfg(epochs=30, lr=1e-9, early_stopping_patience=2)
    train_on(tmp_path, stamps, idle, Ranks(), 0)
    assert len(_curves(tmp_path)) <= 6
    said = train_on(
        tmp_path, stamps, cfg(epochs=30, lr=1e-9, early_stopping_patience=2), Ranks(), 0
    )
    assert said is not None and len(_curves(tmp_path)) <= 6  # it is done, and says so again


def test_another_configuration_never_goes_on_in_its_place(whole, stamps):
    with pytest.raises(DhsError, match="holds the parts of another run: config differ"):
        train_on(whole, stamps, cfg(lr=1e-4), Ranks(), 0)


class Spoilt:
    """A source of which one row has gone bad."""

    def __init__(self, source, step):
        self.source, self.at = source, step * CFG.batch_size

    def window(self, number):
        rows = self.source.window(number)
        start = number * 40
        if start <= self.at < start + len(rows):
            images = rows.images.copy()
            images[self.at - start] = np.nan
            return type(rows)(rows.columns, images)
        return rows

    def finished(self, rows):
        return rows

    def executor(self, workers):
        return self.source.executor(workers)


def test_numbers_that_overflow_stop_it_and_name_the_rows(stamps, tmp_path):
    from darkhaloscope.learn.stored import Stored

    sets = sets_of(stamps, CFG)
    source = Stored(sets.train, CFG.seed, 40)
    bad = next(Stream(source, CFG.batch_size, workers=0).batches())[0]
    with pytest.raises(DhsError) as stopped:
        train(tmp_path, sets, Spoilt(source, 2), cfg(save_every_s=1e-9), Ranks(), 0)
    said = str(stopped.value)
    assert "not finite at step 2; the state of step 2 and the best checkpoint are kept" in said
    assert "1 of 24 rows of the batch are to blame: syn1" in said
    assert bad.columns["task_id"][0] not in said
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["state"]["step"] == 2
    net = state["tensors"]["net"].values()
    assert all(bool(torch.isfinite(v).all()) for v in net if v.is_floating_point())
    train(tmp_path, sets, source, CFG, Ranks(), 0)  # and it goes on once the row is mended


def test_a_batch_larger_than_the_set_is_refused(stamps, tmp_path):
    with pytest.raises(DhsError, match="split train holds 102 rows, fewer than one batch of 256"):
        train_on(tmp_path / "run", stamps, cfg(batch_size=256), Ranks(), 0)
    assert not (tmp_path / "run").exists()


def test_fly_needs_what_the_set_was_made_from(stamps, inputs, tmp_path):
    with pytest.raises(DhsError, match="--source fly needs --cutouts and --bank"):
        train_on(tmp_path, stamps, cfg(source="fly"), Ranks(), 0)
    with pytest.raises(DhsError, match="are for --source fly"):
        train_on(tmp_path, stamps, CFG, Ranks(), 0, inputs / "cutouts", inputs / "bank.h5")


def test_fly_trains_and_is_resumed(stamps, inputs, tmp_path):
    places = inputs / "cutouts", inputs / "bank.h5"
    some = cfg(source="fly", epochs=1)
    train_on(tmp_path / "one", stamps, some, Ranks(), 0, *places)
    train_on(tmp_path / "two", stamps, some, Ranks(), 1, *places)
    assert _same(_weights(tmp_path / "one"), _weights(tmp_path / "two"))


def test_meta_columns_that_tell_the_label_are_refused(stamps):
    sets = sets_of(stamps, cfg(meta_cols=("psfsize_r", "psfdepth_r")))
    assert len(sets.scaling.mean) == 2
    n = 60
    columns = {
        "kind": np.repeat(["lens", "host"], n).astype(object),
        "pair_id": np.tile(np.arange(n), 2).astype(str).astype(object),
        "host_id": np.tile(np.arange(n), 2).astype(str).astype(object),
        "psf_fwhm_r_arcsec": np.r_[np.linspace(1, 1.2, n), np.linspace(1.1, 1.5, n)],
    }
    with pytest.raises(DhsError, match="psfsize_r tell lenses from host controls"):
        balanced(columns, ("psfsize_r",))
    columns["psf_fwhm_r_arcsec"][3] = np.nan
    with pytest.raises(DhsError, match="psfsize_r are not known for every training row"):
        balanced(columns, ("psfsize_r",))


def test_the_plans_own_command_line(stamps, tmp_path):
    words = """--arch resnet_mini --epochs 1 --batch_size 24 --lr 3e-4 --use_bf16 --augment
        --loss focal --focal_alpha 0.25 --focal_gamma 2.0 --min_theta_over_psf 0
        --norm_method outer --meta_cols psfsize_r,psfdepth_r --early_stopping_patience 5
        --device cpu"""
    assert run(["train", str(stamps), "--out", str(tmp_path), *words.split()]) == 0
    spec = load(tmp_path)[1]
    assert spec.cfg.use_bf16 and spec.cfg.meta_cols == ("psfsize_r", "psfdepth_r")
    judge = load_judge(tmp_path, torch.device("cpu"))
    every = list(in_order(sets_of(stamps, spec.cfg).val, 24))
    logit = np.concatenate([judge.ask(rows).logit for rows in every])
    assert len(np.unique(logit)) == len(logit) == 24  # the last layer is not rounded to bfloat16


@pytest.mark.timeout(300)
def test_two_processes_train_together(stamps, tmp_path):
    """torchrun, gloo: gradients are averaged, rows shared, one checkpoint written."""
    words = ["--epochs=1", "--batch-size=24", "--min-theta-over-psf=0", "--shuffle-rows=40"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone",
               "-m", "darkhaloscope.cli", "train", str(stamps), "--out", str(tmp_path),
               "--arch=resnet_mini", "--device=cpu", "--workers=0", *words]  # fmt: skip
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(_curves(tmp_path)) == 1
    net, _ = load(tmp_path)
    assert all(bool(torch.isfinite(p).all()) for p in net.parameters())
    state = torch.load(tmp_path / "state.pt", weights_only=True)["state"]
    assert len(state["places"]) == 2


def test_validation_is_on_rows_as_they_are(whole, stamps):
    """No augmentation, all rows: the same twice, and of the split val."""
    sets = sets_of(stamps, CFG)
    assert sum(len(rows) for rows in in_order(sets.val, 7)) == len(sets.val) == 24
    again = Training(whole, sets, Stream, CFG, Ranks(), 0)  # type: ignore[arg-type]
    assert again.judged() == again.judged()
