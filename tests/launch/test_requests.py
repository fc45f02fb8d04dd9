"""What a lost answer, a sign-in that no request can carry and a server that repeats secrets come to."""

import re
import socket
import threading
import traceback
from dataclasses import replace

import kfp_server_api as api
import pytest
from kubeflow import Kubeflow, serve
from typer.testing import CliRunner

from mammogan import pipeline
from mammogan.command_line import app
from mammogan.launch import server as server_module
from mammogan.launch.arguments import graph_arguments
from mammogan.launch.pods import Pods
from mammogan.launch.server import Effect, RefusedError, Server, SignIn
from mammogan.launch.submit import run_name, submit

IMAGE = "registry.example.org/mammogan@sha256:" + "c" * 64
PODS = Pods(image=IMAGE)
CREATES = ["experiments$", "pipelines$", "upload_version$", "runs$"]
SECRET = "geheim-0123456789"

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def arguments():
    defaults = graph_arguments("paper", {"lambdas": "0.5"}, source="s3://bucket/cbis", labels="s3://bucket/csv")
    return replace(defaults, store="s3://bucket/store")


def start(host, arguments, **options):
    return submit(Server(host, **options), pipeline.experiment, arguments, PODS)


def counts(kubeflow):
    return [len(place) for place in (kubeflow.experiments, kubeflow.pipelines, kubeflow.versions, kubeflow.runs)]


def sent(kubeflow, pattern):
    return sum(method == "POST" and bool(re.search(pattern, path)) for method, path in kubeflow.requests)


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("pattern", CREATES)
def test_a_create_whose_answer_is_lost_makes_one_of_it(kubeflow, host, arguments, pattern, before):
    """The request is lost ``before`` times, then its answer."""
    kubeflow.lose("POST", pattern, before, done=False)
    kubeflow.lose("POST", pattern, 5)
    assert start(host, arguments) in kubeflow.runs
    assert counts(kubeflow) == [1, 1, 1, 1]
    assert sent(kubeflow, pattern) == before + 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("pattern", CREATES)
def test_a_gateway_that_answers_in_the_servers_place_makes_one_of_it(kubeflow, host, arguments, pattern, status):
    kubeflow.lose("POST", pattern, 5, status=status)
    assert start(host, arguments) in kubeflow.runs
    assert counts(kubeflow) == [1, 1, 1, 1]
    assert sent(kubeflow, pattern) == 1


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_run_whose_start_a_gateway_kept_back_is_sent_again(kubeflow, host, arguments, status):
    kubeflow.lose("POST", "runs$", 4, done=False, status=status)
    assert start(host, arguments) in kubeflow.runs
    assert counts(kubeflow) == [1, 1, 1, 1]
    assert sent(kubeflow, "runs$") == 5


def test_a_create_that_never_arrives_is_reported_after_five_attempts(kubeflow, host, arguments):
    kubeflow.lose("POST", "runs$", 99, done=False)
    with pytest.raises(RefusedError, match="could not start the run: no answer"):
        start(host, arguments)
    assert sent(kubeflow, "runs$") == 5
    assert not kubeflow.runs


@pytest.mark.parametrize("pattern", CREATES)
def test_what_appears_only_at_the_second_look_is_found(kubeflow, host, arguments, pattern, monkeypatch):
    """The gateway lost patience; the server goes on, and is ready when somebody has looked already."""
    pending, listing = [], {"upload_version$": "versions$"}.get(pattern, pattern)
    keep, answer = kubeflow.keep, kubeflow.answer
    places = {
        "experiments$": kubeflow.experiments,
        "pipelines$": kubeflow.pipelines,
        "upload_version$": kubeflow.versions,
        "runs$": kubeflow.runs,
    }

    def later(place, key, item):
        entry = keep(place, key, item)
        if place is places[pattern] and not pending:
            pending.append((entry[key], place.pop(entry[key])))
        return entry

    looks = []

    def asked(method, path, query, body):
        reply = answer(method, path, query, body)
        if method == "GET" and re.search(listing, path) and pending:
            looks.append(path)
            if len(looks) == 1:
                places[pattern].update(pending)
        return reply

    monkeypatch.setattr(kubeflow, "keep", later)
    monkeypatch.setattr(kubeflow, "answer", asked)
    kubeflow.lose("POST", pattern, status=504)
    assert start(host, arguments) in kubeflow.runs
    assert counts(kubeflow) == [1, 1, 1, 1]
    assert sent(kubeflow, pattern) == 1


def test_a_run_that_cannot_be_looked_for_is_not_sent_again(kubeflow, host, arguments):
    kubeflow.lose("POST", "runs$")
    kubeflow.fail("GET", "runs$", 503, times=99)
    with pytest.raises(
        RefusedError, match=r"or it was done and the answer got lost .*; look in Kubeflow before you"
    ) as caught:
        start(host, arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert len(kubeflow.runs) == sent(kubeflow, "runs$") == 1


def test_two_runs_of_the_same_second_have_two_names_in_utc():
    names = {run_name("paper") for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"paper \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC [0-9a-f]{12}", name) for name in names)


def test_the_name_of_a_run_is_utc_wherever_one_is(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    server_module.time.tzset()
    try:
        hour = int(re.search(r" (\d\d):", run_name("paper"))[1])
        now = server_module.time.gmtime().tm_hour
        assert (now - hour) % 24 in (0, 1)
    finally:
        monkeypatch.undo()
        server_module.time.tzset()


def raw_server(content):
    """A server that gives each request these bytes and closes; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(content)

    threading.Thread(target=answer, daemon=True).start()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


HALF = b'{"run_id": "3f0c'


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n" + HALF,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + HALF,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n"
        + HALF
        + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\xff\xfe",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\nConnection: close\r\n\r\n\xff\xfe",
        b"",
    ],
)
def test_half_an_answer_is_no_answer(content):
    listener, host = raw_server(content)
    server = Server(host)
    with listener, pytest.raises(RefusedError) as caught:
        server.once("read", server.runs.run_service_create_run, api.V2beta1Run())
    assert caught.value.effect is (Effect.UNDER_WAY if b" 502 " in content else Effect.UNSURE)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
@pytest.mark.parametrize("parsed", [True, False])
def test_an_answer_that_nests_too_deep_is_one_line(status, parsed):
    """Whether the generated client reads it first or, where a call has no answer to speak of, we alone do."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n".encode()
    listener, host = raw_server(head + b'{"message":' * 100_000)
    server = Server(host)

    def delete(**named):
        return server._client.call_api("/runs", "DELETE", **named)

    with listener, pytest.raises(RefusedError, match="could not read") as caught:
        server.once("read", server.runs.run_service_get_run if parsed else delete, *["id"][:parsed])
    assert len(str(caught.value).splitlines()) == 1


def test_where_nobody_listens_nothing_was_done():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(RefusedError, match="no answer from") as caught:
        Server(host).multi_user()
    assert caught.value.effect is Effect.NONE


def test_a_server_that_never_answers_may_still_be_at_it(monkeypatch):
    monkeypatch.setattr(server_module, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(RefusedError) as caught:
            server.once("start the run", server.runs.run_service_create_run, api.V2beta1Run())
    assert caught.value.effect is Effect.UNDER_WAY


@pytest.mark.parametrize("given", [SECRET, f" {SECRET}\n", f"Bearer {SECRET}", f"bearer  {SECRET}\r\n"])
def test_a_token_is_taken_as_it_was_copied(arguments, monkeypatch, given):
    monkeypatch.setenv("KFP_TOKEN", given)
    kubeflow = Kubeflow(token=SECRET)
    with serve(kubeflow) as host:
        assert start(host, arguments) in kubeflow.runs


def test_cookie_and_user_are_taken_as_they_were_copied(arguments, monkeypatch):
    monkeypatch.setenv("KFP_COOKIE", f"Cookie: oauth2_proxy_kubeflow={SECRET}\n")
    monkeypatch.setenv("KFP_USER", "user@example.org\n")
    kubeflow = Kubeflow(cookie=f"oauth2_proxy_kubeflow={SECRET}", user="user@example.org")
    with serve(kubeflow) as host:
        assert start(host, arguments) in kubeflow.runs


@pytest.mark.parametrize("name", ["KFP_TOKEN", "KFP_COOKIE", "KFP_USER"])
@pytest.mark.parametrize("middle", ["\n", "\r\n", "\0", "\x1b", "ä", "\u2028", "🙂"])
def test_a_sign_in_that_no_header_can_carry_is_refused_without_its_value(host, kubeflow, monkeypatch, name, middle):
    monkeypatch.setitem(server_module.os.environ, name, "")
    values = {name: f"{SECRET}{middle}{SECRET}"}
    monkeypatch.setattr(server_module.os, "environ", {**server_module.os.environ, **values})
    with pytest.raises(ValueError, match=f"{name}: it holds") as caught:
        Server(host)
    shown = "".join(traceback.format_exception(caught.value))
    assert "geheim" not in str(caught.value)
    assert "geheim" not in shown
    assert not kubeflow.requests


@pytest.mark.parametrize("status", [400, 401, 403, 409, 500, 503])
@pytest.mark.parametrize("name", ["token", "cookie"])
def test_a_server_that_repeats_what_signs_in_is_not_repeated(status, name, capsys):
    kubeflow = Kubeflow()
    kubeflow.fail(
        "GET", "healthz", status, times=99, body={"message": f"session {SECRET} at http://u:{SECRET}@h/ ended"}
    )
    given = SignIn(**{name: f"session={SECRET}" if name == "cookie" else SECRET})
    with serve(kubeflow) as host, pytest.raises(RefusedError, match=r"session \*\*\* at") as caught:
        Server(host, sign_in=given).multi_user()
    shown = "".join(traceback.format_exception(caught.value)) + capsys.readouterr().err
    assert SECRET not in shown


@pytest.mark.parametrize(
    "host", [f"https://me:{SECRET}@kubeflow.example.org/pipeline", f"me:{SECRET}@kubeflow", "kubeflow"]
)
def test_an_address_with_a_password_is_refused_without_it(host):
    result = CliRunner().invoke(app, ["stop", "some-run", "--host", host])
    assert result.exit_code == 2
    assert result.output.startswith("error: --host=")
    assert SECRET not in result.output
    assert len(result.output.strip().splitlines()) == 1
