"""The probe against real servers: what a pod that may do everything says, and each fault with its fix."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import mlflow_servers
import pytest
import servers
import typer
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from probe_parts import clean_up_late, die, shout, sleep

from mammogan import codec, components, mounted
from mammogan.commands import probe as command
from mammogan.launch.preflight import probe_pod
from mammogan.probe import Finding, Part, accelerator, look
from mammogan.probe import store as object_store
from mammogan.probe.finding import Findings, from_log, masked
from mammogan.tracking import probe as tracking_probe

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def weed(tmp_path_factory):
    with servers.seaweedfs(tmp_path_factory.mktemp("weed")) as store:
        bucket(store).create_bucket(Bucket="bucket")
        yield store


def bucket(store):
    key = {"aws_access_key_id": store.access_key, "aws_secret_access_key": store.secret_key}
    return boto3.client("s3", endpoint_url=store.endpoint, region_name="us-east-1", **key)


@pytest.fixture
def signed(weed, monkeypatch):
    for name, value in weed.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    return weed


def left(store):
    return [item["Key"] for item in bucket(store).list_objects_v2(Bucket="bucket").get("Contents", ())]


def test_a_store_that_may_be_used_is_written_and_left_as_it_was(signed):
    message = object_store.probe("s3://bucket/some/prefix/")
    assert message.startswith(
        "s3://bucket/some/prefix/: wrote, read, listed and deleted an object at http://127.0.0.1:"
    )
    assert left(signed) == []


@pytest.mark.parametrize(
    ("changes", "store", "fix"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, "s3://bucket", "SignatureDoesNotMatch; the secret key is wrong"),
        ({"AWS_ACCESS_KEY_ID": "stranger"}, "s3://bucket", "InvalidAccessKeyId; the store knows no such key: fix AWS"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "s3://bucket", "it was asked without a key: fix AWS"),
        ({}, "s3://absent/store", "NoSuchBucket; make the bucket absent or name another one with --store"),
        ({"AWS_ENDPOINT_URL_S3": NOWHERE}, "s3://bucket", f"no answer from {NOWHERE}; check AWS_ENDPOINT_URL_S3"),
        ({"AWS_ENDPOINT_URL_S3": "http://no.such.invalid"}, "s3://bucket", "no answer from http://no.such.invalid;"),
        ({"AWS_ENDPOINT_URL_S3": "seaweedfs:9000"}, "s3://bucket", "check AWS_ENDPOINT_URL_S3 in the ConfigMap, and"),
    ],
)
def test_each_fault_of_the_store_is_one_line_with_its_fix(signed, monkeypatch, changes, store, fix):
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    begun = time.monotonic()
    with pytest.raises(OSError, match="could not") as refusal:
        object_store.probe(store)
    assert fix in str(refusal.value)
    assert store in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "wrong-secret" not in str(refusal.value)
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("store", ["", "/tmp/store", "s3://"])
def test_without_a_store_nothing_was_tried(store):
    with pytest.raises(ValueError, match="nothing was tried; give the run's store"):
        object_store.probe(store)


def test_an_object_that_is_not_given_back_as_written_is_a_fault_and_is_deleted(signed, monkeypatch):
    stale = object_store._client()[0]
    real = stale.get_object
    monkeypatch.setattr(object_store, "_client", lambda: (stale, True))
    monkeypatch.setattr(stale, "get_object", lambda **named: real(**named) | {"Body": io.BytesIO()})
    with pytest.raises(OSError, match="gives back other bytes"):
        object_store.probe("s3://bucket")
    assert left(signed) == []


def test_the_source_is_listed_and_read_with_the_key_that_it_has(signed, monkeypatch):
    with pytest.raises(FileNotFoundError, match="s3://bucket/images holds no object; upload the images there"):
        object_store.probe_source("s3://bucket/images")
    bucket(signed).put_object(Bucket="bucket", Key="images/a.dcm", Body=b"pixels")
    try:
        message = object_store.probe_source("s3://bucket/images")
        assert message.endswith("read an object with the object store's key: without one of its own")
        for name, value in (("ACCESS_KEY_ID", signed.access_key), ("SECRET_ACCESS_KEY", signed.secret_key)):
            monkeypatch.setenv(f"MAMMOGAN_SOURCE_{name}", value)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
        assert object_store.probe_source("s3://bucket/images/").endswith("read an object with a key of its own")
        monkeypatch.setenv("MAMMOGAN_SOURCE_SECRET_ACCESS_KEY", "wrong-secret")
        fix = "fix MAMMOGAN_SOURCE_ACCESS_KEY_ID and MAMMOGAN_SOURCE_SECRET_ACCESS_KEY in the Secret of the source"
        with pytest.raises(OSError, match=f"SignatureDoesNotMatch; the secret key is wrong: {fix}"):
            object_store.probe_source("s3://bucket/images")
    finally:
        bucket(signed).delete_object(Bucket="bucket", Key="images/a.dcm")
    with pytest.raises(ValueError, match="nothing was tried; give the run's source"):
        object_store.probe_source("/tmp/images")


@pytest.fixture(scope="module")
def mlflow(empty_database, tmp_path_factory):
    """MLflow that answers to one name only; it listens at 127.0.0.1."""
    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copyfile(empty_database, folder / "mlflow.db")
    hosts = {"MLFLOW_SERVER_ALLOWED_HOSTS": "localhost,localhost:*"}
    with mlflow_servers.mlflow_server(f"sqlite:///{folder}/mlflow.db", str(folder), folder, hosts) as server:
        yield f"http://localhost:{server.port}"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setattr(tracking_probe, "TIMEOUT_S", 3)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def test_a_run_is_written_read_and_deleted(mlflow):
    for _ in range(2):
        message = tracking_probe.probe(mlflow)
        assert "wrote, read and deleted a run of experiment mammogan-preflight" in message
        assert message.endswith("; it asks for no sign-in: whoever reaches it may read and change everything there")
    client = MlflowClient(tracking_uri=mlflow)
    experiment = client.get_experiment_by_name("mammogan-preflight")
    assert len(client.search_runs([experiment.experiment_id], run_view_type=1)) == 0, "1: those that are not deleted"
    client.delete_experiment(experiment.experiment_id)
    assert "wrote" in tracking_probe.probe(mlflow), "somebody tidied up: the experiment is taken back"


def test_a_metric_that_is_not_given_back_is_a_fault_and_its_run_is_deleted(mlflow, monkeypatch):
    monkeypatch.setattr(MlflowClient, "log_metric", lambda *_: None)
    with pytest.raises(RuntimeError, match="gives back nan for the metric that"):
        tracking_probe.probe(mlflow)


def test_a_server_that_cannot_keep_files_is_reported(mlflow, monkeypatch):
    def refuse(*_):
        raise MlflowException("the artifacts' bucket said AccessDenied\nand more")

    monkeypatch.setattr(MlflowClient, "log_text", refuse)
    message = (
        r"takes runs, but no file of one \(the artifacts' bucket said AccessDenied\); check the place of its artifacts"
    )
    with pytest.raises(RuntimeError, match=message):
        tracking_probe.probe(mlflow)


def test_a_host_that_is_not_allowed_is_named(mlflow):
    message = r"does not answer to 127\.0\.0\.1:\d+ \(403\); add 127\.0\.0\.1:\d+ to MLFLOW_SERVER_ALLOWED_HOSTS"
    with pytest.raises(RuntimeError, match=message):
        tracking_probe.probe(mlflow.replace("localhost", "127.0.0.1"))


def test_no_address_and_no_server_are_reported():
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_URI='': nothing was tried"):
        tracking_probe.probe()
    with pytest.raises(RuntimeError, match=f"no answer from {NOWHERE}; check MLFLOW_TRACKING_URI in the ConfigMap"):
        tracking_probe.probe(NOWHERE)


@contextlib.contextmanager
def pretended(status, health=200, body=b"{}", after_s=0.0):
    """Address of a server that answers every call with ``status`` after a while, but for its health."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            healthy = self.path == "/health"
            if not healthy:
                time.sleep(after_s)
            with contextlib.suppress(OSError):
                self.send_response(health if healthy else status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        do_GET = do_POST  # noqa: N815  (the name that http.server calls)

        def log_message(self, *arguments):
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "environment", "message"),
    [
        (401, {}, "asks for a sign-in and none was given (401); put MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_P"),
        (401, {"MLFLOW_TRACKING_TOKEN": "t0ken"}, "refuses the sign-in (401); put MLFLOW_TRACKING_USERNAME"),
        (403, {}, "refuses (403); let this sign-in read and write, or add 127.0.0.1:"),
        (404, {}, "answers 404, as no MLflow would; check MLFLOW_TRACKING_URI"),
        (503, {}, "fails with status 503; check its database: that PostgreSQL runs"),
    ],
)
def test_a_refusal_of_mlflow_is_reported_by_its_status(monkeypatch, status, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pretended(status) as uri, pytest.raises(RuntimeError) as refusal:
        tracking_probe.probe(uri)
    assert message in str(refusal.value)
    assert "t0ken" not in str(refusal.value)


def test_a_database_that_keeps_silent_is_told_from_a_server_that_does(monkeypatch):
    monkeypatch.setattr(tracking_probe, "TIMEOUT_S", 0.5)
    with (
        pretended(200, after_s=2) as uri,
        pytest.raises(RuntimeError, match=r"is up, but gave no answer in 0\.5 s; check its d"),
    ):
        tracking_probe.probe(uri)
    with pretended(200, 500, after_s=2) as uri, pytest.raises(RuntimeError, match="no answer from"):
        tracking_probe.probe(uri)


def test_a_sign_in_that_may_only_read_is_reported(mlflow, monkeypatch):
    from mlflow.exceptions import RestException

    def refuse(*_, **__):
        raise RestException({"error_code": "PERMISSION_DENIED", "message": "no"})

    monkeypatch.setattr(MlflowClient, "create_run", refuse)
    with pytest.raises(RuntimeError, match=r"this sign-in may read but not write \(403\)"):
        tracking_probe.probe(mlflow)


@pytest.mark.long
def test_a_real_database_that_goes_down_is_reported(tmp_path):
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(mlflow_servers.postgres())
        with mlflow_servers.mlflow_server(uri, str(tmp_path / "a"), tmp_path / "server") as server:
            assert "wrote, read and deleted" in tracking_probe.probe(server.uri)
            stack.close()
            with pytest.raises(RuntimeError, match="check its database: that PostgreSQL runs"):
                tracking_probe.probe(server.uri)


def test_a_machine_without_an_accelerator_says_what_it_lacks():
    import torch

    if torch.cuda.is_available():
        assert "GiB, driver" in accelerator.probe()
        return
    with pytest.raises(RuntimeError, match=r"for the CPU alone; give --gpu-image|cannot compute on the accelerator: "):
        accelerator.probe()


def test_a_part_never_hangs_and_tidies_up_when_its_time_is_over(tmp_path):
    begun = time.monotonic()
    late = tmp_path / "tidied"
    findings = look([Part("a", sleep, (), 2.0, "fix a"), Part("b", clean_up_late, (str(late),), 8.0, "fix b")])
    assert findings == [Finding("a", False, "no answer in 2 s; fix a"), Finding("b", False, "no answer in 8 s; fix b")]
    assert late.exists()
    assert time.monotonic() - begun < 60


def test_a_part_that_dies_or_raises_is_reported_in_one_line_without_secrets(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    died, raised = look(
        [Part("a", die, (), 20.0, "fix it"), Part("b", shout, (), 20.0, "fix", {"MAMMOGAN_TEST": "given"})]
    )
    assert died == Finding("a", False, "it was ended from outside (SIGKILL); fix it")
    assert raised == Finding("b", False, "KeyError: 'given *** http://***@host/'")


def test_findings_come_through_a_log_with_warnings_around_them():
    findings = [Finding("a", True, "fine"), Finding("b", False, 'no "x": {y}')]
    log = (
        f"warning: {{odd}}\n{{not json\n{{}}\n{json.dumps(codec.encode(Findings(findings)), indent=2)}\nlate warning\n"
    )
    assert from_log(log) == findings
    assert from_log("Traceback ...") == []
    assert from_log('{"findings": [{"what": "a", "ok": "yes", "said": ""}, 3]}') == [], "ok is not a boolean"


def test_no_address_keeps_its_sign_in(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    assert masked("at https://me:hunter2@host/x\n hunter2") == "at https://***@host/x ***"


def test_the_command_of_a_preflight_pod_reads_its_mounts_and_prints_one_object(weed, mlflow, tmp_path):
    """As preflight's pod runs it: settings and secrets are files, and the log is read by ``from_log``."""
    for folder, values in (("settings", {"MLFLOW_TRACKING_URI": mlflow}), ("s3", weed.environment)):
        (tmp_path / folder).mkdir()
        for name, value in values.items():
            (tmp_path / folder / name).write_text(f"{value}\n")
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_"))}
    (tmp_path / "image").mkdir()  # where a checkout's folder of that name is not found
    (tmp_path / "image" / "components.py").write_text("raise ImportError('an image has none of that name')")
    command = ["sh", "-c", probe_pod.COMMAND, "probe", f"--mounts={tmp_path}", "--store=s3://bucket/store"]
    environment = {**bare, "PATH": path, "PYTHONPATH": str(tmp_path / "image")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[0] == components.version()
    assert [(item.what, item.ok) for item in from_log(done.stdout)] == [("object store", True), ("MLflow", True)]


def test_mounted_keys_become_variables_as_in_a_step(tmp_path, monkeypatch):
    (tmp_path / "s3").mkdir()
    for name in ("MAMMOGAN_TEST_A", "MAMMOGAN_TEST_B", "..data", "lower"):
        (tmp_path / "s3" / name).write_text("from the file\n")
    monkeypatch.delenv("MAMMOGAN_TEST_A", raising=False)
    monkeypatch.setenv("MAMMOGAN_TEST_B", "from the pod")
    mounted.read(tmp_path)
    assert os.environ.pop("MAMMOGAN_TEST_A") == "from the file"
    assert os.environ["MAMMOGAN_TEST_B"] == "from the pod"
    assert "lower" not in os.environ


def test_what_was_not_tried_has_not_passed(capsys):
    with pytest.raises(typer.Exit) as ended:
        command.probe()
    assert ended.value.exit_code == 1
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["FIX object store", "FIX MLflow"]
