"""Kubeflow Pipelines' API server: how one signs in, what is tried again, and its refusals in words.

The client is the official generated one, ``kfp_server_api``. ``kfp.Client`` above it would hide a refused sign-in
behind 25 seconds of tracebacks, and its wait knows neither MLflow's record nor the pods.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

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
CONNECT_S = 10
"""Seconds to reach the server, for each request..."""
ANSWER_S = 60
"""...and between two pieces of its answer."""
OWN_NAMESPACE = "kubeflow"
"""Where Kubeflow itself runs, and on a standalone installation the pods of every run."""

_SIGN_IN = (302, 303, 307, 401)
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
    """What a request carries to say who asks; where all is empty, at an address inside the cluster, the pod's token."""

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

    def __init__(
        self, host: str = "", namespace: str = "", sign_in: SignIn | None = None, *, forward: Forward | None = None
    ) -> None:
        self.host = (host or IN_CLUSTER).rstrip("/")
        if not self.host.startswith(("http://", "https://")):
            raise ValueError(f"--host={host!r}: write it with http:// or https://")
        self.namespace = namespace
        self._forward = forward
        self._given = sign_in
        self.sign_in()

    def sign_in(self) -> None:
        """Ask from now on with the token or cookie that was given, else with what environment and pod hold now."""
        import kfp_server_api as api

        in_cluster = self.host == IN_CLUSTER or _is_inside(self.host)
        client = _client(self.host, self._given or SignIn.from_environment(), in_cluster=in_cluster)
        self._client = client
        self.experiments = api.ExperimentServiceApi(client)
        self.pipelines = api.PipelineServiceApi(client)
        self.uploads = api.PipelineUploadServiceApi(client)
        self.runs = api.RunServiceApi(client)
        self.recurring = api.RecurringRunServiceApi(client)
        self.health = api.HealthzServiceApi(client)

    @property
    def forwarded(self) -> bool:
        """Whether the address ends with this process."""
        return self._forward is not None

    def link(self, *parts: str) -> str:
        """Address of a page in the UI, which a gateway serves from the same host."""
        return "/".join((self.host, "#", *parts))

    def call(self, what: str, action: Callable[..., Answer], *arguments: object, **named: object) -> Answer:
        """Answer of one request, tried again where the server or the connection fails.

        ``what`` completes "could not ...". A request that creates something is tried again only where it surely had
        no effect. Raises RuntimeError in words, with :attr:`RefusedError.status` for whom it matters.
        """
        creates = bool(re.search(r"_create_|^upload_", getattr(action, "__name__", "")))
        for attempt in range(1, ATTEMPTS):
            try:
                return self.once(what, action, *arguments, **named)
            except RefusedError as refusal:
                if not refusal.is_worth_another_try(creates):
                    raise
                say(f"{refusal}; trying again ({attempt} of {ATTEMPTS - 1})")
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        return self.once(what, action, *arguments, **named)

    def once(self, what: str, action: Callable[..., Answer], *arguments: object, **named: object) -> Answer:
        """Answer of one request, made once, with a limit to how long it may take. Raises ``RefusedError`` in words."""
        if self._forward:
            self._forward.revive()
        try:
            answer = action(*arguments, _request_timeout=(CONNECT_S, ANSWER_S), **named)
        except Exception as error:
            raise _refusal(what, self.host, error) from error
        self._require_json(what)
        return answer

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

    def multi_user(self) -> bool:
        """Whether each user has a namespace here; a standalone installation runs all pods in its own."""
        return bool(self.call("ask which kind of Kubeflow it is", self.health.healthz_service_get_healthz).multi_user)

    def pods_namespace(self) -> str:
        """Namespace in which the pods of a run are: on a standalone installation Kubeflow's, whatever was asked for."""
        return self.namespace if self.namespace and self.multi_user() else OWN_NAMESPACE

    def terminate(self, run_id: str) -> None:
        """Ask Kubeflow to end a run; its exit step runs all the same."""
        self.call("stop the run", self.runs.run_service_terminate_run, run_id)

    def has_ui(self) -> bool:
        """Whether the address shows pages to a browser: the API server itself knows none, a gateway or the UI does."""
        import urllib3

        try:
            answer = urllib3.request(
                "GET", f"{self.host}/", retries=False, redirect=False, timeout=urllib3.Timeout(connect=5, read=5)
            )
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status < 400 or answer.status in _SIGN_IN


class RefusedError(RuntimeError):
    """A request that the server, or the way to it, did not grant; says so in one line."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 where there was no answer."""

    @property
    def may_pass(self) -> bool:
        """Whether the server is away or overloaded, which ends by itself."""
        return self.status in (0, 429) or self.status >= 500

    @property
    def asks_to_sign_in(self) -> bool:
        """Whether a fresh token or cookie would help."""
        return self.status in _SIGN_IN

    def is_worth_another_try(self, creates: bool) -> bool:
        """Whether the same request may succeed later, and cannot have had its effect already."""
        return self.may_pass and (self.status < 500 or self.status == 503 or not creates)


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


def _is_inside(host: str) -> bool:
    """Whether an address is a Service's, which only pods of the cluster can resolve."""
    return bool(re.search(r"\.svc(\.cluster\.local)?$", urllib.parse.urlsplit(host).hostname or ""))


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
    with Forward() as forward:
        yield Server(forward.address, namespace, sign_in, forward=forward)


class Forward:
    """kubectl that forwards a port of this machine to Kubeflow's UI and API, as long as the block lasts."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Where Kubeflow answers meanwhile."""
        return f"http://127.0.0.1:{self.port}"

    def revive(self) -> None:
        """Start it again, on the same port, where it has ended, as it does when Kubeflow's pod is replaced."""
        if self._process and self._process.poll() is not None:
            self._end()
            with contextlib.suppress(RuntimeError):  # then the request fails, and is made again later
                self._start()

    def _start(self) -> None:
        """Raises RuntimeError with kubectl's own words where it cannot forward."""
        ports = f"{self.port or ''}:80"
        try:
            self._process = process = subprocess.Popen(  # noqa: S603  (a fixed command)
                ["kubectl", "port-forward", "--namespace", OWN_NAMESPACE, "service/ml-pipeline-ui", ports],  # noqa: S607
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except FileNotFoundError as error:
            raise RuntimeError(
                "--host=port-forward: kubectl is not installed; install it or give an address"
            ) from error
        line = process.stdout.readline() if process.stdout else ""
        match = re.search(r"127\.0\.0\.1:(\d+)", line)
        if not match:
            said = process.stderr.read().strip() if process.stderr else ""
            self._end()
            raise RuntimeError(f"--host=port-forward: kubectl could not reach the cluster ({said[:300]})")
        self.port = int(match[1])

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._process:
            with self._process as process:
                process.terminate()
