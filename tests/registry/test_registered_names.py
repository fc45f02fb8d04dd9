"""Names that MLflow is asked about at the start, and sign-ins that its errors would show; a real MLflow on SQLite."""

import os
import string
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version

from mammogan import config, tracking
from mammogan.registry.versions import ensure_registered_model
from mammogan.tracking.server import ensure_experiment, require_model_name

DEMO = config.PRESETS["demo"]
SECRET = "geheim-0123456789"


@pytest.fixture
def prompt(database):
    client = tracking.client(database)
    name = "a-prompt"
    if not client.search_prompts(f"name = '{name}'"):
        client.create_prompt(name)
    return client, name


def test_start_says_that_the_models_name_is_a_prompts_and_writes_it_into_the_record(database, prompt):
    settings = config.override(DEMO, {"select.model_name": prompt[1]})
    with pytest.raises(ValueError, match=r"select\.model_name='a-prompt': it is a prompt's name in this MLflow"):
        tracking.begin("prompts", "run-1", settings, {}, database)
    parent = tracking.find_parent("run-1", database)
    assert "prompt" in str(tracking.read_ledger(parent, database))


def test_start_takes_the_name_of_a_model_and_a_new_one(database):
    ensure_registered_model(tracking.client(database), "a-model")
    for number, name in enumerate(("a-model", "a-new-model")):
        settings = config.override(DEMO, {"select.model_name": name})
        assert tracking.begin("models", f"run-of-{number}", settings, {}, database)


def test_a_prompt_gets_no_version_even_where_it_was_made_after_the_start(prompt):
    client, name = prompt
    with pytest.raises(ValueError, match="it is a prompt's name"):
        ensure_registered_model(client, name)


def accepted(name):
    try:
        config.override(DEMO, {"select.model_name": name})
    except ValueError:
        return False
    return True


NAMES = [f"kt{sign}q" for sign in ["a", *string.punctuation, "\n", "\0", " ", "ä", "乳"]] + [
    "",
    ".",
    "..",
    "...",
    "../a",
    ".a",
    "a" * 251,
]


def works(client, name):
    """Whether MLflow stores a model of that name, and finds it by a filter and by its addresses."""
    try:
        client.create_registered_model(name)
        version = client.create_model_version(name, "s3://bucket/model").version
        client.set_registered_model_alias(name, "champion", version)
        names = [model.name for model in client.search_model_versions(f"name = '{name}'")]
        addresses = (f"models:/{name}/{version}", f"models:/{name}@champion")
        loaded = [tuple(map(str, get_model_name_and_version(client, address))) for address in addresses]
    except MlflowException:
        return False
    return names == [name] and loaded == [(name, str(version))] * 2


@pytest.mark.parametrize("name", [name for name in NAMES if accepted(name)], ids=ascii)
def test_every_name_that_the_settings_take_is_stored_and_found_again(database, name):
    client = tracking.client(database)
    require_model_name(client, name)
    assert works(client, name)


@pytest.mark.parametrize("sign", ["/", ":", "'"])
def test_the_names_of_the_trials_are_refused_by_both(database, sign):
    assert not accepted(f"kt{sign}q")
    assert not works(tracking.client(database), f"kt{sign}q")


@pytest.mark.parametrize("name", ["", "a" * 501])
def test_an_experiments_name_that_mlflow_refuses_is_reported_as_such(database, name):
    with pytest.raises(ValueError, match=r"^experiment=.*: MLflow refuses it \(.*\); choose another name$"):
        ensure_experiment(name, tracking_uri=database)


@pytest.mark.parametrize("name", ["50% off", "a+b", "it's", 'a "b"', "kt-cäse", "🙂", "a" * 500])
def test_other_names_of_experiments_are_made_once(database, name):
    assert ensure_experiment(name, tracking_uri=database) == ensure_experiment(name, tracking_uri=database)


def test_an_experiment_in_the_trash_is_reported(database):
    tracking.client(database).delete_experiment(ensure_experiment("trashed", tracking_uri=database))
    with pytest.raises(ValueError, match="experiment='trashed': it is in MLflow's trash; restore it"):
        ensure_experiment("trashed", tracking_uri=database)


@pytest.fixture
def refusing(monkeypatch):
    """Address of a server that refuses all, and the Authorization headers that it got."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            got.append(self.headers["Authorization"])
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    yield f"127.0.0.1:{server.server_address[1]}", got
    server.shutdown()
    server.server_close()


def test_a_password_in_the_address_signs_in_and_is_in_no_error(refusing):
    host, got = refusing
    with pytest.raises(MlflowException) as caught:
        tracking.client(f"http://me:{SECRET}@{host}").get_experiment_by_name("x")
    assert got[0].startswith("Basic ")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(MlflowException) as caught:
        tracking.client(f"http://me:{SECRET}@127.0.0.1:1").get_experiment_by_name("x")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_token_with_a_lines_end_signs_in(refusing, monkeypatch):
    host, got = refusing
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", f"{SECRET}\n")
    with pytest.raises(MlflowException):
        tracking.client(f"http://{host}").get_experiment_by_name("x")
    assert got == [f"Bearer {SECRET}"]


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"])
def test_a_sign_in_that_no_request_can_carry_is_refused_without_its_value(refusing, monkeypatch, name):
    host, got = refusing
    monkeypatch.setenv(name, f"{SECRET}\n{SECRET}")
    with pytest.raises(ValueError, match=f"{name}: it holds what no request can carry") as caught:
        tracking.client(f"http://{host}")
    assert "geheim" not in "".join(traceback.format_exception(caught.value))
    assert not got


def test_a_password_may_end_in_a_space(refusing, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "geheim \n")
    tracking.client(f"http://{refusing[0]}")
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "geheim "
