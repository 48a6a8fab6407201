"""Lenses made on the fly: the stored set's own draws, then new ones of the same distribution."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from darkhaloscope.config import Train, Validate
from darkhaloscope.errors import DhsError
from darkhaloscope.jobs.validate import validate
from darkhaloscope.learn.dump import dump
from darkhaloscope.learn.fly import OnTheFly
from darkhaloscope.learn.ranks import Ranks
from darkhaloscope.learn.source import Stream
from darkhaloscope.learn.stored import in_order, index_of
from flow import no_report
from tolerance import assert_ratio, assert_within

CFG = Train(shuffle_rows=40, min_theta_over_psf=0)


@pytest.fixture(scope="module")
def fly(inputs, stamps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fly") / "resident"
    return _fly(folder, inputs, stamps)


def _fly(folder, inputs, stamps, cfg=CFG, bank="bank.h5"):
    return OnTheFly.of(folder, stamps, inputs / "cutouts", inputs / bank, 48, cfg, Ranks())


def test_the_first_pass_is_the_stored_set_to_the_bit(fly, stamps):
    made = {}
    for number in range(fly.windows_per_pass):
        rows = fly.window(number)
        made |= dict(zip(rows.columns["task_id"], rows.images, strict=True))
    stored = list(in_order(index_of(stamps, "train"), 100))
    assert len(made) == sum(map(len, stored)) and fly.windows_per_pass > 1
    for rows in stored:
        for task, image in zip(rows.columns["task_id"], rows.images, strict=True):
            assert np.array_equal(made[task], image), task


def test_later_passes_are_new_pairs_on_the_same_hosts(fly):
    n = fly.windows_per_pass
    passes = [[fly.window(w) for w in range(p * n, (p + 1) * n)] for p in range(3)]
    pairs = [{t for rows in some for t in rows.columns["pair_id"]} for some in passes]
    hosts = [{t for rows in some for t in rows.columns["host_id"]} for some in passes]
    assert not (pairs[0] & pairs[1] or pairs[1] & pairs[2] or pairs[0] & pairs[2])
    assert hosts[0] == hosts[1] == hosts[2]


def test_a_window_is_the_same_in_another_process_and_no_thread_is_lost(fly):
    with fly.executor(1) as pool:
        there = pool.submit(fly.window, 5).result()
    here = fly.window(5)
    assert there.columns["task_id"].tolist() == here.columns["task_id"].tolist()
    assert np.array_equal(there.images, here.images)
    rows, _ = next(Stream(fly, 30, workers=0).batches())
    assert rows.images.shape == (30, 3, 48, 48)


def test_small_lenses_are_left_out_with_their_controls(fly, inputs, stamps):
    every = fly.window(7)
    ratio = every.columns["theta_E_arcsec"] / every.columns["psf_fwhm_r_arcsec"]
    least = float(np.median(ratio))
    cfg = CFG.model_copy(update={"min_theta_over_psf": least})
    some = _fly(fly.folder, inputs, stamps, cfg).window(7)
    assert 0 < len(some) == (ratio >= least).sum() < len(every)
    assert len(some) % 6 == 0  # pairs of six kinds, whole


def test_what_was_made_passes_the_gates_of_its_own_set(fly, inputs, tmp_path):
    dump(tmp_path, fly, range(fly.windows_per_pass, 3 * fly.windows_per_pass))
    cfg = Validate(sheet_pairs=1, replay_rows=4, lenstronomy_rows=1)
    with no_report():
        assert validate(tmp_path, tmp_path / "report", inputs / "bank.h5", cfg)


def test_other_inputs_than_the_sets_are_refused(inputs, stamps, tmp_path):
    other = tmp_path / "bank.h5"
    other.write_bytes((inputs / "bank.h5").read_bytes()[:-8] + b"12345678")
    with pytest.raises(DhsError, match="bank has another digest"):
        OnTheFly.of(tmp_path / "r", stamps, inputs / "cutouts", other, 48, CFG, Ranks())
    assert not (tmp_path / "r").exists()


def test_light_made_on_a_device_is_the_same_but_for_its_photons(fly):
    """The road that a GPU takes, on the processor: draws, light and hosts as elsewhere."""
    dark = fly.inject.model_copy(update={"photon_noise": False})
    here, there = replace(fly, inject=dark), replace(fly, inject=dark, device="cpu:0")
    want, got = here.window(8), there.finished(there.window(8))
    assert got.columns["task_id"].tolist() == want.columns["task_id"].tolist()
    assert_within(got.images, want.images, 1e-5, "nmgy")
    noisy = replace(fly, device="cpu:0")
    got = noisy.finished(noisy.window(8))
    again = noisy.finished(noisy.window(8))
    assert torch.equal(got.images, again.images)
    lit = got.columns["kind"] != "host"
    noise = np.asarray(got.images) - want.images
    assert not noise[~lit].any() and abs(noise[lit].mean()) < 1e-5
    theirs = fly.window(8).images - want.images
    assert_ratio(noise[lit].std((0, 2, 3)), theirs[lit].std((0, 2, 3)), 0.1, "photon noise")
