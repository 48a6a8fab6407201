"""The request that starts the cluster, and the files that it needs in the store."""

import hashlib
from pathlib import Path
from typing import Any

from settings import Settings
from sizes import Sizes

HERE = Path(__file__).parent
HOME = "/opt/darkhaloscope"
"""The environment that bootstrap.sh makes on every node."""
CACHE = "/mnt/darkhaloscope"
EXPERIMENT = "dhs:experiment-id"
"""The tag that keeps two clusters from one experiment."""

_STAGES = {"plan": "4a", "inject": "4c"}


def files(settings: Settings) -> dict[str, Path]:
    """What is put into the store: address and file. Addresses change with their contents."""
    software, job = settings.software, settings.job
    found = [HERE / "bootstrap.sh", HERE / "stage.py", settings.beside(software.lock)]
    if _is_local_wheel(software.package):
        found.append(settings.beside(software.package))
    if job.settings:
        found.append(settings.beside(job.settings))
    digest = hashlib.sha256()
    for path in found:
        digest.update(f"{path.name} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    place = f"{software.code_s3}/{digest.hexdigest()[:12]}"
    return {f"{place}/{path.name}": path for path in found}


def request(settings: Settings, sizes: Sizes) -> dict[str, Any]:
    """The arguments of run_job_flow."""
    cluster, job = settings.cluster, settings.job
    address = {path.name: address for address, path in files(settings).items()}
    return {
        "Name": f"dhs {job.variant} {job.experiment_id}",
        "ReleaseLabel": settings.software.release,
        "LogUri": f"{cluster.log_s3}/",
        "Applications": [{"Name": "Hadoop"}, {"Name": "Spark"}],
        "ServiceRole": cluster.service_role,
        "JobFlowRole": cluster.instance_role,
        "Tags": [{"Key": key, "Value": value} for key, value in _tags(settings).items()],
        "EbsRootVolumeSize": cluster.root_gib,
        "AutoTerminationPolicy": {"IdleTimeout": 60 * cluster.idle_minutes},
        "Instances": _instances(settings, sizes),
        "BootstrapActions": [_bootstrap(settings, address)],
        "Configurations": [_environment()],
        "Steps": [_step(settings, sizes, stage, address) for stage in job.stages],
    }


def _tags(settings: Settings) -> dict[str, str]:
    job = settings.job
    return settings.cluster.tags | {EXPERIMENT: job.experiment_id, "dhs:variant": job.variant}


def _instances(settings: Settings, sizes: Sizes) -> dict[str, Any]:
    cluster = settings.cluster
    groups = [
        _group("MASTER", cluster.primary_type, 1, cluster.disk_gib),
        _group("CORE", cluster.core_type, sizes.nodes, cluster.disk_gib),
    ]
    places = {"Ec2SubnetId": cluster.subnet_id, "Ec2KeyName": cluster.key_name}
    return {
        "InstanceGroups": groups,
        "KeepJobFlowAliveWhenNoSteps": False,
        "TerminationProtected": False,
        **{key: value for key, value in places.items() if value},
    }


def _group(role: str, kind: str, count: int, disk_gib: int) -> dict[str, Any]:
    volume = {"VolumeType": "gp3", "SizeInGB": disk_gib}
    return {
        "Name": role.lower(),
        "InstanceRole": role,
        "InstanceType": kind,
        "InstanceCount": count,
        "Market": "ON_DEMAND",
        "EbsConfiguration": {
            "EbsBlockDeviceConfigs": [{"VolumeSpecification": volume, "VolumesPerInstance": 1}]
        },
    }


def _bootstrap(settings: Settings, address: dict[str, str]) -> dict[str, Any]:
    software = settings.software
    package = software.package
    words = {
        "--package": address[Path(package).name] if _is_local_wheel(package) else package,
        "--lock": address[Path(software.lock).name],
        "--home": HOME,
        "--cache": CACHE,
        "--wheels": software.wheels,
        "--torch-index": software.torch_index,
    }
    arguments = [word for key, value in words.items() if value for word in (key, value)]
    script = {"Path": address["bootstrap.sh"], "Args": arguments}
    return {"Name": "install dhs", "ScriptBootstrapAction": script}


def _environment() -> dict[str, Any]:
    python = f"{HOME}/bin/python"
    names = {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python, "DHS_CACHE": CACHE}
    return {
        "Classification": "spark-env",
        "Properties": {},
        "Configurations": [{"Classification": "export", "Properties": names}],
    }


def _step(settings: Settings, sizes: Sizes, stage: str, address: dict[str, str]) -> dict[str, Any]:
    """The driver runs on the primary node, so that what it says is the step's own log."""
    conf = [word for pair in spark_conf(settings, sizes) for word in ("--conf", pair)]
    submit = ["spark-submit", "--master", "yarn", "--deploy-mode", "client", *conf]
    words = [*submit, address["stage.py"], *stage_words(settings, stage, address)]
    return {
        "Name": stage,
        "ActionOnFailure": "TERMINATE_CLUSTER",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": words},
    }


def spark_conf(settings: Settings, sizes: Sizes) -> list[str]:
    """One executor a node with all its cores, all there before work begins, none more."""
    conf = {
        "spark.driver.memory": f"{settings.speed.driver_mib}m",
        "spark.executor.instances": sizes.nodes,
        "spark.executor.cores": sizes.cores_per_node * sizes.vcpus_per_core,
        "spark.task.cpus": sizes.vcpus_per_core,
        "spark.executor.memory": f"{sizes.heap_mib}m",
        "spark.executor.memoryOverhead": f"{sizes.overhead_mib}m",
        "spark.executorEnv.DHS_CACHE": CACHE,
        "spark.dynamicAllocation.enabled": "false",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "300s",
        "spark.yarn.am.memory": "512m",
    }
    return [f"{key}={value}" for key, value in conf.items()]


def stage_words(settings: Settings, stage: str, address: dict[str, str]) -> list[str]:
    """Flags of stage.py."""
    job = settings.job
    words = {
        "--stage": _STAGES[stage],
        "--output-s3": job.output_s3,
        "--variant": job.variant,
        "--experiment-id": job.experiment_id,
        "--manifests-subdir": job.manifests_subdir,
        "--cutouts": job.cutouts,
        "--cosmos-bank-h5": job.bank,
        "--source-mode": job.source_mode,
        "--config": address[Path(job.settings).name] if job.settings else None,
    }
    return [word for key, value in words.items() if value for word in (key, value)]


def _is_local_wheel(package: str) -> bool:
    return package.endswith(".whl") and not package.startswith("s3://")
