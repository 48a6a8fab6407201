"""Validation reads the files back: planted faults in them fire their gates and the exit code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darkhaloscope.cli import run
from darkhaloscope.config import Plan
from darkhaloscope.io.files import read_json, write_json
from darkhaloscope.io.parts import RECORD, digest_of_parts
from darkhaloscope.jobs.looks import look_at
from darkhaloscope.jobs.plan import plan
from flow import make_stamps, no_report
from memory import peaks_mib

FEW = ["--sheet-pairs", "1", "--lenstronomy-rows", "2"]
"""One pair a sheet will do where a report is drawn."""

HERE = ["--processes", "1"]
"""Processes of their own import all anew; two are for the tests that are about them."""


@pytest.fixture
def copy(stamps, tmp_path):
    return shutil.copytree(stamps, tmp_path / "stamps")


@pytest.fixture(scope="module")
def healthy(stamps, inputs, tmp_path_factory):
    """A healthy set that was judged, with its report."""
    folder = shutil.copytree(stamps, tmp_path_factory.mktemp("healthy") / "stamps")
    assert run(_words(folder, inputs)) == 0
    return folder


def _words(stamps, inputs, *more) -> list[str]:
    words = ["validate", stamps, "--bank", inputs / "bank.h5", "--replay-rows", "20", *more]
    return [*map(str, words), *FEW, *HERE]


def _findings(folder) -> dict[str, dict]:
    return {f["gate"]: f for f in read_json(folder / "findings.json")["findings"]}


def _judge(stamps, inputs, capfd) -> tuple[int, dict[str, str]]:
    """Exit code and levels."""
    with no_report():
        code = run(_words(stamps, inputs))
    capfd.readouterr()
    return code, {gate: f["level"] for gate, f in _findings(stamps).items()}


def _rewrite(stamps, change, seal=True) -> None:
    """Alter every part with `change(columns)`; sealed, the run record agrees with the fault."""
    for path in sorted(stamps.glob("part-*.parquet")):
        table = pq.read_table(path)
        columns = {n: table[n].to_numpy(zero_copy_only=False).copy() for n in table.column_names}
        change(columns)
        arrays = [pa.array(columns[f.name], f.type) for f in table.schema]
        pq.write_table(pa.Table.from_arrays(arrays, schema=table.schema), path)
    if seal:
        record = read_json(stamps / RECORD)
        write_json(stamps / RECORD, record | {"digest": digest_of_parts(stamps)})


def _failing(levels) -> set[str]:
    return {gate for gate, level in levels.items() if level == "fail"}


def test_a_healthy_set_passes_and_replays_exactly(healthy):
    findings = _findings(healthy)
    assert findings["physics.replay"]["level"] == "pass"
    assert not _failing({gate: f["level"] for gate, f in findings.items()})
    assert findings["physics.replay"]["measured"].startswith("largest difference 0 nmgy over 20")
    page = (healthy / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 10
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_report_is_the_same_twice(healthy, inputs, tmp_path):
    first = (healthy / "report.html").read_bytes()
    assert run(_words(healthy, inputs, "--out", tmp_path)) == 0
    assert (tmp_path / "report.html").read_bytes() == first


def test_without_the_bank_replay_is_skipped_and_says_so(copy):
    with no_report():
        assert run(["validate", str(copy), *HERE]) == 0
    findings = _findings(copy)
    assert findings["physics.replay"]["level"] == "skip"
    assert "Give --bank" in findings["physics.replay"]["advice"]


def _theta_E_not_used(c):
    c["theta_E_arcsec"] *= 1.05


def _psf_of_one_band_not_applied(c):
    c["psf_fwhm_z_arcsec"] *= 0.8


def _noise_added_again(c):
    rng = np.random.default_rng(1)
    for i in np.flatnonzero(c["kind"] == "lens"):
        image = np.frombuffer(c["image"][i], "<f4")
        c["image"][i] = (image + rng.normal(0, 0.004, image.size)).astype("<f4").tobytes()


def _stale_template(c):
    c["template_index"][:] = c["template_index"][0]


@pytest.mark.parametrize(
    "change",
    [_theta_E_not_used, _psf_of_one_band_not_applied, _noise_added_again, _stale_template],
)
def test_columns_that_do_not_make_the_pixels_fail_replay(copy, inputs, capfd, change):
    _rewrite(copy, change)
    code, levels = _judge(copy, inputs, capfd)
    assert code == 1
    assert levels["physics.replay"] == "fail"
    assert not {g for g in _failing(levels) if g.startswith("integrity.")}


def _zeroed(c):
    c["image"][:] = bytes(len(c["image"][0]))


def _swapped_bands(c):
    for i in np.flatnonzero(c["kind"] == "lens"):
        n = c["size_pix"][i]
        image = np.frombuffer(c["image"][i], "<f4").reshape(3, n, n)
        c["image"][i] = np.ascontiguousarray(image[::-1]).tobytes()


def _nan(c):
    image = np.frombuffer(c["image"][0], "<f4").copy()
    image[5] = np.nan
    c["image"][0] = image.tobytes()


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        (_zeroed, "integrity.empty_stamps"),
        (_swapped_bands, "realism.sky_noise"),
        (_nan, "integrity.finite_pixels"),
    ],
)
def test_faults_in_the_pixels_are_seen(copy, inputs, capfd, change, gate):
    _rewrite(copy, change)
    code, levels = _judge(copy, inputs, capfd)
    assert code == 1
    assert levels[gate] == "fail"


def test_a_changed_file_fails_the_digest(copy, inputs, capfd):
    _rewrite(copy, lambda c: None, seal=False)
    part = copy / "part-00000.parquet"
    pq.write_table(pq.read_table(part), part, compression="gzip")
    code, levels = _judge(copy, inputs, capfd)
    assert (code, levels["integrity.digest"]) == (1, "fail")


def test_a_lost_part_fails_the_counts(copy, inputs, capfd):
    (copy / "part-00002.parquet").unlink()
    code, levels = _judge(copy, inputs, capfd)
    assert code == 1
    assert {"integrity.digest", "integrity.counts"} <= _failing(levels)


def test_failures_of_one_kind_only_are_seen(copy, inputs, capfd):
    """Seeing-selected positives: lens rows were dropped, their controls stayed."""
    record = read_json(copy / RECORD)
    record["planned"]["lens"] += 12
    write_json(copy / RECORD, record)
    folder = copy / "quarantine"
    folder.mkdir()
    table = pq.read_table(copy / "part-00000.parquet")
    lens = table.filter(pa.compute.equal(table["kind"], "lens"))
    bad = pa.concat_tables([lens] * 3).slice(0, 12).drop_columns(["image"])
    pq.write_table(bad, folder / "part-00000.parquet")
    code, levels = _judge(copy, inputs, capfd)
    assert code == 1
    assert _failing(levels) == {"balance.failures"}


def test_findings_are_json_with_all_that_a_script_needs(healthy):
    for finding in json.loads((healthy / "findings.json").read_text())["findings"]:
        said = {"gate", "level", "measured", "limit", "n", "about", "advice", "number"}
        assert said == set(finding)
        if finding["gate"].startswith("probe.") and finding["level"] != "skip":
            number = finding["number"]
            assert number["low"] <= number["value"] <= number["high"] and number["n"] == 24


def test_the_verdict_does_not_depend_on_the_machines_cores(copy, inputs):
    """The last bits of a render depend on the number of threads; replay compares to the bit.

    The set was made by one thread, and all other tests judge with one.
    """
    words = ["validate", copy, "--bank", inputs / "bank.h5", "--replay-rows", "40", *FEW]
    done = subprocess.run(
        [sys.executable, "-m", "darkhaloscope.cli", *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _scored(stamps, path, change=lambda scores: scores):
    tasks = [
        t for p in sorted(stamps.glob("part-*")) for t in pq.read_table(p)["task_id"].to_pylist()
    ]
    scores = {task: 0.9 if task.endswith("-lens") else 0.1 for task in tasks}
    rows = change(list(scores.items()))
    path.write_text("task_id,score\n" + "".join(f"{task},{score}\n" for task, score in rows))
    return path


def test_completeness_is_that_of_a_model_where_its_scores_are_given(copy, tmp_path, capfd):
    scores = _scored(copy, tmp_path / "scores.csv")
    assert run(["validate", str(copy), "--scores", str(scores), *FEW, *HERE]) == 0
    found = read_json(copy / "findings.json")["completeness"]
    assert found["recovered"] == "score >= 0.5, of 24 lenses with a score"
    cells = [cell for cell in found["arc S/N"] if cell["n"]]
    assert sum(cell["n"] for cell in cells) == 24
    assert all(cell["share"]["value"] == 1 for cell in cells)
    assert "Completeness by depth" in (copy / "report.html").read_text()
    capfd.readouterr()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [*rows, rows[0]], "twice"),
        (lambda rows: [(task, "nan") for task, _ in rows], "no number"),
        (lambda rows: [(task, "high") for task, _ in rows], "must be numbers"),
        (lambda rows: [("other-00-lens", 0.5)], "of another set"),
    ],
)
def test_scores_that_cannot_be_used_are_refused(copy, tmp_path, capfd, change, words):
    scores = _scored(copy, tmp_path / "scores.csv", change)
    assert run(["validate", str(copy), "--scores", str(scores), *FEW, *HERE]) == 2
    assert words in " ".join(capfd.readouterr().err.split())


def test_scores_without_their_columns_are_refused(copy, tmp_path, capfd):
    (tmp_path / "scores.csv").write_text("name,p\na,0.5\n")
    assert run(["validate", str(copy), "--scores", str(tmp_path / "scores.csv")]) == 2
    assert "lacks the columns task_id, score; it has name, p" in " ".join(
        capfd.readouterr().err.split()
    )
    assert not (copy / "findings.json").exists()


def test_a_set_seen_by_two_processes_is_judged_the_same(copy, inputs, capfd):
    for processes in "12":
        words = ["validate", str(copy), "--out", str(copy.parent / processes)]
        with no_report():
            assert run([*words, "--processes", processes]) == 0
    capfd.readouterr()
    one, two = ((copy.parent / n / "findings.json").read_bytes() for n in "12")
    assert one == two


def test_the_page_counts_the_set_and_not_the_sample(copy, capfd):
    record = read_json(copy / RECORD)
    record["usable"]["lens"] = 60  # as if the set were larger: two pairs in three are looked at
    write_json(copy / RECORD, record)
    assert run(["validate", str(copy), "--sample-pairs", "40", *FEW, *HERE]) == 0
    capfd.readouterr()
    page = " ".join((copy / "report.html").read_text().split())
    assert "<dt>stamps</dt><dd>144</dd>" in page and "<dt>unique hosts</dt><dd>24</dd>" in page
    assert "<dt>lenses looked at</dt><dd>24</dd>" not in page


def test_a_sample_of_pairs_is_whole_pairs_and_counts_stay_exact(copy):
    whole, some = look_at(copy), look_at(copy, 0.4)
    assert some.tally.kinds == whole.tally.kinds and len(some.tally.tasks) == 144
    pairs = np.unique(some.sample["pair_id"].astype(str))
    assert 0 < len(pairs) < 24
    assert len(some.sample["pair_id"]) == 6 * len(pairs)


def _seen(folder: Path, share: float) -> None:
    look_at(folder, share)


def test_memory_does_not_grow_with_the_set(stamps, tmp_path):
    """Twenty times the rows, the same sample."""
    calls = []
    for copies in (1, 20):
        folder = tmp_path / str(copies)
        folder.mkdir()
        for n in range(copies):
            for i, part in enumerate(sorted(stamps.glob("part-*.parquet"))):
                (folder / f"part-{5 * n + i:05d}.parquet").symlink_to(part)
        calls.append((folder, 0.5 / copies))
    one, twenty = peaks_mib(_seen, *calls)
    assert twenty < one + 40


def test_lenses_alone_are_judged_as_far_as_they_can_be(inputs, tmp_path, capfd):
    alone = {
        f"{kind}_fraction": 0.0 for kind in ("host", "unlensed", "ring", "companion", "spiral")
    }
    for name in ("cutouts", "bank.h5"):
        (tmp_path / name).symlink_to(inputs / name)
    plan(tmp_path / "plan", inputs / "cutouts", inputs / "bank.h5", Plan(**alone))
    make_stamps(tmp_path, tmp_path / "stamps")
    code, levels = _judge(tmp_path / "stamps", inputs, capfd)
    assert code == 0, levels
    for gate in ("physics.replay", "realism.sky_noise", "balance.hosts", "physics.added_flux"):
        assert levels[gate] == "skip", gate


def test_pairs_on_few_hosts_tell_nothing(inputs, tmp_path, capfd):
    for name in ("cutouts", "bank.h5"):
        (tmp_path / name).symlink_to(inputs / name)
    few = Plan(tier="debug", tier_hosts=2, pairs_per_host=30)
    plan(tmp_path / "plan", inputs / "cutouts", inputs / "bank.h5", few)
    make_stamps(tmp_path, tmp_path / "stamps")
    _, levels = _judge(tmp_path / "stamps", inputs, capfd)
    probes = {level for gate, level in levels.items() if gate.startswith("probe.")}
    assert probes == {"skip"}
    assert levels["realism.noise_correlation"] == "pass"
