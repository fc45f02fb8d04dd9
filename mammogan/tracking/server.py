"""The MLflow server: its client, experiments, and runs found by their tags."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping, Sequence

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from urllib3 import Retry

from mammogan import addresses, patience, trust
from mammogan.tracking.clients import DatabaseClient, ServerClient
from mammogan.tracking.database import asked, is_database, require_usable

VARIABLE = "MLFLOW_TRACKING_URI"
"""Variable that names the server where no caller does."""
NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
"""MLflow's word for a run, a model or a version that there is not."""
NOTHING_THERE = frozenset({NOT_THERE, "INVALID_PARAMETER_VALUE"})
"""Its words for what an id or an address that a person wrote does not lead to."""
RUN_KEY = "mammogan.run_key"
TRIAL = "mammogan.trial"
STATUS = "mammogan.status"
REASON = "mammogan.reason"
KIND = "mammogan.kind"
DATA_DIGEST = "mammogan.data_digest"
WHOLE_DIGEST = "mammogan.whole_digest"
"""Tag with the digest of the whole data set, whose rare class alone has ``DATA_DIGEST``."""
VERDICT = "mammogan.verdict"
RESULT = "mammogan.result"
"""Tag of a pipeline run: the winner's figures on test images in a sentence, or why there are none."""
FROZEN = "mammogan.frozen"
"""Tag of a trial's run: the weights of its frozen branch."""
EXTRACTOR = "mammogan.extractor"
"""Tag of a trial's run: the network of its features."""
TRACEBACKS = "tracebacks"
"""Folder of a pipeline run's artifacts: the traceback of each step that failed."""
TRACEBACK_FILE = "traceback.txt"
"""Artifact of a trial's run: the traceback of each attempt that failed, the latest one last."""
STOP_ASKED = "mammogan.stop_asked"
"""Tag of a run that somebody asked to end."""
GIVEN_UP = "mammogan.given_up"
"""Tag of a run that was ended because nothing of it could run, with the reason."""
CLUSTER = "mammogan.cluster"
"""Tag that tells the cluster of the run's workflow from others."""
WORKFLOW = "mammogan.workflow"
"""Tag that names the run's workflow on its cluster: namespace/name."""
CRITIC_SHA256 = "mammogan.critic_sha256"
"""Tag of a trial with the hex sha256 of the critic that it left; its registered version inherits it."""
MODEL_VERSION = "mammogan.model_version"
PROMOTION = "mammogan.promotion"
TRIAL_KIND, REFERENCE_KIND = "trial", "trial reference"
"""Kinds of the runs below a pipeline run that are lines in its charts: trials, and real images against real ones."""
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
"""Tag with the description, in Markdown, of a run or of an experiment."""
RUN_NAME = "mlflow.runName"

CONFIG_FILE = "config.json"
TRIAL_FILE = "trial.json"
EVALUATION_FILE = "evaluation.json"
DECISION_FILE = "decision.json"
RESULT_FILE = "result.json"
SUMMARY_FILE = "summary.json"
MANIFEST_FILE = "manifest.csv"
FINDINGS = "findings"
"""Folder with what the steps after registration left, each in a folder of its own."""
SHA256 = {
    CONFIG_FILE: "mammogan.config_sha256",
    MANIFEST_FILE: "mammogan.manifest_sha256",
    SUMMARY_FILE: "mammogan.summary_sha256",
    DECISION_FILE: "mammogan.decision_sha256",
    RESULT_FILE: "mammogan.result_sha256",
    TRIAL_FILE: "mammogan.trial_sha256",
    EVALUATION_FILE: "mammogan.evaluation_sha256",
    f"{FINDINGS}/synthetic/synthetic.json": "mammogan.synthetic_sha256",
    f"{FINDINGS}/audit/audit.json": "mammogan.audit_sha256",
    f"{FINDINGS}/utility/utility.json": "mammogan.utility_sha256",
}
"""Artifact to the tag with its hex sha256: more people may write over artifacts than change tags."""
REPORT = "report"
REPORT_PAGE = "report.html"

logger = logging.getLogger(__name__)

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it announces every database it makes
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # and this every attempt that is made again

PROMPT = "mlflow.prompt.is_prompt"
"""Tag by which MLflow tells a prompt from a model; both are in one table, and so are their names."""

TAG_LENGTH = 5000  # MLflow's own limit
HANDSHAKE_S = 10


def client(tracking_uri: str = "", *, make: bool = False) -> MlflowClient:
    """Client of ``tracking_uri``, or of ``MLFLOW_TRACKING_URI`` where that is empty.

    It becomes the whole process's server too, because parts of MLflow's registry ask for that one whatever client they
    are called on. A server that is away is waited for as ``patience`` says, unless MLflow's own variable does.
    Raises ValueError where neither names a server, for a sign-in that no request can carry, and for a server whose
    certificate is not trusted; for a database as ``require_usable`` does, which a missing SQLite file is refused by
    unless it is to be made.
    """
    uri = tracking_uri or os.environ.get(VARIABLE, "")
    if not uri:
        raise ValueError("MLFLOW_TRACKING_URI='': name the MLflow server, or sqlite:///runs/mlflow.db for a local one")
    uri = _sign_in(uri)
    retries = patience.retries(MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.get() or 1, Retry.DEFAULT_BACKOFF_MAX)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(retries))
    os.environ.setdefault("_MLFLOW_HTTP_REQUEST_MAX_RETRIES_LIMIT", str(max(10, retries)))  # else 10: ten minutes
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    trust.share()
    if uri.startswith("https://"):
        require_trust(uri)
    if is_database(uri):
        require_usable(uri, make)
    if mlflow.get_tracking_uri() != uri:
        logger.debug(f"MLflow at {uri}")
        _make_the_process_s(uri, named=bool(tracking_uri))
    if is_database(uri):
        return asked(lambda: DatabaseClient(tracking_uri=uri), uri)  # which opens it
    return ServerClient(tracking_uri=uri)


def _make_the_process_s(uri: str, *, named: bool) -> None:
    """Make ``uri`` MLflow's server of this process.

    MLflow writes it into the environment too. Where a caller ``named`` it, that is taken back: it would pass for the
    choice of the person, and the next one who names no server would get that one.
    """
    before = os.environ.get(VARIABLE)
    mlflow.set_tracking_uri(uri)
    if named:
        os.environ.pop(VARIABLE, None)
        os.environ |= {} if before is None else {VARIABLE: before}


@functools.cache
def require_trust(uri: str) -> None:
    """Raise ValueError where the server's certificate is not trusted: MLflow's client would only ask again and again.

    Asked once a process. A server that is away has not been looked at, and is waited for later.
    """
    try:
        http_request(
            get_default_host_creds(uri), "/health", "GET", max_retries=0, raise_on_status=False, timeout=HANDSHAKE_S
        )
    except MlflowException as error:
        if untrusted := trust.distrust(error):
            message = f"MLFLOW_TRACKING_URI={uri!r}: its certificate {untrusted}"
            raise ValueError(message) from error


def _sign_in(uri: str) -> str:
    """The address without user and password, which go where MLflow's errors do not show them.

    Raises ValueError, which does not show the value, for a sign-in that no request can carry.
    """
    if uri.startswith(("http://", "https://")):
        uri, user, password = addresses.sign_in_of(uri)
        if user:
            os.environ |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        if value := os.environ.get(name, ""):
            os.environ[name] = value = value.strip("\r\n").strip(" " if name == "MLFLOW_TRACKING_TOKEN" else "")
            if not value.isprintable() or not (value.isascii() or name != "MLFLOW_TRACKING_TOKEN"):
                raise ValueError(f"{name}: it holds what no request can carry; give it anew, in one line")
    return uri


def ensure_experiment(experiment: str, artifacts: str = "", tracking_uri: str = "") -> str:
    """Id of the experiment of that name, created where there is none; two that ask at once get the same one.

    ``artifacts`` is where a new experiment keeps its artifacts; empty leaves it to the server.
    Raises ValueError for an experiment that was deleted, and for a name that MLflow refuses.
    """
    server = client(tracking_uri, make=True)
    existing = server.get_experiment_by_name(experiment)
    if existing is None:
        try:
            return server.create_experiment(experiment, artifacts or None)
        except MlflowException as error:
            existing = server.get_experiment_by_name(experiment)  # another process created it since we looked
            if existing is None:
                message = " ".join(error.message.split())[:300]
                raise ValueError(
                    f"experiment={experiment!r}: MLflow refuses it ({message}); choose another name"
                ) from error
    if existing.lifecycle_stage != "active":
        raise ValueError(f"experiment={experiment!r}: it is in MLflow's trash; restore it there or choose another name")
    return existing.experiment_id


def require_model_name(server: MlflowClient, name: str) -> None:
    """Raise ValueError where the registry would take a model of that name for a prompt: both share their names."""
    if server.search_registered_models(f"name = '{name}' and tags.`{PROMPT}` = 'true'", max_results=1):
        raise ValueError(f"select.model_name={name!r}: it is a prompt's name in this MLflow; choose another one")


def find_runs(
    server: MlflowClient, experiments: Sequence[str], tags: Mapping[str, str], view: int = ViewType.ACTIVE_ONLY
) -> list[Run]:
    """Runs of experiments (their ids) that carry all the tags, oldest first; a ``ViewType`` tells whether trash is."""
    for name, value in tags.items():
        if "'" in value:
            raise ValueError(f"{name}={value!r}: leave out the quote")
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    runs: list[Run] = []
    token = None
    while not runs or token:
        page = server.search_runs(
            list(experiments), query, view, order_by=["start_time ASC", "run_id ASC"], page_token=token
        )
        if not page:
            break
        runs, token = runs + list(page), page.token
    return runs


def experiments(server: MlflowClient, name: str = "", view: int = ViewType.ACTIVE_ONLY) -> list[str]:
    """Id of the experiment of that name; where it is empty of every one in the view, by default all outside the trash.

    Raises ValueError where there is none of that name.
    """
    if not name:
        ids, token = [], None
        while not ids or token:
            page = server.search_experiments(view, page_token=token)
            ids, token = [*ids, *(experiment.experiment_id for experiment in page)], page.token
            if not page:
                break
        return ids
    experiment = server.get_experiment_by_name(name)
    if experiment is None:
        raise ValueError(f"experiment={name!r}: there is none of that name on this server")
    return [experiment.experiment_id]


def find_anywhere(server: MlflowClient, tags: Mapping[str, str]) -> list[Run]:
    """Runs that carry all the tags, oldest first, whatever experiment they are in: those can be renamed."""
    return find_runs(server, experiments(server), tags)
