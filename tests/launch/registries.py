"""Registries of images for tests: a double of what a puller meets, and Debian's docker-registry."""

import base64
import contextlib
import hashlib
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PASSWORD = base64.b64encode(b"puller:secret").decode()


def index(name):
    """An index of one image, and its digest; the bytes differ by `name`."""
    content = json.dumps(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"of": name}}, indent=1
    )
    return content.encode(), "sha256:" + hashlib.sha256(content.encode()).hexdigest()


class Double(BaseHTTPRequestHandler):
    """The part of a registry that pulling a manifest needs, by the OCI Distribution Specification 1.1.

    Of the server: `tags`, from "NAME:TAG" to content; `sign_in`, "", "Basic" or "Bearer"; `claim`, a digest to claim.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its headers

    def do_GET(self):
        if self.path.startswith("/token?"):
            signed = self.headers.get("Authorization", "") == f"Basic {PASSWORD}"
            return self.respond(200, json.dumps({"token": "granted"}).encode()) if signed else self.respond(401)
        if not self.admitted():
            return self.respond(401, challenge=True)
        if self.path == "/v2/":
            return self.respond(200, b"{}")
        name, tag = self.path.removeprefix("/v2/").split("/manifests/")
        content = self.server.tags.get(f"{name}:{tag}")
        return self.respond(200, content, INDEX) if content and INDEX in self.headers["Accept"] else self.respond(404)

    def admitted(self):
        wanted = {"": None, "Basic": f"Basic {PASSWORD}", "Bearer": "Bearer granted"}[self.server.sign_in]
        return wanted in (None, self.headers.get("Authorization"))

    def respond(self, status, content=b"", kind="application/json", challenge=False):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.server.claim and kind == INDEX:
            self.send_header("Docker-Content-Digest", self.server.claim)
        if challenge:
            host = f"127.0.0.1:{self.server.server_port}"
            parts = {"Basic": 'realm="images"', "Bearer": f'realm="http://{host}/token",service="images",scope="pull"'}
            self.send_header("WWW-Authenticate", f"{self.server.sign_in} {parts[self.server.sign_in]}")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def double(tags, sign_in="", claim=""):
    """The address of a double that has these tags."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Double)
    server.tags, server.sign_in, server.claim = tags, sign_in, claim
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def docker_registry(tags, folder, port):
    """The address of Debian's docker-registry, the reference implementation, to which these tags were pushed."""
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/images}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        address = f"127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"http://{address}/v2/", timeout=5).ok:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "registry.log").read_text())
            time.sleep(0.1)
        for image, content in tags.items():
            name, tag = image.split(":")
            put = f"http://{address}/v2/{name}/manifests/{tag}"
            requests.put(put, data=content, headers={"Content-Type": INDEX}, timeout=30).raise_for_status()
        yield address
    finally:
        process.terminate()
        process.wait()
