"""What a step's pod asks of a cluster, and the arithmetic of admission and nodes, by cases."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from mammogan import pipeline
from mammogan.document import Document
from mammogan.graph import Step
from mammogan.launch.compiled import compile_pipeline
from mammogan.launch.pods import Pods
from mammogan.launch.preflight import admission, footprint, nodes, quantity
from mammogan.launch.preflight.footprint import Container, Placement, amounts

HERE = Path(__file__).parent
IMAGE = "registry.example.org/mammogan@sha256:" + "c" * 64
PODS = Pods(image=IMAGE)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3500m", "3.5"),
        ("3", "3"),
        (4, "4"),
        ("0.9", "0.9"),
        (".5", "0.5"),
        ("12.5Gi", "13421772800"),
        ("13107200Ki", "13421772800"),
        ("12884901888", "12884901888"),
        ("128e6", "128000000"),
        ("1E3", "1000"),
        ("1E", "1e18"),
        ("500k", "500000"),
        ("250u", "0.00025"),
    ],
)
def test_a_quantity_is_a_number(text, number):
    assert quantity.parse(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "m", "3 Gi", "3gi", "nan", "1,5"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="write it as 500m, 3 or 12Gi"):
        quantity.parse(text)


def test_amounts_are_shown_in_their_unit():
    assert quantity.shown("cpu", Decimal("3.5")) == "3.5 cores"
    assert quantity.shown("requests.memory", quantity.parse("12884901888")) == "12 GiB"
    assert quantity.shown("limits.cpu", Decimal(100)) == "100 cores"
    assert quantity.shown("requests.nvidia.com/gpu", Decimal(1)) == "1 nvidia.com/gpu"


def test_the_containers_beside_a_steps_own_are_those_that_kubeflow_makes():
    """Compared with pods of Kubeflow Pipelines 2.17.0, the step's own container left out."""
    recorded = json.loads((HERE / "recorded" / "pods" / "added-containers.json").read_text())
    for ours, spec in ((footprint.ADDED, recorded["step"]), (footprint.DRIVER, recorded["driver"])):
        theirs = {
            (item["name"], init): (item["resources"].get("requests", {}), item["resources"].get("limits", {}))
            for init, items in ((False, spec["containers"]), (True, spec["initContainers"]))
            for item in items
        }
        assert {(item.name, item.init): (item.requests, item.limits) for item in ours} == {
            key: (amounts(asked), amounts(most)) for key, (asked, most) in theirs.items()
        }


@pytest.mark.parametrize("accelerators", [0, 1])
def test_a_steps_own_container_and_place_are_those_that_are_compiled(accelerators):
    place = {"node_selector": ("pool=gpu",), "tolerations": ("spot=true:NoSchedule",)}
    pods = Pods(image=IMAGE, accelerators=accelerators, **place)
    graph, platform = yaml.safe_load_all(compile_pipeline(pipeline.experiment, None, pods))
    executors = graph["deploymentSpec"]["executors"]
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {name.removeprefix("exec-") for name in executors} == set(Step)
    for step in Step:
        resources = executors[f"exec-{step}"]["container"]["resources"]
        own = footprint.containers(step, pods)[0]
        accelerator = resources.get("accelerator", {})
        extra = {accelerator["resourceType"]: accelerator["resourceCount"]} if accelerator else {}
        asked = {"cpu": resources["resourceCpuRequest"], "memory": resources["resourceMemoryRequest"]}
        most = {"cpu": resources.get("resourceCpuLimit"), "memory": resources["resourceMemoryLimit"]}
        assert own.requests == amounts(asked)
        assert own.limits == amounts({name: given for name, given in most.items() if given} | extra)
        executor, ours = settings[f"exec-{step}"], footprint.placement(step, pods)
        assert executor.get("nodeSelector", {}).get("labels", {}) == ours.selector
        assert executor.get("tolerations", []) == list(ours.tolerations)


def limit_range(*entries):
    document = {"metadata": {"name": "r"}, "spec": {"limits": [{"type": "Container", **entry} for entry in entries]}}
    return list(admission.bounds(Document(document)))


def quota(used=None, **hard):
    document = {"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"used": used or {}}}
    return [admission.quota(Document(document))]


def test_an_init_container_counts_only_where_it_is_larger():
    pod = (
        Container("a", amounts({"cpu": "1"})),
        Container("b", amounts({"cpu": "2"})),
        Container("i", amounts({"cpu": "4", "memory": "1Gi"}), init=True),
    )
    assert footprint.requests(pod) == amounts({"cpu": "4", "memory": "1Gi"})
    assert footprint.requests(pod[:2]) == amounts({"cpu": "3"})


def test_defaults_fill_in_what_a_container_does_not_name():
    bounds = limit_range({"defaultRequest": {"cpu": "100m", "memory": "128Mi"}, "default": {"memory": "1Gi"}})
    pod = {item.name: item for item in admission.filled(footprint.containers(Step.TRAIN, PODS), bounds)}
    assert pod["wait"].requests == amounts({"cpu": "100m", "memory": "128Mi"})
    assert pod["wait"].limits == amounts({"memory": "1Gi"})
    assert pod["kfp-launcher"].requests == amounts({"cpu": "100m", "memory": "256Mi"}), "its limit is its request"
    assert pod["main"].requests == amounts({"cpu": "3", "memory": "11Gi", "nvidia.com/gpu": "1"})
    assert pod["main"].limits == amounts({"memory": "11Gi", "nvidia.com/gpu": "1"})


GOOD = {"defaultRequest": {"cpu": "100m", "memory": "128Mi"}, "default": {"memory": "1Gi"}}


@pytest.mark.parametrize(
    ("entry", "hard", "used", "resource", "reason"),
    [
        (GOOD, {}, {}, None, None),
        (GOOD, {"requests.cpu": "3.1", "requests.memory": "11392Mi", "limits.memory": "12Gi"}, {}, None, None),
        (GOOD, {"pods": "1", "count/pods": "1"}, {}, None, None),
        (GOOD, {"requests.nvidia.com/gpu": "1", "requests.storage": "0", "services": "0"}, {}, None, None),
        (GOOD, {"requests.cpu": "3"}, {}, "requests.cpu", "needs 3.1 cores of requests.cpu, and the quota al"),
        (GOOD, {"cpu": "3"}, {}, "cpu", "needs 3.1 cores of cpu, and the quota allows 3 cores at all"),
        (
            GOOD,
            {"requests.memory": "96Gi"},
            {"requests.memory": "90Gi"},
            "requests.memory",
            "needs 11.12 GiB of requests.memory, and of 96 GiB only 6 GiB are left",
        ),
        (GOOD, {"requests.nvidia.com/gpu": "0"}, {}, "requests.nvidia.com/gpu", "needs 1 nvidia.com/gpu of"),
        (GOOD, {"pods": "2"}, {"pods": "2"}, "pods", "needs 1 pods of pods, and of 2 pods only 0 pods are left"),
        (GOOD, {"limits.cpu": "64"}, {}, "limits.cpu", "has containers without limits.cpu: main, wait, init"),
        ({}, {"requests.cpu": "64"}, {}, "requests.cpu", "has containers without requests.cpu: wait, init"),
        ({}, {"memory": "64Gi"}, {}, "memory", "has containers without memory: wait, init"),
        ({"default": {"cpu": "1"}}, {}, {}, "cpu", "requests 3 cores, above the default limit 1 core"),
        ({"max": {"memory": "10Gi"}}, {}, {}, "memory", "takes 11 GiB, above the 10 GiB that a container may have"),
        ({"max": {"cpu": "2"}}, {}, {}, "cpu", "requests 3 cores, above the default limit 2 cores"),
        ({"max": {"cpu": "4"}}, {}, {}, None, None),
        ({"type": "Pod", "max": {"cpu": "8"}}, {}, {}, None, None),
        ({"type": "Pod", "max": {"cpu": "2"}}, {}, {}, "cpu", "takes 3 cores, above the 2 cores that a pod may have"),
        ({"type": "Pod", "max": {"nvidia.com/gpu": "0"}}, {}, {}, "nvidia.com/gpu", "above the 0 nvidia.com/gpu that"),
        ({"min": {"cpu": "200m"}}, {}, {}, "cpu", "requests 0.1 cores, below the 0.2 cores that a container must"),
        ({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}, {}, {}, None, None),
    ],
)  # fmt: skip
def test_admission_lets_a_training_in_or_says_why_not(entry, hard, used, resource, reason):
    refusals = admission.refusals(footprint.containers(Step.TRAIN, PODS), limit_range(entry), quota(used, **hard))
    if resource is None:
        assert refusals == []
    else:
        assert refusals
        assert {item.resource for item in refusals} == {resource}
        assert reason in refusals[0].reason
        assert refusals[0].fix
        assert refusals[0].by in ("LimitRange r", "ResourceQuota q")


def selector(scope, operator):
    return {"scopeSelector": {"matchExpressions": [{"scopeName": scope, "operator": operator, "values": ["a"]}]}}


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        ({}, True),
        ({"scopes": ["Terminating", "NotBestEffort"]}, True),
        ({"scopes": ["NotTerminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        (selector("PriorityClass", "In"), False),
        (selector("PriorityClass", "DoesNotExist"), True),
        (selector("Terminating", "Exists"), True),
    ],
)  # fmt: skip
def test_a_quota_counts_the_pods_of_its_scopes(spec, counts):
    document = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}, **spec}}
    assert (admission.quota(Document(document)) is not None) is counts


def test_the_shipped_quota_and_limits_let_every_step_in():
    """With k8s/base's own numbers, where a quota of accelerators is what the overlay raises."""
    documents = list(yaml.safe_load_all((HERE.parents[1] / "k8s/base/quota.yaml").read_text()))
    by_kind = {item["kind"]: item for item in documents}
    bounds, counted = (
        admission.bounds(Document(by_kind["LimitRange"])),
        admission.quota(Document(by_kind["ResourceQuota"])),
    )
    for step in Step:
        assert admission.refusals(footprint.containers(step, Pods(accelerators=0)), bounds, [counted]) == []
    refused = admission.refusals(footprint.containers(Step.TRAIN, PODS), bounds, [counted])
    assert [item.resource for item in refused] == ["requests.nvidia.com/gpu"]


def node(taints=(), cordoned=False, labels=None, **allocatable):
    spec = {"taints": list(taints), "unschedulable": cordoned}
    return nodes.read(
        Document(
            {"metadata": {"name": "n", "labels": labels or {}}, "spec": spec, "status": {"allocatable": allocatable}}
        )
    )


SPOT = {"key": "spot", "value": "true", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("given", "placement", "barrier"),
    [
        (node(), Placement(), ""),
        (node(cordoned=True), Placement(), "is cordoned"),
        (node(labels={"pool": "a"}), Placement({"pool": "a"}), ""),
        (node(labels={"pool": "a"}), Placement({"pool": "b"}), "lacks the label pool=b"),
        (node([SPOT]), Placement(), "has the taint spot=true:NoSchedule"),
        (node([SPOT | {"effect": "NoExecute"}]), Placement(), "has the taint spot=true:NoExecute"),
        (node([SPOT | {"effect": "PreferNoSchedule"}]), Placement(), ""),
        (node([SPOT]), Placement({}, ({"key": "spot", "operator": "Exists"},)), ""),
        (node([SPOT]), Placement({}, ({"operator": "Exists"},)), ""),
        (node([SPOT]), Placement({}, ({"key": "spot", "operator": "Equal", "value": "true"},)), ""),
        (node([SPOT]), Placement({}, ({"key": "spot", "value": "false"},)), "has the taint spot=true:NoSchedule"),
        (node([SPOT]), Placement({}, ({"key": "spot", "operator": "Exists", "effect": "NoExecute"},)), "has the taint"),
        (node([{"key": "x", "effect": "NoSchedule"}]), Placement(), "has the taint x:NoSchedule"),
    ],
)  # fmt: skip
def test_a_node_may_be_used_unless_something_keeps_the_pod_away(given, placement, barrier):
    assert given.barrier(placement).startswith(barrier)
    assert bool(given.barrier(placement)) is bool(barrier)


def test_what_a_node_lacks_is_named():
    demand = amounts({"cpu": "3", "memory": "11Gi", "nvidia.com/gpu": "1", "ephemeral-storage": "256Mi"})
    assert node(cpu="3", memory="11811160064", **{"nvidia.com/gpu": "1"}).missing(demand) == ()
    assert node(cpu="2999m", memory="11811160063").missing(demand) == ("cpu", "memory", "nvidia.com/gpu")
    big, near = node(cpu="64", memory="2Gi"), node(cpu="4", memory="12Gi")
    assert nodes.largest([big, near], demand) is near
