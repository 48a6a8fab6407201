"""What a cluster file says: the job, the software on the nodes, the cluster, and its prices."""

import datetime
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from darkhaloscope.config import Plan, Stage, build, read_toml
from darkhaloscope.errors import DhsError

S3 = r"^s3://[a-z0-9][a-z0-9.-]+(/[^/]+)*$"
NAME = r"^\w[\w.=-]*$"


def _setting(description: str, **limits):
    return Field(description=description, **limits)


class Job(Stage):
    """[job]: what is to be made."""

    experiment_id: Annotated[str, _setting("one set; one cluster at a time has it", pattern=NAME)]
    variant: Annotated[str, _setting("folder of the recipe", pattern=NAME)]
    output_s3: Annotated[str, _setting("address above all variants", pattern=S3)]
    cutouts: Annotated[str, _setting("address of the cutout store", pattern=S3)]
    bank: Annotated[str, _setting("address of the source bank", pattern=S3)]
    bank_mib: Annotated[int, _setting("its size; each worker may map all of it", ge=1)]
    manifests_subdir: Annotated[str, _setting("folder of the plan", pattern=NAME)] = "plan"
    source_mode: Annotated[
        Literal["cosmos", "survey", "sersic", "hybrid"] | None,
        _setting("what the bank's sources must all be; absent: not checked"),
    ] = None
    stages: Annotated[
        tuple[Literal["plan", "inject"], ...], _setting("stages to run, in order", min_length=1)
    ] = ("plan", "inject")
    settings: Annotated[
        str | None, _setting("TOML file as `dhs --config` takes, beside this one")
    ] = None
    rows: Annotated[
        int | None, _setting("stamps to be made; absent: as many as the plan that is there", ge=1)
    ] = None
    hours_wanted: Annotated[
        float | None, _setting("how long the work may take once the nodes are up", gt=0, le=168)
    ] = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.stages not in (("plan",), ("inject",), ("plan", "inject")):
            raise ValueError(f"stages must be plan, inject or both in this order: {self.stages}")
        return self


class Software(Stage):
    """[software]: what the nodes run."""

    release: Annotated[
        str,
        _setting(
            "EMR release: 7.1.0 or a later 7, which have Spark 3.5 and Python 3.11",
            pattern=r"^emr-7\.[1-9]\d*\.\d+$",
        ),
    ]
    package: Annotated[
        str,
        _setting(
            "a wheel (file beside this one, or s3:// address), or darkhaloscope==version",
            pattern=r"^(.*\.whl|darkhaloscope==[\w.]+)$",
        ),
    ]
    lock: Annotated[str, _setting("requirements.lock, beside this file")]
    code_s3: Annotated[str, _setting("where scripts, lock and wheel are put", pattern=S3)]
    wheels: Annotated[
        str | None,
        _setting("address of a folder of all wheels; nothing else is asked then", pattern=S3),
    ] = None
    torch_index: Annotated[
        str | None, _setting("address of an extra index with CPU builds of torch")
    ] = None


class Cluster(Stage):
    """[cluster]: where, and how large at most."""

    region: Annotated[str, _setting("region", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
    log_s3: Annotated[str, _setting("address for logs", pattern=S3)]
    subnet_id: Annotated[str | None, _setting("subnet", pattern=r"^subnet-\w+$")] = None
    key_name: Annotated[str | None, _setting("SSH key pair")] = None
    service_role: Annotated[str, _setting("role of EMR")] = "EMR_DefaultRole"
    instance_role: Annotated[str, _setting("profile of the nodes")] = "EMR_EC2_DefaultRole"
    tags: Annotated[dict[str, str], Field(default_factory=dict, description="more tags")]
    primary_type: Annotated[str, _setting("instance type of the primary node: the driver")]
    core_type: Annotated[str, _setting("instance type of all core nodes: the executors")]
    core_nodes: Annotated[
        int | None, _setting("core nodes; absent: as hours_wanted needs", ge=1)
    ] = None
    max_core_nodes: Annotated[int, _setting("more are never asked for", ge=1, le=1000)] = 40
    root_gib: Annotated[int, _setting("root volume of a node: software, temporary files", ge=20)]
    disk_gib: Annotated[int, _setting("data volume of a node: the bank, Spark's files", ge=10)]
    startup_minutes: Annotated[
        float, _setting("until the first task runs, for the estimate", ge=0, le=60)
    ] = 10.0
    idle_minutes: Annotated[int, _setting("a cluster so long without work ends", ge=1, le=1440)] = (
        15
    )


class Speed(Stage):
    """[speed]: rates from which sizes are computed; put in what you measured, see docs/emr.md."""

    stamps_per_second_per_core: Annotated[
        float, _setting("one process of `dhs inject` on a core of its own", gt=0)
    ] = 400.0
    planned_rows_per_second_per_core: Annotated[
        float, _setting("one process of `dhs plan`", gt=0)
    ] = 600.0
    kept_on_a_cluster: Annotated[
        float, _setting("share of these rates left after Spark, S3 and waiting", gt=0, le=1)
    ] = 0.8
    python_mib_per_task: Annotated[
        int, _setting("memory of a worker process, torch included, without the bank", ge=256)
    ] = 1200
    heap_mib: Annotated[int, _setting("Java heap of an executor; no data passes it", ge=512)] = 2048
    driver_mib: Annotated[int, _setting("Java heap of the driver", ge=512)] = 4096


class Instance(Stage):
    """[instances."type"]: what it has, and what you pay for it."""

    vcpus: Annotated[int, _setting("virtual processors", ge=1)]
    vcpus_per_core: Annotated[
        int, _setting("2 where a processor is a hyper-thread; a task gets a core", ge=1, le=2)
    ] = 2
    yarn_mib: Annotated[int, _setting("yarn.nodemanager.resource.memory-mb of the type", ge=1024)]
    your_ec2_price_per_hour: Annotated[float, _setting("on demand, as you noted it", ge=0)]
    your_emr_price_per_hour: Annotated[float, _setting("EMR's fee, as you noted it", ge=0)]


class Prices(Stage):
    """[prices]: when you noted yours, and those that no instance has."""

    noted_on: Annotated[datetime.date, _setting("the day you noted all prices of this file")]
    currency: Annotated[str, _setting("of all prices")] = "USD"
    your_ebs_price_per_gib_month: Annotated[float, _setting("of the volumes' type, gp3", ge=0)]


@dataclass(frozen=True)
class Settings:
    """A whole cluster file."""

    path: Path
    job: Job
    software: Software
    cluster: Cluster
    speed: Speed
    prices: Prices
    instances: dict[str, Instance]

    @property
    def core(self) -> Instance:
        return self.instances[self.cluster.core_type]

    @property
    def primary(self) -> Instance:
        return self.instances[self.cluster.primary_type]

    @property
    def folder(self) -> str:
        """Address of the experiment."""
        return f"{self.job.output_s3}/{self.job.variant}/{self.job.experiment_id}"

    @cached_property
    def plan(self) -> Plan:
        """The settings of `dhs plan` that the job will have."""
        settings = read_toml(self.beside(self.job.settings)) if self.job.settings else {}
        return Plan(**settings.get("plan", {}))

    def beside(self, name: str) -> Path:
        """A file that the cluster file names, relative to itself."""
        return self.path.parent / name


_SECTIONS = {
    "job": Job,
    "software": Software,
    "cluster": Cluster,
    "speed": Speed,
    "prices": Prices,
}


def read(path: Path) -> Settings:
    """A cluster file, every key checked, and the files that it names.

    Raises DhsError for a file that is not TOML, an unknown section or key, or a bad value
    """
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DhsError(f"{path}: cannot be read as TOML: {error}") from error
    if unknown := table.keys() - _SECTIONS.keys() - {"instances"}:
        allowed = ", ".join([*_SECTIONS, "instances"])
        raise DhsError(f"{path}: unknown section {sorted(unknown)[0]} (allowed: {allowed})")
    sections = {
        name: build(model, table.get(name, {}), f"{path} [{name}]")
        for name, model in _SECTIONS.items()
    }
    instances = {
        name: build(Instance, about, f'{path} [instances."{name}"]')
        for name, about in table.get("instances", {}).items()
    }
    settings = Settings(path, **sections, instances=instances)
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    for name in (settings.cluster.core_type, settings.cluster.primary_type):
        if name not in settings.instances:
            raise DhsError(
                f"{settings.path}: instance type {name} is not described; add a section "
                f'[instances."{name}"] with its processors, memory and your prices'
            )
    if (settings.job.hours_wanted is None) == (settings.cluster.core_nodes is None):
        raise DhsError(
            f"{settings.path}: give either hours_wanted in [job] or core_nodes in [cluster]"
        )
    named = [settings.software.lock, settings.job.settings or settings.software.lock]
    if re.fullmatch(r"(?!s3://).*\.whl", settings.software.package):
        named.append(settings.software.package)
    for name in named:
        if not settings.beside(name).is_file():
            raise DhsError(f"{settings.path} names {name}, but {settings.beside(name)} is no file")
    settings.plan  # noqa: B018  (its file is read and checked)
