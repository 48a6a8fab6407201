"""The spark-submit entry: on a real cluster it writes what this machine writes; what it refuses."""

import contextlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import darkhaloscope
import stage
from cluster import cluster, lacking
from darkhaloscope.cli import run
from darkhaloscope.io.parts import RECORD, digest_of_parts, parts_in
from darkhaloscope.jobs.engine import Local
from flow import PLAN
from s3 import BUCKET, bucket

ENTRY = Path(stage.__file__)
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SETTINGS = """
[plan]
rows_per_part = 30
host_weighting = "equal"
ring_fraction = 1
companion_fraction = 1
spiral_fraction = 1
[inject]
psf_model = "moffat"
[parent]
guard_arcsec = 90
"""


def _words(source, out, stage, *more) -> list[str]:
    words = {
        "--stage": stage,
        "--output-s3": out,
        "--variant": "v5_cosmos_source",
        "--experiment-id": "train_stamp64_bandsgrz_cosmos",
        "--manifests-subdir": "manifests",
        "--cutouts": f"{source}/cutouts",
        "--cosmos-bank-h5": f"{source}/bank.h5",
    }
    return [str(word) for pair in words.items() for word in pair] + [str(word) for word in more]


EXPERIMENT = "v5_cosmos_source/train_stamp64_bandsgrz_cosmos"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings") / "survey.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="module")
def store(inputs):
    """The inputs in an object store, the plan where its experiment has it."""
    with bucket() as client:
        for path in [inputs / "bank.h5", *(inputs / "cutouts").glob("*")]:
            client.upload_file(str(path), BUCKET, f"in/{path.relative_to(inputs)}")
        for path in (inputs / "plan").glob("*"):
            client.upload_file(str(path), BUCKET, f"submitted/{EXPERIMENT}/manifests/{path.name}")
        client.put_object(Bucket=BUCKET, Key="in/survey.toml", Body=SETTINGS.encode())
        yield client


@dataclass(frozen=True)
class Submitter:
    """`spark-submit stage.py` on a cluster, as a user types it; one core each, so two at once."""

    master: str

    def __call__(self, words: list[str]) -> subprocess.CompletedProcess:
        import pyspark

        from darkhaloscope.jobs.spark import java_home

        passed = [name for name in os.environ if name.startswith("AWS_")]
        conf = {f"spark.executorEnv.{name}": os.environ[name] for name in passed} | {
            "spark.driver.host": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.cores.max": "1",
            "spark.driver.extraJavaOptions": QUICK_JAVA,
            "spark.executor.extraJavaOptions": QUICK_JAVA,
        }
        flags = [word for pair in conf.items() for word in ("--conf", "=".join(pair))]
        submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
        ours = {
            "JAVA_HOME": str(java_home()),
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": str(Path(darkhaloscope.__file__).parents[1]),
        }
        return subprocess.run(
            [submit, "--master", self.master, *flags, ENTRY, *words],
            env=os.environ | ours,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )


@pytest.fixture(scope="module")
def submitted(inputs, store, settings, tmp_path_factory):
    """A plan into a folder; stamps into the store, all inputs there; and a refusal."""
    if why := lacking():
        pytest.skip(f"no Spark cluster here: {why}")
    out, place = tmp_path_factory.mktemp("out"), f"s3://{BUCKET}/in"
    wrong = _words(inputs, out, "4c", "--source-mode", "cosmos")
    folder = _words(inputs, out, "4a", "--source-mode", "hybrid", "--config", settings)
    there = _words(place, f"s3://{BUCKET}/submitted", "4c", "--config", f"{place}/survey.toml")
    with cluster(tmp_path_factory.mktemp("cluster")) as running, ThreadPoolExecutor(2) as two:
        yield out / EXPERIMENT, *two.map(Submitter(running.master), (folder, there, wrong))


@pytest.mark.xdist_group("spark")
def test_a_submitted_plan_in_a_folder_is_this_machines(submitted, inputs):
    folder, done, _, _ = submitted
    assert done.returncode == 0, done.stdout
    assert [path.name for path in folder.iterdir()] == ["manifests"]
    assert (folder / "manifests" / RECORD).read_bytes() == (inputs / "plan" / RECORD).read_bytes()
    assert digest_of_parts(folder / "manifests") == digest_of_parts(inputs / "plan")


@pytest.mark.xdist_group("spark")
def test_submitted_stamps_in_a_store_are_this_machines(submitted, store, stamps):
    _, _, done, _ = submitted
    assert done.returncode == 0, done.stdout
    for path in [stamps / RECORD, *parts_in(stamps)]:
        key = f"submitted/{EXPERIMENT}/stamps/{path.name}"
        assert store.get_object(Bucket=BUCKET, Key=key)["Body"].read() == path.read_bytes(), key


@pytest.mark.xdist_group("spark")
def test_a_refusal_is_the_exit_code_of_spark_submit(submitted):
    _, _, _, done = submitted
    assert done.returncode == 2
    assert "--source-mode is cosmos, but the sources of" in done.stdout


def test_a_set_with_too_few_usable_rows_fails(inputs, tmp_path, capfd, monkeypatch):
    """The cutouts have no PSF images: every row goes to quarantine."""
    monkeypatch.setattr(stage, "spark", lambda: contextlib.nullcontext(Local()))
    (tmp_path / EXPERIMENT).mkdir(parents=True)
    (tmp_path / EXPERIMENT / "manifests").symlink_to(inputs / "plan")
    words = _words(inputs, tmp_path, "4c", "--psf-model", "image")
    assert run(stage.verb_first(words), stage.verbs) == 2
    assert "too few usable rows" in " ".join(capfd.readouterr().err.split())


@pytest.fixture
def refused(inputs, tmp_path, capfd, monkeypatch):
    """What stage.py says to words that it must refuse before it asks for a Spark."""

    def no_spark():
        raise AssertionError("a Spark session was asked for")

    monkeypatch.setattr(stage, "spark", no_spark)

    def call(name, *more, **other) -> str:
        words = _words(inputs, tmp_path / "out", name, *more)
        for flag, value in other.items():
            words[words.index(f"--{flag.replace('_', '-')}") + 1] = value
        code = run(stage.verb_first(words), stage.verbs)
        said = " ".join(capfd.readouterr().err.split())
        assert code == 2, said
        assert "dhs: cannot do this." in said
        assert not (tmp_path / "out").exists()
        return said

    return call


def test_other_stages(refused):
    said = refused("4b")
    assert "--stage 4b is not known; known are 4a (plan) and 4c (inject)" in said


def test_no_stage(capfd):
    assert run(stage.verb_first(["--variant", "v"]), stage.verbs) == 2
    assert "--stage is missing" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "flags", "words"),
    [
        ("4a", ["--psf-model", "moffat"], "Unknown option: --psf-model"),
        ("4c", ["--pairs-per-host", "2"], "Unknown option: --pairs-per-host"),
        ("4c", ["--moffat-beta", "0.5"], "moffat_beta must be greater than 1.1"),
        ("4a", ["--source-mode", "parametric"], "--source-mode"),
        ("4a", ["--source-mode", "cosmos"], "the sources of"),
        ("4c", ["--source-mode", "sersic"], "are hybrid; give the bank that is meant"),
        ("4c", ["--config", "s3://no-such-bucket-here/survey.toml"], "cannot be fetched"),
    ],
)
def test_flags_that_are_wrong(refused, store, name, flags, words):
    assert words in refused(name, *flags)


@pytest.mark.parametrize("name", ["..", "a/b", "", "a b"])
@pytest.mark.parametrize("flag", ["variant", "experiment_id", "manifests_subdir"])
def test_names_that_leave_the_layout(refused, flag, name):
    assert "is no name of a folder" in refused("4a", **{flag: name})


def test_another_salt_than_the_plan_has(inputs, tmp_path, capfd):
    made = tmp_path / EXPERIMENT
    made.mkdir(parents=True)
    (made / "manifests").symlink_to(inputs / "plan")
    words = _words(inputs, tmp_path, "4c", "--cosmos-salt", "another")
    assert run(stage.verb_first(words), stage.verbs) == 2
    assert "was drawn with ''" in " ".join(capfd.readouterr().err.split())
    assert not (made / "stamps").exists()


def test_stage_may_stand_anywhere_and_have_either_name():
    assert stage.verb_first(["--stage", "4a", "--x", "1"]) == ["plan", "--x", "1"]
    assert stage.verb_first(["--x", "1", "--stage=4c"]) == ["inject", "--x", "1"]
    assert stage.verb_first(["--x", "1", "--stage", "inject"]) == ["inject", "--x", "1"]


def test_settings_of_a_file_reach_the_stage(inputs, settings, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(stage, "spark", contextlib.nullcontext)
    monkeypatch.setattr(stage, "plan_all", lambda *those: given.extend(those))
    words = _words(inputs, tmp_path, "4a", "--config", settings, "--cosmos-salt", "s")
    assert run(stage.verb_first(words), stage.verbs) == 0
    assert given[0] == tmp_path / EXPERIMENT / "manifests"
    assert given[3] == PLAN.model_copy(update={"cosmos_salt": "s"})
