"""MLflow, the object store and a step on hosts of their own, in network namespaces, with the manifests' own addresses.

What a step connects to is recorded on its only wire and compared with the ports that the NetworkPolicies open for it.
"""

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from sysconfig import get_path

import pytest
import yaml
from test_executor import TRIAL, arguments, graph
from walk import Walk

K8S = Path(__file__).resolve().parents[2] / "k8s"
MLFLOW, STORE, STEP = "mg-mlflow", "mg-store", "mg-step"
ADDRESSES = {MLFLOW: "10.77.0.2", STORE: "10.77.0.3", STEP: "10.77.0.4"}
NAMES = {MLFLOW: "mlflow.mammogan.svc.cluster.local", STORE: "seaweedfs.kubeflow.svc.cluster.local"}
BRIDGE = "mg-bridge"
START_S = 120
ASK = """
import sys, urllib.error, urllib.request
headers = dict(item.split("=") for item in sys.argv[2:])
try:
    print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers), timeout=5).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError:
    print(0)
"""
KEYS = {
    name: {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": f"{name}-secret"}
    for name in ("owner", "store", "mlflow")
}
MAY = {
    "owner": ["Admin", "Read", "List", "Write"],
    **{name: [f"{action}:mammogan/{name}/*" for action in ("Read", "List", "Write")] for name in ("store", "mlflow")},
}
"""The store's key and MLflow's as docs/cluster.md has them, in one bucket; the owner makes it."""
SIGN_IN = {"MLFLOW_TRACKING_USERNAME": "steps", "MLFLOW_TRACKING_PASSWORD": "steps-password-1"}
ADMIN = {"MLFLOW_AUTH_ADMIN_USERNAME": "root", "MLFLOW_AUTH_ADMIN_PASSWORD": "root-password-1"}


def sh(*command, check=True):
    return subprocess.run(command, check=check, capture_output=True, text=True).stdout


def can_make_hosts():
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    possible = subprocess.run(["ip", "netns", "add", "mg-try"], capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "delete", "mg-try"], capture_output=True)
    return possible


pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not can_make_hosts(), reason="network namespaces need root and iproute2"),
]


def manifests(name):
    return list(yaml.safe_load_all((K8S / name).read_text()))


def settings():
    """The ConfigMap of the steps, as k8s/steps has it."""
    return manifests("steps/settings.yaml")[0]["data"]


def allowed_ports(*labels):
    """TCP ports that the NetworkPolicies let pods of these names call, DNS and Kubeflow's own machinery left out."""
    ports = set()
    for policy in manifests("base/network.yaml"):
        selector = policy["spec"]["podSelector"]
        chosen = set(selector.get("matchLabels", {}).values())
        chosen |= {value for item in selector.get("matchExpressions", ()) for value in item.get("values", ())}
        for rule in policy["spec"].get("egress", ()) if chosen & set(labels) else ():
            ports |= {item["port"] for item in rule["ports"]}
    return ports


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """Three hosts on one bridge, each with the others' names in its hosts file."""
    sh("ip", "link", "add", BRIDGE, "type", "bridge")
    sh("ip", "link", "set", BRIDGE, "up")
    table = "127.0.0.1 localhost\n" + "".join(f"{ADDRESSES[host]} {name}\n" for host, name in NAMES.items())
    try:
        for number, (host, address) in enumerate(ADDRESSES.items()):
            sh("ip", "netns", "add", host)
            folder = Path("/etc/netns", host)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hosts").write_text(table)
            wire = f"mg-wire{number}"
            sh("ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", host)
            sh("ip", "link", "set", wire, "master", BRIDGE, "up")
            sh("ip", "-n", host, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                sh("ip", "-n", host, "link", "set", device, "up")
        yield
    finally:
        for host in ADDRESSES:
            sh("ip", "netns", "delete", host, check=False)
            shutil.rmtree(f"/etc/netns/{host}", ignore_errors=True)
        sh("ip", "link", "delete", BRIDGE, check=False)


@contextlib.contextmanager
def running(host, command, log, **environment):
    """A server on a host, gone with the block."""
    with log.open("w") as file:
        process = subprocess.Popen(
            ["ip", "netns", "exec", host, *map(str, command)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # its files go with the folder, so it need not take leave
            process.wait()


def ask(url, **headers):
    """Status of a GET, asked from the step's host."""
    given = [f"{name}={value}" for name, value in headers.items()]
    return int(sh("ip", "netns", "exec", STEP, sys.executable, "-c", ASK, url, *given))


def wait_for(url, process):
    deadline = time.monotonic() + START_S
    while ask(url) == 0:
        assert process.poll() is None, f"the server of {url} ended"
        assert time.monotonic() < deadline, f"no answer from {url}"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def servers(hosts, tmp_path_factory):
    """The object store and MLflow, started as the manifests start them."""
    folder = tmp_path_factory.mktemp("servers")
    identities = [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": f"{name}-secret"}], "actions": actions}
        for name, actions in MAY.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    here = ADDRESSES[STORE]
    weed = [Path(get_path("scripts"), "weed"), "server", f"-dir={folder}", f"-ip={here}", f"-ip.bind={here}"]
    weed += ["-filer", "-s3", "-s3.port=9000", f"-s3.config={folder / 's3.json'}", "-master.volumeSizeLimitMB=64"]
    weed += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=50"]
    server = next(item for item in manifests("base/mlflow.yaml") if item["kind"] == "ConfigMap")["data"]
    mlflow = [Path(get_path("scripts"), "mlflow"), "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1"]
    mlflow += ["--app-name", "basic-auth", "--artifacts-destination", server["MLFLOW_ARTIFACTS_DESTINATION"]]
    environment = {**settings(), **KEYS["mlflow"], "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment["MLFLOW_BACKEND_STORE_URI"] = f"sqlite:///{folder}/mlflow.db"
    environment |= {"MLFLOW_AUTH_CONFIG_PATH": f"{folder}/auth.ini", "MLFLOW_FLASK_SERVER_SECRET_KEY": "random"}
    environment["MLFLOW_SERVER_ALLOWED_HOSTS"] = server["MLFLOW_SERVER_ALLOWED_HOSTS"]
    del environment["MLFLOW_TRACKING_URI"]
    with running(STORE, weed, folder / "weed.log", HOME=str(folder)) as store:
        wait_for(settings()["AWS_ENDPOINT_URL_S3"], store)
        make = "import boto3; boto3.client('s3').create_bucket(Bucket='mammogan')"
        step_environment = {**os.environ, **settings(), **KEYS["owner"]}
        command = ["ip", "netns", "exec", STEP, sys.executable, "-c", make]
        subprocess.run(command, env=step_environment, check=True)
        accounts = [sys.executable, K8S / "base/accounts.py"]
        subprocess.run(accounts, env={**os.environ, **environment, **SIGN_IN, **ADMIN}, check=True, cwd=folder)
        with running(MLFLOW, mlflow, folder / "mlflow.log", **environment) as tracking:
            wait_for(settings()["MLFLOW_TRACKING_URI"] + "/health", tracking)
            yield


class Wire(threading.Thread):
    """Records to which (address, port) a host opens connections, from the packets on its wire."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host, self.opened, self.stop = host, set(), threading.Event()
        self.ready = threading.Event()

    def run(self):
        with open(f"/run/netns/{self.host}") as namespace:
            join_namespace(namespace.fileno())
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)) as packets:
            packets.bind(("eth0", 0))
            packets.settimeout(0.2)
            self.ready.set()
            while not self.stop.is_set():
                with contextlib.suppress(TimeoutError):
                    self.note(packets.recv(65535))

    def note(self, frame):
        """A TCP packet with SYN and without ACK that leaves this host."""
        if frame[12:14] != b"\x08\x00" or frame[23] not in (6, 17):
            return
        start = 14 + (frame[14] & 0x0F) * 4
        source, target = (socket.inet_ntoa(frame[at : at + 4]) for at in (26, 30))
        port = struct.unpack("!H", frame[start + 2 : start + 4])[0]
        leaves = source == ADDRESSES[self.host]
        if leaves and (frame[23] == 17 or frame[start + 13] & 0x12 == 0x02):
            self.opened.add(("udp" if frame[23] == 17 else "tcp", target, port))

    def __enter__(self):
        self.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_):
        time.sleep(0.3)
        self.stop.set()
        self.join()


def join_namespace(descriptor):
    """Move this thread, and only this one, to another network namespace."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


def test_steps_use_only_the_ports_that_the_policies_open(servers, tmp_path):
    """From the opened run to a trained trial whose checkpoints lie in the object store."""
    environment = {**os.environ, **settings(), **KEYS["store"], **SIGN_IN, "MAMMOGAN_CACHE": str(tmp_path / "cache")}
    environment["PATH"] = f"{os.path.dirname(sys.executable)}:{environment['PATH']}"

    def run(name, command):
        inside = ["ip", "netns", "exec", STEP, *command]
        done = subprocess.run(inside, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"

    folder = tmp_path / "artifacts"
    folder.mkdir()
    walk = Walk(graph(), arguments("s3://mammogan/store"), str(folder), folder, run)
    with Wire(STEP) as step, Wire(MLFLOW) as mlflow:
        for name in ("start", "ingest", "filter-minority", "train"):
            walk.step(name, trial=TRIAL)
    assert walk.outputs["train"] == "finished"
    print("a step called", sorted(step.opened), "MLflow called", sorted(mlflow.opened))
    assert step.opened == {("tcp", ADDRESSES[MLFLOW], 5000), ("tcp", ADDRESSES[STORE], 9000)}
    assert {port for _, _, port in step.opened} <= allowed_ports("mammogan")
    assert {port for _, _, port in mlflow.opened} <= allowed_ports("mlflow")
    assert ("tcp", ADDRESSES[STORE], 9000) in mlflow.opened, "artifacts go to the object store through the server"


def test_mlflow_answers_only_to_the_names_of_the_manifest(servers):
    api = settings()["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert ask(api) == 401, "it answers, and asks for a sign-in"
    assert ask(api, Host="evil.example.org") == 403
    assert ask(settings()["MLFLOW_TRACKING_URI"] + "/health", Host=ADDRESSES[MLFLOW]) == 200, "a kubelet's probe"
