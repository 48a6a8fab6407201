"""How many nodes a job needs, what one holds, how long the job takes and what it costs."""

from dataclasses import dataclass, replace
from math import ceil

from darkhaloscope.errors import DhsError
from settings import Instance, Settings, Speed

PARTS_PER_CORE = 3
"""At least, so that cores do not wait long for the last part."""

_APPLICATION_MASTER_MIB = 1024
_JAVA_OVERHEAD_MIB = 512
_HOURS_PER_MONTH = 730


@dataclass(frozen=True)
class Work:
    """Rows to be made, in parts."""

    rows: int
    parts: int

    @property
    def rows_per_part(self) -> int:
        return ceil(self.rows / self.parts)


@dataclass(frozen=True)
class Sizes:
    """A cluster for a job: one executor a core node, one task a core, one part a task."""

    nodes: int
    cores_per_node: int
    vcpus_per_core: int
    heap_mib: int
    overhead_mib: int
    work_hours: float

    @property
    def cores(self) -> int:
        return self.nodes * self.cores_per_node


@dataclass(frozen=True)
class Cost:
    """Of all nodes, from their start to their end."""

    hours: float
    ec2: float
    emr: float
    ebs: float

    @property
    def total(self) -> float:
        return self.ec2 + self.emr + self.ebs


def work_of(settings: Settings, rows: int) -> Work:
    """The parts that the plan's settings give."""
    return Work(rows, ceil(rows / settings.plan.rows_per_part))


def sizes(settings: Settings, work: Work) -> Sizes:
    """The fewest core nodes that do the work in the hours wanted, or as many as are told.

    Raises DhsError if none can: too many nodes, too few parts, too little memory
    """
    told = settings.cluster.core_nodes
    most = settings.cluster.max_core_nodes
    one = _node(settings.core, settings.speed, settings.job.bank_mib)
    for nodes in [told] if told else range(1, most + 1):
        hours = work_hours(settings, work, nodes * one.cores_per_node)
        if told or hours <= (settings.job.hours_wanted or 0):
            return _checked(replace(one, nodes=nodes, work_hours=hours), work, most)
    raise DhsError(
        f"{work.rows} rows in {settings.job.hours_wanted:g} h need more than max_core_nodes = "
        f"{most} nodes: {most} take {hours:.3g} h; want more hours, or allow more nodes"
    )


def work_hours(settings: Settings, work: Work, cores: int) -> float:
    """Of all stages: parts are done in waves, one a core."""
    speed = settings.speed
    rates = {
        "plan": speed.planned_rows_per_second_per_core,
        "inject": speed.stamps_per_second_per_core,
    }
    rows_a_core = ceil(work.parts / cores) * work.rows_per_part
    seconds = sum(rows_a_core / rates[stage] for stage in settings.job.stages)
    return seconds / speed.kept_on_a_cluster / 3600


def cost(settings: Settings, some: Sizes) -> Cost:
    """At the prices noted in the cluster file; S3 and traffic are not in it."""
    core, primary = settings.core, settings.primary
    hours = some.work_hours + settings.cluster.startup_minutes / 60
    gib = (some.nodes + 1) * (settings.cluster.root_gib + settings.cluster.disk_gib)
    a_month = gib * settings.prices.your_ebs_price_per_gib_month
    return Cost(
        hours,
        hours * (some.nodes * core.your_ec2_price_per_hour + primary.your_ec2_price_per_hour),
        hours * (some.nodes * core.your_emr_price_per_hour + primary.your_emr_price_per_hour),
        hours * a_month / _HOURS_PER_MONTH,
    )


def _node(kind: Instance, speed: Speed, bank_mib: int) -> Sizes:
    """What a node holds beside YARN's application master, which one of them has.

    YARN counts the mapped pages of the bank for each worker that has read them.
    """
    task = speed.python_mib_per_task + bank_mib
    room = kind.yarn_mib - _APPLICATION_MASTER_MIB - _JAVA_OVERHEAD_MIB - speed.heap_mib
    tasks = min(kind.vcpus // kind.vcpus_per_core, room // task)
    if tasks < 1:
        raise DhsError(
            f"a core node has {kind.yarn_mib} MiB for YARN, too few for one task of {task} MiB "
            f"beside a heap of {speed.heap_mib}; choose a larger core_type"
        )
    overhead = _JAVA_OVERHEAD_MIB + tasks * task
    return Sizes(1, tasks, kind.vcpus_per_core, speed.heap_mib, overhead, 0.0)


def _checked(some: Sizes, work: Work, most: int) -> Sizes:
    if some.nodes > most:
        raise DhsError(f"core_nodes = {some.nodes} is more than max_core_nodes = {most}")
    if some.nodes > 1 and work.parts < PARTS_PER_CORE * some.cores:
        rows = work.rows // (PARTS_PER_CORE * some.cores)
        raise DhsError(
            f"{work.parts} parts are too few for {some.cores} cores, which need "
            f"{PARTS_PER_CORE} each; plan with rows_per_part = {rows} or less, or want more hours"
        )
    return some
