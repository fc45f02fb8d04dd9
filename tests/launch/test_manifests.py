"""Every overlay as kubectl builds it: valid for two Kubernetes versions, and by our own rules."""

import dataclasses
import ipaddress
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from mammogan import pipeline
from mammogan.cluster import Right
from mammogan.graph import ACCELERATED, Step
from mammogan.launch import compiled
from mammogan.launch.pods import Pods, Size
from mammogan.launch.submit import SERVICE_ACCOUNT
from mammogan.probe.rights import NEEDED

K8S = Path(__file__).resolve().parents[2] / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
VERSIONS = ("1.34", "1.37")
WORKLOADS = ("Deployment", "StatefulSet", "CronJob")
ADDED = json.loads((Path(__file__).parent / "recorded/pods/added-containers.json").read_text())
"""What Argo and Kubeflow 2.17.0 put beside a step's container, and a driver's pod, as recorded."""
IMAGE = "walk@sha256:" + "0" * 64
NODE = {"cpu": 3.5, "memory": 12.5 * 2**30}
"""What a node of 4 cores and 16 GiB offers."""

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed: nothing builds overlays")


@cache
def build(folder):
    """Objects of a kustomization, by kustomize itself, which kubectl contains."""
    command = ["kubectl", "kustomize", str(K8S / folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [item for item in yaml.load_all(text, yaml.CSafeLoader) if item]


@cache
def validate(item, version):
    """An object in JSON: the overlays share most of theirs."""
    kubernetes_validate.validate(json.loads(item), version, strict=True)


def objects(overlay, *kinds):
    return [item for item in build(f"overlays/{overlay}") if item["kind"] in kinds]


def named(overlay, kind, name):
    (item_of_name,) = [item for item in objects(overlay, kind) if item["metadata"]["name"] == name]
    return item_of_name


def pod_spec(workload):
    spec = workload["spec"]
    return (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]["spec"]


def pod_labels(workload):
    spec = workload["spec"]
    return (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]["metadata"]["labels"]


def workloads(overlay):
    items = objects(overlay, *WORKLOADS)
    names = {item["metadata"]["name"] for item in items}
    assert names == {"mlflow", "postgres", "mlflow-gc", "mlflow-migrate", "janitor"}
    return items


def containers_of(workload):
    """Those that run before the others too."""
    spec = pod_spec(workload)
    return [*spec["containers"], *spec.get("initContainers", ())]


def containers(overlay):
    return [container for workload in workloads(overlay) for container in containers_of(workload)]


def secret_references(container):
    """Each Secret's key that the container gets, ``None`` for all of one."""
    single = [item.get("valueFrom", {}).get("secretKeyRef") for item in container.get("env", ())]
    whole = [item["secretRef"]["name"] for item in container.get("envFrom", ()) if "secretRef" in item]
    return {(item["name"], item["key"]) for item in single if item} | {(name, None) for name in whole}


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
        validate(json.dumps(item, sort_keys=True), version)


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
        asks_kubernetes = workload["metadata"]["name"] == "janitor"
        assert spec.get("automountServiceAccountToken", True) is asks_kubernetes
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
        for container in containers_of(workload):
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
            assert "configMap" in volume or "secret" in volume or volume["emptyDir"]["sizeLimit"]


@cache
def step_pods(pods):
    """Each step's pod as Kubeflow makes it of the compiled pipeline: the step's container and those beside it."""
    graph = next(yaml.safe_load_all(compiled.compile_pipeline(pipeline.experiment, None, pods)))
    by_executor = {}
    for name, executor in graph["deploymentSpec"]["executors"].items():
        asked = executor["container"]["resources"]
        kinds = {"requests": {}, "limits": {}}
        for resource in ("Cpu", "Memory"):
            for kind, side in (("Request", "requests"), ("Limit", "limits")):
                if f"resource{resource}{kind}" in asked:
                    kinds[side][resource.lower()] = asked[f"resource{resource}{kind}"]
        if "accelerator" in asked:
            kinds["limits"][asked["accelerator"]["resourceType"]] = asked["accelerator"]["resourceCount"]
        main = {"name": "main", "resources": kinds}
        by_executor[name.removeprefix("exec-")] = {**ADDED["step"], "containers": [*ADDED["step"]["containers"], main]}
    return by_executor


def limit_range(overlay):
    (limits,) = named(overlay, "LimitRange", "mammogan")["spec"]["limits"]
    return limits


def filled(container, limits):
    """What a container requests and is limited to after admission, such as {"requests.cpu": 3.0}, in cores and bytes.

    Kubernetes takes a limit for a missing request, then the LimitRange's defaults.
    """
    given = container["resources"]
    capped = {**limits.get("default", {}), **given.get("limits", {})}
    asked = {**limits.get("defaultRequest", {}), **given.get("limits", {}), **given.get("requests", {})}
    sides = {"requests": asked, "limits": capped}
    return {f"{side}.{key}": quantity(value) for side, values in sides.items() for key, value in values.items()}


def usage(pod, limits):
    """The pod's requests and limits: the sum of its containers, or its largest init container."""
    together = [filled(container, limits) for container in pod["containers"]]
    before = [filled(container, limits) for container in pod.get("initContainers", ())]
    keys = set().union(*together, *before)
    return {key: max(sum(amounts.get(key, 0) for amounts in together), *(amounts.get(key, 0) for amounts in before), 0)
            for key in keys}  # fmt: skip


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("twice", [False, True], ids=["as they are", "at twice the size"])
def test_three_trials_are_admitted_beside_all_else(overlay, twice):
    """What the quota's admission does: no container may leave out what it counts, and the sum must fit."""
    hard, limits = named(overlay, "ResourceQuota", "mammogan")["spec"]["hard"], limit_range(overlay)
    pods = Pods(image=IMAGE, accelerators=int(quantity(hard["requests.nvidia.com/gpu"]) > 0))
    if twice:
        pods = dataclasses.replace(pods, **{step: Size("6", "22Gi", "40Gi") for step in ("train", "evaluate")})
    standing = [pod_spec(item) for item in workloads(overlay) for _ in range(item["spec"].get("replicas", 1))]
    together = [*standing, *[step_pods(pods)["train"]] * 3, *[ADDED["driver"]] * 4]
    assert len(together) <= quantity(hard["pods"])
    for key, most in hard.items():
        if key.startswith(("requests.", "limits.")):
            for container in (
                container for pod in together for container in (*pod["containers"], *pod.get("initContainers", ()))
            ):
                assert "/" in key or key in filled(container, limits), f"no {key}: the pod of {container} is refused"
            assert sum(usage(pod, limits).get(key, 0) for pod in together) <= quantity(most), key


@pytest.mark.parametrize("ours", [False, True], ids=["in Kubeflow's namespace", "in ours"])
def test_every_step_fits_a_node_of_four_cores(ours):
    for step, pod in step_pods(Pods(image=IMAGE)).items():
        asked = usage(pod, limit_range("gpu") if ours else {})
        for resource, offered in NODE.items():
            assert 0 < asked[f"requests.{resource}"] <= offered, f"{step} asks for more {resource} than such a node has"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_step_may_take_idle_cores_and_all_of_its_scratch(overlay):
    """A default limit for scratch would be the sum of a pod's containers', and less than a step writes to /tmp."""
    assert set(limit_range(overlay)["default"]) == {"memory"}
    assert "limits.cpu" not in named(overlay, "ResourceQuota", "mammogan")["spec"]["hard"]


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
                        assert {*map(ipaddress.ip_network, peer["ipBlock"]["except"])} >= PRIVATE


PRIVATE = {
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
}
"""Of RFC 1918, 6598 (pods' and nodes' addresses on some clouds) and 3927 (where clouds hand out identities)."""
PODS_OF_A_RUN = {"app.kubernetes.io/name": "mammogan", "sidecar.istio.io/inject": "false"}
STEP = {**PODS_OF_A_RUN, "app.kubernetes.io/component": "ingest", "workflows.argoproj.io/workflow": "x"}
PREFLIGHT = {**PODS_OF_A_RUN, "app.kubernetes.io/component": "preflight"}


def selects(selector, labels):
    """Whether a pod of these labels is chosen, as Kubernetes decides."""
    for expression in selector.get("matchExpressions", ()):
        key, operator = expression["key"], expression["operator"]
        chosen = {
            "In": labels.get(key) in expression.get("values", ()),
            "NotIn": labels.get(key) not in expression.get("values", ()),
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not chosen[operator]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def opened(overlay, labels):
    """What all policies together let a pod call: where, and at which ports."""
    ports = {}
    for item in objects(overlay, "NetworkPolicy"):
        for rule in item["spec"].get("egress", ()) if selects(item["spec"]["podSelector"], labels) else ():
            for peer in rule.get("to", [{"anywhere": True}]):
                ports.setdefault(_place(peer), set()).update(port["port"] for port in rule["ports"])
    return ports


def _place(peer):
    if "ipBlock" in peer:
        return "public addresses"
    if "namespaceSelector" in peer:
        return peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    return next(iter(peer["podSelector"]["matchLabels"].values())) if "podSelector" in peer else "any address"


DNS, MLFLOW, STORE, PUBLIC = {"kube-system": {53}}, {"mlflow": {5000}}, {8333, 9000}, {"public addresses": {443}}
API = {"any address": {443, 6443}}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_policies_add_up_to_what_the_docs_say(overlay):
    """Each pod's row of ``Open ports``; a step's is the sum of its own and of those for Kubeflow's part of its pod."""
    ours = {item["metadata"]["name"]: pod_labels(item) for item in workloads(overlay)}
    kubeflow = {8080, 8333, 8887, 8888, 9000}
    assert opened(overlay, STEP) == DNS | MLFLOW | PUBLIC | API | {"kubeflow": kubeflow}
    assert opened(overlay, PREFLIGHT) == DNS | MLFLOW | PUBLIC | API | {"kubeflow": STORE}, "the API for its --rights"
    assert opened(overlay, ours["janitor"]) == DNS | MLFLOW | API
    assert opened(overlay, ours["mlflow"]) == DNS | PUBLIC | {"postgres": {5432}, "kubeflow": STORE}
    assert opened(overlay, ours["mlflow-gc"]) == DNS | MLFLOW | {"postgres": {5432}}
    assert opened(overlay, ours["mlflow-migrate"]) == DNS | {"postgres": {5432}}
    assert opened(overlay, ours["postgres"]) == DNS


def test_nothing_says_that_a_step_reaches_no_private_address():
    """It does, at 443 and 6443, because the launcher beside it must reach the Kubernetes API."""
    comment = re.search(r"((?:#.*\n)+)[^#]*?name: object-store\n", (K8S / "base/network.yaml").read_text())[1]
    assert "a step may call more" in comment
    assert "steps: any address" in (K8S.parent / "docs/cluster.md").read_text()


PASSWORDS = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|STORE_URI|DATABASE_URI|CREDENTIAL")
"""Names of variables whose value is a password or holds one."""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_password_is_on_a_command_line(overlay):
    """Every process of a machine may be read by its neighbours: none is told a Secret by its arguments."""
    for workload in workloads(overlay):
        probes = [(c.get(kind) or {}).get("exec", {}).get("command", ()) for c in containers_of(workload)
                  for kind in ("startupProbe", "readinessProbe", "livenessProbe")]  # fmt: skip
        for container in containers_of(workload):
            words = [*container.get("command", ()), *container.get("args", ()), *(w for probe in probes for w in probe)]
            of_secrets = {
                item["name"] for item in container.get("env", ()) if "secretKeyRef" in item.get("valueFrom", {})
            }
            named = set(re.findall(r"\$[({]?(\w+)", " ".join(words)))
            assert not named & of_secrets, container["name"]
            assert not [name for name in named if PASSWORDS.search(name)], container["name"]
            assert not [word for word in words if re.search(r"://[^/ ]*@|(?i:password|secret)=", word)], container[
                "name"
            ]
            for item in container.get("env", ()):
                assert "valueFrom" in item or not PASSWORDS.search(item["name"]), f"{item['name']} is written out"


HELD = {
    "mlflow": {("mammogan-s3-mlflow", None), ("mammogan-postgres", "MLFLOW_BACKEND_STORE_URI"),
               ("mammogan-mlflow-admin", "MLFLOW_FLASK_SERVER_SECRET_KEY")},
    "accounts": {("mammogan-postgres", "MLFLOW_BACKEND_STORE_URI"),
                 *(("mammogan-mlflow-admin", f"MLFLOW_AUTH_ADMIN_{name}") for name in ("USERNAME", "PASSWORD")),
                 *(("mammogan-s3", f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))},
    "gc": {("mammogan-postgres", "MLFLOW_BACKEND_STORE_URI"),
           *(("mammogan-mlflow-admin", f"MLFLOW_AUTH_ADMIN_{name}") for name in ("USERNAME", "PASSWORD"))},
    "migrate": {("mammogan-postgres", "MLFLOW_BACKEND_STORE_URI")},
    "postgres": {("mammogan-postgres", "POSTGRES_PASSWORD")},
    "janitor": set(),
}  # fmt: skip
"""Which container gets which Secret: MLflow's server alone the key of its artifacts, nobody here the store's."""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_container_gets_the_secrets_that_it_needs_alone(overlay):
    assert {item["name"]: secret_references(item) for item in containers(overlay)} == HELD
    mounted = {
        (
            workload["metadata"]["name"],
            volume["secret"]["secretName"],
            tuple(sorted(item["key"] for item in volume["secret"]["items"])),
        )
        for workload in workloads(overlay)
        for volume in pod_spec(workload)["volumes"]
        if "secret" in volume
    }
    assert mounted == {("janitor", "mammogan-s3", ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_USERNAME"))}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_mlflow_asks_for_a_sign_in(overlay):
    server = pod_spec(named(overlay, "Deployment", "mlflow"))
    (container,), (accounts,) = server["containers"], server["initContainers"]
    assert "--app-name=basic-auth" in container["args"]
    path = {item["name"]: item.get("value") for item in accounts["env"]}["MLFLOW_AUTH_CONFIG_PATH"]
    assert {"name": "MLFLOW_AUTH_CONFIG_PATH", "value": path} in container["env"]
    (volume,) = [item for item in server["volumes"] if item["name"] == "sign-in"]
    assert volume["emptyDir"]["medium"] == "Memory", "its file names the database with its password"
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[kind]["httpGet"]["path"] == "/health", "which is answered without a sign-in"


def test_only_ingest_gets_the_source_s_key():
    pods = Pods(image=IMAGE)
    _, platform = yaml.safe_load_all(compiled.compile_pipeline(pipeline.experiment, None, pods))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    having = {
        name.removeprefix("exec-")
        for name, executor in executors.items()
        if pods.source_secret
        in {item["secretNameParameter"]["runtimeValue"]["constant"] for item in executor["secretAsVolume"]}
    }
    assert having == {str(Step.INGEST)}


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
    allowed = {(group, resource): set(rule["verbs"]) for rule in rules for group in rule["apiGroups"]
               for resource in rule["resources"]}  # fmt: skip
    assert allowed["", "pods"] == {"get"}, "for the logs of retries and for why a pod was lost"
    assert allowed["argoproj.io", "workflows"] == {"get"}, "for a run that was terminated or is gone"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_references_are_met(overlay):
    """Each ConfigMap, Secret key and service account that a workload names is made here or in the secrets template."""
    maps = {item["metadata"]["name"]: item["data"] for item in objects(overlay, "ConfigMap")}
    secrets = {item["metadata"]["name"]: item["stringData"] for item in secrets_template()}
    accounts = {item["metadata"]["name"] for item in objects(overlay, "ServiceAccount")}
    for workload in workloads(overlay):
        spec = pod_spec(workload)
        assert spec["serviceAccountName"] in accounts
        for container in containers_of(workload):
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


def test_the_steps_account_has_the_rights_that_preflight_asks_for():
    (role,) = [
        item for item in build("steps") if item["kind"] == "Role" and item["metadata"]["name"] == SERVICE_ACCOUNT
    ]
    granted = {
        Right(verb, group, resource, name)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
    assert set(NEEDED) <= granted


def test_a_run_finds_its_settings_and_secrets():
    """What the compiled pipeline names is what stands here."""
    pods = Pods()
    (settings,) = [item for item in build("steps") if item["kind"] == "ConfigMap"]
    assert settings["metadata"]["name"] == pods.settings
    assert set(compiled.REQUIRED_SETTINGS) <= set(settings["data"])
    assert set(settings["data"]) <= {*compiled.REQUIRED_SETTINGS, *compiled.OPTIONAL_SETTINGS}
    explained = (K8S / "steps" / "settings.yaml").read_text()
    assert all(f"{name}: " in explained for name in (*compiled.REQUIRED_SETTINGS, *compiled.OPTIONAL_SETTINGS))
    secrets = {item["metadata"]["name"]: set(item["stringData"]) for item in secrets_template()}
    assert secrets[pods.s3_secret] == {*compiled.S3_KEYS, *compiled.MLFLOW_KEYS} - {"MLFLOW_TRACKING_TOKEN"}
    assert secrets[pods.source_secret] == set(compiled.SOURCE_KEYS)


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
    assert stated == {str(step): (Pods().size(step), step in ACCELERATED) for step in Step}


def test_the_object_store_is_open_by_the_pod_s_port_not_the_service_s():
    """Kubeflow's SeaweedFS listens on 8333 behind its service's 9000, and a policy sees the pod."""
    policies = {item["metadata"]["name"]: item for item in yaml.safe_load_all((K8S / "base/network.yaml").read_text())}
    for name in ("object-store", "kubeflow", "kubeflow-artifacts", "notebooks"):
        ports = {
            port["port"]
            for rule in policies[name]["spec"]["egress"]
            if any("namespaceSelector" in peer for peer in rule.get("to", ()))
            for port in rule["ports"]
        }
        assert {8333, 9000} <= ports, name


def test_kubeflows_ui_reaches_the_artifact_server_of_a_profile():
    """A server that Kubeflow puts into the namespace: its pod listens on 3000 behind the service's 80."""
    policies = {item["metadata"]["name"]: item for item in yaml.safe_load_all((K8S / "base/network.yaml").read_text())}
    policy = policies["kubeflow-artifacts"]["spec"]
    assert policy["podSelector"] == {"matchLabels": {"app": "ml-pipeline-ui-artifact"}}
    (rule,) = policy["ingress"]
    assert [port["port"] for port in rule["ports"]] == [3000]
    assert rule["from"][0]["podSelector"] == {"matchLabels": {"app": "ml-pipeline-ui"}}
