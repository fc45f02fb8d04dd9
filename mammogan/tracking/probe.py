"""MLflow as a step uses it: one run written to an experiment of its own, read back and deleted."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Generator
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from mammogan import trust
from mammogan.tracking.server import require_trust

EXPERIMENT = "mammogan-preflight"
METRIC, VALUE = "preflight", 0.5
TIMEOUT_S = 10

_SETTING = "MLFLOW_TRACKING_URI in the ConfigMap"
_SIGN_IN = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"


def probe(tracking_uri: str = "") -> str:
    """Write a run with a metric, read it back and delete it, which a database behind the server must keep.

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
    except MlflowException as error:
        raise RuntimeError(_failure(uri, error)) from error
    if read != VALUE:
        raise RuntimeError(
            f"{uri} gives back {read} for the metric that was written as {VALUE}; look for a cache before it"
        )
    return f"{uri}: wrote, read and deleted a run of experiment {EXPERIMENT} in {time.monotonic() - begun:.1f} s"


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
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        return client.create_experiment(EXPERIMENT)
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def _require_way(uri: str) -> None:
    """Ask once, past the client's own retries: its exception would not tell a refusal from a server that is away."""
    status = _ask(uri)
    if status != 200:
        raise RuntimeError(_fault(uri, status))


def _ask(uri: str, host: str = "") -> int:
    """HTTP status of a listing of experiments, which needs sign-in and database; 0 where there was no answer."""
    headers = {"Host": host} if host else {}
    with contextlib.suppress(MlflowException):
        return http_request(
            get_default_host_creds(uri),
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
        return f"{uri}: this sign-in may read but not write ({status}); give it the right to make runs"
    now = _ask(uri) if uri.startswith("http") else status
    said = str(error).strip().partition("\n")[0][:200]
    return f"{uri}: {said}; see the server's own log" if now == 200 else _fault(uri, now)


def _fault(uri: str, status: int) -> str:
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
    return f"no answer from {uri}; check {_SETTING}, that the server runs, and the NetworkPolicies on both sides"


def _database() -> str:
    return "check its database: that PostgreSQL runs and has room, and the Secret with its address"
