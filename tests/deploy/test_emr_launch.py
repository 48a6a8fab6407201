"""Starting a cluster: the request, one cluster an experiment, and what happens when it fails."""

import itertools
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.emr.models import emr_backends

import launch
import stage
from darkhaloscope.cli import run
from s3 import BUCKET, bucket

HERE = Path(launch.__file__).parent
EXAMPLE = (HERE / "cluster.toml").read_text()


@pytest.fixture(scope="module")
def aws():
    """S3 and EMR of a server on this machine."""
    with bucket() as client:
        yield client


@pytest.fixture
def emr(aws):
    """EMR with no cluster."""
    emr_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].reset()
    return boto3.client("emr")


@pytest.fixture
def file(tmp_path):
    """Writes the example with some text replaced, beside what it names; its path."""

    def write(*changes: tuple[str, str]) -> Path:
        text = EXAMPLE.replace("s3://darkhaloscope", f"s3://{BUCKET}")
        for old, new in [("../../requirements.lock", "requirements.lock"), *changes]:
            assert old in text, old
            text = text.replace(old, new)
        shutil.copy(HERE / "survey.toml", tmp_path)
        shutil.copy(HERE.parents[1] / "requirements.lock", tmp_path)
        (tmp_path / "cluster.toml").write_text(text)
        return tmp_path / "cluster.toml"

    return write


@pytest.fixture
def call(capfd):
    """Runs launch.py: exit code, stdout, and stderr in one line."""

    def call(*words):
        code = run([str(word) for word in words], launch.app)
        said = capfd.readouterr()
        return code, said.out, " ".join(said.err.split())

    return call


@pytest.fixture
def nobody(monkeypatch):
    """A call to AWS fails the test."""

    def forbidden(*_, **__):
        raise AssertionError("AWS was called")

    monkeypatch.setattr(boto3, "client", forbidden)
    monkeypatch.setattr(launch, "at", forbidden)


def _clusters():
    return emr_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].clusters


def test_a_dry_run_prints_the_request_and_the_estimate_and_calls_nobody(call, file, nobody):
    code, out, err = call(file(), "--dry-run")
    assert code == 0
    wanted = json.loads(out)
    core = wanted["Instances"]["InstanceGroups"][1]
    assert (core["InstanceType"], core["InstanceCount"]) == ("m5.2xlarge", 2)
    assert [step["ActionOnFailure"] for step in wanted["Steps"]] == ["TERMINATE_CLUSTER"] * 2
    assert wanted["AutoTerminationPolicy"] == {"IdleTimeout": 900}
    for words in ("11,800,000", "5,900 parts of 2,000", "at your prices of 2026-11-27", "2.84 USD"):
        assert words in err


def test_other_sizes_are_shown_and_nobody_is_called(call, file, nobody):
    code, _, err = call(file(), "--show-sizes")
    assert code == 0
    assert "2.5 h │ 2 │ 8 │" in err
    assert "32 nodes │ 32 │ 128 │" in err


def test_what_is_started_is_what_the_dry_run_printed(call, file, emr, aws):
    path = file()
    _, printed, _ = call(path, "--dry-run")
    code, _, err = call(path)
    assert code == 0, err
    wanted = json.loads(printed)
    (found,) = emr.list_clusters()["Clusters"]
    about = emr.describe_cluster(ClusterId=found["Id"])["Cluster"]
    assert f"aws emr terminate-clusters --region us-east-1 --cluster-ids {found['Id']}" in err
    assert about["Name"] == wanted["Name"]
    assert about["ReleaseLabel"] == "emr-7.12.0"
    assert about["LogUri"] == f"s3://{BUCKET}/logs/"
    assert about["AutoTerminate"]
    assert sorted(about["Tags"], key=str) == sorted(wanted["Tags"], key=str)
    assert about["Configurations"] == wanted["Configurations"]
    groups = emr.list_instance_groups(ClusterId=found["Id"])["InstanceGroups"]
    assert {g["InstanceGroupType"]: g["RequestedInstanceCount"] for g in groups} == {
        "MASTER": 1,
        "CORE": 2,
    }
    (script,) = emr.list_bootstrap_actions(ClusterId=found["Id"])["BootstrapActions"]
    asked = wanted["BootstrapActions"][0]["ScriptBootstrapAction"]
    assert (script["ScriptPath"], script["Args"]) == (asked["Path"], asked["Args"])
    steps = emr.list_steps(ClusterId=found["Id"])["Steps"]
    assert {s["Name"]: s["Config"]["Args"] for s in steps} == {
        s["Name"]: s["HadoopJarStep"]["Args"] for s in wanted["Steps"]
    }
    prefix = asked["Path"].removeprefix(f"s3://{BUCKET}/").removesuffix("bootstrap.sh")
    put = {o["Key"] for o in aws.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]}
    names = {"bootstrap.sh", "stage.py", "requirements.lock", "survey.toml"}
    assert put == {prefix + name for name in names}
    body = aws.get_object(Bucket=BUCKET, Key=f"{prefix}stage.py")["Body"].read()
    assert body == Path(stage.__file__).read_bytes()


def test_the_steps_words_are_those_that_the_stage_takes(call, file, tmp_path):
    """The settings file is put where the step will find it."""
    _, printed, _ = call(file(), "--dry-run")
    for step in json.loads(printed)["Steps"]:
        words = step["HadoopJarStep"]["Args"]
        words = words[words.index(next(w for w in words if w.endswith("stage.py"))) + 1 :]
        words[words.index("--config") + 1] = str(tmp_path / "survey.toml")
        command, bound, _ = stage.verbs.parse_args(
            stage.verb_first(words), exit_on_error=False, print_error=False
        )
        assert command.__name__ == step["Name"]
        told = bound.arguments["experiment"]
        assert told.bank == f"s3://{BUCKET}/cosmos_sources_20k.h5"
        assert told.experiment_id == "train_stamp64_bandsgrz_cosmos"


def test_spark_gets_what_the_sizes_say(call, file):
    _, printed, _ = call(file(("hours_wanted = 2.5", "hours_wanted = 0.5")), "--dry-run")
    words = json.loads(printed)["Steps"][1]["HadoopJarStep"]["Args"]
    conf = dict(w.split("=", 1) for flag, w in itertools.pairwise(words) if flag == "--conf")
    assert conf["spark.executor.instances"] == "9"
    assert (conf["spark.executor.cores"], conf["spark.task.cpus"]) == ("8", "2")
    assert conf["spark.executor.memoryOverhead"] == "10512m"
    assert conf["spark.dynamicAllocation.enabled"] == "false"


def test_an_experiment_has_one_cluster_at_a_time(call, file, emr):
    path = file()
    assert call(path)[0] == 0
    code, _, err = call(path)
    assert code == 2
    ((first, cluster),) = _clusters().items()
    assert f"cluster {first} ({cluster.state}) makes train_stamp64_bandsgrz_cosmos already" in err
    assert call(file(("train_stamp64_bandsgrz_cosmos", "another")))[0] == 0
    assert len(_clusters()) == 2
    emr.terminate_job_flows(JobFlowIds=[first])
    assert call(file())[0] == 0
    assert len(_clusters()) == 3


@pytest.fixture
def while_waiting(monkeypatch):
    """What happens to the cluster at each look of --wait: a function of it, one each."""

    def set_up(*events):
        left = list(events)

        def sleep(_):
            (found,) = _clusters().values()
            left.pop(0)(found)

        monkeypatch.setattr(launch, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0))

    return set_up


def _steps(*states):
    def event(cluster):
        for step, state in zip(cluster.steps, states, strict=True):
            step.state = state

    return event


def test_waiting_tells_of_the_stages_and_ends_with_the_last(call, file, emr, aws, while_waiting):
    for i in range(3):
        key = f"sets/v5_cosmos_source/train_stamp64_bandsgrz_cosmos/stamps/part-{i:05}.parquet"
        aws.put_object(Bucket=BUCKET, Key=key, Body=b"")
    while_waiting(_steps("COMPLETED", "RUNNING"), _steps("COMPLETED", "COMPLETED"))
    code, _, err = call(file(), "--wait")
    assert code == 0, err
    assert "plan RUNNING 0 of about 5,900 parts, inject PENDING" in err
    assert "plan COMPLETED, inject RUNNING 3 of about 5,900 parts" in err
    assert "done: s3://survey/sets/v5_cosmos_source/train_stamp64_bandsgrz_cosmos" in err


def test_a_step_that_fails_ends_the_cluster(call, file, emr, while_waiting):
    while_waiting(_steps("COMPLETED", "FAILED"))
    code, _, err = call(file(), "--wait")
    (found,) = _clusters().values()
    assert code == 2
    assert "a step is FAILED" in err
    assert f"/logs/{found.id}/steps/{found.steps[1].id}/" in err
    assert found.state == "TERMINATED"


def test_a_bootstrap_that_fails_is_told(call, file, emr, while_waiting):
    def broken(cluster):
        cluster.state = "TERMINATED_WITH_ERRORS"
        cluster.last_state_change_reason = "bootstrap action 1 returned a non-zero return code"

    while_waiting(broken)
    code, _, err = call(file(), "--wait")
    assert code == 2
    assert "TERMINATED_WITH_ERRORS: bootstrap action 1 returned a non-zero" in err


INJECT_ONLY = ('stages = ["plan", "inject"]', 'stages = ["inject"]')
NO_ROWS = ("rows = 11_800_000\n", "")


def test_rows_are_looked_up_in_the_plan_that_is_there(call, file, emr, aws):
    contents = {f"part-{i:05}.parquet": {"file": "x", "rows": 1500} for i in range(400)}
    key = "sets/v5_cosmos_source/train_stamp64_bandsgrz_cosmos/plan/run.json"
    aws.put_object(Bucket=BUCKET, Key=key, Body=json.dumps({"contents": contents}).encode())
    code, _, err = call(file(INJECT_ONLY, NO_ROWS))
    assert code == 0, err
    assert "600,000 │ 400 parts of 1,500" in err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([NO_ROWS], "give rows in [job]"),
        ([INJECT_ONLY, NO_ROWS], "not in a dry run"),
        ([("hours_wanted = 2.5", "hours_wanted = 0.05")], "more than max_core_nodes = 40"),
        ([("hours_wanted = 2.5\n", "")], "give either hours_wanted in [job] or core_nodes"),
        ([("[speed]", "core_nodes = 2\n[speed]")], "give either hours_wanted"),
        ([("variant =", "varient =")], "unknown key 'varient'; did you mean 'variant'?"),
        ([("[speed]", "[spead]")], "unknown section spead (allowed: job, software"),
        ([('"emr-7.12.0"', '"emr-7.0.0"')], "EMR release: 7.1.0 or a later 7"),
        ([('"emr-7.12.0"', '"emr-6.15.0"')], "EMR release"),
        ([('variant = "v5', 'variant = "../v5')], "variant"),
        ([(f's3://{BUCKET}/sets"', '/data/sets"')], "output_s3"),
        ([(f's3://{BUCKET}/sets"', f's3://{BUCKET}/sets/"')], "output_s3"),
        ([('["plan", "inject"]', '["inject", "plan"]')], "in this order"),
        ([('core_type = "m5.2xlarge"', 'core_type = "c9.huge"')], "c9.huge is not described"),
        ([("your_ec2_price_per_hour = 0.384\n", "")], "your_ec2_price_per_hour"),
        ([('"darkhaloscope==0.1.0"', '"dhs.whl"')], "names dhs.whl, but"),
        ([('"darkhaloscope==0.1.0"', '"numpy==2"')], "a wheel (file beside this one"),
        ([('"survey.toml"', '"no.toml"')], "names no.toml, but"),
    ],
)
def test_files_that_are_wrong(call, file, nobody, changes, words):
    code, out, err = call(file(*changes), "--dry-run")
    assert code == 2
    assert words in err
    assert not out


def test_settings_of_the_stages_are_checked_before_any_call(call, file, nobody):
    path = file()
    (path.parent / "survey.toml").write_text("[plan]\nrows_per_prat = 7\n")
    code, _, err = call(path)
    assert code == 2
    assert "unknown key 'rows_per_prat'; did you mean 'rows_per_part'?" in err


def test_a_wheel_is_put_beside_the_scripts(call, file, tmp_path):
    (tmp_path / "darkhaloscope-0.1.0-py3-none-any.whl").write_bytes(b"wheel")
    path = file(('"darkhaloscope==0.1.0"', '"darkhaloscope-0.1.0-py3-none-any.whl"'))
    _, before, _ = call(path, "--dry-run")
    (tmp_path / "darkhaloscope-0.1.0-py3-none-any.whl").write_bytes(b"another")
    _, after, _ = call(path, "--dry-run")
    places = [
        json.loads(said)["BootstrapActions"][0]["ScriptBootstrapAction"] for said in (before, after)
    ]
    assert all(
        place["Args"][1].endswith("/darkhaloscope-0.1.0-py3-none-any.whl") for place in places
    )
    assert places[0]["Path"] != places[1]["Path"], "a running cluster's files must not change"


def test_refusals_of_aws_are_one_sentence(call, file, emr, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    code, _, err = call(file())
    assert code == 2
    assert "Unable to locate credentials" in err
    assert not _clusters()


def test_a_store_that_is_not_there_starts_no_cluster(call, file, emr):
    code, _, err = call(file((f"s3://{BUCKET}/code", "s3://no-such-bucket-here/code")))
    assert code == 2
    assert "NoSuchBucket" in err
    assert not _clusters()


def test_no_boto3(call, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    code, _, err = call(file())
    assert code == 2
    assert "pip install 'darkhaloscope[emr]'" in err
