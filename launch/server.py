"""Kubeflow Pipelines' API server: how one signs in, what is tried again, and its refusals in words.

The client is the official generated one, ``kfp_server_api``. ``kfp.Client`` above it would hide a refused sign-in
behind 25 seconds of tracebacks, and wait for ever on a run that was cancelled.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from mammogan.console import say

if TYPE_CHECKING:
    import kfp_server_api

Answer = TypeVar("Answer")

IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
PORT_FORWARD = "port-forward"
ATTEMPTS = 5
PAUSE_S = 1.0
"""Pause before the second attempt; doubled before each further one."""
PAGE = 100

_GATEWAY = "a gateway stands before it and asks to sign in; give KFP_COOKIE or KFP_TOKEN"
_WORDS = {
    302: _GATEWAY,
    303: _GATEWAY,
    307: _GATEWAY,
    400: "the request was refused",
    401: "the sign-in was refused; give a fresh KFP_TOKEN or KFP_COOKIE",
    403: "this user may not do that; ask for the namespace's kubeflow-edit role, or give another --namespace",
    404: "there is no such thing; check --host, behind a gateway the API is below /pipeline",
    409: "it exists already",
    413: "the request is too large for the gateway",
    429: "the server asks to slow down",
}


@dataclass(frozen=True)
class SignIn:
    """What a request carries to say who asks. Empty in the cluster: there the service account's token is taken."""

    token: str = field(default="", repr=False)
    """Bearer token."""
    cookie: str = field(default="", repr=False)
    """Cookie of a signed-in browser, such as ``oauth2_proxy_kubeflow=...``."""
    user: str = ""
    """Name for a server reached past its gateway, where nothing else says who asks."""

    @classmethod
    def from_environment(cls) -> SignIn:
        """``KFP_TOKEN``, ``KFP_COOKIE`` and ``KFP_USER``: variables, because options show in every process list."""
        return cls(*(os.environ.get(f"KFP_{name}", "") for name in ("TOKEN", "COOKIE", "USER")))


class Server:
    """The API's services, ready to be called through :meth:`call`."""

    def __init__(self, host: str = "", namespace: str = "", sign_in: SignIn | None = None) -> None:
        import kfp_server_api as api

        self.host = (host or IN_CLUSTER).rstrip("/")
        if not self.host.startswith(("http://", "https://")):
            raise ValueError(f"--host={host!r}: write it with http:// or https://")
        self.namespace = namespace
        self._client = client = _client(self.host, sign_in or SignIn.from_environment(), in_cluster=not host)
        self.experiments = api.ExperimentServiceApi(client)
        self.pipelines = api.PipelineServiceApi(client)
        self.uploads = api.PipelineUploadServiceApi(client)
        self.runs = api.RunServiceApi(client)
        self.recurring = api.RecurringRunServiceApi(client)
        self.health = api.HealthzServiceApi(client)

    def link(self, *parts: str) -> str:
        """Address of a page in the UI, which a gateway serves from the same host."""
        return "/".join((self.host, "#", *parts))

    def call(self, what: str, action: Callable[..., Answer], *arguments: object, **named: object) -> Answer:
        """Answer of one request, tried again where the server or the connection fails.

        ``what`` completes "could not ...". A request that creates something is tried again only where it surely had
        no effect. Raises RuntimeError in words, with :attr:`RefusedError.status` for whom it matters.
        """
        creates = bool(re.search(r"_create_|^upload_", getattr(action, "__name__", "")))
        for attempt in range(1, ATTEMPTS + 1):
            refusal = None
            try:
                answer = action(*arguments, **named)
            except Exception as error:
                refusal = _refusal(what, self.host, error)
                if attempt == ATTEMPTS or not refusal.is_worth_another_try(creates):
                    raise refusal from error
            else:
                self._require_json(what)
                return answer
            say(f"{refusal}; trying again ({attempt} of {ATTEMPTS - 1})")
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def _require_json(self, what: str) -> None:
        """Refuse a page of HTML, out of which the generated client would make an empty answer."""
        response = self._client.last_response
        kind = response.getheader("Content-Type", "") if response else ""
        if "json" not in kind:
            raise RefusedError(f"could not {what}: {self.host} answers with {kind or 'nothing'}; {_GATEWAY}", 401)

    def each(self, what: str, action: Callable[..., Any], items: str, **named: object) -> Iterator[Any]:
        """Every item of a listing, page by page."""
        token = ""
        while True:
            page = self.call(what, action, page_size=PAGE, page_token=token, **named)
            yield from getattr(page, items) or ()
            token = page.next_page_token
            if not token:
                return

    def scope(self) -> dict[str, str]:
        """The namespace as the argument of a listing; a single-user installation has none."""
        return {"namespace": self.namespace} if self.namespace else {}


class RefusedError(RuntimeError):
    """A request that the server, or the way to it, did not grant; says so in one line."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 where there was no answer."""

    def is_worth_another_try(self, creates: bool) -> bool:
        """Whether the same request may succeed later, and cannot have had its effect already."""
        return self.status in (0, 429, 503) or (self.status >= 500 and not creates)


def _refusal(what: str, host: str, error: Exception) -> RefusedError:
    """Turn what the client raised into words. Anything that is no refusal is raised again."""
    import urllib3
    from kfp_server_api import ApiException

    if isinstance(error, urllib3.exceptions.HTTPError):
        return RefusedError(
            f"could not {what}: no answer from {host}; check --host and the way to it ({_reason(error)})", 0
        )
    if not isinstance(error, ApiException):
        raise error
    status = error.status or 0
    words = _WORDS.get(status, f"the server failed with status {status}" if status else f"{host} cannot be trusted")
    said = _message(error)
    return RefusedError(f"could not {what}: {words}{f' ({said})' if said else ''}", status)


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error)).rpartition(": ")[2][:200]


def _message(error: kfp_server_api.ApiException) -> str:
    """The server's own sentence out of its JSON; of a gateway's page nothing."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body or ""
    try:
        answer = json.loads(body)
        text = answer.get("message") or answer.get("error_message") or str(answer.get("error", ""))
    except (ValueError, AttributeError):
        text = "" if "<" in body else body or error.reason or ""
    return " ".join(str(text).split())[:300]


def _client(host: str, sign_in: SignIn, *, in_cluster: bool) -> kfp_server_api.ApiClient:
    import kfp_server_api as api
    import urllib3

    configuration = api.Configuration(host=host)
    configuration.retries = urllib3.Retry(False)
    if sign_in.token:
        configuration.api_key = {"authorization": sign_in.token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
    elif in_cluster and not sign_in.cookie:
        _use_service_account(configuration)
    client = api.ApiClient(configuration, cookie=sign_in.cookie or None)
    if sign_in.user:
        client.set_default_header("kubeflow-userid", sign_in.user)
    return client


def _use_service_account(configuration: kfp_server_api.Configuration) -> None:
    """Take the pod's token, read anew for each request because it is renewed; without one go unsigned."""
    from kfp.client import ServiceAccountTokenVolumeCredentials

    refresh: Any = ServiceAccountTokenVolumeCredentials().refresh_api_key_hook  # typed for Kubernetes' own client
    with contextlib.suppress(OSError):
        configuration.api_key_prefix = {"authorization": "Bearer"}
        refresh(configuration)
        configuration.refresh_api_key_hook = refresh


@contextlib.contextmanager
def reach(host: str, namespace: str = "", sign_in: SignIn | None = None) -> Generator[Server]:
    """The server at ``host``; empty is the cluster around this pod, ``port-forward`` goes through kubectl."""
    if host != PORT_FORWARD:
        yield Server(host, namespace, sign_in)
        return
    with _forwarded() as address:
        yield Server(address, namespace, sign_in)


@contextlib.contextmanager
def _forwarded() -> Generator[str]:
    """Address of the API while kubectl forwards a free port to it."""
    command = ["kubectl", "port-forward", "--namespace", "kubeflow", "service/ml-pipeline-ui", ":80"]
    try:
        process = subprocess.Popen(  # noqa: S603  (a fixed command)
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError as error:
        raise RuntimeError("--host=port-forward: kubectl is not installed; install it or give an address") from error
    with process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            match = re.search(r"127\.0\.0\.1:(\d+)", line)
            if not match:
                said = process.stderr.read().strip() if process.stderr else ""
                raise RuntimeError(f"--host=port-forward: kubectl could not reach the cluster ({said[:300]})")
            yield f"http://127.0.0.1:{match[1]}"
        finally:
            process.terminate()
