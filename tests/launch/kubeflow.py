"""A server that speaks Kubeflow Pipelines' v2beta1 API, strict about what the official models do not know.

Request bodies are checked field by field against ``kfp_server_api``'s models. How a run goes on, and how a request is
refused, is what a real Kubeflow Pipelines 2.17.0 answered, trimmed (recorded/README.md): no workflow runs here, a
test names the recorded answers that follow one another.
"""

import itertools
import json
import re
import socket
import threading
import unicodedata
import urllib.parse
from contextlib import contextmanager
from datetime import UTC, datetime
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import kfp_server_api as api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UPLOAD_QUERY = {
    "/apis/v2beta1/pipelines/upload_version": {"name", "display_name", "description", "pipelineid", "tags"},
}


RECORDED = Path(__file__).parent / "recorded"
PROGRESS = ("state", "state_history", "finished_at", "run_details", "error")
"""What changes of a run as it goes on."""


def recorded(folder, name):
    """An answer of the real server."""
    text = (RECORDED / folder / f"{name}.json").read_text()
    return json.loads(text.replace('"branches"', '"trials"'))  # the parameter's name when they were recorded


class RefusedError(Exception):
    def __init__(self, status, message, body=None):
        super().__init__(message)
        self.status = status
        self.body = body or {"code": 3, "message": message, "details": []}

    @classmethod
    def recorded(cls, answer, old, new):
        """As the real server refused, but for one name in its words."""
        answer = recorded("api", answer)
        body = json.loads(json.dumps(answer["body"]).replace(old, new))
        return cls(answer["status"], body["message"], body)


def check(model, data):
    """Refuse fields that the model does not have, and values of another type."""
    if not isinstance(data, dict):
        raise RefusedError(400, f"{model.__name__} is no object: {data!r}")
    types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    for key, value in data.items():
        if key not in types:
            raise RefusedError(400, f"unknown field {key!r} in {model.__name__}")
        kind = types[key]
        inner = getattr(api, kind, None)
        if inner is not None and inner.openapi_types:
            check(inner, value)
        elif not isinstance(value, {"str": str, "bool": bool, "int": int, "datetime": str}.get(kind, object)):
            raise RefusedError(400, f"{model.__name__}.{key}={value!r} is no {kind}")


def unescaped(text):
    """A filter as Go's url.QueryUnescape reads it, once more than HTTP does."""
    broken = re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", text)
    if broken:
        raise RefusedError(400, f'failed to parse valid filter: invalid URL escape "{broken[0]}"')
    return urllib.parse.unquote_plus(text)


def folded(name):
    """A name as MariaDB's usual collation compares it."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).rstrip()


class Kubeflow:
    """The state of the pretended installation, and how it misbehaves when a test asks for it."""

    def __init__(self, token="", cookie="", user="", page_limit=100, *, multi_user=False, ui=False):
        self.sign_in = {"Authorization": f"Bearer {token}" if token else "", "Cookie": cookie, "kubeflow-userid": user}
        self.page_limit = page_limit
        self.ids = (f"id-{number}" for number in itertools.count(1))
        self.experiments, self.pipelines, self.versions, self.runs, self.recurring = {}, {}, {}, {}, {}
        self.compare = str  # how the database compares names
        self.losses = []  # [method, pattern of the path, times, whether the request is done, status or None]
        self.faults = []  # [method, pattern of the path, status, times, body]
        self.unseen = {}  # for each run how often it is still not listed...
        self.looks = {}  # ...and how often as RUNNING before it has SUCCEEDED
        self.killed = []  # runs whose recurring run was deleted under them
        self.requests = []
        self.multi_user, self.ui = multi_user, ui
        self.script = []  # recorded answers, one each time a run is asked for; the last one stays
        self.after_stop = ["terminating", "terminated"]

    def fail(self, method, pattern, status, times=1, body=None):
        self.faults.append([method, pattern, status, times, body])

    def lose(self, method, pattern, times=1, *, done=True, status=None):
        """Lose answers: the connection ends without one, or a gateway answers with ``status`` in its place."""
        self.losses.append([method, pattern, times, done, status])

    def loss(self, method, path):
        for loss in self.losses:
            if loss[0] == method and re.search(loss[1], path) and loss[2] > 0:
                loss[2] -= 1
                return loss
        return None

    def fault(self, method, path):
        for fault in self.faults:
            if fault[0] == method and re.search(fault[1], path) and fault[3] > 0:
                fault[3] -= 1
                return fault[2], fault[4]
        return None

    def page(self, items, kind, query):
        unknown = set(query) - {"page_size", "page_token", "sort_by", "filter", "namespace", "experiment_id"}
        if unknown:
            raise RefusedError(400, f"unknown query {unknown}")
        for predicate in json.loads(unescaped(query.get("filter") or "{}")).get("predicates", []):
            if predicate["operation"] != "EQUALS":
                raise RefusedError(400, "this server knows only EQUALS")
            if predicate["key"] not in ("display_name", "name", "description", "recurring_run_id"):
                raise RefusedError.recorded("filter-bad", "nokey", predicate["key"])
            wanted = self.compare(predicate["stringValue"])
            items = [item for item in items if self.compare(item.get(predicate["key"], "")) == wanted]
        start = int(query.get("page_token") or 0)
        end = start + min(int(query.get("page_size") or 20), self.page_limit)
        page = {kind: items[start:end], "next_page_token": str(end) if end < len(items) else ""}
        return {key: value for key, value in {**page, "total_size": len(items)}.items() if value}

    def answer(self, method, path, query, body):
        for pattern, wanted, handle in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and wanted == method:
                return handle(self, *match.groups(), query=query, body=body)
        raise RefusedError(404, f"no such route: {method} {path}")

    def list_experiments(self, query, body):
        return self.page(list(self.experiments.values()), "experiments", query)

    def create_experiment(self, query, body):
        check(api.V2beta1Experiment, body)
        name = body["display_name"]
        if not name or len(name) > 128 or max(map(ord, name)) > 0xFFFF:
            raise RefusedError(500, "Failed to create experiment: the database refuses the name")
        if any(self.compare(item["display_name"]) == self.compare(name) for item in self.experiments.values()):
            raise RefusedError.recorded("experiment-duplicate", "mammogan", body["display_name"])
        return self.keep(self.experiments, "experiment_id", {**body, "storage_state": "AVAILABLE"})

    def list_pipelines(self, query, body):
        return self.page(list(self.pipelines.values()), "pipelines", query)

    def list_versions(self, pipeline_id, query, body):
        versions = [item for item in self.versions.values() if item["pipeline_id"] == pipeline_id]
        return self.page(versions, "pipeline_versions", query)

    def create_pipeline(self, query, body):
        check(api.V2beta1Pipeline, body)
        if any(item["display_name"] == body["display_name"] for item in self.pipelines.values()):
            raise RefusedError.recorded("pipeline-duplicate", "mammogan", body["display_name"])
        return self.keep(self.pipelines, "pipeline_id", body)

    def upload_version(self, query, body):
        if query["pipelineid"] not in self.pipelines:
            raise RefusedError(404, "no such pipeline")
        return self.add_version(query["pipelineid"], query["name"], self.parse(body))

    def add_version(self, pipeline_id, name, parsed):
        ours = [item for item in self.versions.values() if item["pipeline_id"] == pipeline_id]
        if any(item["display_name"] == name for item in ours):
            raise RefusedError.recorded("pipeline-duplicate", "mammogan", name)
        version = {"pipeline_id": pipeline_id, "display_name": name, "name": name, "pipeline_spec": parsed}
        return self.keep(self.versions, "pipeline_version_id", version)

    def parse(self, body):
        """The uploaded YAML, refused as the backend refuses what is no pipeline."""
        try:
            graph, *platform = yaml.load_all(body, yaml.CSafeLoader)
            json_format.ParseDict(graph, pipeline_spec_pb2.PipelineSpec())
            for part in platform:
                json_format.ParseDict(part, pipeline_spec_pb2.PlatformSpec())
        except (json_format.ParseError, yaml.YAMLError, ValueError) as error:
            raise RefusedError(400, f"invalid pipeline: {error}") from error
        return {"pipeline_spec": graph, "platform_spec": platform[0] if platform else {}}

    def keep(self, place, key, item):
        identity = next(self.ids)
        place[identity] = {**item, key: identity, "created_at": NOW.isoformat()}
        return place[identity]

    def require_references(self, body):
        reference = body["pipeline_version_reference"]
        version = self.versions.get(reference["pipeline_version_id"])
        if version is None or version["pipeline_id"] != reference["pipeline_id"]:
            raise RefusedError(404, "no such pipeline version")
        if body["experiment_id"] not in self.experiments:
            raise RefusedError(404, "no such experiment")
        inputs = version["pipeline_spec"]["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        given = body["runtime_config"]["parameters"]
        unknown = set(given) - set(inputs)
        missing = {name for name, definition in inputs.items() if not definition.get("isOptional")} - set(given)
        if unknown or missing:
            raise RefusedError(400, f"parameters unknown: {sorted(unknown)}, missing: {sorted(missing)}")

    def create_run(self, query, body):
        check(api.V2beta1Run, body)
        self.require_references(body)
        begun = {"state": "PENDING", "state_history": [{"update_time": NOW.isoformat(), "state": "PENDING"}]}
        return self.keep(self.runs, "run_id", {**body, **begun})

    def fire(self, recurring_run_id, looks=10**6, unseen=0):
        """Id of a run that a recurring run begins, as the controller does; it ends well after so many looks."""
        schedule = self.recurring[recurring_run_id]
        state = {"state": "RUNNING", "recurring_run_id": recurring_run_id}
        run = {key: schedule[key] for key in ("experiment_id", "pipeline_version_reference", "runtime_config")}
        run_id = self.keep(self.runs, "run_id", {"display_name": "fired", **run, **state})["run_id"]
        self.looks[run_id], self.unseen[run_id] = looks, unseen
        return run_id

    def list_runs(self, query, body):
        for run_id in self.looks:
            if self.unseen[run_id] > 0:
                continue
            if self.runs[run_id]["state"] == "RUNNING" and self.looks[run_id] <= 0:
                self.runs[run_id]["state"] = "SUCCEEDED"
            self.looks[run_id] -= 1
        wanted = query.get("experiment_id")
        runs = [run for run in self.runs.values() if wanted in (None, run["experiment_id"])]
        runs = [run for run in runs if self.unseen.get(run["run_id"], 0) <= 0]
        self.unseen = {run_id: left - 1 for run_id, left in self.unseen.items()}
        return self.page(runs, "runs", query)

    def play(self, *names):
        """Id of a run that was recorded, which from now on answers with these recordings in turn."""
        first = recorded("runs", names[0])
        self.runs[first["run_id"]] = first
        self.script = list(names)
        return first["run_id"]

    def get_run(self, run_id, query, body):
        if run_id not in self.runs:
            raise RefusedError.recorded("run-missing", "00000000-0000-0000-0000-000000000000", run_id)
        if self.script:
            name = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            answer = recorded("runs", name)
            self.runs[run_id].update({key: answer[key] for key in PROGRESS if key in answer})
        return self.runs[run_id]

    def terminate_run(self, run_id, query, body):
        if self.get_run(run_id, query, body)["state"] not in ("PENDING", "RUNNING", "PAUSED"):
            raise RefusedError.recorded("terminated-twice", "d4454cc2-4756-4e7b-9785-74367046b1cd", run_id)
        self.script = list(self.after_stop)
        self.get_run(run_id, query, body)
        return {}

    def healthz(self, query, body):
        return {**recorded("api", "healthz")["body"], "multi_user": self.multi_user}

    def list_recurring(self, query, body):
        entries = list(self.recurring.values())
        if "experiment_id" in query:
            entries = [item for item in entries if item["experiment_id"] == query["experiment_id"]]
        return self.page(entries, "recurringRuns", query)

    def create_recurring(self, query, body):
        check(api.V2beta1RecurringRun, body)
        self.require_references(body)
        refused = recorded("api", "refused-crons").get(body["trigger"]["cron_schedule"]["cron"])
        if refused:
            raise RefusedError(refused["status"], refused["body"]["message"], refused["body"])
        if body["mode"] not in ("ENABLE", "DISABLE"):
            raise RefusedError(400, f"mode {body['mode']!r}")
        account = body.get("service_account") or "pipeline-runner"
        filled = {**body, "service_account": account, "status": body["mode"] + "D", "namespace": "kubeflow"}
        return self.keep(self.recurring, "recurring_run_id", filled)

    def delete_recurring(self, identity, query, body):
        """Kubernetes removes the workflow that it owns; the run stays as it was in Kubeflow's database."""
        if self.recurring.pop(identity, None) is None:
            raise RefusedError(404, f"recurring run {identity} not found")
        ended = ("SUCCEEDED", "FAILED")
        ours = [run for run in self.runs.values() if run.get("recurring_run_id") == identity]
        self.killed += [run["run_id"] for run in ours if run["state"] not in ended]
        return {}

    def set_mode(self, identity, verb, query, body):
        if identity not in self.recurring:
            raise RefusedError(404, f"recurring run {identity} not found")
        self.recurring[identity].update(mode=verb.upper(), status=verb.upper() + "D")
        return {}


BASE = "/apis/v2beta1"
ROUTES = [
    (f"{BASE}/experiments", "GET", Kubeflow.list_experiments),
    (f"{BASE}/experiments", "POST", Kubeflow.create_experiment),
    (f"{BASE}/pipelines", "GET", Kubeflow.list_pipelines),
    (f"{BASE}/pipelines", "POST", Kubeflow.create_pipeline),
    (f"{BASE}/pipelines/upload_version", "POST", Kubeflow.upload_version),
    (f"{BASE}/pipelines/([^/]+)/versions", "GET", Kubeflow.list_versions),
    (f"{BASE}/runs", "GET", Kubeflow.list_runs),
    (f"{BASE}/runs", "POST", Kubeflow.create_run),
    (f"{BASE}/runs/([^/:]+)", "GET", Kubeflow.get_run),
    (f"{BASE}/runs/([^/:]+):terminate", "POST", Kubeflow.terminate_run),
    (f"{BASE}/recurringruns", "GET", Kubeflow.list_recurring),
    (f"{BASE}/recurringruns", "POST", Kubeflow.create_recurring),
    (f"{BASE}/recurringruns/([^/:]+)", "DELETE", Kubeflow.delete_recurring),
    (f"{BASE}/recurringruns/([^/:]+):(enable|disable)", "POST", Kubeflow.set_mode),
    (f"{BASE}/healthz", "GET", Kubeflow.healthz),
]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its headers
    state: Kubeflow

    def handle_request(self):
        url = urllib.parse.urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.state.requests.append((self.command, url.path))
        if url.path == "/":  # the API server itself has no page
            return self.reply(200, "<html>Kubeflow</html>") if self.state.ui else self.reply(404, "404 page not found")
        fault = self.state.fault(self.command, url.path)
        if fault:
            return self.reply(fault[0], fault[1] if fault[1] is not None else {"message": "injected"})
        loss = self.state.loss(self.command, url.path)
        try:
            answer = self.answered(url, raw) if loss is None or loss[3] else None
            if loss is None:
                return self.reply(200, answer)
            return self.reply(loss[4], {"message": "gateway"}) if loss[4] else self.hang_up()
        except RefusedError as refused:
            return self.reply(refused.status, refused.body)

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def answered(self, url, raw):
        for header, wanted in self.state.sign_in.items():
            if wanted and self.headers.get(header) != wanted:
                raise RefusedError(401, "Unauthenticated")
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path in UPLOAD_QUERY:
            unknown = set(query) - UPLOAD_QUERY[url.path]
            if unknown:
                raise RefusedError(400, f"unknown query {unknown}")
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            (part,) = BytesParser().parsebytes(head + raw).get_payload()
            return self.state.answer(self.command, url.path, query, part.get_payload(decode=True).decode())
        body = json.loads(raw) if raw and raw != b"null" else None
        return self.state.answer(self.command, url.path, query, body)

    def reply(self, status, answer):
        page = isinstance(answer, str)
        content = answer.encode() if page else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if page else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = handle_request  # noqa: N815

    def log_message(self, *arguments):
        pass


@contextmanager
def serve(kubeflow):
    """Address at which ``kubeflow`` answers."""
    handler = type("BoundHandler", (Handler,), {"state": kubeflow})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
