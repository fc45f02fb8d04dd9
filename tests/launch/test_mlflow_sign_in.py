"""MLflow's server as k8s/base starts it, on PostgreSQL and S3: its init container, its command and its Secrets."""

import base64
import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import mlflow_servers
import pytest
import servers
import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from warm_interpreter import warm_python

from mammogan.tracking import probe

K8S = Path(__file__).resolve().parents[2] / "k8s"
ADMIN, STEPS, PERSON = ("root", "root-password-%40"), ("steps", "steps-password-1"), ("reader", "reader-password-1")
MAY = {"mlflow": [f"{action}:mammogan" for action in ("Read", "List", "Write", "Tagging")]}


def manifest(name, kind):
    (document,) = [item for item in yaml.safe_load_all((K8S / "base" / name).read_text()) if item["kind"] == kind]
    return document


def pod():
    return manifest("mlflow.yaml", "Deployment")["spec"]["template"]["spec"]


def secrets(address):
    """Values of the template's Secrets, by name and key."""
    return {
        "mammogan-postgres": {"MLFLOW_BACKEND_STORE_URI": address},
        "mammogan-s3": dict(zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), STEPS, strict=True)),
        "mammogan-mlflow-admin": {
            "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0],
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "some long random text",
        },
    }


def environment(container, held, folder):
    """What the container's ``env`` gives it, with its settings file in a folder of the test's."""
    given = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    for item in container["env"]:
        reference = item.get("valueFrom", {}).get("secretKeyRef")
        given[item["name"]] = held[reference["name"]][reference["key"]] if reference else item["value"]
    if "MLFLOW_AUTH_CONFIG_PATH" in given:
        given["MLFLOW_AUTH_CONFIG_PATH"] = str(folder / "basic_auth.ini")
    return given


def run_script(container, held, folder, *arguments, **more):
    """Run the container's script from k8s/base; what it printed."""
    python, script = container["command"]
    assert python == "python3"
    command = [warm_python(), K8S / "base" / Path(script).name, *arguments]
    given = environment(container, held, folder) | more
    return subprocess.run(command, env=given, capture_output=True, text=True, cwd=folder)


class Server(mlflow_servers.MlflowServer):
    """The server's container, at a port of this machine, with one worker."""

    def __init__(self, held, folder, store):
        super().__init__("", "", folder, {})
        (container,) = pod()["containers"]
        settings = manifest("mlflow.yaml", "ConfigMap")["data"]
        hosts = {"MLFLOW_SERVER_ALLOWED_HOSTS": f"{settings['MLFLOW_SERVER_ALLOWED_HOSTS']},127.0.0.1:{self.port}"}
        self._environment = environment(container, held, folder) | settings | hosts | store
        arguments = [item for item in container["args"] if not item.startswith(("--host", "--port", "--workers"))]
        place = settings["MLFLOW_ARTIFACTS_DESTINATION"]
        given = [item.replace("$(MLFLOW_ARTIFACTS_DESTINATION)", place) for item in arguments]
        self._command = [sys.executable, "-m", *container["command"], "--host=127.0.0.1", f"--port={self.port}"]
        self._command += ["--workers=1", *given]


def ask(address, account=None, method="GET", body=None):
    """HTTP status of a request, signed in or not."""
    kind = {"Content-Type": "application/json"} if method == "POST" else {}
    request = urllib.request.Request(address, method=method, data=body, headers=kind)
    if account:
        request.add_header("Authorization", f"Basic {base64.b64encode(':'.join(account).encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def make(server, account, by):
    """HTTP status of a request for a new account."""
    body = json.dumps(dict(zip(("username", "password"), account, strict=True))).encode()
    return ask(f"{server.uri}/api/2.0/mlflow/users/create", by, "POST", body)


@contextlib.contextmanager
def signed_in(account):
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(names, account, strict=True):
            patch.setenv(name, value)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        yield


@pytest.fixture(scope="module")
def old():
    """A database with what an MLflow without sign-in left: an experiment and a model. Its password has a %."""
    with mlflow_servers.postgres() as address:
        address = address.replace("mlflow@", "mlflow:p%40ss%25@")
        client = MlflowClient(address, address)
        client.create_experiment("from-before")
        client.create_registered_model("model-from-before")
        yield address


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Variables by which MLflow's server, and nothing else, reaches its bucket."""
    with servers.seaweedfs(tmp_path_factory.mktemp("weed"), MAY) as running:
        key = {"aws_access_key_id": running.access_key, "aws_secret_access_key": running.secret_key}
        boto3.client("s3", endpoint_url=running.endpoint, region_name="us-east-1", **key).create_bucket(
            Bucket="mammogan"
        )
        yield running.environment | {"AWS_ACCESS_KEY_ID": "mlflow", "AWS_SECRET_ACCESS_KEY": "mlflow-secret"}


@pytest.fixture(scope="module")
def mlflow(old, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    (accounts,) = pod()["initContainers"]
    done = run_script(accounts, secrets(old), folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "made the account steps, to which 3 experiments and models belong" in done.stdout, "Default is one of them"
    assert not [secret for secret in (ADMIN[1], STEPS[1], "p%40ss") if secret in done.stdout + done.stderr]
    server = Server(secrets(old), folder, store)
    server.start()
    yield server
    server.stop()


def test_without_a_sign_in_nothing_but_health_and_pages_is_answered(mlflow):
    listing, artifact = "/api/2.0/mlflow/experiments/search?max_results=1", "/api/2.0/mlflow-artifacts/artifacts/0/x"
    assert ask(mlflow.uri + "/health") == 200, "what the pod's probes ask"
    assert {ask(mlflow.uri + path) for path in ("/", "/version", "/docs", "/metrics", listing, artifact)} == {401}
    assert ask(mlflow.uri + artifact, method="PUT", body=b"code") == 401
    assert ask(mlflow.uri + listing, (STEPS[0], "wrong-password")) == 401
    assert {ask(mlflow.uri + listing, account) for account in (ADMIN, STEPS)} == {200}


def test_the_steps_account_owns_what_it_makes_and_what_was_there(mlflow):
    with signed_in(STEPS):
        client = MlflowClient(mlflow.uri)
        run = client.create_run(client.create_experiment("mammogan"))
        client.log_metric(run.info.run_id, "train/wasserstein", 1.0)
        client.log_text(run.info.run_id, "hello", "words.txt")
        assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["words.txt"]
        client.create_registered_model("mammogan")
        client.create_model_version("mammogan", run.info.artifact_uri, run.info.run_id)
        client.set_registered_model_alias("mammogan", "champion", "1")
        client.create_registered_model("mammogan.lock")
        client.delete_registered_model("mammogan.lock")
        client.create_run(client.get_experiment_by_name("from-before").experiment_id)
        client.set_registered_model_tag("model-from-before", "a", "b")


def test_the_steps_account_is_no_administrator_and_writes_nothing_of_others(mlflow):
    with signed_in(ADMIN):
        theirs = MlflowClient(mlflow.uri).create_experiment("theirs")
    assert make(mlflow, ("another", "another-password"), STEPS) == 403
    place = f"{mlflow.uri}/api/2.0/mlflow-artifacts/artifacts"
    assert ask(f"{place}/{theirs}/models/m-1/artifacts/MLmodel", STEPS, "PUT", b"code") == 403
    assert ask(f"{place}/anywhere", STEPS, "PUT", b"code") == 403
    with signed_in(STEPS):
        assert MlflowClient(mlflow.uri).get_experiment(theirs).name == "theirs"
        with pytest.raises(MlflowException, match="403"):
            MlflowClient(mlflow.uri).create_run(theirs)


def test_another_account_reads_and_changes_nothing(mlflow):
    assert make(mlflow, PERSON, ADMIN) == 200
    with signed_in(PERSON):
        client = MlflowClient(mlflow.uri)
        old = client.get_experiment_by_name("from-before").experiment_id
        assert len(client.search_runs([old])) >= 0
        for refused in (
            lambda: client.create_run(old),
            lambda: client.set_registered_model_alias("model-from-before", "champion", "1"),
            lambda: client.set_registered_model_tag("model-from-before", "a", "c"),
        ):
            with pytest.raises(MlflowException, match="403"):
                refused()
    assert ask(f"{mlflow.uri}/api/2.0/mlflow-artifacts/artifacts/{old}/x/artifacts/y", PERSON, "PUT", b"code") == 403


def test_preflight_tells_a_sign_in_that_is_missing_and_says_nothing_of_one_that_works(mlflow, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(RuntimeError, match=r"asks for a sign-in and none was given \(401\); put MLFLOW_TRACKING_USERN"):
        probe.probe(mlflow.uri)
    refusal = pytest.raises(RuntimeError, match=r"refuses the sign-in \(401\); put MLFLOW_TRACKING_USERNAME")
    with signed_in((STEPS[0], "wrong-password")), refusal:
        probe.probe(mlflow.uri)
    with signed_in(STEPS):
        message = probe.probe(mlflow.uri)
    assert "wrote, read and deleted a run" in message
    assert "asks for no sign-in" not in message


def test_it_answers_to_the_names_of_the_manifest_alone(mlflow):
    request = urllib.request.Request(f"{mlflow.uri}/", headers={"Host": "evil.example.org"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=20)


def test_no_process_has_a_password_on_its_command_line(mlflow):
    group = os.getpgid(mlflow._process.pid)
    lines = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # of one that ends meanwhile
            if folder.name.isdigit() and os.getpgid(int(folder.name)) == group:
                lines.append((folder / "cmdline").read_bytes().decode())
    assert len(lines) >= 2, "the command and its worker"
    assert not [line for line in lines if "p%40ss" in line or "p@ss" in line or "password" in line]


def test_the_clean_up_removes_through_the_server_what_was_deleted(mlflow, old, tmp_path):
    job = next(item for item in yaml.safe_load_all((K8S / "base/housekeeping.yaml").read_text()) if item)
    (clean_up,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    with signed_in(STEPS):
        client = MlflowClient(mlflow.uri)
        run = client.create_run(client.create_experiment("to-be-deleted")).info
        client.log_text(run.run_id, "hello", "words.txt")
        client.delete_run(run.run_id)
    older = [item.replace("30d", "0d") for item in clean_up["args"]]
    done = run_script(clean_up, secrets(old), tmp_path, *older, "--run-ids", run.run_id, MLFLOW_TRACKING_URI=mlflow.uri)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Unable to resolve" not in done.stdout + done.stderr
    assert run.run_id in done.stdout
    gone = f"{mlflow.uri}/api/2.0/mlflow-artifacts/artifacts/{run.experiment_id}/{run.run_id}/artifacts/words.txt"
    assert ask(gone, ADMIN) in (404, 500)
    with signed_in(ADMIN), pytest.raises(MlflowException, match="not found"):
        MlflowClient(mlflow.uri).get_run(run.run_id)


def test_a_database_is_brought_up_to_date_without_its_address_on_a_command_line(tmp_path):
    jobs = [item for item in yaml.safe_load_all((K8S / "base/housekeeping.yaml").read_text()) if item]
    (migrate,) = jobs[1]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    with mlflow_servers.postgres() as address:
        done = run_script(migrate, secrets(address), tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        import sqlalchemy

        tables = sqlalchemy.inspect(sqlalchemy.create_engine(address)).get_table_names()
    assert {"alembic_version", "alembic_version_auth", "experiments", "users"} <= set(tables)


def test_the_secret_decides_on_the_steps_password(mlflow, old, tmp_path):
    """The last test of the server: it changes the password."""
    (accounts,) = pod()["initContainers"]
    held = secrets(old)
    held["mammogan-s3"]["MLFLOW_TRACKING_PASSWORD"] = "another-password"
    done = run_script(accounts, held, tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), "no account was made a second time"
    listing = f"{mlflow.uri}/api/2.0/mlflow/experiments/search?max_results=1"
    assert ask(listing, (STEPS[0], "another-password")) == 200
    assert ask(listing, ADMIN) == 200


def test_the_steps_are_not_given_the_administrator_s_account(tmp_path):
    (accounts,) = pod()["initContainers"]
    held = secrets("postgresql://nobody-asks")
    held["mammogan-s3"]["MLFLOW_TRACKING_USERNAME"] = ADMIN[0]
    both = run_script(accounts, held, tmp_path)
    assert both.returncode == 1
    assert both.stderr.startswith("mammogan-s3 names the administrator's account")
