"""The compiled pipeline: KFP's own compilation, filled in with what a cluster needs to know of each step.

The output is KFP's two YAML documents, the pipeline and its platform part. The same input gives the same bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mammogan import components, cores
from mammogan.addresses import UI_URL
from mammogan.components import IMAGE
from mammogan.graph import ACCELERATED, Step
from mammogan.launch.arguments import GraphArguments
from mammogan.launch.pods import DAY_S, USER, Pods, parse_toleration

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

HOUR_S = 3600

Spec = dict[str, Any]
"""A part of KFP's pipeline spec, its platform spec or a pod's, as their YAML holds it; known to this module alone."""

REQUIRED_SETTINGS = components.REQUIRED_SETTINGS
"""Keys that the ConfigMap must have, each the environment variable of its name."""
OPTIONAL_SETTINGS = ("AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", UI_URL)
"""Keys that it may have; without the first two boto3 goes to AWS, without the last links lead to the tracking URI."""
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""Keys of the object store in the steps' Secret."""
SOURCE_KEYS = ("MAMMOGAN_SOURCE_ACCESS_KEY_ID", "MAMMOGAN_SOURCE_SECRET_ACCESS_KEY")
"""Keys of the source's Secret."""
MLFLOW_KEYS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Keys of MLflow's sign-in in the same Secret: a second one would be a fortieth of what Kubeflow keeps of a run."""

RETRIES = 3
"""Further pods of a step whose pod was lost or, where Kubeflow's own defaults were changed, failed."""
WAITING_S = 30 * DAY_S
"""What all pods of a step together may wait for a node, and between attempts, in seconds."""


def compile_pipeline(pipeline: BaseComponent, arguments: GraphArguments | None, pods: Pods) -> str:
    """YAML of the pipeline with ``arguments`` as its defaults, if any, and every pod's settings.

    Raises ValueError where no image was given.
    """
    if not pods.image:
        raise ValueError("--image='': give the project's image by digest, NAME@sha256:...; docs/cluster.md builds it")
    graph, platform = _compiled(pipeline, arguments)
    _name_tasks(graph)
    _limit_parallelism(graph, pods.parallelism)
    _retry(graph, pods)
    kubernetes = platform.setdefault("platforms", {}).setdefault("kubernetes", {})
    kubernetes["deploymentSpec"] = {"executors": _fill_executors(graph["deploymentSpec"]["executors"], pods)}
    kubernetes["pipelineConfig"] = _time_to_live(pods)
    return yaml.safe_dump_all([graph, platform], sort_keys=True, allow_unicode=True, width=120)


def _compiled(pipeline: BaseComponent, arguments: GraphArguments | None) -> tuple[Spec, Spec]:
    """KFP's own compilation: the pipeline's document and the platform's, which may be empty."""
    from kfp import compiler

    given = arguments.parameters() if arguments else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(pipeline, str(path), pipeline_parameters=given)
        graph, *platform = yaml.safe_load_all(path.read_text())
    return graph, platform[0] if platform else {}


def _tasks(graph: Spec) -> Iterator[tuple[str, Spec]]:
    """Every task of the root and of every nested graph, by its name."""
    for component in (graph["root"], *graph["components"].values()):
        yield from component.get("dag", {}).get("tasks", {}).items()


def _name_tasks(graph: Spec) -> None:
    """Name every task by its key, by which the backend looks for what another task takes from it.

    KFP's compiler up to 2.17.0 writes a group's display name there, if it has one. Then a run fails where outputs of a
    loop are collected (kubeflow/pipelines#13239, fixed there by #13707) and where an exit step asks for its status.
    """
    for key, task in _tasks(graph):
        task["taskInfo"]["name"] = key


def _limit_parallelism(graph: Spec, limit: int) -> None:
    for _, task in _tasks(graph):
        if limit and "parameterIterator" in task:
            task["iteratorPolicy"] = {"parallelismLimit": limit}


def _retry(graph: Spec, pods: Pods) -> None:
    """Let each step whose pod was lost start again, in the fan-out too.

    Argo counts ``backoffMaxDuration`` from the first pod's start over all of them and stops the one that runs then, so
    it is as long as all attempts may take, the wait for a node included. Kubeflow hands it on in seconds, days too.
    """
    for _, task in _tasks(graph):
        label = graph["components"][task["componentRef"]["name"]].get("executorLabel")
        if label:
            longest_s = (1 + RETRIES) * _deadline_s(label.removeprefix("exec-"), pods) + WAITING_S
            task["retryPolicy"] = {
                "maxRetryCount": RETRIES,
                "backoffDuration": "60s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": f"{longest_s}s",
            }


def _time_to_live(pods: Pods) -> dict[str, int]:
    """How long an ended workflow is kept, in seconds.

    In all three fields: the one for its end gives way to those for success and failure, which Kubeflow's own Argo
    sets to an hour wherever a workflow leaves them out.
    """
    return {f"resourceTtlOn{end}": pods.ttl_days * DAY_S for end in ("Completion", "Success", "Failure")}


def _fill_executors(executors: Spec, pods: Pods) -> Spec:
    """Fill in each container's command, image and resources; return its pod's settings by the executor's name."""
    version = components.version()
    for name, executor in executors.items():
        _fill_container(executor["container"], name.removeprefix("exec-"), pods, version)
    return {name: _pod(name.removeprefix("exec-"), pods) for name in executors}


def _fill_container(container: Spec, step: str, pods: Pods, version: str) -> None:
    assert container["image"] == IMAGE, f"{step} brings an image of its own"
    function = container["args"][container["args"].index("--function_to_execute") + 1]
    container["command"] = ["python3", "-m", "mammogan.components"]
    container["args"] = [function, version, "{{$}}"]
    image = (pods.gpu_image or pods.image) if _accelerated(step, pods) else pods.image
    container["image"] = image
    if env := dict(_environment(step, pods, image)):
        container["env"] = [{"name": name, "value": value} for name, value in env.items()]
    container["resources"] = _resources(step, pods)


def _environment(step: str, pods: Pods, image: str) -> Iterator[tuple[str, str]]:
    """What cannot come as a file. Each byte of it is in the workflow six times for each pod, so no default is named."""
    if (count := pods.size(step).whole_cores) > components.CORES:
        yield cores.VARIABLE, str(count)
    if step == Step.START:  # which writes it into the run's tags
        yield "MAMMOGAN_IMAGE", image
        if _accelerated(Step.TRAIN, pods) and pods.gpu_image not in ("", image):
            yield "MAMMOGAN_GPU_IMAGE", pods.gpu_image


def _accelerated(step: str, pods: Pods) -> bool:
    return step in ACCELERATED and pods.accelerators > 0


def _deadline_s(step: str, pods: Pods) -> int:
    """Seconds after which one pod of a step is stopped."""
    return (pods.train_hours if step in ACCELERATED else pods.step_hours) * HOUR_S


def _resources(step: str, pods: Pods) -> Spec:
    """In the fields of KFP from 2.12 on; the older numeric ones are deprecated.

    Memory is limited to its request, as what a node lacks ends some pod; cores are not, as a limit would
    stop a pod in mid-work: it fills no more than it asked for because ``MAMMOGAN_CORES`` says so.
    """
    size = pods.size(step)
    resources: Spec = {
        "resourceCpuRequest": size.cpu,
        "resourceMemoryLimit": size.memory,
        "resourceMemoryRequest": size.memory,
    }
    if _accelerated(step, pods):
        resources["accelerator"] = {"resourceType": pods.accelerator, "resourceCount": str(pods.accelerators)}
    return resources


def _pod(step: str, pods: Pods) -> Spec:
    """Platform settings of one step's pod, in the form of kfp-kubernetes' KubernetesExecutorConfig."""
    labels = {"app.kubernetes.io/name": "mammogan", "app.kubernetes.io/component": step, **_pairs(pods.labels)}
    if pods.queue:
        labels["kueue.x-k8s.io/queue-name"] = pods.queue
    pod: Spec = {
        "activeDeadlineSeconds": str(_deadline_s(step, pods)),
        "configMapAsVolume": [_mount("configMapName", pods.settings, "settings")],
        "emptyDirMounts": [{"volumeName": "tmp", "mountPath": "/tmp", "sizeLimit": pods.size(step).scratch}],  # noqa: S108
        "podMetadata": {"labels": labels},
        "secretAsVolume": [_mount("secretName", name, folder) for folder, name in secrets(step, pods).items()],
        "securityContext": {"runAsUser": str(USER), "runAsGroup": "0", "runAsNonRoot": True},
    }
    if pods.pull_secret:
        name = pods.pull_secret
        pod["imagePullSecret"] = [{"secretName": name, **_constant("secretNameParameter", name)}]
    if _accelerated(step, pods):
        pod |= _accelerated_pod(pods, pod["emptyDirMounts"])
    return pod


def secrets(step: str, pods: Pods) -> dict[str, str]:
    """Secrets of a step's pod by the folder in which it finds them; only what reads the source gets its key."""
    source = {"source": pods.source_secret} if step == Step.INGEST else {}
    return {"s3": pods.s3_secret, **source}


def _accelerated_pod(pods: Pods, mounts: list[dict[str, str]]) -> Spec:
    shm = {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": pods.shm}  # noqa: S108
    taints = [{"key": pods.accelerator, "operator": "Exists", "effect": "NoSchedule"}]
    pod: Spec = {
        "emptyDirMounts": [*mounts, shm],
        "tolerations": [*taints, *map(parse_toleration, pods.tolerations)],
    }
    if pods.node_selector:
        pod["nodeSelector"] = {"labels": _pairs(pods.node_selector)}
    return pod


def _mount(field: str, name: str, folder: str) -> Spec:
    """A Secret or ConfigMap as files that ``components`` makes environment variables of.

    As variables of the pod's own, one by one, they would be more than a tenth of all that Kubeflow keeps of a run,
    which it shows up to 1 MB. Optional: with workload identity there is no Secret, and without settings the step says
    so at once, where a pod with a missing volume would wait for ever.
    """
    return {
        **_constant(f"{field}Parameter", name),
        "mountPath": str(components.MOUNTS / folder),
        "optional": True,
    }


def _constant(field: str, value: str) -> Spec:
    return {field: {"runtimeValue": {"constant": value}}}


def _pairs(items: tuple[str, ...]) -> dict[str, str]:
    return dict(item.split("=", 1) for item in items)
