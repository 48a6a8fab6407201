"""Starts a cluster for one set, from a cluster file: python launch.py cluster.toml --dry-run."""

import contextlib
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.table import Table

from darkhaloscope.cli import run
from darkhaloscope.errors import DhsError
from darkhaloscope.io.files import at, read_json
from darkhaloscope.io.parts import RECORD
from darkhaloscope.jobs.progress import console
from request import EXPERIMENT, files, request
from settings import Settings, read
from sizes import Sizes, Work, cost, sizes, work_of

ALIVE = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"]
_ENDED = {"TERMINATED", "TERMINATED_WITH_ERRORS"}
_BROKEN = {"FAILED", "CANCELLED", "INTERRUPTED"}
_HOURS_SHOWN = (2.5, 1.0, 0.5, 0.25)
_NODES_SHOWN = (8, 16, 32)

app = App(name="launch.py", help=__doc__, suppress_keyboard_interrupt=False)


@app.default
def launch(
    cluster_file: Path,
    *,
    dry_run: Annotated[
        bool, Parameter(negative="", help="print the request as JSON and the estimate; call nobody")
    ] = False,
    show_sizes: Annotated[
        bool, Parameter(negative="", help="print sizes and costs for other hours; call nobody")
    ] = False,
    wait: Annotated[
        bool, Parameter(negative="", help="stay until the cluster ends, and end it if it fails")
    ] = False,
    poll_s: Annotated[float, Parameter(help="how often to ask while waiting, s")] = 30.0,
) -> None:
    """Start a cluster that makes one set and ends."""
    settings = read(cluster_file)
    work = _work(settings, may_ask=not (dry_run or show_sizes))
    if show_sizes:
        console.print(sizes_table(settings, work))
        return
    some = sizes(settings, work)
    console.print(estimate_table(settings, work, some))
    wanted = request(settings, some)
    if dry_run:
        print(json.dumps(wanted, indent=1))
        for address, path in files(settings).items():
            console.print(f"would put {path} at {address}", soft_wrap=True)
        return
    cluster = _start(settings, wanted)
    if wait:
        _follow(settings, cluster, work.parts, poll_s)


def _work(settings: Settings, may_ask: bool) -> Work:
    """The job's rows and parts: as the file says, or as the plan has them."""
    if settings.job.rows:
        return work_of(settings, settings.job.rows)
    if "plan" in settings.job.stages or not may_ask:
        raise DhsError(
            f"{settings.path}: give rows in [job]; they are looked up only when a plan that is "
            "there is injected, and not in a dry run"
        )
    plan = at(f"{settings.folder}/{settings.job.manifests_subdir}") / RECORD
    contents = read_json(plan)["contents"].values()
    parts = [part["rows"] for part in contents if part["rows"]]
    return Work(sum(parts), len(parts))


def estimate_table(settings: Settings, work: Work, some: Sizes) -> Table:
    """Sizes and cost of one cluster."""
    spent, currency = cost(settings, some), settings.prices.currency
    table = Table(title=f"{settings.job.variant} {settings.job.experiment_id}")
    table.add_column("what")
    table.add_column("how much", justify="right")
    table.add_column("of it")
    on = f"at your prices of {settings.prices.noted_on}"
    executor = f"{some.heap_mib} MiB heap + {some.overhead_mib} MiB beside it"
    for row in [
        ("rows", f"{work.rows:,}", f"{work.parts:,} parts of {work.rows_per_part:,}"),
        ("core nodes", f"{some.nodes}", f"{settings.cluster.core_type}, one executor each"),
        ("cores", f"{some.cores}", f"{some.cores_per_node} a node, a task each"),
        ("parts a core", f"{work.parts / some.cores:.1f}", ""),
        ("executor", f"{some.heap_mib + some.overhead_mib:,} MiB", executor),
        ("work", f"{some.work_hours:.2f} h", _rates(settings)),
        ("nodes up", f"{spent.hours:.2f} h", f"{settings.cluster.startup_minutes:g} min to start"),
        ("EC2", f"{spent.ec2:.2f} {currency}", on),
        ("EMR fee", f"{spent.emr:.2f} {currency}", on),
        ("EBS", f"{spent.ebs:.2f} {currency}", on),
        ("total", f"{spent.total:.2f} {currency}", "without S3 and traffic"),
    ]:
        table.add_row(*row)
    return table


def _rates(settings: Settings) -> str:
    speed = settings.speed
    return (
        f"{speed.stamps_per_second_per_core:g} stamps/s a core, {speed.kept_on_a_cluster:.0%} kept"
    )


def sizes_table(settings: Settings, work: Work) -> Table:
    """Clusters for the same work in other hours, or of other sizes."""
    table = Table(title=f"{work.rows:,} rows; {_rates(settings)}")
    headings = "wanted", "core nodes", "cores", "parts a core", "work, h", "nodes up, h"
    for heading in (*headings, f"cost, {settings.prices.currency}"):
        table.add_column(heading, justify="right")
    for said, hours, nodes in [
        *((f"{hours:g} h", hours, None) for hours in _HOURS_SHOWN),
        *((f"{nodes} nodes", None, nodes) for nodes in _NODES_SHOWN),
    ]:
        table.add_row(said, *_sizes_row(_other(settings, hours, nodes), work))
    return table


def _other(settings: Settings, hours: float | None, nodes: int | None) -> Settings:
    job = settings.job.model_copy(update={"hours_wanted": hours})
    cluster = settings.cluster.model_copy(update={"core_nodes": nodes})
    return replace(settings, job=job, cluster=cluster)


def _sizes_row(settings: Settings, work: Work) -> list[str]:
    try:
        some = sizes(settings, work)
    except DhsError as error:
        return [str(error).partition(";")[0]]
    spent = cost(settings, some)
    shares = f"{work.parts / some.cores:.0f}", f"{some.work_hours:.2f}", f"{spent.hours:.2f}"
    return [f"{some.nodes}", f"{some.cores}", *shares, f"{spent.total:.2f}"]


@dataclass(frozen=True)
class Cluster:
    """A cluster that was started."""

    id: str
    emr: Any
    s3: Any


def _start(settings: Settings, wanted: dict[str, Any]) -> Cluster:
    """Put the files in their place and start, unless the experiment has a cluster already."""
    boto3 = _boto3()
    with _in_our_words():
        emr = boto3.client("emr", region_name=settings.cluster.region)
        s3 = boto3.client("s3", region_name=settings.cluster.region)
        _refuse_second(emr, settings.job.experiment_id)
        for address, path in files(settings).items():
            s3.upload_file(str(path), *_bucket_and_key(address))
        cluster = Cluster(emr.run_job_flow(**wanted)["JobFlowId"], emr, s3)
    console.print(
        f"cluster {cluster.id} starts; logs go to {settings.cluster.log_s3}/{cluster.id}/; to end "
        f"it: aws emr terminate-clusters --region {settings.cluster.region} "
        f"--cluster-ids {cluster.id}",
        soft_wrap=True,
    )
    return cluster


def _boto3() -> Any:
    try:
        import boto3
    except ImportError as error:
        raise DhsError(f"{error}; install it: pip install 'darkhaloscope[emr]'") from error
    return boto3


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise DhsError(f"AWS: {error}; are region, names and credentials right?") from error


def _refuse_second(emr: Any, experiment: str) -> None:
    for page in emr.get_paginator("list_clusters").paginate(ClusterStates=ALIVE):
        for cluster in page["Clusters"]:
            about = emr.describe_cluster(ClusterId=cluster["Id"])["Cluster"]
            if {"Key": EXPERIMENT, "Value": experiment} in about.get("Tags", []):
                raise DhsError(
                    f"cluster {cluster['Id']} ({about['Status']['State']}) makes {experiment} "
                    "already; wait for it, end it, or choose another experiment_id"
                )


def _follow(settings: Settings, cluster: Cluster, parts: int, poll_s: float) -> None:
    """Say what happens until the cluster ends; a failure ends it, and is raised."""
    began, before = time.monotonic(), ""
    while True:
        with _in_our_words():
            status = cluster.emr.describe_cluster(ClusterId=cluster.id)["Cluster"]["Status"]
            steps = cluster.emr.list_steps(ClusterId=cluster.id)["Steps"]
            states = {step["Name"]: step["Status"]["State"] for step in reversed(steps)}
            now = f"{status['State']}{_done(settings, cluster, states, parts)}"
        if now != before:
            before = now
            console.print(f"{(time.monotonic() - began) / 60:5.1f} min  {now}", soft_wrap=True)
        if broken := sorted(_BROKEN & set(states.values())):
            _end(settings, cluster, steps, f"a step is {broken[0]}")
        if states and set(states.values()) == {"COMPLETED"}:
            console.print(f"done: {settings.folder}", soft_wrap=True)
            return
        if status["State"] in _ENDED:
            reason = status.get("StateChangeReason", {}).get("Message") or "no reason given"
            _end(settings, cluster, steps, f"the cluster is {status['State']}: {reason}")
        time.sleep(poll_s)


def _done(settings: Settings, cluster: Cluster, states: dict[str, str], parts: int) -> str:
    """Each stage's state, and the parts that the running one has written."""
    said = ""
    for stage, state in states.items():
        said += f", {stage} {state}"
        if state == "RUNNING":
            name = {"plan": settings.job.manifests_subdir, "inject": "stamps"}[stage]
            written = _parts_at(cluster.s3, f"{settings.folder}/{name}/")
            said += f" {written:,} of about {parts:,} parts"
    return said


def _parts_at(s3: Any, address: str) -> int:
    bucket, prefix = _bucket_and_key(address)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + "part-")
    return sum(page["KeyCount"] for page in pages)


def _end(settings: Settings, cluster: Cluster, steps: list[dict], why: str) -> None:
    with _in_our_words():
        cluster.emr.terminate_job_flows(JobFlowIds=[cluster.id])
    failed = [step["Id"] for step in steps if step["Status"]["State"] in _BROKEN]
    logs = f"{settings.cluster.log_s3}/{cluster.id}/" + (f"steps/{failed[-1]}/" if failed else "")
    raise DhsError(
        f"{why}; cluster {cluster.id} was told to end. What the stage said is in {logs}; parts "
        "already written are kept, start again to go on"
    )


def _bucket_and_key(address: str) -> tuple[str, str]:
    match = re.fullmatch(r"s3://([^/]+)/(.*)", address)
    if not match:
        raise DhsError(f"{address} is no address of an object; give s3://bucket/name")
    return match[1], match[2]


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], app))
