"""Every overlay as kubectl builds it: valid for two Kubernetes versions, and by our own rules."""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from launch import compiled
from launch.pods import ACCELERATED, SIZES, Pods, Size

K8S = Path(__file__).resolve().parents[2] / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
VERSIONS = ("1.34", "1.37")
WORKLOADS = ("Deployment", "StatefulSet", "CronJob")

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed: nothing builds overlays")


@cache
def build(folder):
    """Objects of a kustomization, by kustomize itself, which kubectl contains."""
    command = ["kubectl", "kustomize", str(K8S / folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [item for item in yaml.safe_load_all(text) if item]


def objects(overlay, *kinds):
    return [item for item in build(f"overlays/{overlay}") if item["kind"] in kinds]


def named(overlay, kind, name):
    (found,) = [item for item in objects(overlay, kind) if item["metadata"]["name"] == name]
    return found


def pod_spec(workload):
    spec = workload["spec"]
    return (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]["spec"]


def pod_labels(workload):
    spec = workload["spec"]
    return (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]["metadata"]["labels"]


def workloads(overlay):
    found = objects(overlay, *WORKLOADS)
    names = {item["metadata"]["name"] for item in found}
    assert names == {"mlflow", "postgres", "mlflow-gc", "mlflow-migrate", "janitor"}
    return found


def containers(overlay):
    return [container for workload in workloads(overlay) for container in pod_spec(workload)["containers"]]


def quantity(text):
    """A Kubernetes quantity as a number of cores or bytes."""
    units = {"m": 1e-3, "Mi": 2**20, "Gi": 2**30}
    number = text.rstrip("miMG")
    return float(number) * units.get(text.removeprefix(number), 1)


def secrets_template():
    return list(yaml.safe_load_all((K8S / "secrets.template.yaml").read_text()))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", [*(f"overlays/{name}" for name in OVERLAYS), "steps"])
def test_every_object_is_valid(folder, version):
    built = build(folder)
    assert built
    for item in built:
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_secrets_template_is_valid_and_holds_no_value(version):
    for secret in secrets_template():
        kubernetes_validate.validate(secret, version, strict=True)
        assert all("REPLACE_ME" in value for value in secret["stringData"].values())


def test_no_secret_is_part_of_a_kustomization():
    for overlay in OVERLAYS:
        assert not objects(overlay, "Secret")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_restricted(overlay):
    """The fields of the Pod Security Standard 'restricted', and a read-only root on top."""
    namespace = named(overlay, "Namespace", "mammogan")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in workloads(overlay):
        spec = pod_spec(workload)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_are_pinned(overlay):
    for container in containers(overlay):
        name, _, tag = container["image"].rpartition(":")
        assert "." in name.split("/")[0], f"{container['image']}: name its registry"
        assert tag.startswith("sha256:") or tag[0].isdigit()
        assert tag.count(".") >= 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_requests_limits_and_bounded_volumes(overlay):
    for container in containers(overlay):
        for side in ("requests", "limits"):
            assert container["resources"][side].keys() == {"cpu", "memory", "ephemeral-storage"}
    for workload in workloads(overlay):
        for volume in pod_spec(workload)["volumes"]:
            assert volume["emptyDir"]["sizeLimit"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespaces_own_limits_let_every_step_run(overlay):
    """A default limit for scratch would be the sum of a pod's containers', and less than a step writes to /tmp."""
    (default,) = named(overlay, "LimitRange", "mammogan")["spec"]["limits"]
    assert "ephemeral-storage" not in default["default"]
    hard = named(overlay, "ResourceQuota", "mammogan")["spec"]["hard"]
    standing = [container["resources"]["requests"] for container in containers(overlay)]
    for resource in ("cpu", "memory"):
        branches = 3 * max(quantity(getattr(size, resource)) for size in SIZES.values())
        besides = sum(quantity(requests[resource]) for requests in standing)
        assert branches + besides <= quantity(hard[f"requests.{resource}"]) <= quantity(hard[f"limits.{resource}"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_profiles_namespace_stays_one(overlay):
    """Kubeflow's own policies know a profile by this label, and a mesh's sidecar would shut the callers out."""
    assert "app.kubernetes.io/part-of" not in named(overlay, "Namespace", "mammogan")["metadata"]["labels"]
    for workload in workloads(overlay):
        assert pod_labels(workload)["sidecar.istio.io/inject"] == "false"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_servers_are_probed_and_mlflow_outlives_a_drained_node(overlay):
    for server in objects(overlay, "Deployment", "StatefulSet"):
        for container in pod_spec(server)["containers"]:
            assert {"readinessProbe", "livenessProbe"} <= container.keys()
    budget = named(overlay, "PodDisruptionBudget", "mlflow")["spec"]
    server = named(overlay, "Deployment", "mlflow")["spec"]
    assert budget["selector"]["matchLabels"].items() <= server["template"]["metadata"]["labels"].items()
    assert server["replicas"] > budget["minAvailable"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_denied_by_default(overlay):
    policy = named(overlay, "NetworkPolicy", "default-deny")["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_policy_opens_all_ports_or_everything_inside(overlay):
    for item in objects(overlay, "NetworkPolicy"):
        for direction in ("ingress", "egress"):
            for rule in item["spec"].get(direction, []):
                assert rule["ports"], f"{item['metadata']['name']} opens every port"
                for peer in rule.get("to", []) + rule.get("from", []):
                    if "ipBlock" in peer:
                        assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(peer["ipBlock"]["except"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_what_they_name(overlay):
    labels = [pod_labels(workload) for workload in workloads(overlay)]
    for service in objects(overlay, "Service"):
        matching = [own for own in labels if service["spec"]["selector"].items() <= own.items()]
        assert len(matching) == 1, service["metadata"]["name"]
    for workload in objects(overlay, "Deployment", "StatefulSet"):
        selector = workload["spec"]["selector"]["matchLabels"]
        assert selector.items() <= pod_labels(workload).items()
    names = {own["app.kubernetes.io/name"] for own in labels} | {"mammogan"}
    for item in objects(overlay, "NetworkPolicy"):
        for expression in item["spec"]["podSelector"].get("matchExpressions", []):
            if expression["key"] == "app.kubernetes.io/name":
                assert set(expression["values"]) <= names


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_steps_account_may_do_nothing_but_what_its_pods_need(overlay):
    assert not objects(overlay, "ClusterRole", "ClusterRoleBinding")
    rules = named(overlay, "Role", "mammogan-steps")["rules"]
    for rule in rules:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        if {"secrets", "configmaps"} & set(rule["resources"]):
            assert rule["verbs"] == ["get"]
            assert rule["resourceNames"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_references_are_met(overlay):
    """Each ConfigMap, Secret key and service account that a workload names is made here or in the secrets template."""
    maps = {item["metadata"]["name"]: item["data"] for item in objects(overlay, "ConfigMap")}
    secrets = {item["metadata"]["name"]: item["stringData"] for item in secrets_template()}
    accounts = {item["metadata"]["name"] for item in objects(overlay, "ServiceAccount")}
    for workload in workloads(overlay):
        spec = pod_spec(workload)
        assert spec["serviceAccountName"] in accounts
        for container in spec["containers"]:
            for source in container.get("envFrom", []):
                known = maps if "configMapRef" in source else secrets
                assert (source.get("configMapRef") or source["secretRef"])["name"] in known
            for variable in container.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                assert reference is None or reference["key"] in secrets[reference["name"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_housekeeping_calls_commands_that_there_are(overlay):
    (job,) = [item for item in objects(overlay, "CronJob") if item["metadata"]["name"] == "janitor"]
    (container,) = pod_spec(job)["containers"]
    assert container["command"][:3] == ["python3", "-m", "mammogan"]
    done = subprocess.run([sys.executable, *container["command"][1:], "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_finds_its_settings_and_secrets():
    """What the compiled pipeline names is what stands here."""
    pods = Pods()
    (settings,) = [item for item in build("steps") if item["kind"] == "ConfigMap"]
    assert settings["metadata"]["name"] == pods.settings
    assert set(compiled.REQUIRED_SETTINGS) <= set(settings["data"])
    assert set(settings["data"]) <= {*compiled.REQUIRED_SETTINGS, *compiled.OPTIONAL_SETTINGS}
    secrets = {item["metadata"]["name"]: set(item["stringData"]) for item in secrets_template()}
    assert secrets[pods.s3_secret] == set(compiled.S3_KEYS)
    assert secrets[pods.mlflow_secret] <= set(compiled.MLFLOW_KEYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_mlflow_answers_to_the_name_that_steps_call(overlay):
    address = named(overlay, "ConfigMap", "mammogan")["data"]["MLFLOW_TRACKING_URI"]
    host = address.removeprefix("http://")
    allowed = named(overlay, "ConfigMap", "mlflow-server")["data"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert {host, host.rpartition(":")[0]} <= set(allowed)
    service = named(overlay, "Service", "mlflow")
    assert host.startswith(f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc")
    assert host.endswith(f":{service['spec']['ports'][0]['port']}")


def test_only_accelerated_overlays_have_accelerators_in_their_quota():
    quota = {name: named(name, "ResourceQuota", "mammogan")["spec"]["hard"] for name in OVERLAYS}
    gpus = {name: int(hard["requests.nvidia.com/gpu"]) for name, hard in quota.items()}
    assert gpus == {"cpu": 0, "gpu": 3, "spot": 3}


def test_what_keeps_state_stays_off_spot_nodes():
    for server in objects("spot", "Deployment", "StatefulSet"):
        (term,) = pod_spec(server)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        assert {item["key"] for item in term["matchExpressions"]} >= {"karpenter.sh/capacity-type"}


def test_the_sizes_that_the_docs_state_are_those_of_the_pods():
    text = (K8S.parent / "docs" / "cluster.md").read_text()
    rows = re.findall(r"^\| ([\w, ]+)(?:;[^|]*)? \| (\d+) \| (\d+) GiB \| (\d+) GiB \| (1?) ?\|$", text, re.MULTILINE)
    stated = {
        step.replace("_", "-"): (Size(cores, f"{memory}Gi", f"{scratch}Gi"), gpu == "1")
        for steps, cores, memory, scratch, gpu in rows
        for step in steps.split(", ")
    }
    assert stated == {step: (size, step in ACCELERATED) for step, size in SIZES.items()}


def test_the_object_store_is_open_by_the_pod_s_port_not_the_service_s():
    """Kubeflow's SeaweedFS listens on 8333 behind its service's 9000, and a policy sees the pod."""
    policies = {item["metadata"]["name"]: item for item in yaml.safe_load_all((K8S / "base/network.yaml").read_text())}
    for name in ("object-store", "kubeflow", "notebooks"):
        ports = {
            port["port"]
            for rule in policies[name]["spec"]["egress"]
            if any("namespaceSelector" in peer for peer in rule.get("to", ()))
            for port in rule["ports"]
        }
        assert {8333, 9000} <= ports, name
