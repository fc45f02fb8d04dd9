"""Submit, against a server that speaks the official API."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import kfp_server_api as api
import pytest
from kubeflow import Kubeflow, recorded, serve
from typer.testing import CliRunner

from mammogan import pipeline
from mammogan.command_line import app
from mammogan.launch import server as server_module
from mammogan.launch import submitted
from mammogan.launch.arguments import graph_arguments
from mammogan.launch.pods import Pods
from mammogan.launch.schedule.entries import File
from mammogan.launch.schedule.reconciliation import forecast, reconcile
from mammogan.launch.server import RefusedError, Server, SignIn, reach
from mammogan.launch.submit import submit

IMAGE = "registry.example.org/mammogan@sha256:" + "c" * 64
PODS = Pods(image=IMAGE)


pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def arguments():
    defaults = graph_arguments("paper", {"lambdas": "0.5,3"}, source="s3://bucket/cbis", labels="s3://bucket/csv")
    return replace(defaults, store="s3://bucket/store")


def start(host, arguments, **options):
    return submit(Server(host, **options), pipeline.experiment, arguments, PODS)


def test_a_run_is_started_of_an_uploaded_version_with_the_arguments(kubeflow, host, arguments):
    run = kubeflow.runs[start(host, arguments)]
    assert run["runtime_config"]["parameters"] == arguments.parameters()
    assert run["runtime_config"]["parameters"]["trials"] == ["lambda=0.5,seed=0", "lambda=3,seed=0"]
    assert run["service_account"] == "mammogan-steps"
    assert kubeflow.experiments[run["experiment_id"]]["display_name"] == "mammogan"
    version = kubeflow.versions[run["pipeline_version_reference"]["pipeline_version_id"]]
    executors = version["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} == {IMAGE}


class TestRunByName:
    """``stop`` and ``submit --follow`` take ``latest``, a name or the beginning of an id."""

    @pytest.fixture
    def two(self, kubeflow, host, arguments):
        ids = [start(host, arguments), start(host, arguments)]
        for number, run_id in enumerate(ids):
            kubeflow.runs[run_id] |= {"created_at": f"2026-01-0{number + 1}T00:00:00Z"}
        foreign = {**kubeflow.runs[ids[1]], "created_at": "2026-02-01T00:00:00Z", "display_name": "another graph's"}
        foreign["pipeline_version_reference"] = {"pipeline_id": "other", "pipeline_version_id": "other"}
        kubeflow.runs["zz-foreign"] = {**foreign, "run_id": "zz-foreign"}
        return ids

    def test_it_is_found(self, kubeflow, host, two, caplog):
        server = Server(host)
        assert submitted.find_run(server, "latest") == two[1], "of this graph"
        assert submitted.find_run(server, kubeflow.runs[two[0]]["display_name"]) == two[0]
        assert submitted.find_run(server, two[0]) == two[0]
        assert submitted.find_run(server, "zz") == "zz"

    def test_what_means_several_is_refused(self, kubeflow, host, two):
        for run_id in two:
            kubeflow.runs[run_id]["display_name"] = "weekly"
        with pytest.raises(ValueError, match="2 runs are meant: weekly") as refused:
            submitted.find_run(Server(host), "weekly")
        assert all(run_id in str(refused.value) for run_id in two)

    def test_latest_of_none_is_refused(self, host):
        with pytest.raises(ValueError, match="no run of this graph yet"):
            submitted.find_run(Server(host), "latest")

    def test_a_whole_id_asks_nothing(self):
        run_id = "0a1b2c3d-0000-4000-8000-00000000000f"
        assert submitted.find_run(None, run_id) == run_id


def test_the_first_upload_makes_one_version_whose_name_tells_its_bytes(kubeflow, host, arguments):
    start(host, arguments)
    (version,) = kubeflow.versions.values()
    assert version["display_name"].startswith("mammogan-")


def test_the_same_graph_is_uploaded_once_and_another_one_beside_it(kubeflow, host, arguments):
    for _ in range(2):
        start(host, arguments)
    assert len(kubeflow.runs) == 2
    versions = {run["pipeline_version_reference"]["pipeline_version_id"] for run in kubeflow.runs.values()}
    assert len(versions) == 1
    submit(Server(host), pipeline.experiment, arguments, Pods(image=IMAGE, accelerators=0))
    assert len(kubeflow.pipelines) == 1
    assert len({run["pipeline_version_reference"]["pipeline_version_id"] for run in kubeflow.runs.values()}) == 2


def test_listings_are_read_to_their_last_page(host, kubeflow, arguments):
    kubeflow.page_limit = 2
    pipeline_id = kubeflow.keep(kubeflow.pipelines, "pipeline_id", {"display_name": "mammogan"})["pipeline_id"]
    for number in range(5):
        kubeflow.keep(
            kubeflow.versions,
            "pipeline_version_id",
            {"pipeline_id": pipeline_id, "display_name": f"old {number}", "pipeline_spec": {}},
        )
    start(host, arguments)
    start(host, arguments)
    assert sum(request == ("POST", "/apis/v2beta1/pipelines/upload_version") for request in kubeflow.requests) == 1


def test_two_submits_at_once_share_what_they_upload(kubeflow, host, arguments):
    barrier = threading.Barrier(2)
    errors = []

    def run():
        barrier.wait()
        try:
            start(host, arguments)
        except RefusedError as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(kubeflow.runs) == 2
    assert len(kubeflow.pipelines) == 1


@pytest.mark.parametrize("path", ["experiments$", "pipelines$", "upload_version$"])
def test_a_conflict_means_that_someone_else_made_it(kubeflow, host, arguments, path):
    """409 although the listing before did not show it: the second look finds it."""
    start(host, arguments)
    listing = {"experiments$": "experiments$", "pipelines$": "pipelines$", "upload_version$": "versions$"}[path]
    kubeflow.fail("GET", listing, 200, body={})
    kubeflow.fail("POST", path, 409)
    start(host, arguments)
    assert len(kubeflow.runs) == 2


def test_a_conflict_with_nothing_there_is_reported(kubeflow, host, arguments):
    kubeflow.fail("POST", "pipelines$", 409, body=recorded("api", "pipeline-duplicate")["body"])
    with pytest.raises(RefusedError, match=r"could not create the pipeline: it exists already \(Failed to create"):
        start(host, arguments)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_reading_is_tried_again(kubeflow, host, arguments, status, capsys):
    kubeflow.fail("GET", "experiments$", status, times=2)
    start(host, arguments)
    assert capsys.readouterr().err.count("trying again") == 2


@pytest.mark.parametrize(("status", "runs"), [(503, 1), (429, 1)])
def test_creating_is_tried_again_where_it_had_no_effect(kubeflow, host, arguments, status, runs):
    kubeflow.fail("POST", "runs$", status, times=2)
    start(host, arguments)
    assert len(kubeflow.runs) == runs


def test_a_failure_of_the_servers_own_is_not_tried_again(kubeflow, host, arguments):
    kubeflow.fail("POST", "runs$", 500)
    with pytest.raises(RefusedError, match="could not start the run: the server failed with status 500"):
        start(host, arguments)
    assert sum(request == ("POST", "/apis/v2beta1/runs") for request in kubeflow.requests) == 1


def test_a_server_that_stays_away_is_reported_after_five_attempts(kubeflow, host, arguments):
    kubeflow.fail("GET", "pipelines", 503, times=99)
    with pytest.raises(RefusedError, match="could not list pipelines: the server failed with status 503"):
        start(host, arguments)
    assert sum("pipelines" in path for _, path in kubeflow.requests) == 5


def test_no_server_is_reported_with_the_reason(arguments):
    with pytest.raises(RefusedError, match=r"no answer from http://127.0.0.1:9; check --host .*refused"):
        start("http://127.0.0.1:9", arguments)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, {"message": "no permission for runs.create"}, r"this user may not do that.*\(no permission for runs"),
        (404, "<html>nginx</html>", "check --host, behind a gateway the API is below /pipeline"),
        (400, {"error": "bad\n  spec"}, r"the request was refused \(bad spec\)"),
        (302, "<html>moved</html>", "a gateway stands before it and asks to sign in"),
        (200, "<html>Log in to Dex</html>", "answers with text/html; a gateway stands before it"),
    ],
)
def test_refusals_are_one_line_in_words(kubeflow, host, arguments, status, body, words):
    kubeflow.fail("GET", "pipelines", status, body=body)
    with pytest.raises(RefusedError, match=words) as caught:
        start(host, arguments)
    assert "\n" not in str(caught.value)
    assert "<html" not in str(caught.value)


@pytest.mark.parametrize(
    ("needed", "given"),
    [
        ({"token": "t0k3n"}, SignIn(token="t0k3n")),
        ({"cookie": "authservice_session=abc"}, SignIn(cookie="authservice_session=abc")),
        ({"user": "anna@example.org"}, SignIn(user="anna@example.org")),
    ],
)
def test_each_way_to_sign_in_opens_the_server_and_nothing_else_does(arguments, needed, given):
    with serve(Kubeflow(**needed)) as host:
        start(host, arguments, sign_in=given)
        for wrong in (SignIn(), SignIn(token="wrong"), SignIn(cookie="wrong"), SignIn(user="wrong")):
            with pytest.raises(RefusedError, match="the sign-in was refused; give a fresh KFP_TOKEN") as caught:
                start(host, arguments, sign_in=wrong)
            assert caught.value.status == 401


def test_the_service_accounts_token_is_read_anew_for_each_request(arguments, tmp_path, monkeypatch):
    token = tmp_path / "token"
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token))
    token.write_text("old")
    kubeflow = Kubeflow(token="old")
    with serve(kubeflow) as host:
        monkeypatch.setattr(server_module, "IN_CLUSTER", host)
        inside = Server("")
        submit(inside, pipeline.experiment, arguments, PODS)
        token.write_text("renewed")
        kubeflow.sign_in["Authorization"] = "Bearer renewed"
        submit(inside, pipeline.experiment, arguments, PODS)
    assert len(kubeflow.runs) == 2


def test_inside_without_a_token_it_goes_unsigned_and_no_library_speaks_up(
    kubeflow, host, arguments, tmp_path, monkeypatch, caplog, capsys
):
    token = tmp_path / "token"
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token))
    monkeypatch.setattr(server_module, "IN_CLUSTER", host)
    inside = Server("")
    submit(inside, pipeline.experiment, arguments, PODS)
    token.write_text("one")
    assert inside.multi_user() is False
    token.unlink()
    assert inside.multi_user() is False, "a token that is being replaced"
    assert not [record for record in caplog.records if not record.name.startswith("mammogan")]
    assert "ERROR" not in capsys.readouterr().err


def test_a_missing_namespace_is_reported_before_anything_is_sent(arguments):
    kubeflow = Kubeflow(multi_user=True)
    refused = pytest.raises(ValueError, match=r"^--namespace='': this Kubeflow has many users; give the namespace")
    with serve(kubeflow) as host:
        with refused:
            start(host, arguments)
        with refused:
            reconcile(Server(host), pipeline.experiment, File("mine", ()))
        with refused:
            forecast(Server(host), File("mine", ()), datetime.now(UTC))
        assert set(kubeflow.requests) == {("GET", "/apis/v2beta1/healthz")}
        start(host, arguments, namespace="mine")
    assert len(kubeflow.runs) == 1


def test_secrets_never_show(capsys, arguments, monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", "t0k3n-secret")
    assert "t0k3n-secret" not in repr(SignIn.from_environment())
    with serve(Kubeflow(token="another")) as host, pytest.raises(RefusedError) as caught:
        start(host, arguments)
    assert "t0k3n-secret" not in str(caught.value) + capsys.readouterr().err


def test_port_forward_goes_through_kubectl_and_ends_it(kubeflow, host, arguments, tmp_path, monkeypatch):
    """kubectl is played by a script: no cluster can be reached here. It says what kubectl says, and must be ended."""
    port = host.rpartition(":")[2]
    script = tmp_path / "kubectl"
    script.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/called\n'
        f'echo "Forwarding from 127.0.0.1:{port} -> 3000"\n'
        f"trap 'echo ended >> {tmp_path}/called; exit 0' TERM\nwhile :; do sleep 0.05; done\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with reach("port-forward") as server:
        submit(server, pipeline.experiment, arguments, PODS)
    assert len(kubeflow.runs) == 1
    called = (tmp_path / "called").read_text().split("\n")
    assert called[:2] == ["port-forward --namespace kubeflow service/ml-pipeline-ui :80", "ended"]


def test_port_forward_without_a_cluster_says_what_kubectl_said(tmp_path, monkeypatch):
    script = tmp_path / "kubectl"
    script.write_text("#!/bin/sh\necho 'error: no context' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(RuntimeError, match=r"could not reach the cluster \(error: no context\)"), reach("port-forward"):
        pass


def test_a_port_forward_that_ended_is_started_again_on_its_port(kubeflow, host, tmp_path, monkeypatch):
    """As when Kubeflow's pod is replaced: the first kubectl ends at once, the next one stays."""
    port = host.rpartition(":")[2]
    script = tmp_path / "kubectl"
    script.write_text(
        f'#!/bin/sh\necho "$5" >> {tmp_path}/called\necho "Forwarding from 127.0.0.1:{port} -> 3000"\n'
        f"[ $(wc -l < {tmp_path}/called) -gt 1 ] || exit 1\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with reach("port-forward") as server:
        server._forward._process.wait()
        assert server.multi_user() is False
    assert (tmp_path / "called").read_text().split() == [":80", f"{port}:80"]


def test_a_port_forward_that_tells_of_each_connection_is_listened_to(host, tmp_path, monkeypatch):
    """kubectl blocks where nobody reads what it says, and the forward with it."""
    port = host.rpartition(":")[2]
    script = tmp_path / "kubectl"
    script.write_text(
        f'#!/bin/sh\necho "Forwarding from 127.0.0.1:{port} -> 3000"\n'
        "for number in $(seq 5000); do echo Handling connection for 8080; echo and this >&2; done\n"
        f"touch {tmp_path}/said\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with reach("port-forward"):
        deadline = time.monotonic() + 20
        while not (tmp_path / "said").exists():
            assert time.monotonic() < deadline, "it stands still"
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("http://ml-pipeline.kubeflow.svc.cluster.local:8888", True),
        ("http://ml-pipeline.kubeflow.svc:8888", True),
        ("https://kubeflow.example.org/pipeline", False),
        ("https://a.b.svc.example.org", False),
    ],
)
def test_the_pods_own_token_goes_to_addresses_inside_the_cluster_alone(tmp_path, monkeypatch, address, inside):
    (tmp_path / "token").write_text("the-pods-token")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    header = Server(address)._client.configuration.auth_settings().get("Bearer", {}).get("value")
    assert header == ("Bearer the-pods-token" if inside else None)


def test_every_request_has_a_limit_of_time(kubeflow, host, arguments, monkeypatch):
    asked = []
    real = api.rest.RESTClientObject.request

    def request(self, *arguments, **named):
        asked.append(named.get("_request_timeout"))
        return real(self, *arguments, **named)

    monkeypatch.setattr(api.rest.RESTClientObject, "request", request)
    start(host, arguments)
    assert len(asked) > 5
    assert set(asked) == {(server_module.CONNECT_S, server_module.ANSWER_S)}


@pytest.mark.parametrize("store", ["", "/data/store"])
def test_a_store_inside_the_pod_is_refused_before_anything_is_sent(kubeflow, host, arguments, store):
    with pytest.raises(ValueError, match=r"--store=.*give s3://bucket/prefix"):
        start(host, replace(arguments, store=store))
    assert not kubeflow.requests


COMMAND = ["submit", "--source", "s3://b/cbis", "--labels", "s3://b/csv", "--store", "s3://b/store", "--image", IMAGE]


def test_the_command_starts_a_run_and_names_it(kubeflow, host):
    result = CliRunner().invoke(app, [*COMMAND, "--host", host])
    assert result.exit_code == 0, result.output
    (run_id,) = kubeflow.runs
    assert f"started run {run_id} of version mammogan-" in result.output


def test_the_command_tells_a_refusal_in_one_line(kubeflow, host):
    kubeflow.sign_in["Authorization"] = "Bearer needed"
    result = CliRunner().invoke(app, [*COMMAND, "--host", host])
    assert result.exit_code == 1
    assert result.output.strip().startswith("error: could not ask which kind of Kubeflow it is: the sign-in was")
    assert len(result.output.strip().splitlines()) == 1
