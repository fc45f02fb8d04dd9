"""The compiled pipeline, walked as a cluster reads it."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler, dsl, kubernetes
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from typer.testing import CliRunner

import pipeline
from components import IMAGE
from launch.arguments import graph_arguments
from launch.compiled import compile_pipeline
from launch.pods import ACCELERATED, Pods, parse_toleration
from mammogan import config

GOLDEN = Path(__file__).parent / "golden"
CPU_IMAGE = "registry.example.org/mammogan@sha256:" + "c" * 64
GPU_IMAGE = "registry.example.org/mammogan-gpu@sha256:" + "d" * 64
CPU = Pods(image=CPU_IMAGE, accelerators=0)
GPU = Pods(
    image=CPU_IMAGE,
    gpu_image=GPU_IMAGE,
    node_selector=("cloud.google.com/gke-accelerator=nvidia-l4",),
    tolerations=("dedicated=mammogan:NoSchedule",),
    parallelism=3,
    queue="research",
    labels=("team=imaging",),
    pull_secret="registry",
)
LOOPED = ("train", "evaluate")
AFTER = ("select", "register", "synthesise", "audit", "promote", "utility", "finish")
CHAIN = ("start", "ingest", "filter-minority", "check-changes", *LOOPED, *AFTER)


def compiled(pods, **options):
    arguments = graph_arguments("paper", {}, source="s3://bucket/cbis", labels="s3://bucket/csv")
    return compile_pipeline(pipeline.experiment, {**arguments, "store": "s3://bucket/store"}, pods, **options)


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def case(request):
    pods = {"cpu": CPU, "gpu": GPU}[request.param]
    return request.param, pods, compiled(pods)


@pytest.fixture
def documents(case):
    return tuple(yaml.safe_load_all(case[2]))


@pytest.fixture
def executors(documents):
    """Step to its container and its pod's settings."""
    graph, platform = documents
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    containers = graph["deploymentSpec"]["executors"]
    assert containers.keys() == pods.keys()
    return {name.removeprefix("exec-"): (containers[name]["container"], pods[name]) for name in containers}


def tasks(graph):
    for component in (graph["root"], *graph["components"].values()):
        yield from component.get("dag", {}).get("tasks", {}).items()


def test_the_same_input_gives_the_golden_bytes(case):
    name, pods, text = case
    assert text == compiled(pods)
    golden = GOLDEN / f"{name}.yaml"
    assert text == golden.read_text(), f"the graph changed: if that was meant, run PYTHONPATH=. python {__file__}"


def test_the_backend_can_read_both_documents(documents):
    graph, platform = documents
    json_format.ParseDict(graph, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_every_step_is_in_the_graph_once(executors, documents):
    assert set(executors) == set(CHAIN)
    names = [name for name, task in tasks(documents[0]) if name in CHAIN]
    assert sorted(names) == sorted(CHAIN)


def test_every_accelerated_step_asks_for_all_it_needs(executors):
    containers = {step: container for step, (container, _) in executors.items()}
    if containers["train"]["image"] != GPU_IMAGE:
        pytest.skip("the CPU pipeline has none")
    for step in ACCELERATED:
        container, pod = executors[step]
        assert container["resources"]["accelerator"] == {"resourceType": "nvidia.com/gpu", "resourceCount": "1"}
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]
        dedicated = {"key": "dedicated", "operator": "Equal", "value": "mammogan", "effect": "NoSchedule"}
        assert dedicated in pod["tolerations"]
        assert pod["nodeSelector"] == {"labels": {"cloud.google.com/gke-accelerator": "nvidia-l4"}}
        shm = [mount for mount in pod["emptyDirMounts"] if mount["mountPath"] == "/dev/shm"]
        assert [(mount["medium"], mount["sizeLimit"]) for mount in shm] == [("Memory", "8Gi")]
    for step in set(CHAIN) - set(ACCELERATED):
        container, pod = executors[step]
        assert container["image"] == CPU_IMAGE
        assert "accelerator" not in container["resources"]
        assert "tolerations" not in pod
        assert "nodeSelector" not in pod


def test_without_accelerators_nothing_asks_for_one():
    assert "nvidia" not in compiled(CPU)
    assert "/dev/shm" not in compiled(CPU)


def test_every_step_has_time_out_scratch_limits_labels_and_a_plain_user(executors):
    for step, (container, pod) in executors.items():
        assert int(pod["activeDeadlineSeconds"]) > 0
        assert pod["securityContext"] == {"runAsUser": "1000", "runAsGroup": "0", "runAsNonRoot": True}
        assert pod["podMetadata"]["labels"]["app.kubernetes.io/component"] == step
        assert [mount["sizeLimit"] for mount in pod["emptyDirMounts"] if mount["mountPath"] == "/tmp"]
        for resource in ("Cpu", "Memory"):
            limit, request = (container["resources"][f"resource{resource}{kind}"] for kind in ("Limit", "Request"))
            assert limit == request


def test_images_are_pinned_by_digest_and_the_placeholder_is_gone(executors, case):
    for container, _ in executors.values():
        assert re.fullmatch(r".+@sha256:[0-9a-f]{64}", container["image"])
        assert {"name": "MAMMOGAN_IMAGE", "value": container["image"]} in container["env"]
    assert f"image: {IMAGE}" not in case[2]
    assert "latest" not in case[2]
    assert "pip install" not in case[2]


def test_secrets_come_by_name_never_by_value(executors, documents):
    for container, pod in executors.values():
        assert [secret["secretName"] for secret in pod["secretAsEnv"]] == ["mammogan-s3", "mammogan-mlflow"]
        assert [variable["name"] for variable in container["env"]] == ["MAMMOGAN_IMAGE"]
    suspicious = re.compile(r"secret|token|password|credential|access_?key|api_?key|cookie", re.IGNORECASE)
    components = (documents[0]["root"], *documents[0]["components"].values())
    for component in components:
        for name, parameter in component.get("inputDefinitions", {}).get("parameters", {}).items():
            assert not suspicious.search(name)
            assert not suspicious.search(str(parameter.get("defaultValue", "")))


def test_no_input_is_named_like_a_logged_parameter(documents):
    """Kubeflow's MLflow plugin logs inputs as parameters; MLflow refuses a second value under the same name."""
    logged = {f"cfg.{name}" for name in config.PRESETS["paper"].flat()} | {"cfg.gp_lambda", "cfg.seed"}
    for component in documents[0]["components"].values():
        assert not logged & component.get("inputDefinitions", {}).get("parameters", {}).keys()


def test_only_ingest_is_cached_and_a_schedule_can_turn_that_off():
    for kept, options in (({"ingest"}, {}), (set(), {"cache_ingest": False})):
        graph, _ = yaml.safe_load_all(compiled(CPU, **options))
        assert {name for name, task in tasks(graph) if task.get("cachingOptions", {}).get("enableCache")} == kept


def test_dependencies_are_as_drawn(documents):
    """Through all nested graphs, so that a step that lost its input shows."""
    graph = documents[0]
    after = {name: set() for name, _ in tasks(graph)}
    for name, task in tasks(graph):
        after[name] |= set(task.get("dependentTasks", ()))
        inner = graph["components"][task["componentRef"]["name"]].get("dag", {}).get("tasks", {})
        for child in inner:
            after[child].add(f"enter {name}")
            after.setdefault(f"enter {child}", set()).add(f"enter {name}")
        after.setdefault(f"enter {name}", set()).update(task.get("dependentTasks", ()))
        after[name] |= set(inner)
    order = list(TopologicalSorter(after).static_order())
    reachable = {}
    for name in order:
        reachable[name] = set().union(after.get(name, ()), *(reachable[before] for before in after.get(name, ())))
    drawn = {
        "filter-minority": {"start", "ingest"},
        "check-changes": {"filter-minority"},
        "train": {"filter-minority", "check-changes"},
        "evaluate": {"train"},
        "select": {"evaluate"},
        "register": {"select"},
        "synthesise": {"register"},
        "audit": {"synthesise"},
        "promote": {"audit", "register"},
        "utility": {"synthesise"},
        "finish": {"promote", "utility"},
    }
    for step, before in drawn.items():
        assert before <= reachable[step], step
    assert not reachable["start"] & set(CHAIN)
    assert not reachable["ingest"] & set(CHAIN)


def test_the_loop_is_limited_and_retries_stand_outside_it(case, documents):
    loops = [task for _, task in tasks(documents[0]) if "parameterIterator" in task]
    limit = {"parallelismLimit": 3} if case[0] == "gpu" else None
    assert [task.get("iteratorPolicy") for task in loops] == [limit]
    retried = {name for name, task in tasks(documents[0]) if "retryPolicy" in task}
    assert retried == set(CHAIN) - set(LOOPED)


def test_what_a_task_takes_is_found_by_the_name_of_the_task_that_gives_it(documents):
    """The backend looks a producer up by its task's own name, in the graph of the task that asks."""
    producers = 0
    for component in (documents[0]["root"], *documents[0]["components"].values()):
        inner = component.get("dag", {}).get("tasks", {})
        named = {task["taskInfo"]["name"] for task in inner.values()}
        for task in inner.values():
            kinds = task.get("inputs", {})
            given = [*kinds.get("parameters", {}).values(), *kinds.get("artifacts", {}).values()]
            sources = [source for item in given for source in item.values() if isinstance(source, dict)]
            asked = {source["producerTask"] for source in sources if "producerTask" in source}
            assert asked <= named
            producers += len(asked)
    assert producers >= 10, "the steps take each other's outputs"


def test_the_workflow_has_a_time_to_live(documents):
    assert documents[1]["platforms"]["kubernetes"]["pipelineConfig"] == {"resourceTtlOnCompletion": 7 * 86400}


def test_optional_settings_reach_every_pod(executors, case):
    if case[0] == "cpu":
        pytest.skip("they are set in the other pipeline")
    for _, pod in executors.values():
        assert pod["podMetadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
        assert pod["podMetadata"]["labels"]["team"] == "imaging"
        assert [secret["secretName"] for secret in pod["imagePullSecret"]] == ["registry"]


def test_pod_settings_are_what_kfps_own_functions_write(tmp_path):
    """Oracle: the official SDK applied to a task of the same name."""

    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def train():
        pass

    @dsl.pipeline(name="ours")
    def plain():
        train()

    @dsl.pipeline(name="theirs")
    def official():
        task = train()
        kubernetes.set_timeout(task, 72 * 3600)
        settings = {"MLFLOW_TRACKING_URI": "MLFLOW_TRACKING_URI"}
        kubernetes.use_config_map_as_env(task, "mammogan", settings, optional=False)
        optional = {name: name for name in ("AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION")}
        kubernetes.use_config_map_as_env(task, "mammogan", optional, optional=True)
        kubernetes.empty_dir_mount(task, "tmp", "/tmp", size_limit="40Gi")
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit="8Gi")
        kubernetes.set_image_pull_policy(task, "IfNotPresent")
        kubernetes.set_image_pull_secrets(task, ["registry"])
        for label, value in {
            "app.kubernetes.io/name": "mammogan",
            "app.kubernetes.io/component": "train",
            "team": "imaging",
            "kueue.x-k8s.io/queue-name": "research",
        }.items():
            kubernetes.add_pod_label(task, label, value)
        keys = {name: name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        kubernetes.use_secret_as_env(task, "mammogan-s3", keys, optional=True)
        keys = {f"MLFLOW_TRACKING_{name}": f"MLFLOW_TRACKING_{name}" for name in ("USERNAME", "PASSWORD", "TOKEN")}
        kubernetes.use_secret_as_env(task, "mammogan-mlflow", keys, optional=True)
        kubernetes.set_security_context(task, 1000, 0, True)
        kubernetes.add_toleration(task, key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")
        kubernetes.add_toleration(task, key="dedicated", operator="Equal", value="mammogan", effect="NoSchedule")
        kubernetes.add_node_selector(task, "cloud.google.com/gke-accelerator", "nvidia-l4")

    compiler.Compiler().compile(official, str(tmp_path / "theirs.yaml"))
    _, theirs = yaml.safe_load_all((tmp_path / "theirs.yaml").read_text())
    _, ours = yaml.safe_load_all(compile_pipeline(plain, {}, GPU))
    pod = "platforms", "kubernetes", "deploymentSpec", "executors", "exec-train"
    for key in pod:
        theirs, ours = theirs[key], ours[key]
    assert ours == theirs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spot", {"key": "spot", "operator": "Exists"}),
        ("a/b:NoExecute", {"key": "a/b", "operator": "Exists", "effect": "NoExecute"}),
        ("a=b", {"key": "a", "operator": "Equal", "value": "b"}),
    ],
)
def test_tolerations_are_read_as_kubectl_taints_are_written(text, expected):
    assert parse_toleration(text) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", "mammogan:latest"),
        ("gpu_image", "mammogan@sha256:123"),
        ("tolerations", ("a=b:Never",)),
        ("node_selector", ("gpu",)),
        ("shm", "8 GB"),
        ("accelerators", -1),
        ("accelerator", ""),
        ("labels", ("app.kubernetes.io/name=other",)),
        ("queue", "a b"),
        ("s3_secret", ""),
        ("ttl_days", 0),
    ],
)
def test_wrong_pod_settings_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"pods\.{field}=.*: (give|write)"):
        Pods(**{field: value})


@pytest.mark.parametrize("name", ["source", "labels"])
def test_data_of_this_machine_are_refused(tmp_path, name):
    given = {"source": "s3://bucket/cbis", "labels": "s3://bucket/csv", name: str(tmp_path)}
    arguments = [
        "compile",
        str(tmp_path / "x.yaml"),
        *(part for item in given.items() for part in (f"--{item[0]}", item[1])),
    ]
    result = CliRunner().invoke(pipeline.app, arguments)
    assert result.exit_code == 2
    assert f"--{name}=" in result.stderr
    assert not (tmp_path / "x.yaml").exists()


def test_the_command_writes_what_the_function_returns(tmp_path):
    path = tmp_path / "pipeline.yaml"
    arguments = ["compile", str(path), "--source", "s3://bucket/cbis", "--labels", "s3://bucket/csv"]
    arguments += ["--store", "s3://bucket/store", "--image", CPU_IMAGE, "--pods", "accelerators=0"]
    result = CliRunner().invoke(pipeline.app, arguments)
    assert result.exit_code == 0, result.output
    assert path.read_text() == compiled(CPU)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--image", "mammogan:v1"], "pods.image='mammogan:v1': give it by digest"),
        ([], "--image=''"),
        (["--image", CPU_IMAGE, "--pods", "acelerators=2"], "did you mean accelerators"),
    ],
)
def test_the_command_refuses_in_one_line_and_leaves_no_file(tmp_path, arguments, said):
    path = tmp_path / "pipeline.yaml"
    result = CliRunner().invoke(pipeline.app, ["compile", str(path), "--source", "s3://b/c", *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not path.exists()


if __name__ == "__main__":  # PYTHONPATH=. python tests/cluster/test_compiled.py   writes the golden files anew
    for name, pods in (("cpu", CPU), ("gpu", GPU)):
        (GOLDEN / f"{name}.yaml").write_text(compiled(pods))
