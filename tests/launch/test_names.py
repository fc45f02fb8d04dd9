"""Names and addresses that are not plain: taken as they are, or refused before anything is sent."""

from dataclasses import replace

import pytest
from kubeflow import Kubeflow, folded, serve
from typer.testing import CliRunner

from mammogan import pipeline
from mammogan.command_line import app
from mammogan.launch import naming
from mammogan.launch.arguments import graph_arguments
from mammogan.launch.pods import Pods, parse_toleration
from mammogan.launch.server import Server
from mammogan.launch.submit import find_experiment, find_or_make_experiment, submit

IMAGE = "registry.example.org/mammogan@sha256:" + "c" * 64
PODS = Pods(image=IMAGE)

pytestmark = pytest.mark.usefixtures("quick")

ODD = [
    "50% off",
    "a+b",
    "a%20b",
    "a b",
    "100%",
    "%zz",
    "it's",
    'say "so"',
    "a\\b",
    "kt-cäse",
    "Brüste",
    "乳房",
    "a/b",
    "a&b=c",
    "#1",
]


@pytest.mark.parametrize("name", ODD)
def test_an_experiment_of_any_storable_name_is_made_once_and_found(kubeflow, host, name):
    first = find_or_make_experiment(Server(host), name)
    assert find_or_make_experiment(Server(host), name) == find_experiment(Server(host), name) == first
    assert [item["display_name"] for item in kubeflow.experiments.values()] == [name]
    assert sum(request[0] == "POST" for request in kubeflow.requests) == 1


def test_names_that_differ_in_their_signs_are_two_experiments(kubeflow, host):
    assert len({find_or_make_experiment(Server(host), name) for name in ODD}) == len(ODD)


@pytest.mark.parametrize("twin", ["KT-Case", "kt-cäse", "KT-CASÉ"])
def test_a_twin_is_used_and_reported_where_the_database_does_not_tell_it_apart(kubeflow, host, twin, capsys):
    kubeflow.compare = folded
    first = find_or_make_experiment(Server(host), "kt-case")
    assert find_or_make_experiment(Server(host), twin) == find_experiment(Server(host), twin) == first
    assert f"experiment {twin!r} is 'kt-case' in Kubeflow" in capsys.readouterr().err


def test_a_twin_that_only_the_index_takes_for_the_same_is_found_after_the_conflict(kubeflow, host):
    """The filter compares exactly, the unique index does not."""
    first = find_or_make_experiment(Server(host), "kt-case")
    kubeflow.fail("POST", "experiments$", 409)
    assert find_or_make_experiment(Server(host), "KT-Case") == first


def test_a_twin_is_another_experiment_where_the_database_tells_it_apart(kubeflow, host):
    assert len({find_or_make_experiment(Server(host), name) for name in ("kt-case", "KT-Case", "kt-cäse")}) == 3


@pytest.mark.parametrize("name", ["", " ", "kt ", " kt", "a" * 129, "a🙂", "a\nb", "a\0b", "a\u200bb"])
def test_a_name_that_cannot_be_stored_is_refused_before_anything_is_sent(kubeflow, host, name):
    with pytest.raises(ValueError, match="experiment=") as caught:
        graph_arguments("demo", {}, experiment=name)
    assert len(str(caught.value).splitlines()) == 1
    arguments = replace(graph_arguments("demo", {}, store="s3://bucket/store"), experiment=name)
    with pytest.raises(ValueError, match="experiment="):
        submit(Server(host), pipeline.experiment, arguments, PODS)
    with pytest.raises(ValueError, match="experiment="):
        find_or_make_experiment(Server(host), name)
    assert not kubeflow.requests


def test_the_longest_name_is_taken(kubeflow, host):
    assert find_or_make_experiment(Server(host), "ä" * 128)


@pytest.mark.parametrize("asked", ["closed", "CLOSED"])
def test_an_archived_experiment_is_reported_and_not_used(kubeflow, host, asked):
    kubeflow.compare = folded
    identity = find_or_make_experiment(Server(host), "closed")
    kubeflow.experiments[identity]["storage_state"] = "ARCHIVED"
    arguments = graph_arguments("demo", {}, store="s3://bucket/store", experiment=asked)
    with pytest.raises(ValueError, match=f"experiment='{asked}': 'closed' is archived in Kubeflow; restore it there"):
        submit(Server(host), pipeline.experiment, arguments, PODS)
    with pytest.raises(ValueError, match="archived"):
        find_experiment(Server(host), asked)
    assert not kubeflow.runs


@pytest.mark.parametrize("option", ["--store", "--source", "--labels"])
@pytest.mark.parametrize("address", ["s3://", "s3:///x", "s3:// /x", "s3://a b/x"])
def test_an_address_without_a_bucket_is_refused_before_anything_is_sent(kubeflow, host, option, address):
    given = {"--store": "s3://bucket/store", "--source": "s3://bucket/a", "--labels": "s3://bucket/b"} | {
        option: address
    }
    command = ["submit", "--host", host, "--image", IMAGE, *(word for pair in given.items() for word in pair)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert f"{option}={address!r}: give s3://bucket/prefix" in result.output
    assert not kubeflow.requests


@pytest.mark.parametrize("account", ["Steps", "a..b", "a_b", "-a", "a" * 254])
def test_a_service_account_that_there_cannot_be_is_refused(kubeflow, host, account):
    arguments = graph_arguments("demo", {}, store="s3://bucket/store")
    with pytest.raises(ValueError, match="--service-account="):
        submit(Server(host), pipeline.experiment, arguments, PODS, service_account=account)
    assert not kubeflow.requests


LONG = "a" * 64
"""Kubernetes' rules on the left, in the words of the Kubernetes documentation; each once on either side."""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(name, (pair,)) for name in ("labels", "node_selector") for pair in (
            "team", "=x", "team=-x", "team=x-", "team=x_", "team=.x", f"team={LONG}", f"{LONG}=x", "-team=x", "team-=x",
            "a/b/c=x", "/team=x", "A.example.org/team=x", "a..b/team=x", "team=ä", "tëam=x", "team=a=b", "team=a b",
            f"{'a.' * 127}/team=x", "team=x\n",
        )],
        ("labels", ("a=1", "a=2")),
        *[("tolerations", (text,)) for text in ("-a", "a=-b", f"a={LONG}", f"{LONG}=b", "a/b/c=d", "A/b=c", "ä=b")],
        *[(name, text) for name in ("settings", "s3_secret", "source_secret")
          for text in ("", "a.b", "a..b", "A", "-a", "a-", "a_b", LONG, "a\n", "ä")],
        *[("pull_secret", text) for text in ("a..b", "A", "-a", "a-", "a.-b", "a-.b", "a_b", "a" * 254, "a\n")],
        *[("queue", text) for text in ("a..b", "A", "-a", "a-", "a.-b", LONG)],
        *[("accelerator", text) for text in ("", "a/", "/a", "a..b/gpu", f"a/{LONG}", "nvidia.com/gpu-", "ä/gpu")],
    ],
)  # fmt: skip
def test_names_that_kubernetes_alone_would_refuse(field, value):
    with pytest.raises(ValueError, match=f"pods.{field}=") as caught:
        Pods(image=IMAGE, **{field: value})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", ("team=x", "a.example.org/Team_1.2=X-y_z.0", "empty=", f"{LONG[1:]}={LONG[1:]}")),
        ("node_selector", ("cloud.google.com/gke-accelerator=nvidia-tesla-t4",)),
        ("tolerations", ("a", "a=b", "nvidia.com/gpu=present:NoSchedule", ":NoSchedule"[1:])),
        ("settings", LONG[1:]),
        ("pull_secret", "a.b-c.d"),
        ("pull_secret", "a" * 253),
        ("queue", LONG[1:]),
        ("accelerator", "amd.com/gpu"),
        ("accelerator", "nvidia.com/mig-1g.5gb"),
    ],
)
def test_names_that_kubernetes_takes(field, value):
    assert getattr(Pods(image=IMAGE, **{field: value}), field) == value


def test_a_toleration_is_read_by_the_same_rules():
    with pytest.raises(ValueError, match="toleration='a=-b'"):
        parse_toleration("a=-b")


@pytest.mark.parametrize("namespace", ["kubeflow.user", "Team", "a_b", "-a", "a-", LONG])
def test_a_namespace_that_there_cannot_be_is_refused(host, kubeflow, namespace):
    with pytest.raises(ValueError, match=f"--namespace='{namespace}': give a namespace's name"):
        Server(host, namespace)
    assert naming.is_label("kubeflow-user-example-com")
    assert not kubeflow.requests


def test_the_double_decodes_filters_as_the_real_server(kubeflow):
    with serve(Kubeflow()) as host:
        server = Server(host)
        listing = server.experiments.experiment_service_list_experiments
        raw = '{"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": "50% off"}]}'
        with pytest.raises(RuntimeError, match="invalid URL escape"):
            server.call("list experiments", listing, filter=raw)
