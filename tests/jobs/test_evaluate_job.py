"""`dhs evaluate`: tables in, one page and one JSON out; what cannot be judged is said."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from darkhaloscope.cli import run
from darkhaloscope.errors import DhsError
from darkhaloscope.io.scores import SOURCE_KEY, read_scored
from darkhaloscope.io.tables import read_table
from darkhaloscope.schema import STAMPS
from evaluate.scored import EVERY, columns

FLAGS = ("--resamples", "100", "--sheet-rows", "4")


def _write(path, rows, source=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(dict(rows))
    pq.write_table(table.replace_schema_metadata({SOURCE_KEY: str(source)}), path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    rows = columns(np.random.default_rng(1), EVERY)
    _write(folder / "one" / "all.parquet", rows)
    worse = {**rows, "logit": rows["logit"] - 1.2 * (rows["kind"] == "lens")}
    _write(folder / "other" / "all.parquet", worse)
    return folder


def _evaluated(out, *words):
    code = run(["evaluate", *map(str, words), "--out", str(out), *FLAGS])
    found = json.loads((out / "evaluation.json").read_text())["findings"]
    return code, {f["gate"]: f for f in found}, (out / "evaluation.html").read_text()


def test_a_finder_is_judged_and_set_against_another(made, tmp_path):
    code, found, html = _evaluated(tmp_path, made / "one", "--against", made / "other")
    assert code == 1  # rings pass for lenses more often than the plan allows
    assert found["recall.anchors.at_fpr_0.001"]["number"]["n"] == 68
    assert found["against.injected.at_fpr_0.01"]["measured"].startswith("difference shown")
    assert "of real lenses, 0." in html and "Recall against false positives" in html


def test_pictures_are_of_the_stamps_that_were_scored(stamps, made, tmp_path):
    names = ["task_id", "host_id", "kind", "theta_E_arcsec", "arc_snr", "psf_fwhm_r_arcsec"]
    names += ["psf_depth_r_mag", "source_mag_r"]
    parts = [read_table(p, STAMPS, names) for p in sorted(stamps.glob("part-*.parquet"))]
    rows = {n: np.array(pa.concat_tables(parts)[n].to_pylist()) for n in names}
    n, lens = len(rows["kind"]), rows["kind"] == "lens"
    rows |= {"split": np.full(n, "test"), "place": np.full(n, "stamps")}
    rows["logit"] = np.where(lens, 1.0, -1.0) * np.linspace(-0.5, 3, n)
    rows["score"] = 1 / (1 + np.exp(-rows["logit"]))
    _, found, html = _evaluated(tmp_path, _write(tmp_path / "in.parquet", rows, stamps))
    for title in ("Injected lenses found", "Injected lenses missed", "Completeness by arc S/N"):
        assert f">{title}</h3>" in html
    assert found["recall.anchors"]["measured"] == "none scored"
    said = json.loads((tmp_path / "evaluation.json").read_text())["completeness"]
    cells = said["depth, r"]  # a lens beyond the axis is in none
    assert lens.sum() / 2 < sum(cell["n"] for cell in cells) <= lens.sum()


def test_csv_of_another_program_is_taken_as_well(made, tmp_path):
    table = pq.read_table(made / "one" / "all.parquet")
    plain = table.select(["task_id", "host_id", "kind", "split", "place", "score"])
    pacsv.write_csv(plain, tmp_path / "s.csv")
    _, found, _ = _evaluated(tmp_path / "out", tmp_path / "s.csv")
    assert found["recall.anchors.at_fpr_0.01"]["number"]["n"] == 68


def _refused(capfd, *words) -> str:
    assert run(["evaluate", *map(str, words)]) == 2
    return " ".join(capfd.readouterr().err.split())


def test_what_cannot_be_judged_is_said_at_once(made, tmp_path, capfd):
    one, out = made / "one", ("--out", tmp_path / "out")
    assert "no .parquet or .csv table" in _refused(capfd, tmp_path, *out)
    assert "scored twice" in _refused(capfd, one, one / "all.parquet", *out)
    assert "must be different splits" in _refused(capfd, one, *out, "--choose-on", "test")
    assert "fpr must be values between 0 and 1" in _refused(capfd, one, *out, "--fpr", "2")
    said = _refused(capfd, one, *out, "--report-on", "train", "--choose-on", "val")
    assert "50 injected lenses and 0 galaxies without one; both are needed" in said
    rows = {"task_id": ["a"], "score": [0.5]}
    lacking = _write(tmp_path / "lacking.parquet", rows)
    assert "lacks the columns host_id, kind, split, place" in _refused(capfd, lacking, *out)
    assert not (tmp_path / "out").exists()


def test_finders_of_other_rows_are_not_compared(made, tmp_path, capfd):
    table = pq.read_table(made / "one" / "all.parquet").to_pydict()
    table["task_id"] = [f"other-{task}" for task in table["task_id"]]
    other = _write(tmp_path / "other.parquet", table)
    said = _refused(capfd, made / "one", "--against", other, "--out", tmp_path / "out", *FLAGS)
    assert "no scored row in common" in said


def test_rows_without_a_score_count_as_not_found_and_are_told(made, tmp_path):
    table = pq.read_table(made / "one" / "all.parquet").to_pydict()
    table["score"][:3] = table["logit"][:3] = [float("nan")] * 3  # injected lenses
    path = _write(tmp_path / "some.parquet", table)
    found = read_scored([path])
    assert found.unscored.sum() == 3 and len(found) == len(table["score"])
    assert (found.columns["logit"][:3] < found.columns["logit"][3:].min()).all()
    _, said, _ = _evaluated(tmp_path / "out", path)
    assert said["rows.unscored"]["measured"] == "3 injected"
    assert said["recall.injected.at_score"]["number"]["value"] <= 197 / 200


def test_ids_that_look_like_numbers_stay_what_they_are(tmp_path):
    (tmp_path / "s.csv").write_text(
        "task_id,host_id,kind,split,place,score\n001,007,lens,test,sky,0.5\n"
        "1,12345678901234567890,luminous,test,sky,0.2\n"
    )
    found = read_scored([tmp_path / "s.csv"]).columns
    assert found["task_id"].tolist() == ["001", "1"]
    assert found["host_id"].tolist() == ["007", "12345678901234567890"]


def test_tables_with_and_without_logits_are_on_one_scale(made, tmp_path):
    table = pq.read_table(made / "one" / "all.parquet")
    lens = np.array(table["kind"].to_pylist()) == "lens"
    pq.write_table(table.filter(pa.array(~lens)), tmp_path / "a.parquet")
    pq.write_table(table.filter(pa.array(lens)).drop_columns(["logit"]), tmp_path / "b.parquet")
    found = read_scored([tmp_path]).columns
    whole = read_scored([made / "one"]).columns
    logit = dict(zip(whole["task_id"], whole["logit"], strict=True))
    assert np.allclose([logit[t] for t in found["task_id"]], found["logit"])
    (tmp_path / "c.csv").write_text("task_id,host_id,kind,split,place,score\na,b,lens,test,sky,7\n")
    with pytest.raises(DhsError, match=r"scores must lie in \[0, 1\], got 7 to 7"):
        read_scored([tmp_path / "c.csv"])
