"""Preflight against a played kubectl: a script answers from a file of answers, and Kubeflow is the pretended one."""

import json
import time

import kubernetes_validate
import pytest
from typer.testing import CliRunner

from mammogan import components
from mammogan.command_line import app
from mammogan.launch import compiled, kubectl, preflight
from mammogan.launch.pods import Pods, Size
from mammogan.launch.preflight import probe_pod, room
from mammogan.launch.server import Server

IMAGE = "registry.example.org/mammogan@sha256:" + "c" * 64
GPU_IMAGE = "registry.example.org/mammogan-gpu@sha256:" + "d" * 64
STORE = "s3://bucket/store"
PODS = Pods(image=IMAGE)
VERSION = "abcdef012345"
"""Of the steps of this checkout, for these tests."""

pytestmark = pytest.mark.usefixtures("quick")

PLAYER = r"""#!/bin/sh
# every file stands beside this script; a shell, for Python would take ten times as long to begin, a thousand times
here=${0%/*}
printf '%s\n' "$*" >> "$here/calls"
plain=
for item; do case $item in --*) ;; *) plain="$plain$item " ;; esac; done
case $plain in "create "*) cat >> "$here/pods.jsonl"; echo >> "$here/pods.jsonl" ;; esac
case $plain in
ANSWERS
*) echo "nobody told what to answer to $plain" >&2; exit 1 ;;
esac
"""


def player(folder, answers):
    """The script, which answers the first key that its plain arguments begin with, from files beside it."""
    cases = []
    for number, (key, answer) in enumerate(answers.items()):
        refuses = isinstance(answer, str)
        text = answer if refuses else answer["text"] if "text" in answer else json.dumps(answer)
        (folder / f"answer-{number}").write_text(f"{text}\n")
        end = " >&2; exit 1" if refuses else ""
        cases.append(f'"{key} "*) cat "$here/answer-{number}"{end} ;;')
    return PLAYER.replace("ANSWERS", "\n".join(cases))


def api_server(tag, *variables):
    container = {"image": f"ghcr.io/kubeflow/kfp-api-server:{tag}", "env": list(variables)}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def log(*findings, version=None):
    """What a pod writes: the version of its steps, a warning, then the findings ``(what, ok, said)``."""
    entries = [dict(zip(("what", "ok", "said"), item, strict=True)) for item in findings]
    document = json.dumps({"findings": entries}, indent=2)
    return {"text": f"{version or VERSION}\nwarning: {{}}\n{document}\nbye"}


def node(name="node", cpu="8", memory="32Gi", labels=None, taints=(), cordoned=False, **more):
    allocatable = {"cpu": cpu, "memory": memory, **{key.replace("_", "."): value for key, value in more.items()}}
    spec = {"taints": list(taints), **({"unschedulable": True} if cordoned else {})}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": {"allocatable": allocatable}}


GPU = {"nvidia.com/gpu": "2"}
GPU_NODE = node("gpu", labels={"pool": "gpu"}, taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}], **GPU)
STORE_WORKS, MLFLOW_WORKS = ("object store", True, "wrote"), ("MLflow", True, "wrote a run")
MAY_ALL = ("rights", True, "may do all")
SEES_GPU = ("accelerator", True, "NVIDIA L4, 22 GiB")
DENIED = ("object store", False, "InvalidAccessKeyId; fix AWS_ACCESS_KEY_ID")
KUBEFLOWS_OWN = {"deployment", "workflow-controller-configmap"}
CONTROLLER = "get configmap workflow-controller-configmap kubeflow"
SHIPPED = "spec: {templateDefaults: {retryStrategy: {limit: '2', retryPolicy: OnError}}}"
"""Of Kubeflow Pipelines 2.17.0's manifests/kustomize/third-party/argo."""
READY = {
    "version": {"serverVersion": {"gitVersion": "v1.34.1"}},
    "get deployment ml-pipeline kubeflow": api_server("2.17.0"),
    CONTROLLER: {"data": {"workflowDefaults": SHIPPED}},
    "get namespace kubeflow": {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}},
    "get serviceaccount mammogan-steps kubeflow": {"metadata": {}},
    "get configmap mammogan kubeflow": {"data": {"MLFLOW_TRACKING_URI": "http://me:c2VjcmV0@mlflow:5000"}},
    "get secret mammogan-s3 kubeflow": {"data": {"AWS_ACCESS_KEY_ID": "c2VjcmV0", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}},
    "get storageclass": {
        "items": [
            {"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
        ]
    },
    "get limitrange kubeflow": {"items": []},
    "get resourcequota kubeflow": {"items": []},
    "get nodes": {"items": [GPU_NODE, node()]},
    "create": {},
    "delete": {"text": ""},
    "get pod mammogan-preflight kubeflow": {"status": {"phase": "Succeeded"}},
    "logs mammogan-preflight kubeflow": log(MAY_ALL, STORE_WORKS, MLFLOW_WORKS),
    "get pod mammogan-preflight-accelerated kubeflow": {"status": {"phase": "Succeeded"}},
    "logs mammogan-preflight-accelerated kubeflow": log(STORE_WORKS, MLFLOW_WORKS, SEES_GPU),
}
POD, LOG = "get pod mammogan-preflight kubeflow", "logs mammogan-preflight kubeflow"
GPU_POD, GPU_LOG = "get pod mammogan-preflight-accelerated kubeflow", "logs mammogan-preflight-accelerated kubeflow"


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Put a kubectl before the others that answers READY, but for what is given."""

    def play(answers=None):
        script = tmp_path / "kubectl"
        script.write_text(player(tmp_path, READY | (answers or {})))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return tmp_path

    monkeypatch.setattr(probe_pod, "POLL_S", 0.0)
    monkeypatch.setattr(components, "version", lambda: VERSION)
    return play


def look(host, pods=PODS, namespace="mammogan", store=STORE, source=""):
    return preflight.check(Server(host), pods, namespace, "mammogan-steps", store, source)


def findings(host, pods=PODS, **more):
    return {item.what: item for item in look(host, pods, **more)}


def wrong(host, pods=PODS, **more):
    return [item for item in look(host, pods, **more) if not item.ok]


def pod_manifests(folder):
    return [json.loads(line) for line in (folder / "pods.jsonl").read_text().splitlines()]


def of_pods(folder):
    """What kubectl was told about pods."""
    calls = (folder / "calls").read_text().splitlines()
    return [line for line in calls if line.startswith(("create", "get pod", "logs", "delete"))]


def test_a_ready_cluster_has_nothing_to_fix_and_keeps_no_pod(play, host):
    folder = play()
    by_name = findings(host)
    assert all(item.ok for item in by_name.values()), by_name
    assert list(by_name) == [
        "kubectl",
        "Kubeflow",
        "retries",
        "namespace",
        "service account",
        "settings",
        "secrets",
        "storage",
        "quota and limits",
        "accelerators",
        "nodes",
        "a step's pod",
        "steps in the image",
        "rights",
        "object store",
        "MLflow",
        "an accelerated step's pod",
        "steps in the image of an accelerated step",
        "object store of an accelerated step",
        "MLflow of an accelerated step",
        "accelerator of an accelerated step",
    ]
    assert by_name["Kubeflow"].said == "Kubeflow Pipelines 2.17"
    assert by_name["accelerators"].said == "2 x nvidia.com/gpu on 1 node"
    assert by_name["nodes"].said.startswith(
        "every step fits one of 2, train with 3 cores and 11Gi too; what other pods"
    )
    assert by_name["accelerator of an accelerated step"].said == "NVIDIA L4, 22 GiB"
    done = [line.split()[0] for line in of_pods(folder)]
    assert done == ["delete", "create", "get", "logs", "delete"] * 2
    assert "c2VjcmV0" not in str(by_name)


def test_the_pods_are_a_steps_own_and_the_restricted_standard_admits_them(play, host):
    folder = play()
    settings = {"pull_secret": "registry", "queue": "research", "labels": ("team=imaging",), "gpu_image": GPU_IMAGE}
    place = {"node_selector": ("pool=gpu",), "tolerations": ("spot=true:NoSchedule",)}
    pods = Pods(image=IMAGE, **settings, **place)
    assert findings(host, pods)["secrets"].ok is False, "the registry's sign-in is not there"
    plain, accelerated = pod_manifests(folder)
    for pod in (plain, accelerated):
        kubernetes_validate.validate(pod, "1.34", strict=True)
        container = pod["spec"]["containers"][0]
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["spec"]["serviceAccountName"] == "mammogan-steps"
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert "env" not in container
        assert "envFrom" not in container
        labels = pod["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "mammogan", "NetworkPolicies find steps by it"
        assert labels["sidecar.istio.io/inject"] == "false", "with a sidecar it would never end"
        assert labels["kueue.x-k8s.io/queue-name"] == "research"
        assert labels["team"] == "imaging"
        assert "cpu" not in container["resources"]["limits"], "as a step's"
    assert plain["spec"]["containers"][0]["image"] == IMAGE
    assert plain["spec"]["containers"][0]["command"][4:] == ["--mounts=/etc/mammogan", f"--store={STORE}", "--rights"]
    assert accelerated["spec"]["containers"][0]["image"] == GPU_IMAGE
    assert accelerated["spec"]["containers"][0]["command"][-1] == "--accelerator"
    assert accelerated["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert not {"nodeSelector", "tolerations"} & set(plain["spec"])


def named(mount, field):
    return mount[f"{field}Parameter"]["runtimeValue"]["constant"]


def test_settings_and_secrets_reach_the_probe_as_they_reach_a_step(play, host):
    """The probe's volumes are compared with those of the compiled pipeline."""
    folder = play()
    findings(host)
    executor = compiled._pod("train", PODS)
    spec = pod_manifests(folder)[1]["spec"]
    mounts = {item["name"]: item["mountPath"] for item in spec["containers"][0]["volumeMounts"]}
    volumes = {item["name"]: item for item in spec["volumes"]}
    ours = {(volumes[name].get("secret") or {}).get("secretName"): path for name, path in mounts.items()}
    ours |= {(volumes[name].get("configMap") or {}).get("name"): path for name, path in mounts.items()}
    for item in executor["secretAsVolume"]:
        assert ours[named(item, "secretName")] == item["mountPath"]
    for item in executor["configMapAsVolume"]:
        assert ours[named(item, "configMapName")] == item["mountPath"]
    assert spec["tolerations"] == executor["tolerations"]


def test_a_source_is_tried_from_inside_a_pod_with_ingest_s_secrets(play, host):
    read = ("source", True, "listed it and read an object with a key of its own")
    folder = play({LOG: log(MAY_ALL, STORE_WORKS, read, MLFLOW_WORKS)})
    assert findings(host, source="s3://images/cbis")["source"].ok
    pod, accelerated = (item["spec"] for item in pod_manifests(folder))
    assert "--source=s3://images/cbis" in pod["containers"][0]["command"]
    assert {item["secret"]["secretName"] for item in pod["volumes"] if "secret" in item} == {
        named(item, "secretName") for item in compiled._pod("ingest", PODS)["secretAsVolume"]
    }
    assert "mammogan-s3-source" not in json.dumps(accelerated)
    play({LOG: log(MAY_ALL, STORE_WORKS, MLFLOW_WORKS)})
    silent = findings(host, source="s3://images/cbis")["source"]
    assert not silent.ok, "what was not tried has not passed"
    assert "source" not in findings(host, source="phantom"), "which needs no key"


@pytest.mark.parametrize(
    ("data", "ok", "message"),
    [
        ({}, True, "mammogan-s3-source: none, so that this key has to read the source too"),
        (dict.fromkeys(compiled.SOURCE_KEYS, "eA=="), True, "mammogan-s3-source has MAMMOGAN_SOURCE_ACCESS_KEY_ID, "),
        ({compiled.SOURCE_KEYS[0]: "eA=="}, False, "mammogan-s3-source lacks MAMMOGAN_SOURCE_SECRET_ACCESS_KEY; give"),
    ],
)
def test_whether_the_source_has_a_key_of_its_own_is_reported(play, host, data, ok, message):
    play({"get secret mammogan-s3-source kubeflow": {"data": data} if data else "NotFound"})
    finding = findings(host)["secrets"]
    assert finding.ok is ok
    assert message in finding.said


def waiting(reason, message=""):
    return {
        "status": {
            "phase": "Pending",
            "containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}],
        }
    }


def items(*given):
    return {"items": list(given)}


QUOTA = {"metadata": {"name": "q"}, "spec": {"hard": {"limits.cpu": "64"}}, "status": {"used": {}}}
RANGE = {"metadata": {"name": "r"}, "spec": {"limits": [{"type": "Container", "max": {"memory": "10Gi"}}]}}


@pytest.mark.parametrize(
    ("what", "answers", "message"),
    [
        ("kubectl", {"version": {}}, "reaches no cluster; choose a context"),
        ("namespace", {"get namespace kubeflow": "Error: not found"}, "Error: not found; install Kubeflow Pipelines"),
        (
            "service account",
            {"get serviceaccount mammogan-steps kubeflow": "NotFound"},
            "NotFound; kubectl apply -n kubeflow -k k8s/steps makes it",
        ),
        (
            "settings",
            {"get configmap mammogan kubeflow": "NotFound"},
            "NotFound; kubectl apply -n kubeflow -k k8s/steps, or name it with --pods settings=NAME",
        ),
        (
            "settings",
            {"get configmap mammogan kubeflow": {"data": {}}},
            "has no MLFLOW_TRACKING_URI; write it to k8s/s",
        ),
        ("storage", {"get storageclass": {"items": []}}, "no default StorageClass; make one the default"),
        (
            "quota and limits",
            {"get resourcequota kubeflow": items(QUOTA)},
            "every step: ResourceQuota q: the pod has containers without limits.cpu: main, wait, init; take limits.cpu "
            "out of the quota, or give the namespace a LimitRange with default cpu (kubectl edit resourcequota q -n ku",
        ),
        (
            "quota and limits",
            {"get limitrange kubeflow": items(RANGE)},
            "train, evaluate, evaluate-winner, audit, promote, utility: LimitRange r: the pod takes 11 GiB, above the "
            "10 GiB that a container may have; raise its maximum for memory (kubectl edit limitrange r -n kubeflow), "
            "or set --pods train.memory lower",
        ),
        (
            "quota and limits",
            {"get resourcequota kubeflow": "Forbidden"},
            "kubectl get resourcequota --namespace: Forb",
        ),
        ("nodes", {"get nodes": "Forbidden"}, "Forbidden; let somebody look who may list nodes"),
        ("a step's pod", {POD: waiting("ErrImagePull", "401")}, "ErrImagePull: 401; check the image's name and digest"),
        (
            "a step's pod",
            {POD: waiting("CreateContainerConfigError", 'secret "x" not found')},
            'CreateContainerConfigError: secret "x" not found; apply what it names to that namespace',
        ),
        (
            "a step's pod",
            {POD: {"status": {"phase": "Failed", "reason": "Evicted", "message": "disk"}}, LOG: {"text": ""}},
            "it ended without a word of the probe (Evicted: disk)",
        ),
        ("a step's pod", {LOG: "NotFound"}, "kubectl logs mammogan-preflight --namespace: NotFound"),
        (
            "an accelerated step's pod",
            {GPU_POD: waiting("ImagePullBackOff")},
            "ImagePullBackOff; check the image's name",
        ),
        ("object store", {LOG: log(MAY_ALL, DENIED, MLFLOW_WORKS)}, "InvalidAccessKeyId; fix AWS_ACCESS_KEY_ID"),
        (
            "object store",
            {LOG: log(MAY_ALL, MLFLOW_WORKS)},
            "the probe did not report it; build the image from this checkout",
        ),
        ("MLflow", {LOG: log(MAY_ALL, STORE_WORKS, ("MLflow", False, "401; give"))}, "401; give"),
        ("rights", {LOG: log(("rights", False, "may not get pods"), STORE_WORKS, MLFLOW_WORKS)}, "may not get pods"),
        ("rights", {LOG: log(STORE_WORKS, MLFLOW_WORKS)}, "the probe did not report it; build the image"),
        (
            "accelerator of an accelerated step",
            {GPU_LOG: log(STORE_WORKS, MLFLOW_WORKS, ("accelerator", False, "no driver; fix"))},
            "no driver; fix",
        ),
        ("accelerator of an accelerated step", {GPU_LOG: log(STORE_WORKS, MLFLOW_WORKS)}, "did not report it"),
        (
            "steps in the image",
            {LOG: log(MAY_ALL, STORE_WORKS, MLFLOW_WORKS, version="0123456789ab")},
            f"0123456789ab, and this checkout has {VERSION}; build the image",
        ),
    ],
)
def test_each_thing_that_is_wrong_is_reported_alone_with_its_fix(play, host, what, answers, message):
    folder = play(answers)
    problems = wrong(host)
    assert [item.what for item in problems] == [what]
    assert message in problems[0].said
    assert (folder / "calls").read_text().count("delete pod") == 4, "both pods, before and after"


def test_what_cannot_pass_is_not_waited_for(play, host, monkeypatch):
    monkeypatch.setattr(probe_pod, "NODE_S", 0.3)
    folder = play({POD: waiting("CreateContainerConfigError", "x")})
    assert not findings(host)["a step's pod"].ok
    assert (folder / "calls").read_text().count("get pod mammogan-preflight ") == 1


def test_what_admission_says_is_reported_as_it_says_it(play, host):
    message = (
        'Error from server (Forbidden): pods "mammogan-preflight" is forbidden: exceeded quota: q, requested: pods=1'
    )
    folder = play({"create": message})
    problems = wrong(host)
    assert [item.what for item in problems] == ["a step's pod", "an accelerated step's pod"]
    assert message in problems[0].said
    assert of_pods(folder)[-1].startswith("delete pod")


def test_a_pod_that_finds_no_node_is_given_up_with_its_own_reason_and_removed(play, host, monkeypatch, recorded_pod):
    folder = play({GPU_POD: {"status": recorded_pod["status"]}})
    monkeypatch.setattr(probe_pod, "NODE_S", 0.2)
    (finding,) = wrong(host)
    assert finding.what == "an accelerated step's pod"
    assert finding.said.startswith(
        "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu; set a smaller"
    )
    assert of_pods(folder)[-1].startswith("delete pod mammogan-preflight-accelerated")


@pytest.fixture
def recorded_pod(request):
    return json.loads((request.path.parent / "recorded" / "pods" / "train-gpu-unschedulable.json").read_text())


@pytest.mark.parametrize(
    ("phase", "limit", "message"), [("Pending", "START_S", "did not start"), ("Running", "RUN_S", "runs")]
)
def test_a_pod_that_does_not_start_or_end_is_given_up_and_removed(play, host, monkeypatch, phase, limit, message):
    folder = play({POD: {"status": {"phase": phase}}})
    monkeypatch.setattr(probe_pod, limit, 0.2)
    begun = time.monotonic()
    assert message in findings(host, Pods(image=IMAGE, accelerators=0))["a step's pod"].said
    assert time.monotonic() - begun < 30
    assert of_pods(folder)[-1].startswith("delete pod")


def test_a_pod_that_cannot_be_removed_hides_no_finding(play, host, capsys, monkeypatch):
    play()
    real = kubectl.remove
    seen = []

    def remove(pod, namespace):
        seen.append(pod)
        if seen.count(pod) == 2:
            raise LookupError("Forbidden")
        real(pod, namespace)

    monkeypatch.setattr(kubectl, "remove", remove)
    assert wrong(host) == []
    assert "pod mammogan-preflight could not be removed from namespace kubeflow: Forbidden" in capsys.readouterr().err


def test_without_an_image_nothing_inside_has_passed(play, host):
    folder = play()
    by_name = findings(host, Pods())
    assert not by_name["a step's pod"].ok
    assert "no --image was given" in by_name["a step's pod"].said
    assert not {"object store", "MLflow"} & set(by_name)
    assert not (folder / "pods.jsonl").exists()


NO_SECRET = {"get secret mammogan-s3 kubeflow": "NotFound"}
IDENTITY = {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/steps"}}}


@pytest.mark.parametrize(
    ("answers", "ok", "message"),
    [
        (NO_SECRET, True, "none, and none needed: the object store works from inside without it"),
        (
            {
                "get secret mammogan-s3 kubeflow": {"data": {"AWS_ACCESS_KEY_ID": "x"}},
                LOG: log(MAY_ALL, DENIED, MLFLOW_WORKS),
            },
            False,
            "lacks AWS_SECRET_ACCESS_KEY; fill in k8s/secrets.template.yaml and kubectl apply -n kubeflow -l "
            "app.kubernetes.io/component=steps -f k8s/secr",
        ),
        (
            {**NO_SECRET, LOG: log(MAY_ALL, DENIED, MLFLOW_WORKS)},
            False,
            "lacks AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; fill",
        ),
        ({**NO_SECRET, POD: waiting("ErrImagePull")}, False, "lacks AWS_ACCESS_KEY_ID"),
        (
            {
                **NO_SECRET,
                LOG: log(MAY_ALL, DENIED, MLFLOW_WORKS),
                "get serviceaccount mammogan-steps kubeflow": IDENTITY,
            },
            True,
            "none; service account mammogan-steps has an identity by eks.amazonaws.com/role-arn",
        ),
    ],
)
def test_whether_a_secret_is_missing_is_decided_from_inside(play, host, answers, ok, message):
    play(answers)
    by_name = findings(host)
    assert by_name["secrets"].ok is ok
    assert message in by_name["secrets"].said


def test_a_pull_secret_must_be_there(play, host):
    play({"get secret registry kubeflow": "NotFound"})
    by_name = findings(host, Pods(image=IMAGE, pull_secret="registry"))
    assert "NotFound; --pods pull_secret names the sign-in at the registry" in by_name["secrets"].said
    assert not by_name["secrets"].ok


def test_a_standalone_kubeflow_is_looked_at_where_its_pods_are(play, host):
    folder = play()
    by_name = findings(host)
    assert by_name["namespace"].said.startswith(
        "kubeflow: a standalone Kubeflow runs every pod in its own namespace, not in mammogan; Pod Security baseline;"
    )
    assert "--namespace mammogan" not in (folder / "calls").read_text()


def multi_user(kubeflow):
    kubeflow.fail("GET", "healthz", 200, body={"multi_user": True})


def test_a_multi_user_kubeflow_is_looked_at_in_the_given_namespace(play, host, kubeflow):
    of_profile = {key: value for key, value in READY.items() if not KUBEFLOWS_OWN & set(key.split())}
    moved = {key.replace(" kubeflow", " team"): value for key, value in of_profile.items()}
    folder = play(moved)
    multi_user(kubeflow)
    in_order = look(host, namespace="team")
    assert [item for item in in_order if not item.ok] == []
    assert in_order[3].said == "team of a multi-user Kubeflow; Pod Security baseline"
    asked = [line for line in (folder / "calls").read_text().splitlines() if "--namespace kubeflow" in line]
    assert {line.split()[1] for line in asked} == {"deployment", "configmap"}
    assert {line.split()[2] for line in asked} == {"ml-pipeline", "workflow-controller-configmap"}


def test_a_multi_user_kubeflow_needs_a_namespace_that_is_there(play, host, kubeflow):
    play({"get namespace team": "NotFound"})
    multi_user(kubeflow)
    (finding,) = wrong(host, namespace="")
    assert "this Kubeflow is multi-user and --namespace is empty; give that of your profile" in finding.said
    multi_user(kubeflow)
    assert "NotFound; give --namespace, that of your profile" in findings(host, namespace="team")["namespace"].said


def test_an_api_that_is_away_is_reported_and_nothing_else_has_passed(play, host, kubeflow):
    folder = play()
    kubeflow.fail("GET", "healthz", 403)
    in_order = look(host)
    assert [(item.what, item.ok) for item in in_order] == [("kubectl", True), ("Kubeflow", False)]
    assert "could not ask which kind of Kubeflow it is: this user may not" in in_order[1].said
    assert in_order[1].said.endswith("nothing further was looked at")
    assert not (folder / "pods.jsonl").exists()


@pytest.mark.parametrize(
    ("tag", "ok", "message"),
    [("2.5.0", False, "upgrade to 2.17"), ("3.0.1", True, "Pipelines 3.0"), ("main", True, "tells no version")],
)
def test_the_version_is_read_from_the_servers_image(play, host, tag, ok, message):
    listed = {"name": "ALLOWEDSERVICEACCOUNTS", "value": "mammogan-steps"}
    play({"get deployment ml-pipeline kubeflow": api_server(tag, listed)})
    finding = findings(host)["Kubeflow"]
    assert finding.ok is ok
    assert message in finding.said


@pytest.mark.parametrize(
    ("variables", "ok", "message"),
    [
        ((), False, "kubectl set env -n kubeflow deployment/ml-pipeline ALLOWEDSERVICEACCOUNTS=mammogan-steps, or"),
        (({"name": "ALLOWEDSERVICEACCOUNTS", "value": "a"},), False, "ALLOWEDSERVICEACCOUNTS=a,mammogan-steps, or"),
        (({"name": "ALLOWEDSERVICEACCOUNTS", "value": "a, mammogan-steps"},), True, "role mammogan-submit"),
        (({"name": "ALLOWEDSERVICEACCOUNTS", "valueFrom": {}},), True, "see to it"),
    ],
)
def test_an_account_that_kubeflow_does_not_list_is_reported(play, host, variables, ok, message):
    play({"get deployment ml-pipeline kubeflow": api_server("2.18.1", *variables)})
    by_name = findings(host)
    assert by_name["service account"].ok is ok
    assert message in by_name["service account"].said
    assert [item.what for item in by_name.values() if not item.ok] == ([] if ok else ["service account"])


SPOT = {"key": "spot", "value": "true", "effect": "NoSchedule"}
SMALL = node("small", "3500m", "12884901888", **GPU)


@pytest.mark.parametrize(
    ("nodes", "pods", "what", "message"),
    [
        (
            [node("cpu", "3500m", "12.5Gi"), node("tiny", "2", "64Gi")],
            Pods(image=IMAGE, accelerators=0, train=Size("20", "11Gi", "1Gi")),
            "nodes",
            "train asks for 20 cores and 11 GiB; the largest node that it may use, cpu, offers 3.5 cores and 12.5 GiB: "
            "--pods train.cpu=3 (a node pool that scales from zero shows none until it is needed)",
        ),
        (
            [node("cpu", "0.9", "12.5Gi")],
            Pods(image=IMAGE, accelerators=0, filter_minority=Size("500m", "2Gi", "1Gi")),
            "nodes",
            "start asks for 1 core and 2 GiB; the largest node that it may use, cpu, offers 0.9 cores and 12.5 GiB: "
            "--pods start.cpu=450m",
        ),
        (
            [SMALL],
            Pods(image=IMAGE, train=Size("3", "14Gi", "1Gi")),
            "nodes",
            "train asks for 3 cores and 14 GiB; the largest node that it may use, small, offers 3.5 cores and 12 GiB: "
            "--pods train.memory=11Gi",
        ),
        (
            [],
            Pods(image=IMAGE, accelerators=0),
            "nodes",
            "no node that every step may use: there is none (a node pool t",
        ),
        (
            [node("a", cordoned=True), node("b", taints=[SPOT])],
            Pods(image=IMAGE, accelerators=0, tolerations=("spot=true",)),
            "nodes",
            "no node that every step may use: a is cordoned; b has the taint spot=true:NoSchedule: kubectl uncordon or",
        ),
        ([node()], PODS, "accelerators", "no node has 1 x nvidia.com/gpu; add one or install its device plugin"),
        (
            [node(taints=[SPOT], **GPU), node()],
            PODS,
            "accelerators",
            "no node with nvidia.com/gpu may be used: node has the taint spot=true:NoSchedule: kubectl uncordon, or",
        ),
        (
            [GPU_NODE, node()],
            Pods(image=IMAGE, node_selector=("pool=a100",)),
            "accelerators",
            "no node with nvidia.com/gpu may be used: gpu lacks the label pool=a100",
        ),
    ],
)
def test_a_step_that_fits_no_node_is_reported_with_the_setting_that_would(play, nodes, pods, what, message):
    play({"get nodes": items(*nodes)})
    problems = [item for item in room.look("kubeflow", pods) if not item.ok]
    assert problems[0].what == what
    assert problems[0].said.startswith(message)
    assert {item.what for item in problems} == {what}


@pytest.mark.parametrize(
    ("nodes", "pods"),
    [
        ([SMALL, node()], PODS),
        ([node("a", "3", "11Gi", **GPU)], PODS),
        ([node("a", "3000m", "11811160064", taints=[SPOT], **GPU), node()], Pods(image=IMAGE, tolerations=("spot",))),
        ([node("a", taints=[{**SPOT, "effect": "PreferNoSchedule"}], **GPU)], PODS),
        ([GPU_NODE, node()], Pods(image=IMAGE, node_selector=("pool=gpu",))),
    ],
)  # fmt: skip
def test_a_step_that_fits_a_node_is_not_reported(play, nodes, pods):
    play({"get nodes": items(*nodes)})
    assert [item for item in room.look("kubeflow", pods) if not item.ok] == []


def test_kubeflows_drivers_must_be_let_in_too(play):
    least = {"type": "Container", "min": {"memory": "100Mi"}, "defaultRequest": {"memory": "128Mi"}}
    limit_range = {"metadata": {"name": "r"}, "spec": {"limits": [least]}}
    play({"get limitrange kubeflow": items(limit_range)})
    (finding,) = [item for item in room.look("kubeflow", PODS) if not item.ok]
    assert finding.said.startswith(
        "Kubeflow's drivers: LimitRange r: the pod requests 0.06 GiB, below the 0.1 GiB that"
    )


def test_what_a_limit_range_gives_to_kubeflows_containers_is_counted(play):
    defaults = {"type": "Container", "defaultRequest": {"cpu": "100m", "memory": "128Mi"}, "default": {"memory": "1Gi"}}
    limit_range = {"metadata": {"name": "r"}, "spec": {"limits": [defaults]}}
    play({"get limitrange kubeflow": items(limit_range), "get nodes": items(node("a", "3", "64Gi"))})
    problems = [item for item in room.look("kubeflow", Pods(image=IMAGE, accelerators=0)) if not item.ok]
    assert {item.what for item in problems} == {"nodes"}
    assert problems[0].said.startswith(
        "ingest asks for 3.1 cores and 8.12 GiB (0.1 cores and 0.12 GiB of them for Kubeflow's own containers); "
        "the largest node that it may use, a, offers 3 cores and 64 GiB: --pods ingest.cpu=2 ("
    )


@pytest.mark.parametrize(
    ("defaults", "there"),
    [
        (None, "None"),
        ("", "None"),
        ("spec: {ttlStrategy: {secondsAfterCompletion: 60}}", "None"),
        (SHIPPED.replace("OnError", "OnFailure"), "OnFailure"),
        ("{half", "None"),
        ("just words", "None"),
    ],
)
def test_a_cluster_that_does_not_replace_lost_pods_is_reported(play, host, defaults, there):
    play({CONTROLLER: {"data": {} if defaults is None else {"workflowDefaults": defaults}}})
    (finding,) = wrong(host)
    assert finding.what == "retries"
    assert finding.said.startswith(
        "a pod that is lost with its node would not be started again: set retryPolicy: OnErr"
    )
    assert finding.said.endswith(f"(there: {there})")


def test_the_command_prints_all_and_fails_if_one_is_wrong(play, host):
    play()
    command = ["preflight", "--host", host, "--image", IMAGE, "--pods", "accelerators=0"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("ok ") == 16
    play({"get storageclass": {"items": []}})
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "FIX storage: no default StorageClass" in result.stdout
