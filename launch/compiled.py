"""The compiled pipeline: KFP's own compilation, filled in with what a cluster needs to know of each step.

The output is KFP's two YAML documents, the pipeline and its platform part. The same input gives the same bytes.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from components import IMAGE
from launch.pods import ACCELERATED, LIGHT, SIZES, USER, Pods, parse_toleration

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

HOUR_S = 3600
DAY_S = 24 * HOUR_S

REQUIRED_SETTINGS = ("MLFLOW_TRACKING_URI",)
"""Keys that the ConfigMap must have, each the environment variable of its name."""
OPTIONAL_SETTINGS = ("AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION")
"""Keys that it may have; without them boto3 goes to AWS."""
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""Keys of the object store's Secret."""
MLFLOW_KEYS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Keys of MLflow's Secret; those that are absent are left out."""

RETRY = {"maxRetryCount": 3, "backoffDuration": "60s", "backoffFactor": 2.0, "backoffMaxDuration": "900s"}
"""For a pod that was evicted or a server that was away. KFP ignores it inside the fan-out, where steps resume."""


def compile_pipeline(
    pipeline: BaseComponent, arguments: Mapping[str, Any], pods: Pods, *, cache_ingest: bool = True
) -> str:
    """YAML of the pipeline with ``arguments`` as its defaults and every pod's settings.

    ``cache_ingest=False`` makes each run look at the source again, which a schedule needs. Raises ValueError where
    no image was given.
    """
    if not pods.image:
        raise ValueError("--image='': give the project's image by digest, NAME@sha256:...; docs/cluster.md builds it")
    graph, platform = _compiled(pipeline, arguments)
    for name, task in _tasks(graph):
        if name == "ingest" and not cache_ingest:
            task["cachingOptions"] = {}
    _name_tasks(graph)
    _limit_parallelism(graph, pods.parallelism)
    _retry_outside_loops(graph)
    kubernetes = platform.setdefault("platforms", {}).setdefault("kubernetes", {})
    kubernetes["deploymentSpec"] = {"executors": _fill_executors(graph["deploymentSpec"]["executors"], pods)}
    kubernetes["pipelineConfig"] = {"resourceTtlOnCompletion": pods.ttl_days * DAY_S}
    return yaml.safe_dump_all([graph, platform], sort_keys=True, allow_unicode=True, width=120)


def _compiled(pipeline: BaseComponent, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """KFP's own compilation: the pipeline's document and the platform's, which may be empty."""
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(pipeline, str(path), pipeline_parameters=dict(arguments))
        graph, *platform = yaml.safe_load_all(path.read_text())
    return graph, platform[0] if platform else {}


def _tasks(graph: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every task of the root and of every nested graph, by its name."""
    for component in (graph["root"], *graph["components"].values()):
        yield from component.get("dag", {}).get("tasks", {}).items()


def _name_tasks(graph: Mapping[str, Any]) -> None:
    """Name every task by its key, by which the backend looks for what another task takes from it.

    KFP's compiler up to 2.17.0 writes a group's display name there, if it has one. Then a run fails where outputs of a
    loop are collected (kubeflow/pipelines#13239, mended there by #13707) and where an exit step asks for its status.
    """
    for key, task in _tasks(graph):
        task["taskInfo"]["name"] = key


def _limit_parallelism(graph: Mapping[str, Any], limit: int) -> None:
    for _, task in _tasks(graph):
        if limit and "parameterIterator" in task:
            task["iteratorPolicy"] = {"parallelismLimit": limit}


def _retry_outside_loops(graph: Mapping[str, Any]) -> None:
    looped = {task["componentRef"]["name"] for _, task in _tasks(graph) if "parameterIterator" in task}
    components = {name: part for name, part in graph["components"].items() if name not in looped}
    for _, task in _tasks({"root": graph["root"], "components": components}):
        if "executorLabel" in graph["components"][task["componentRef"]["name"]]:
            task["retryPolicy"] = copy.copy(RETRY)


def _fill_executors(executors: Mapping[str, Any], pods: Pods) -> dict[str, Any]:
    """Fill in each container's image, environment and resources; return its pod's settings by the executor's name."""
    for name, executor in executors.items():
        _fill_container(executor["container"], name.removeprefix("exec-"), pods)
    return {name: _pod(name.removeprefix("exec-"), pods) for name in executors}


def _fill_container(container: dict[str, Any], step: str, pods: Pods) -> None:
    assert container["image"] == IMAGE, f"{step} brings an image of its own"
    image = (pods.gpu_image or pods.image) if _accelerated(step, pods) else pods.image
    container["image"] = image
    container["env"] = [{"name": "MAMMOGAN_IMAGE", "value": image}]
    container["resources"] = _resources(step, pods)


def _accelerated(step: str, pods: Pods) -> bool:
    return step in ACCELERATED and pods.accelerators > 0


def _resources(step: str, pods: Pods) -> dict[str, Any]:
    """Request equal to the limit, in the fields of KFP from 2.12 on; the older numeric ones are deprecated."""
    size = SIZES.get(step, LIGHT)
    resources: dict[str, Any] = {
        "resourceCpuLimit": size.cpu,
        "resourceCpuRequest": size.cpu,
        "resourceMemoryLimit": size.memory,
        "resourceMemoryRequest": size.memory,
    }
    if _accelerated(step, pods):
        resources["accelerator"] = {"resourceType": pods.accelerator, "resourceCount": str(pods.accelerators)}
    return resources


def _pod(step: str, pods: Pods) -> dict[str, Any]:
    """Platform settings of one step's pod, in the form of kfp-kubernetes' KubernetesExecutorConfig."""
    hours = pods.train_hours if step in ACCELERATED else pods.step_hours
    labels = {"app.kubernetes.io/name": "mammogan", "app.kubernetes.io/component": step, **_pairs(pods.labels)}
    if pods.queue:
        labels["kueue.x-k8s.io/queue-name"] = pods.queue
    pod: dict[str, Any] = {
        "activeDeadlineSeconds": str(hours * HOUR_S),
        "configMapAsEnv": [
            _config_map(pods.settings, REQUIRED_SETTINGS, optional=False),
            _config_map(pods.settings, OPTIONAL_SETTINGS, optional=True),
        ],
        "emptyDirMounts": [{"volumeName": "tmp", "mountPath": "/tmp", "sizeLimit": SIZES.get(step, LIGHT).scratch}],  # noqa: S108
        "imagePullPolicy": "IfNotPresent",
        "podMetadata": {"labels": labels},
        "secretAsEnv": [_secret(pods.s3_secret, S3_KEYS), _secret(pods.mlflow_secret, MLFLOW_KEYS)],
        "securityContext": {"runAsUser": str(USER), "runAsGroup": "0", "runAsNonRoot": True},
    }
    if pods.pull_secret:
        name = pods.pull_secret
        pod["imagePullSecret"] = [{"secretName": name, **_constant("secretNameParameter", name)}]
    if _accelerated(step, pods):
        pod |= _accelerated_pod(pods, pod["emptyDirMounts"])
    return pod


def _accelerated_pod(pods: Pods, mounts: list[dict[str, str]]) -> dict[str, Any]:
    shm = {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": pods.shm}  # noqa: S108
    taints = [{"key": pods.accelerator, "operator": "Exists", "effect": "NoSchedule"}]
    pod: dict[str, Any] = {
        "emptyDirMounts": [*mounts, shm],
        "tolerations": [*taints, *map(parse_toleration, pods.tolerations)],
    }
    if pods.node_selector:
        pod["nodeSelector"] = {"labels": _pairs(pods.node_selector)}
    return pod


def _secret(name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """Every key of a Secret as the environment variable of its name.

    Optional, because clusters with workload identity have none; what a step then misses, preflight tells before.
    """
    items = [{"secretKey": key, "envVar": key} for key in keys]
    return {"secretName": name, **_constant("secretNameParameter", name), "keyToEnv": items, "optional": True}


def _config_map(name: str, keys: tuple[str, ...], *, optional: bool) -> dict[str, Any]:
    items = [{"configMapKey": key, "envVar": key} for key in keys]
    return {
        "configMapName": name,
        **_constant("configMapNameParameter", name),
        "keyToEnv": items,
        "optional": optional,
    }


def _constant(field: str, value: str) -> dict[str, Any]:
    return {field: {"runtimeValue": {"constant": value}}}


def _pairs(items: tuple[str, ...]) -> dict[str, str]:
    return dict(item.split("=", 1) for item in items)
