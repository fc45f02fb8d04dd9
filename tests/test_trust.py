"""Behind a private CA and a proxy: object store, MLflow and Kubeflow are reached, or each says what is missing."""

import contextlib
import datetime
import json
import os
import re
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import certifi
import pytest
from mlflow import MlflowClient
from private_network import Authority, encrypted, listening, proxy
from servers import seaweedfs

from mammogan import mounted, storage, tracking, trust
from mammogan.launch.server import RefusedError, Server
from mammogan.probe import store as store_probe
from mammogan.tracking import probe as tracking_probe
from mammogan.tracking.server import require_trust

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


class Answers(BaseHTTPRequestHandler):
    """What MLflow answers to its health and a search of experiments, and Kubeflow to its health."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its headers

    def do_GET(self):
        self._respond(b"OK" if self.path == "/health" else json.dumps({"multi_user": True}).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._respond(json.dumps({"experiments": []}).encode())

    def _respond(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Addresses of an S3 server and of one for MLflow and Kubeflow, both behind a private CA; and the CA."""
    folder = tmp_path_factory.mktemp("network")
    with ExitStack() as stack:
        authority = Authority(folder)
        context = authority.context("127.0.0.1")
        weed = stack.enter_context(seaweedfs(folder / "weed"))
        answers = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=answers.serve_forever, daemon=True).start()
        stack.callback(answers.shutdown)
        plain = f"http://127.0.0.1:{answers.server_address[1]}"
        s3 = stack.enter_context(encrypted(weed.endpoint, context))
        yield weed, s3, stack.enter_context(encrypted(plain, context)), authority.file, plain


@pytest.fixture(autouse=True)
def _bare(network, monkeypatch):
    """No certificate and no proxy in the environment, none that a test sets left behind, and no client kept."""
    weed, s3, *_ = network
    for name in (*trust.VARIABLES, *PROXIES, *map(str.lower, PROXIES), "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**weed.environment, "AWS_ENDPOINT_URL_S3": s3, "MAMMOGAN_PATIENCE_S": "60"}.items():
        monkeypatch.setenv(name, value)
    storage.s3.cache_clear()
    require_trust.cache_clear()
    yield
    storage.s3.cache_clear()


def make_bucket():
    trust.share()
    with contextlib.suppress(storage.s3().exceptions.BucketAlreadyOwnedByYou):
        storage.s3().create_bucket(Bucket="bucket")


def reach_all(network):
    """Ask all three; returns what the object store kept."""
    _, _, server, *_ = network
    make_bucket()
    storage.write_bytes("s3://bucket/key", b"kept")
    assert tracking.client(server).search_experiments() == []
    assert Server(server).multi_user() is True
    return storage.read_bytes("s3://bucket/key")


@pytest.mark.parametrize("variable", trust.VARIABLES)
def test_a_ca_that_any_variable_names_is_trusted_by_all(network, monkeypatch, variable):
    monkeypatch.setenv(variable, network[3])
    assert reach_all(network) == b"kept"


def test_without_it_each_says_at_once_and_in_one_line_what_is_missing(network):
    _, s3, server, *_ = network
    refused_by_all(s3, server, "is not trusted (unable to get local issuer certificate)", trust.FIX)


def refused_by_all(s3, server, reason, fix):
    begun = time.monotonic()
    asked = {
        "bucket/key": lambda: storage.read_bytes("s3://bucket/key"),
        s3: lambda: store_probe.probe("s3://bucket/store"),
        "MLFLOW_TRACKING_URI=": lambda: tracking.client(server),
        server: lambda: Server(server).multi_user(),
        "MLFLOW_TRACKING_URI='": lambda: tracking_probe.probe(server),
    }
    for named, ask in asked.items():
        with pytest.raises((OSError, ValueError, RuntimeError)) as refused:
            ask()
        message = str(refused.value)
        assert named in message
        assert re.search(reason, message) if isinstance(reason, re.Pattern) else reason in message
        assert "\n" not in message
        assert message.endswith(fix)
    assert time.monotonic() - begun < 55 * len(asked), "each would be tried for a minute"


PASSED = datetime.datetime(2020, 1, 1)
OTHER_NAME = re.compile(r"is not trusted \((Hostname|IP address) mismatch|hostname '127.0.0.1' doesn't match")


@pytest.mark.parametrize(
    ("name", "validity", "reason", "fix"),
    [
        ("other.example.org", {}, OTHER_NAME, trust._NAME),
        ("127.0.0.1", {"not_after": PASSED}, "certificate has expired", "renew it, the server's own or its CA's"),
        ("127.0.0.1", {"not_before": PASSED.replace(year=2070), "not_after": PASSED.replace(year=2080)},
         "certificate is not yet valid", trust._FIXES[9]),
    ],
    ids=["another name", "expired", "not yet valid"],
)  # fmt: skip
def test_a_certificate_that_is_wrong_is_told_at_once_with_its_own_fix(
    network, tmp_path, monkeypatch, name, validity, reason, fix
):
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    with encrypted(network[4], authority.context(name, **validity)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server)
        refused_by_all(server, server, reason, fix)


def test_a_certificate_of_another_name_is_told_apart(network, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", network[3])
    other = network[2].replace("127.0.0.1", "localhost")
    with pytest.raises(
        RefusedError, match=r"not trusted \(Hostname mismatch, certificate is not valid for 'localhost'"
    ):
        Server(other).multi_user()


@pytest.mark.parametrize("content", [None, "no certificate", ""])
def test_a_file_without_certificates_is_named(tmp_path, monkeypatch, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    with pytest.raises(ValueError, match=r"AWS_CA_BUNDLE='.*ca.pem': no certificates there .* give a PEM file"):
        trust.share()


def test_a_step_trusts_the_ca_of_its_configmap_beside_the_public_ones(network, tmp_path):
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "ca.crt").write_bytes(Path(network[3]).read_bytes())
    mounted.read(tmp_path)
    together = Path(os.environ["SSL_CERT_FILE"]).read_bytes()
    assert Path(certifi.where()).read_bytes() in together
    assert reach_all(network) == b"kept"
    (tmp_path / "settings" / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\nhalf")
    with pytest.raises(ValueError, match=r"settings/ca\.crt: no certificates there"):
        mounted.read(tmp_path)


def test_all_go_through_the_proxy_with_its_sign_in_and_never_say_it(network, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", network[3])
    with proxy() as through:
        monkeypatch.setenv("NO_PROXY", "nothing.example.org")  # else nothing of this machine goes there
        monkeypatch.setenv("HTTPS_PROXY", through.address)
        monkeypatch.setenv("HTTP_PROXY", through.address)
        assert reach_all(network) == b"kept"
        ports = {address.rpartition(":")[2] for address in network[1:3]}
        assert {entry.rpartition(":")[2] for entry in through.asked} == ports
        assert all(entry.startswith("CONNECT ") for entry in through.asked)
        assert Server(network[4]).multi_user() is True
        assert through.asked[-1] == f"GET {network[4].removeprefix('http://')}"

        monkeypatch.setenv("HTTPS_PROXY", through.address.replace("hunter2", "wrong-word"))
        for ask in (
            lambda: Server(network[2]).once("ask", Server(network[2]).health.healthz_service_get_healthz),
            lambda: Server(network[2]).multi_user(),
        ):
            monkeypatch.setattr("mammogan.launch.server.PAUSE_S", 0.0)
            with pytest.raises(RefusedError) as refused:
                ask()
            assert "wrong-word" not in str(refused.value)
            assert "407" in str(refused.value)

        before = len(through.asked)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        storage.s3.cache_clear()
        assert reach_all(network) == b"kept"
        assert len(through.asked) == before


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_a_network_that_no_proxy_names_is_asked_by_all_without_it(network, monkeypatch, variable):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", network[3])
    with proxy() as through:
        for name in ("HTTPS_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(name, through.address)
        monkeypatch.setenv(variable, "10.0.0.0/8, 127.0.0.0/8")
        assert reach_all(network) == b"kept"
        assert store_probe.probe("s3://bucket/store")
        assert Server(network[4]).multi_user() is True
        assert through.asked == []
        monkeypatch.setenv(variable, "10.0.0.0/8")
        storage.s3.cache_clear()
        assert reach_all(network) == b"kept"
        assert len({entry.rpartition(":")[2] for entry in through.asked}) == 2


@contextlib.contextmanager
def refusing_proxy(status):
    """A proxy that lets nothing through; its address with a sign-in."""

    def serve(client):
        client.recv(1 << 16)
        client.sendall(b"HTTP/1.1 %d No\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" % status)
        client.sendall(b"<html>blocked")

    with listening(serve) as port:
        yield f"http://me:hunter2@127.0.0.1:{port}"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("status", [403, 407])
def test_what_a_proxy_refuses_is_not_told_as_the_servers_refusal(monkeypatch, scheme, status):
    monkeypatch.setattr("mammogan.launch.server.PAUSE_S", 0.0)
    monkeypatch.setenv("MAMMOGAN_PATIENCE_S", "0")
    address = f"{scheme}://inside.example.org"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
    with refusing_proxy(status) as through:
        for name in ("HTTPS_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(name, through)
        for ask in (
            lambda: storage.read_bytes("s3://bucket/key"),
            lambda: storage.exists("s3://bucket/key"),
            lambda: store_probe.probe("s3://bucket/store"),
            lambda: tracking_probe.probe(address),
            lambda: Server(address).multi_user(),
        ):
            with pytest.raises((OSError, RuntimeError)) as refused:
                ask()
            message = str(refused.value)
            assert "proxy" in message
            if scheme == "http":
                who = {403: "; or the proxy 127.0.0.1:{} refuses: ", 407: "the proxy 127.0.0.1:{} asks to sign in; "}
                assert who[status].format(through.rpartition(":")[2]) in message
            if status == 407 or scheme == "https":  # where nobody but the proxy can have refused
                assert not re.search("credentials|ACCESS_KEY|role|AWS_ENDPOINT", message)
            assert "hunter2" not in message
            assert "\n" not in message


def test_what_the_store_refuses_behind_a_proxy_is_the_stores(network, monkeypatch):
    """By the id that S3 gives each answer."""
    weed = network[0]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", weed.endpoint)
    monkeypatch.setenv("NO_PROXY", "nothing.example.org")
    with proxy() as through:
        monkeypatch.setenv("HTTP_PROXY", through.address)
        for ask in (storage.read_bytes, store_probe.probe):
            with pytest.raises(OSError, match="SignatureDoesNotMatch") as refused:
                ask("s3://bucket/key")
            assert "proxy" not in str(refused.value)
        assert through.asked


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"HTTPS_PROXY": "http://proxy:3128"}, f"{trust.INSIDE},10.0.0.1"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "own"}, "own"),
        ({}, None),
    ],
)
def test_a_step_asks_the_proxy_for_nothing_inside_the_cluster(tmp_path, monkeypatch, given, expected):
    (tmp_path / "settings").mkdir()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    for name, value in given.items():
        (tmp_path / "settings" / name).write_text(value)
    mounted.read(tmp_path)
    assert os.environ.get("NO_PROXY") == expected
    inside = trust.proxy_for("https://mlflow.mammogan.svc.cluster.local:5000")
    assert (inside is None) == (expected != "own")
    assert (trust.proxy_for("https://ml-pipeline.example.org") is None) == (not given)


def test_every_ca_that_is_mounted_is_trusted(network, tmp_path):
    for folder, source in (("s3", network[3]), ("settings", Authority(tmp_path).file)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ca.crt").write_bytes(Path(source).read_bytes())
    mounted.read(tmp_path)
    together = Path(os.environ["SSL_CERT_FILE"]).read_bytes()
    assert all(path.read_bytes().strip() in together for path in tmp_path.glob("*/ca.crt"))
    assert reach_all(network) == b"kept"


def test_without_a_no_proxy_nothing_of_this_machine_or_the_cluster_goes_to_the_proxy(network, monkeypatch):
    """Else a port-forward would not be found, and a notebook's token would pass the proxy in clear."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://proxy.invalid:3128")
    assert Server(network[4]).multi_user() is True
    assert Server("")._client.configuration.proxy is None
    assert Server("https://kubeflow.example.org")._client.configuration.proxy == "http://proxy.invalid:3128"


@pytest.mark.parametrize("password", ["ge#heim123", "geheim/123", "ge@heim123", "ge%23heim123", "ge?heim 123"])
def test_no_part_of_a_proxys_sign_in_is_ever_reported(monkeypatch, password):
    monkeypatch.setattr("mammogan.launch.server.PAUSE_S", 0.0)
    monkeypatch.setenv("NO_PROXY", "nothing.example.org")
    for place in ("127.0.0.1:1", "127.0.0.1:no", ""):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{password}@{place}")
        with pytest.raises((RefusedError, ValueError)) as refused:
            Server("https://kubeflow.example.org").multi_user()
        assert "heim" not in str(refused.value)
        assert "\n" not in str(refused.value)
    assert "HTTPS_PROXY" in str(refused.value)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{password}@127.0.0.1:1")
    with pytest.raises(RefusedError, match=r"no answer from \S+ through the proxy http://127"):
        Server("https://kubeflow.example.org").multi_user()


def test_mlflow_that_is_away_counts_as_unlooked_at(monkeypatch):
    monkeypatch.setattr("mammogan.tracking.server.HANDSHAKE_S", 0.5)
    assert isinstance(tracking.client("https://127.0.0.1:9"), MlflowClient)
