"""Sizes and costs of clusters: arithmetic that holds for any job."""

from dataclasses import replace
from math import ceil
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

import sizes as module
from darkhaloscope.errors import DhsError
from settings import read
from sizes import PARTS_PER_CORE, Work, cost, sizes, work_hours, work_of

REAL = read(Path(module.__file__).with_name("cluster.toml"))


def _other(settings=REAL, *, core=None, **sections):
    """The example with other settings: job={...}, cluster={...}, speed={...}, core={...}."""
    changed = {
        name: getattr(settings, name).model_copy(update=update) for name, update in sections.items()
    }
    if core:
        kind = settings.core.model_copy(update=core)
        changed["instances"] = settings.instances | {settings.cluster.core_type: kind}
    return replace(settings, **changed)


def test_the_job_to_beat_by_hand():
    """11.8 million rows at 400/s, four fifths kept: 10.2 core-hours, beside 6.8 of planning."""
    work = work_of(REAL, 11_800_000)
    assert (work.parts, work.rows_per_part) == (5900, 2000)
    some = sizes(REAL, work)
    assert (some.nodes, some.cores) == (2, 8)
    waves = 738  # of 5,900 parts on 8 cores
    assert some.work_hours == pytest.approx(waves * 2000 * (1 / 400 + 1 / 600) / 0.8 / 3600)
    injected = _other(job={"stages": ("inject",)}, cluster={"core_nodes": 32})
    assert work_hours(injected, work, 128) * 3600 == pytest.approx(47 * 2000 / 400 / 0.8)


def test_what_an_executor_holds_by_hand():
    some = sizes(REAL, work_of(REAL, 11_800_000))
    assert (some.cores_per_node, some.vcpus_per_core) == (4, 2)
    assert some.overhead_mib == 512 + 4 * (1200 + 1300)
    assert some.heap_mib == 2048


jobs = st.fixed_dictionaries(
    {
        "rows": st.integers(1, 50_000_000),
        "hours": st.floats(0.1, 24),
        "rate": st.floats(5, 5000),
        "bank_mib": st.integers(1, 6000),
        "yarn_mib": st.integers(8192, 400_000),
        "vcpus": st.integers(2, 96),
    }
)


def _settings(job):
    return _other(
        job={"hours_wanted": job["hours"], "bank_mib": job["bank_mib"]},
        speed={"stamps_per_second_per_core": job["rate"]},
        core={"vcpus": job["vcpus"], "yarn_mib": job["yarn_mib"]},
    )


def _sizes_or_refusal(settings, work):
    try:
        return sizes(settings, work), ""
    except DhsError as error:
        return None, str(error)


@given(jobs)
def test_a_cluster_is_in_time_the_smallest_and_fits_its_nodes(job):
    settings = _settings(job)
    work = work_of(settings, job["rows"])
    some, why = _sizes_or_refusal(settings, work)
    assume(some is not None)
    assert some.work_hours <= job["hours"]
    fewer = (some.nodes - 1) * some.cores_per_node
    assert fewer == 0 or work_hours(settings, work, fewer) > job["hours"]
    assert some.nodes == 1 or work.parts >= PARTS_PER_CORE * some.cores
    assert some.heap_mib + some.overhead_mib + 1024 <= job["yarn_mib"]
    assert some.overhead_mib >= some.cores_per_node * (1200 + job["bank_mib"])
    assert 1 <= some.cores_per_node <= job["vcpus"] // 2
    assert not why


@hypothesis.settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(
    st.fixed_dictionaries(
        {
            "rows": st.integers(100_000, 50_000_000),
            "hours": st.floats(0.01, 1),
            "rate": st.floats(5, 500),
            "bank_mib": st.integers(1, 6000),
            "yarn_mib": st.integers(1024, 30_000),
            "vcpus": st.integers(2, 96),
        }
    )
)
def test_what_is_refused_is_impossible(job):
    settings = _settings(job)
    work = work_of(settings, job["rows"])
    some, why = _sizes_or_refusal(settings, work)
    assume(some is None)
    task = 1200 + job["bank_mib"]
    if "too few for one task" in why:
        assert job["yarn_mib"] < 1024 + 512 + 2048 + task
        return
    most = settings.cluster.max_core_nodes
    a_node = min(job["vcpus"] // 2, (job["yarn_mib"] - 1024 - 512 - 2048) // task)
    if "need more than max_core_nodes" in why:
        assert work_hours(settings, work, most * a_node) > job["hours"]
    else:
        assert "parts are too few" in why
        in_time = [
            n for n in range(1, most + 1) if work_hours(settings, work, n * a_node) <= job["hours"]
        ]
        assert work.parts < PARTS_PER_CORE * in_time[0] * a_node


@given(jobs, st.integers(1, 40))
def test_time_and_cost_follow_the_nodes(job, nodes):
    settings = _settings(job | {"yarn_mib": 400_000})
    work = work_of(settings, job["rows"])
    one = work_hours(settings, work, 1)
    assert work_hours(settings, work, nodes) <= one
    assert work_hours(settings, work, nodes) >= one / nodes * (1 - 1e-9)
    told = _other(settings, cluster={"core_nodes": nodes}, job={"hours_wanted": None})
    some, _ = _sizes_or_refusal(told, work)
    assume(some is not None)
    spent = cost(told, some)
    hours = some.work_hours + 10 / 60
    assert some.nodes == nodes
    assert spent.hours == pytest.approx(hours)
    assert spent.ec2 == pytest.approx(hours * (nodes * 0.384 + 0.192))
    assert spent.emr == pytest.approx(spent.ec2 / 4)
    assert spent.ebs == pytest.approx(hours * (nodes + 1) * 96 * 0.08 / 730)
    assert spent.total == pytest.approx(spent.ec2 + spent.emr + spent.ebs)


def test_too_few_parts_name_the_size_that_gives_enough():
    """The advice, once followed, is accepted."""
    told = _other(job={"hours_wanted": None}, cluster={"core_nodes": 7})
    with pytest.raises(DhsError, match="83 parts are too few for 28 cores") as refusal:
        sizes(told, Work(200_000, 83))
    assert "rows_per_part = 2380 or less" in str(refusal.value)
    assert sizes(told, Work(200_000, ceil(200_000 / 2380))).nodes == 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"job": {"hours_wanted": 0.1}}, "need more than max_core_nodes = 40 nodes: 40 take"),
        ({"core": {"yarn_mib": 5000}}, "too few for one task of 2500 MiB beside a heap of 2048"),
        ({"cluster": {"core_nodes": 41}}, "core_nodes = 41 is more than max_core_nodes = 40"),
    ],
)
def test_refusals_say_what_to_do(change, words):
    settings = _other(**change)
    with pytest.raises(DhsError, match=words):
        sizes(settings, work_of(settings, 11_800_000))


def test_a_node_with_little_memory_runs_fewer_tasks():
    assert sizes(_other(core={"yarn_mib": 12288}), Work(10_000, 50)).cores_per_node == 3
