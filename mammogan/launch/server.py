"""Kubeflow Pipelines' API server: how one signs in, what is tried again, and its refusals in words.

The client is the official generated one, ``kfp_server_api``. ``kfp.Client`` above it would hide a refused sign-in
behind 25 seconds of tracebacks, and its wait knows neither MLflow's record nor the pods.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import subprocess
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from mammogan import addresses, trust
from mammogan.launch import naming

if TYPE_CHECKING:
    import kfp_server_api

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

IN_CLUSTER = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
PORT_FORWARD = "port-forward"
ATTEMPTS = 5
PAUSE_S = 1.0
"""Pause before the second attempt; doubled before each further one."""
LOOKS = 3
"""Looks for a thing whose making had no answer, with pauses as between attempts, before it is sent again..."""
LATE_LOOKS = 6
"""...and where the server may still be at it."""
BAD_REQUEST = 400
SERVER_FAULT = 500
UNTRUSTED = 495
"""Stands for a status where the server's certificate is not trusted, as in nginx; waiting does not fix it."""
GOING_ON = ("PENDING", "RUNNING", "PAUSED")
"""States of a run that Kubeflow would end if it was asked to."""
PAGE = 100
CONNECT_S = 10
"""Seconds to reach the server, for each request..."""
ANSWER_S = 60
"""...and between two pieces of its answer."""
POD_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"  # noqa: S105  (a path)
"""Where Kubeflow mounts a pod's token for its API, unless ``KF_PIPELINES_SA_TOKEN_PATH`` says otherwise."""
OWN_NAMESPACE = "kubeflow"
"""Where Kubeflow itself runs, and on a standalone installation the pods of every run."""

SHORTEST_SECRET = 6
"""Characters of the shortest piece of a sign-in that is taken out of a message."""

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


class Effect(StrEnum):
    """What a request that failed may have done all the same."""

    NONE = "none"
    UNSURE = "unsure"
    """The answer was lost on its way."""
    UNDER_WAY = "under way"
    """The server may still be at it: somebody's patience ended before it answered."""


@dataclass(frozen=True)
class SignIn:
    """What a request carries to say who asks; where all is empty, at an address inside the cluster, the pod's token."""

    token: str = field(default="", repr=False)
    """Bearer token."""
    cookie: str = field(default="", repr=False)
    """Cookie of a signed-in browser, such as ``oauth2_proxy_kubeflow=...``."""
    user: str = ""
    """Name for a server reached past its gateway, where nothing else says who asks."""

    def __post_init__(self) -> None:
        """Take off what a copy brings along: space, a line's end, the words Bearer and Cookie.

        Raises ValueError, which never shows the value, for one that no header can carry.
        """
        for name in ("token", "cookie", "user"):
            object.__setattr__(self, name, _header_value(f"KFP_{name.upper()}", getattr(self, name)))
        object.__setattr__(self, "token", re.sub(r"(?i)^bearer(\s+|$)", "", self.token))
        object.__setattr__(self, "cookie", re.sub(r"(?i)^cookie:\s*", "", self.cookie))

    @property
    def secrets(self) -> list[str]:
        """What must not be said: token, cookie and the values in it, longest first."""
        pieces = re.split(r"[;\s]+", self.cookie)
        values = {self.token, self.cookie, *pieces, *(piece.partition("=")[2] for piece in pieces)}
        return sorted((value for value in values if len(value) >= SHORTEST_SECRET), key=len, reverse=True)

    @classmethod
    def from_environment(cls) -> SignIn:
        """``KFP_TOKEN``, ``KFP_COOKIE`` and ``KFP_USER``: variables, because options show in every process list."""
        return cls(*(os.environ.get(f"KFP_{name}", "") for name in ("TOKEN", "COOKIE", "USER")))


def _header_value(name: str, text: str) -> str:
    """The text without space at its ends. Raises ValueError without the value where it holds what no header can."""
    value = text.strip()
    if not (value.isascii() and value.isprintable()):
        raise ValueError(
            f"{name}: it holds a line's end, another control character or a letter outside ASCII, which no request can "
            "carry; give it anew, in one line"
        )
    return value


class Server:
    """The API's services, ready to be called through :meth:`call`."""

    def __init__(
        self, host: str = "", namespace: str = "", sign_in: SignIn | None = None, *, forward: Forward | None = None
    ) -> None:
        self.host = (host or IN_CLUSTER).rstrip("/")
        if not self.host.startswith(("http://", "https://")):
            shown = re.sub(r"^[^/]*@", "***@", addresses.masked(host))
            raise ValueError(f"--host={shown!r}: write it with http:// or https://")
        shown = addresses.masked(host)
        try:
            location = urllib.parse.urlsplit(self.host).netloc
        except ValueError as error:
            raise ValueError(f"--host={shown!r}: it is no address ({error}); give http://HOST:PORT") from None
        if "@" in location:
            raise ValueError(f"--host={shown!r}: leave out user and password; KFP_TOKEN or KFP_COOKIE sign in")
        if namespace and not naming.is_label(namespace):
            raise ValueError(
                f"--namespace={namespace!r}: give a namespace's name: small letters, digits and '-' between"
            )
        self.namespace = namespace
        self._forward = forward
        self._given = sign_in
        self.sign_in()

    @property
    def _way(self) -> str:
        """The address and what stands before it, as it may be said."""
        proxy = self._client.configuration.proxy
        return f"{self.host} through the proxy {addresses.masked(proxy)}" if proxy else self.host

    def sign_in(self) -> None:
        """Ask from now on with the token or cookie that was given, else with what environment and pod hold now."""
        import kfp_server_api as api

        in_cluster = self.host == IN_CLUSTER or _is_inside(self.host)
        self._sign_in = self._given or SignIn.from_environment()
        self._client = client = _client(
            self.host, self._sign_in, in_cluster=in_cluster, through=None if self.forwarded else _proxy(self.host)
        )
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
        no effect; :meth:`make` looks whether it had. Raises :class:`RefusedError` in words.
        """
        creates = bool(re.search(r"_create_|^upload_", getattr(action, "__name__", "")))
        for attempt in range(1, ATTEMPTS):
            try:
                return self.once(what, action, *arguments, **named)
            except RefusedError as refusal:
                if not refusal.may_pass or (creates and refusal.effect is not Effect.NONE):
                    raise
                logger.info(f"{refusal}; trying again ({attempt} of {ATTEMPTS - 1})")
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        return self.once(what, action, *arguments, **named)

    def make(self, what: str, find: Callable[[], str], make: Callable[[], str]) -> str:
        """Id of what ``make`` makes by one request; where its answer is lost, of what ``find`` then finds.

        ``find`` gives the id of the thing by a name that no other one has, empty where there is none. Only where it
        finds none is the request sent again, and never after a failure of the server's own (500), which another
        attempt would repeat. ``what`` completes "could not ..." as in the refusals of ``make``.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return make()
            except RefusedError as refusal:
                if not refusal.may_pass:
                    raise
                if refusal.effect is not Effect.NONE and (existing := self._look(what, refusal, find)):
                    return existing
                if attempt == ATTEMPTS or refusal.status == SERVER_FAULT:
                    raise
                logger.info(f"{refusal}; trying again ({attempt} of {ATTEMPTS - 1})")
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _look(self, what: str, refusal: RefusedError, find: Callable[[], str]) -> str:
        """What ``find`` finds, looking several times: what had no answer may appear a little later."""
        looks = LATE_LOOKS if refusal.effect is Effect.UNDER_WAY else LOOKS
        for look in range(looks):
            time.sleep(PAUSE_S * 2**look)
            try:
                existing = find()
            except RefusedError as blind:
                raise RefusedError(
                    f"could not {what}, or it was done and the answer got lost ({refusal}; {blind}); look in Kubeflow "
                    "before you repeat it",
                    blind.status,
                    refusal.effect,
                ) from None
            if existing:
                return existing
        return ""

    def once(self, what: str, action: Callable[..., Answer], *arguments: object, **named: object) -> Answer:
        """Answer of one request, made once, with a limit to how long it may take. Raises ``RefusedError`` in words."""
        if self._forward:
            self._forward.revive()
        try:
            answer = action(*arguments, _request_timeout=(CONNECT_S, ANSWER_S), **named)
        except Exception as error:
            refusal = _refusal(what, self._way, error, self._client.configuration.proxy)
            if refusal is None:
                raise
            # what the client raised shows headers in its text, and a notebook shows what an exception came from
            raise RefusedError(self._without_secrets(str(refusal)), refusal.status, refusal.effect) from None
        self._require_json(what)
        return answer

    def _without_secrets(self, text: str) -> str:
        """The text without what signs in, which some gateways repeat in their refusals."""
        carried = self._client.configuration.api_key.get("authorization") or ""
        for secret in SignIn(token=carried, cookie=self._sign_in.cookie).secrets:
            text = text.replace(secret, "***")
        return addresses.masked(text)

    def _require_json(self, what: str) -> None:
        """Refuse a page of HTML and half an answer, out of which the generated client would make an empty one."""
        response = self._client.last_response
        kind = response.getheader("Content-Type", "") if response else ""
        if "json" not in kind:
            raise RefusedError(f"could not {what}: {self._way} answers with {kind or 'nothing'}; {_GATEWAY}", 401)
        try:
            json.loads(response.data)
        except (ValueError, RecursionError):
            words = f"could not {what}: the answer of {self.host} ends too early, or is no JSON that can be read"
            raise RefusedError(words, 0, Effect.UNSURE) from None

    def all_items(self, what: str, action: Callable[..., Any], items: str, **named: object) -> Iterator[Any]:
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

    def require_namespace(self) -> None:
        """Raise ValueError on a multi-user Kubeflow where no namespace was given, before anything is sent there."""
        if not self.namespace and self.multi_user():
            raise ValueError("--namespace='': this Kubeflow has many users; give the namespace of your profile")

    def pods_namespace(self) -> str:
        """Namespace in which the pods of a run are: on a standalone installation Kubeflow's, whatever was asked for."""
        return self.namespace if self.namespace and self.multi_user() else OWN_NAMESPACE

    def terminate(self, run_id: str) -> None:
        """Ask Kubeflow to end a run, unless it ends already; its exit step runs all the same."""
        try:
            self.call("stop the run", self.runs.run_service_terminate_run, run_id)
        except RefusedError as refusal:  # so is a second request, as after a first one whose answer was lost
            if refusal.status != BAD_REQUEST:
                raise
            if self.call("look at the run", self.runs.run_service_get_run, run_id).state in GOING_ON:
                raise

    def has_ui(self) -> bool:
        """Whether the address shows pages to a browser: the API server itself knows none, a gateway or the UI does."""
        import urllib3

        try:
            answer = self._client.rest_client.pool_manager.request(
                "GET", f"{self.host}/", retries=False, redirect=False, timeout=urllib3.Timeout(connect=5, read=5)
            )
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status < 400 or answer.status in _SIGN_IN


class RefusedError(RuntimeError):
    """A request that the server, or the way to it, did not grant; says so in one line."""

    def __init__(self, message: str, status: int, effect: Effect = Effect.NONE) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 where there was no answer."""
        self.effect = effect
        """What the request may have done all the same."""

    @property
    def may_pass(self) -> bool:
        """Whether the server is away or overloaded, which ends by itself."""
        return self.status in (0, 429) or self.status >= SERVER_FAULT

    @property
    def asks_to_sign_in(self) -> bool:
        """Whether a fresh token or cookie would help."""
        return self.status in _SIGN_IN


def _refusal(what: str, host: str, error: Exception, proxy: str | None) -> RefusedError | None:
    """What the client raised, in words; None for what comes of no request, such as a wrong argument."""
    import urllib3
    from kfp_server_api import ApiException
    from kfp_server_api.exceptions import OpenApiException

    if not isinstance(error, OpenApiException) and isinstance(error.__context__, ApiException):
        error = error.__context__  # the client stumbled over the body of the refusal
    if isinstance(error, urllib3.exceptions.HTTPError):
        words = f"could not {what}: no answer from {host}; check --host and the way to it ({_reason(error)})"
        return RefusedError(words, 0, _effect(error))
    if isinstance(error, ApiException):
        if untrusted := trust.distrust(error):
            words = f"could not {what}: the certificate of {host} {untrusted}"
            return RefusedError(words, UNTRUSTED)
        status = error.status or 0
        words = _WORDS.get(status, f"the server failed with status {status}" if status else f"{host} cannot be trusted")
        words, message = trust.blamed(words, status, proxy), _message(error)
        effect = Effect.UNDER_WAY if status > SERVER_FAULT else Effect.UNSURE  # a gateway that lost its patience
        effect = effect if status >= SERVER_FAULT else Effect.NONE
        return RefusedError(f"could not {what}: {words}{f' ({message})' if message else ''}", status, effect)
    unreadable = isinstance(error, (ValueError, OSError, RecursionError))  # the last of an answer that nests too deep
    if unreadable and not isinstance(error, OpenApiException):
        words = f"could not {what}: request to or answer of {host} cannot be read ({type(error).__name__})"
        return RefusedError(words, 0, Effect.UNSURE)
    return None


def _effect(error: Exception) -> Effect:
    """What a request may have done whose answer did not come."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

    if isinstance(error, (ConnectTimeoutError, NewConnectionError)):
        return Effect.NONE
    return Effect.UNDER_WAY if isinstance(error, ReadTimeoutError) else Effect.UNSURE


def _reason(error: Exception) -> str:
    return re.sub(r"['\")]+$", "", str(getattr(error, "reason", error)).rpartition(": ")[2])[:200]


def _message(error: kfp_server_api.ApiException) -> str:
    """The server's own sentence out of its JSON; of a gateway's page nothing."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body or ""
    try:
        answer = json.loads(body)
        text = answer.get("message") or answer.get("error_message") or str(answer.get("error", ""))
    except (ValueError, AttributeError, RecursionError):
        text = "" if "<" in body else body or error.reason or ""
    return " ".join(str(text).split())[:300]


def _client(
    host: str, sign_in: SignIn, *, in_cluster: bool, through: tuple[str, dict[str, str]] | None
) -> kfp_server_api.ApiClient:
    """Client of ``host`` through a proxy's address and the headers that sign in there, or without one."""
    import kfp_server_api as api
    import urllib3

    configuration = api.Configuration(host=host)
    configuration.retries = urllib3.Retry(False)
    configuration.ssl_ca_cert = trust.share()
    if through:
        configuration.proxy, configuration.proxy_headers = through
    if sign_in.token:
        configuration.api_key = {"authorization": sign_in.token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
    elif in_cluster and not sign_in.cookie:
        _use_service_account(configuration)
    client = api.ApiClient(configuration, cookie=sign_in.cookie or None)
    if sign_in.user:
        client.set_default_header("kubeflow-userid", sign_in.user)
    return client


def _proxy(host: str) -> tuple[str, dict[str, str]] | None:
    """The environment's proxy for ``host``: its address without a sign-in, and the headers that carry that."""
    import urllib3

    trust.share()
    if not (given := trust.proxy_for(host)):
        return None
    scheme, _, rest = (given if "://" in given else f"http://{given}").partition("://")
    before, _, place = rest.rpartition("@")  # a proxy's address has no path, so all before the last @ signs in
    user, _, password = (urllib.parse.unquote(part) for part in before.partition(":"))
    address = f"{scheme}://{place}"
    if not re.fullmatch(r"\w+://(\[[0-9a-fA-F:.]+\]|[^/?#@:\s]+)(:\d{1,5})?/?", address):
        raise ValueError("HTTPS_PROXY, HTTP_PROXY: no address of a proxy; write it as http://USER:PASSWORD@HOST:PORT")
    return address, urllib3.make_headers(proxy_basic_auth=f"{user}:{password}") if user else {}


def _is_inside(host: str) -> bool:
    """Whether an address is a Service's, which only pods of the cluster can resolve."""
    return bool(re.search(r"\.svc(\.cluster\.local)?$", urllib.parse.urlsplit(host).hostname or ""))


def _use_service_account(configuration: kfp_server_api.Configuration) -> None:
    """Take the pod's token, read anew for each request because it is renewed; without one go unsigned.

    kfp's own class for it writes to the root logger where there is none.
    """
    path = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH") or POD_TOKEN)

    def refresh(asked: kfp_server_api.Configuration) -> None:
        with contextlib.suppress(OSError):
            asked.api_key["authorization"] = path.read_text().strip()

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
            message = process.stderr.read().strip() if process.stderr else ""
            self._end()
            raise RuntimeError(f"--host=port-forward: kubectl could not reach the cluster ({message[:300]})")
        self.port = int(match[1])
        for pipe in (process.stdout, process.stderr):  # it tells of each connection, and stops where nobody reads
            threading.Thread(target=deque, args=(pipe, 0), daemon=True).start()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._process:
            with self._process as process:
                process.terminate()
