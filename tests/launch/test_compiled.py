"""The compiled pipeline, walked as a cluster reads it."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler, dsl, kubernetes
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from typer.testing import CliRunner

from mammogan import components, config, cores, pipeline
from mammogan.command_line import app
from mammogan.components import IMAGE
from mammogan.components.__main__ import main as run_step
from mammogan.data import ingest
from mammogan.graph import ACCELERATED, PER_TRIAL, Step
from mammogan.launch.arguments import graph_arguments
from mammogan.launch.compiled import RETRIES, compile_pipeline
from mammogan.launch.pods import Pods, Size, parse_toleration
from mammogan.launch.schedule import Schedule
from mammogan.tracking.runs import LAMBDA, SEED

ROOT = Path(__file__).resolve().parents[2]
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


def compiled(pods):
    arguments = graph_arguments("paper", {}, source="s3://bucket/cbis", labels="s3://bucket/csv")
    return compile_pipeline(pipeline.experiment, replace(arguments, store="s3://bucket/store"), pods)


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
    assert set(executors) == set(Step)
    names = [name for name, task in tasks(documents[0]) if name in set(Step)]
    assert sorted(names) == sorted(Step)


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
    for step in set(Step) - set(ACCELERATED):
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
        resources = container["resources"]
        assert resources["resourceMemoryLimit"] == resources["resourceMemoryRequest"]
        assert resources["resourceCpuRequest"]
        assert "resourceCpuLimit" not in resources, "what a node has idle may be used"


def test_images_are_pinned_by_digest_and_the_placeholder_is_gone(executors, case):
    for container, _ in executors.values():
        assert re.fullmatch(r".+@sha256:[0-9a-f]{64}", container["image"])
    assert f"image: {IMAGE}" not in case[2]
    assert "latest" not in case[2]
    assert "pip install" not in case[2]


def test_secrets_come_by_name_never_by_value(executors, documents):
    for name, (_, pod) in executors.items():
        mounts = {
            mount["secretNameParameter"]["runtimeValue"]["constant"]: mount["mountPath"]
            for mount in pod["secretAsVolume"]
        }
        source = {"mammogan-s3-source": "/etc/mammogan/source"} if name == "ingest" else {}
        assert mounts == {"mammogan-s3": "/etc/mammogan/s3", **source}
    named = {name: {item["name"]: item["value"] for item in box.get("env", ())} for name, (box, _) in executors.items()}
    tagged = {"MAMMOGAN_IMAGE": executors["start"][0]["image"]}
    if (trained := executors["train"][0]["image"]) != tagged["MAMMOGAN_IMAGE"]:
        tagged["MAMMOGAN_GPU_IMAGE"] = trained
    assert named.pop("start") == tagged, "it writes the run's tags"
    assert all(variables.keys() <= {"MAMMOGAN_CORES"} for variables in named.values())
    suspicious = re.compile(r"secret|token|password|credential|access_?key|api_?key|cookie", re.IGNORECASE)
    components = (documents[0]["root"], *documents[0]["components"].values())
    for component in components:
        for name, parameter in component.get("inputDefinitions", {}).get("parameters", {}).items():
            assert not suspicious.search(name)
            assert not suspicious.search(str(parameter.get("defaultValue", "")))


def test_no_input_is_named_like_a_logged_parameter(documents):
    """Kubeflow's MLflow plugin logs inputs as parameters; MLflow refuses a second value under the same name."""
    logged = {f"cfg.{name}" for name in config.PRESETS["paper"].flat()} | {LAMBDA, SEED}
    for component in documents[0]["components"].values():
        assert not logged & component.get("inputDefinitions", {}).get("parameters", {}).keys()


def test_no_step_is_cached(documents):
    """Kubeflow's cache knows neither the files behind an address nor MLflow; what can be kept is in the store."""
    assert not [name for name, task in tasks(documents[0]) if task.get("cachingOptions", {}).get("enableCache")]


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
        "ingest": {"start"},
        "filter-minority": {"start", "ingest"},
        "train": {"filter-minority"},
        "evaluate": {"train"},
        "select": {"evaluate"},
        "evaluate-winner": {"select"},
        "register": {"evaluate-winner"},
        "synthesise": {"register"},
        "audit": {"synthesise"},
        "promote": {"audit", "register"},
        "utility": {"synthesise"},
        "finish": {"promote", "utility"},
    }
    for step, before in drawn.items():
        assert before <= reachable[step], step
    assert not reachable["start"] & set(Step)


def test_the_loop_is_limited(case, documents):
    loops = [task for _, task in tasks(documents[0]) if "parameterIterator" in task]
    limit = {"parallelismLimit": 3} if case[0] == "gpu" else None
    assert [task.get("iteratorPolicy") for task in loops] == [limit]


def test_every_step_is_retried_and_no_deadline_cuts_its_attempts_short(executors, documents):
    """In the loop and at the exit too; Argo counts the longest duration from the first attempt's start over all."""
    retried = {name: task["retryPolicy"] for name, task in tasks(documents[0]) if "retryPolicy" in task}
    assert set(retried) == set(Step) > set(PER_TRIAL)
    for name, policy in retried.items():
        assert policy["maxRetryCount"] == RETRIES == 3
        pauses_s = sum(60 * 2**attempt for attempt in range(RETRIES))
        attempts_s = (1 + RETRIES) * int(executors[name][1]["activeDeadlineSeconds"])
        assert int(policy["backoffMaxDuration"].removesuffix("s")) >= attempts_s + pauses_s + 7 * 86400
        parsed = json_format.ParseDict(policy, pipeline_spec_pb2.PipelineTaskSpec.RetryPolicy())
        assert parsed.backoff_max_duration.seconds >= attempts_s, "the backend reads seconds alone, of any number"
        assert parsed.backoff_duration.seconds == 60


def test_each_step_is_the_images_own_by_a_short_command(executors, case):
    for step, (container, _) in executors.items():
        assert container["command"] == ["python3", "-m", "mammogan.components"]
        assert container["args"] == [step.replace("-", "_"), components.version(), "{{$}}"]
    assert "def train" not in case[2], "Kubeflow would keep a step's source six times for each of its pods"


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


def test_the_workflow_has_its_time_to_live_whatever_its_end(documents):
    """Argo as Kubeflow ships it fills in an hour for each of the three ends that a workflow leaves out."""
    given = documents[1]["platforms"]["kubernetes"]["pipelineConfig"]
    parsed = json_format.ParseDict(given, pipeline_spec_pb2.PipelineConfig())
    ends = (parsed.resource_ttl_on_completion, parsed.resource_ttl_on_success, parsed.resource_ttl_on_failure)
    assert ends == (7 * 86400,) * 3


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
        kubernetes.use_config_map_as_volume(task, "mammogan", "/etc/mammogan/settings", optional=True)
        kubernetes.empty_dir_mount(task, "tmp", "/tmp", size_limit="40Gi")
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit="8Gi")
        kubernetes.set_image_pull_secrets(task, ["registry"])
        for label, value in {
            "app.kubernetes.io/name": "mammogan",
            "app.kubernetes.io/component": "train",
            "team": "imaging",
            "kueue.x-k8s.io/queue-name": "research",
        }.items():
            kubernetes.add_pod_label(task, label, value)
        kubernetes.use_secret_as_volume(task, "mammogan-s3", "/etc/mammogan/s3", optional=True)
        kubernetes.set_security_context(task, 1000, 0, True)
        kubernetes.add_toleration(task, key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")
        kubernetes.add_toleration(task, key="dedicated", operator="Equal", value="mammogan", effect="NoSchedule")
        kubernetes.add_node_selector(task, "cloud.google.com/gke-accelerator", "nvidia-l4")

    compiler.Compiler().compile(official, str(tmp_path / "theirs.yaml"))
    _, theirs = yaml.safe_load_all((tmp_path / "theirs.yaml").read_text())
    _, ours = yaml.safe_load_all(compile_pipeline(plain, None, GPU))
    pod = "platforms", "kubernetes", "deploymentSpec", "executors", "exec-train"
    for key in pod:
        theirs, ours = theirs[key], ours[key]
    for field, deprecated in (("configMapAsVolume", "configMapName"), ("secretAsVolume", "secretName")):
        for mount in theirs[field]:  # the name stands in ...Parameter too, which Kubeflow reads first
            assert mount.pop(deprecated) == mount[f"{deprecated}Parameter"]["runtimeValue"]["constant"]
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
        ("accelerators", 2),
        ("accelerator", ""),
        ("labels", ("app.kubernetes.io/name=other",)),
        ("queue", "a b"),
        ("s3_secret", ""),
        ("s3_secret", "a.b"),
        ("source_secret", "mammogan-s3"),
        ("pending_minutes", 0),
        ("ttl_days", 0),
    ],
)
def test_wrong_pod_settings_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"pods\.{field}=.*: (give|write)"):
        Pods(**{field: value})


def test_more_accelerators_than_a_step_uses_are_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"pods\.accelerators=2: .*a step uses one accelerator, more would stand idle"):
        Pods(accelerators=2)
    assert [Pods(accelerators=count).accelerators for count in (0, 1)] == [0, 1]


def test_a_steps_size_is_a_setting_by_its_dotted_name():
    """As --pods KEY=VALUE gives it, a text, and as a schedule's file does, also a number."""
    given = {"train.cpu": "4", "train.memory": "24Gi", "filter_minority.scratch": "30Gi", "audit.cpu": 2}
    pods = config.override(Pods(), given)
    assert pods.size(Step.TRAIN) == Size("4", "24Gi", Pods().train.scratch)
    assert pods.size("filter-minority") == Size("1", "2Gi", "30Gi")
    assert pods.size("audit").cpu == "2"
    assert pods.size("evaluate") == Pods().size("evaluate")


def test_a_schedules_pods_take_sizes_by_dotted_names():
    pods = yaml.safe_load(f"{{image: '{CPU_IMAGE}', train.cpu: 3, utility.memory: 1500Mi}}")
    wanted = Schedule(name="weekly", cron="0 0 3 * * 1", source="s3://b/c", store="s3://b/s", pods=pods)
    assert wanted.pod_settings.train == Size("3", *(getattr(Pods().train, name) for name in ("memory", "scratch")))
    assert wanted.pod_settings.size("utility").memory == "1500Mi"


def test_a_size_that_was_set_reaches_the_steps_container(tmp_path):
    graph, platform = yaml.safe_load_all(compiled(config.override(CPU, {"select.memory": "6Gi", "select.cpu": "500m",
                                                                        "select.scratch": "7Gi"})))  # fmt: skip
    resources = graph["deploymentSpec"]["executors"]["exec-select"]["container"]["resources"]
    assert resources == {
        "resourceCpuRequest": "500m",
        "resourceMemoryLimit": "6Gi",
        "resourceMemoryRequest": "6Gi",
    }
    pod = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-select"]
    assert pod["emptyDirMounts"][0]["sizeLimit"] == "7Gi"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.memory", "12"),
        ("train.memory", "12GB"),
        ("train.scratch", "0Gi"),
        ("filter_minority.cpu", "two"),
        ("filter_minority.cpu", "0"),
        ("filter_minority.cpu", "0.000"),
        ("filter_minority.cpu", "0m"),
        ("ttl_days", "24856"),
        ("ttl_days", "0"),
    ],
)
def test_a_wrong_size_is_refused_by_its_own_name(key, value):
    with pytest.raises(ValueError, match=rf"^pods\.{re.escape(key)}='?{value}'?: give ") as refused:
        config.override(Pods(), {key: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("cpu", "threads"), [("3", 3), ("500m", 1), ("1500m", 2), ("0.5", 1), ("2.5", 3), ("3000m", 3)]
)
def test_a_step_fills_the_cores_that_its_pod_asks_for(cpu, threads, monkeypatch):
    pods = config.override(CPU, {"train.cpu": cpu})
    graph, _ = yaml.safe_load_all(compiled(pods))
    named = graph["deploymentSpec"]["executors"]["exec-train"]["container"].get("env", [])
    assert named == ([{"name": cores.VARIABLE, "value": str(threads)}] if threads > 1 else [])
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert cores.share() == 64
    monkeypatch.setenv(cores.VARIABLE, str(threads))
    assert cores.share() == threads
    assert ingest._suitable_workers(10**6) == threads, "64 readers would need more memory than the pod has"
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert cores.share() == 1


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_cores_is_refused(text, monkeypatch):
    monkeypatch.setenv(cores.VARIABLE, text)
    with pytest.raises(ValueError, match=f"MAMMOGAN_CORES='{text}': give the cores to use, a whole number from 1"):
        cores.share()


def test_a_step_that_there_is_not_has_no_size():
    with pytest.raises(ValueError, match="'polish' is not a valid Step"):
        Pods().size("polish")


def test_an_image_of_other_steps_refuses_in_one_line(tmp_path, capsys):
    given = ["train", "0123456789ab", "{}"]
    assert run_step(given, tmp_path) == 2
    stderr = capsys.readouterr().err
    assert len(stderr.splitlines()) == 1
    assert "compiled for other steps (0123456789ab) than the image holds" in stderr
    assert components.version() in stderr


def test_a_pod_without_settings_says_so_instead_of_writing_elsewhere(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    given = ["train", components.version(), "{}"]
    assert run_step(given, tmp_path) == 2
    assert "MLFLOW_TRACKING_URI is not set: apply k8s/steps" in capsys.readouterr().err


def as_in_the_image(tmp_path):
    """Folder of the components in a copy of the code as the Dockerfile lays it out."""
    code = tmp_path / "code" / "mammogan"
    shutil.copytree(ROOT / "mammogan", code, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "components", code / "components", ignore=shutil.ignore_patterns("__pycache__"))
    return code / "components"


def test_the_version_is_that_of_the_sources_wherever_they_lie(tmp_path):
    """In the checkout as in the image, with or without what Python compiled beside them."""
    folder = as_in_the_image(tmp_path)
    program = "import sys; from mammogan import components; print(components.version(), 'kfp' in sys.modules)"
    ask = [sys.executable, "-B", "-c", program]

    def asked():
        return subprocess.run(ask, cwd=tmp_path / "code", check=True, capture_output=True, text=True).stdout.split()

    assert asked() == [components.version(), "False"]
    (folder / "train.py").write_text((folder / "train.py").read_text() + "\n")
    assert asked()[0] != components.version()


def test_a_step_runs_from_its_installed_module_with_the_pods_settings(tmp_path):
    """Its files become its environment; a step named like a module of the standard library leaves that alone."""
    folder, mounts = as_in_the_image(tmp_path), tmp_path / "mounts"
    (mounts / "s3").mkdir(parents=True)
    (mounts / "settings").mkdir()
    (folder / "select.py").write_text(SELECT)
    # Kubernetes links each key to a file in a dated folder beside it, and names that folder ..data
    (mounts / "s3" / "..data").mkdir()
    (mounts / "s3" / "..data" / "AWS_SECRET_ACCESS_KEY").write_text("of the secret\n")
    (mounts / "s3" / "AWS_SECRET_ACCESS_KEY").symlink_to("..data/AWS_SECRET_ACCESS_KEY")
    (mounts / "settings" / "MLFLOW_TRACKING_URI").write_text("http://mlflow:5000")
    (mounts / "settings" / "MAMMOGAN_IMAGE").write_text("the pod's own goes first")
    output = tmp_path / "output.json"
    given = {"inputs": {"parameterValues": {"text": "x"}}, "outputs": {"outputFile": str(output), "parameters": {
        "Output": {"outputFile": str(tmp_path / "Output")}}}}  # fmt: skip
    start = (
        "import sys; from pathlib import Path; from mammogan import components; "
        "from mammogan.components.__main__ import main; "
        "sys.exit(main(['select', components.version(), sys.argv[2]], Path(sys.argv[1])))"
    )
    words = [str(mounts), json.dumps(given)]
    environment = {"PATH": os.environ["PATH"], "MAMMOGAN_IMAGE": "here"}
    done = subprocess.run([sys.executable, "-c", start, *words], cwd=tmp_path / "code", env=environment, text=True,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = json.loads(output.read_text())["parameterValues"]["Output"]
    assert text == "x: of the secret, http://mlflow:5000, here, 600, 1"


SELECT = """
from kfp import dsl

from mammogan.components import step


@step()
def select(text: str) -> str:
    import os
    import select
    import sys

    assert hasattr(select, "poll")
    assert "kfp.compiler" not in sys.modules
    names = ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI", "MAMMOGAN_IMAGE", "MAMMOGAN_PATIENCE_S", "OMP_NUM_THREADS")
    return f"{text}: " + ", ".join(os.environ[name] for name in names)
"""


@pytest.mark.parametrize("name", ["source", "labels"])
def test_data_of_this_machine_are_refused(tmp_path, name):
    given = {"source": "s3://bucket/cbis", "labels": "s3://bucket/csv", name: str(tmp_path)}
    arguments = [
        "compile",
        str(tmp_path / "x.yaml"),
        "--store",
        "s3://bucket/store",
        *(part for item in given.items() for part in (f"--{item[0]}", item[1])),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert f"--{name}=" in result.stderr
    assert not (tmp_path / "x.yaml").exists()


def test_the_command_writes_what_the_function_returns(tmp_path):
    path = tmp_path / "pipeline.yaml"
    arguments = ["compile", str(path), "--source", "s3://bucket/cbis", "--labels", "s3://bucket/csv"]
    arguments += ["--store", "s3://bucket/store", "--image", CPU_IMAGE, "--pods", "accelerators=0"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert path.read_text() == compiled(CPU)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "s3://b/s", "--image", "mammogan:v1"], "pods.image='mammogan:v1': give it by digest"),
        (["--store", "s3://b/s"], "--image=''"),
        (["--image", CPU_IMAGE], "--store='': give s3://bucket/prefix"),
        (["--store", "s3://b/s", "--image", CPU_IMAGE, "--pods", "acelerators=2"], "did you mean accelerators"),
    ],
)
def test_the_command_refuses_in_one_line_and_leaves_no_file(tmp_path, arguments, message):
    path = tmp_path / "pipeline.yaml"
    result = CliRunner().invoke(app, ["compile", str(path), "--source", "s3://b/c", *arguments])
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not path.exists()


if __name__ == "__main__":  # PYTHONPATH=. python tests/launch/test_compiled.py   writes the golden files anew
    for name, pods in (("cpu", CPU), ("gpu", GPU)):
        (GOLDEN / f"{name}.yaml").write_text(compiled(pods))
