"""MLflow as a step uses it: one run with a file, written to an experiment of its own, read back and deleted."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import MlflowHostCreds, http_request

from mammogan import addresses, trust
from mammogan.tracking.server import require_trust

EXPERIMENT = "mammogan-preflight"
METRIC, VALUE = "preflight", 0.5
FILE, CONTENT = "preflight.txt", "mammogan preflight"
TIMEOUT_S = 10

_SETTING = "MLFLOW_TRACKING_URI in the ConfigMap"
_SIGN_IN = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"


def probe(tracking_uri: str = "") -> str:
    """Write a run with a metric and a file, read them back and delete it: what database and artifact store must keep.

    Empty is ``MLFLOW_TRACKING_URI``. The run is deleted after a failure too. Raises ValueError where no server is
    named or its certificate is not trusted, RuntimeError in one line with the fix where something is refused or away.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise ValueError(f"MLFLOW_TRACKING_URI='': nothing was tried; set {_SETTING}")
    begun = time.monotonic()
    trust.share()
    if uri.startswith("https://"):
        require_trust(uri)
    if uri.startswith(("http://", "https://")):
        _require_way(uri)
    try:
        with _run(MlflowClient(tracking_uri=uri)) as (client, run_id):
            client.log_metric(run_id, METRIC, VALUE)
            read = client.get_run(run_id).data.metrics.get(METRIC, math.nan)
            _try_file(client, run_id, uri)
    except MlflowException as error:
        raise RuntimeError(_failure(uri, error)) from error
    if read != VALUE:
        raise RuntimeError(
            f"{uri} gives back {read} for the metric that was written as {VALUE}; look for a cache before it"
        )
    took_s = time.monotonic() - begun
    return f"{uri}: wrote, read and deleted a run of experiment {EXPERIMENT} in {took_s:.1f} s{_openness(uri)}"


def _try_file(client: MlflowClient, run_id: str, uri: str) -> None:
    """Write a file of the run and read it back, which goes through the server to where it keeps artifacts."""
    try:
        client.log_text(run_id, CONTENT, FILE)
        with tempfile.TemporaryDirectory() as folder:
            read = Path(client.download_artifacts(run_id, FILE, folder)).read_text()
    except (MlflowException, OSError) as error:  # OSError: of requests
        reason = str(error).strip().partition("\n")[0][:200]
        raise RuntimeError(
            f"{uri} takes runs, but no file of one ({reason}); check the place of its artifacts, and the key to it in "
            "the Secret of MLflow's server"
        ) from error
    if read != CONTENT:
        raise RuntimeError(f"{uri} gives back another file than was written; look for a cache before it")


def _openness(uri: str) -> str:
    """That the server answers also whoever does not sign in, if it does."""
    if not uri.startswith("http"):
        return ""
    open_to_all = _ask(uri, signed=False) == 200
    return "; it asks for no sign-in: whoever reaches it may read and change everything there" if open_to_all else ""


@contextlib.contextmanager
def _run(client: MlflowClient) -> Generator[tuple[MlflowClient, str]]:
    """A run that is deleted when the block ends, however it does."""
    run_id = client.create_run(_experiment(client), run_name="preflight").info.run_id
    try:
        yield client, run_id
    except BaseException:
        with contextlib.suppress(MlflowException):
            client.delete_run(run_id)
        raise
    client.delete_run(run_id)


def _experiment(client: MlflowClient) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return client.create_experiment(EXPERIMENT)
    if experiment.lifecycle_stage != "active":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


def _require_way(uri: str) -> None:
    """Ask once, past the client's own retries: its exception would not tell a refusal from a server that is away."""
    status = _ask(uri)
    if status != 200:
        raise RuntimeError(_fault(uri, status))


def _ask(uri: str, host: str = "", *, signed: bool = True) -> int:
    """HTTP status of a listing of experiments, which needs sign-in and database; 0 where there was no answer."""
    headers = {"Host": host} if host else {}
    with contextlib.suppress(MlflowException):
        return http_request(
            get_default_host_creds(uri) if signed else MlflowHostCreds(addresses.sign_in_of(uri)[0]),
            "/api/2.0/mlflow/experiments/search",
            "POST",
            json={"max_results": 1},
            extra_headers=headers,
            max_retries=0,
            raise_on_status=False,
            timeout=TIMEOUT_S,
        ).status_code
    return 0


def _failure(uri: str, error: MlflowException) -> str:
    """What a refused call of the client means; where it gave up, what the server answers now."""
    status = error.get_http_status_code()
    if status in (401, 403):
        words = f"{uri}: this sign-in may read but not write ({status}); give it the right to make runs"
        return trust.blamed(words, status, trust.proxy_for(uri))
    now = _ask(uri) if uri.startswith("http") else status
    reason = str(error).strip().partition("\n")[0][:200]
    return f"{uri}: {reason}; see the server's own log" if now == 200 else _fault(uri, now)


def _fault(uri: str, status: int) -> str:
    return trust.blamed(_words(uri, status), status, trust.proxy_for(uri))


def _words(uri: str, status: int) -> str:
    """What a status of the server means."""
    host = urlsplit(uri).netloc.rpartition("@")[2]
    if status == 0:
        return _silence(uri)
    if status == 401:
        given = any(os.environ.get(name) for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN"))
        what = "refuses the sign-in" if given else "asks for a sign-in and none was given"
        return f"{uri} {what} (401); put {_SIGN_IN} into the Secret of MLflow"
    if status == 403 and _ask(uri, host="localhost") in (200, 401):
        return f"{uri} does not answer to {host} (403); add {host} to MLFLOW_SERVER_ALLOWED_HOSTS of its server"
    if status == 403:
        fix = f"let this sign-in read and write, or add {host} to MLFLOW_SERVER_ALLOWED_HOSTS of its server"
        return f"{uri} refuses (403); {fix}"
    if status >= 500:
        return f"{uri} fails with status {status}; {_database()}"
    return f"{uri} answers {status}, as no MLflow would; check {_SETTING}"


def _silence(uri: str) -> str:
    """MLflow's health is answered without the database: with it, the database is what keeps silent."""
    with contextlib.suppress(MlflowException):
        healthy = http_request(
            get_default_host_creds(uri), "/health", "GET", max_retries=0, raise_on_status=False, timeout=TIMEOUT_S
        )
        if healthy.status_code == 200:
            return f"{uri} is up, but gave no answer in {TIMEOUT_S} s; {_database()}"
    if proxy := trust.proxy_for(uri):
        shown = trust.place_of(proxy)
        return f"no answer from {uri} through the proxy {shown}; check {_SETTING}, HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    return f"no answer from {uri}; check {_SETTING}, that the server runs, and the NetworkPolicies on both sides"


def _database() -> str:
    return "check its database: that PostgreSQL runs and has room, and the Secret with its address"
