"""The champion over HTTP, and without this package: ``mlflow models serve``, TorchScript, ONNX."""

import base64
import errno
import io
import json
import os
import subprocess
import urllib.request
from sysconfig import get_path

import numpy as np
import onnxruntime
import pytest
import torch
from mlflow_servers import wait_until
from PIL import Image
from ports import free_port
from snapshots import write_snapshot
from typer.testing import CliRunner
from warm_interpreter import warm_python

from mammogan import registry, storage, tracking
from mammogan.command_line import app
from mammogan.models.generator import draw_latents, load_generator, sample
from mammogan.registry import exports
from mammogan.registry.contents import SNAPSHOT
from mammogan.registry.model import save


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    return write_snapshot(tmp_path_factory.mktemp("snapshot") / "winner", 28, 16)


@pytest.mark.slow
def test_mlflow_models_serve_answers_with_images(snapshot, tmp_path):
    save(snapshot, tmp_path / "model", {})
    port = free_port()
    command = [warm_python(), "-m", "mlflow", "models", "serve", "-m", str(tmp_path / "model")]
    command += ["--env-manager", "local", "--port", str(port)]
    path = f"{get_path('scripts')}:{os.environ['PATH']}"  # where mlflow finds uvicorn
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        wait_until(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/ping").close(), process, tmp_path / "log")
        answer = post(port, {"dataframe_records": [{"n": 3, "seed": 7}]})["predictions"]
        pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(row["png"])))) for row in answer]
        np.testing.assert_array_equal(pictures, sample(load_generator(snapshot), 3, 7).squeeze(1).numpy())
        arrays = post(port, {"dataframe_records": [{"n": 3, "seed": 7}], "params": {"format": "array"}})
        np.testing.assert_array_equal(arrays["predictions"], pictures)
        with pytest.raises(urllib.error.HTTPError, match=r"400|500"):
            post(port, {"dataframe_records": [{"n": 0, "seed": 7}]})
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def post(port, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated:FutureWarning")
def test_exports_agree_with_the_generator(snapshot, tmp_path):
    errors = exports.export(snapshot, tmp_path)
    assert max(errors.values()) <= 1e-4
    z = draw_latents(5, 8, seed=3)
    with torch.no_grad():
        expected = load_generator(snapshot)(z).numpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "generator.onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["images"], {"z": z.numpy()})[0], expected, atol=1e-4)
    with torch.no_grad():
        np.testing.assert_allclose(torch.jit.load(str(tmp_path / "generator.ts"))(z).numpy(), expected, atol=1e-4)
    assert json.loads((tmp_path / "exports.json").read_text())["latent_dim"] == 8


def test_an_export_that_differs_is_refused(snapshot, tmp_path, monkeypatch):
    def other(generator, z):
        return exports._Export(b"", generator(z).detach() + 2e-4)

    monkeypatch.setattr(exports, "_torchscript", other)
    monkeypatch.setattr(exports, "_onnx", other)
    with pytest.raises(RuntimeError, match=r"generator\.ts differs from the generator by 0\.0002"):
        exports.export(snapshot, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_older_exports_as_they_were(snapshot, tmp_path, monkeypatch):
    def full(uri, content):
        raise OSError(errno.ENOSPC, "No space left on device", uri)

    for name in ("generator.ts", "generator.onnx"):
        (tmp_path / name).write_bytes(b"older")
    monkeypatch.setattr(exports, "_onnx", lambda generator, z: exports._Export(b"onnx", generator(z).detach()))
    monkeypatch.setattr(exports.storage, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/generator\.ts'"):
        exports.export(snapshot, tmp_path)
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"older"}


def test_export_command_takes_a_registered_model(snapshot, database, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    client = tracking.client()
    client.create_registered_model("exported")
    save(snapshot, tmp_path / "model", {})
    client.create_model_version("exported", str(tmp_path / "model"), tags={SNAPSHOT: storage.sha256_of(snapshot)})
    client.create_model_version("exported", str(tmp_path / "model"))
    with pytest.raises(ValueError, match=f"exported version 2: it has no tag {SNAPSHOT}"):
        registry.snapshot_of("models:/exported/2", tmp_path / "unchecked")
    client.create_model_version("exported", str(tmp_path / "model"), tags={SNAPSHOT: "0" * 64})
    with pytest.raises(ValueError, match="exported version 3: its files are not those that were registered"):
        registry.snapshot_of("models:/exported/3", tmp_path / "another")
    for address in ("exported/1", "models:/exported", "models:/exported/latest", str(tmp_path / "model"), "runs:/1/x"):
        with pytest.raises(ValueError, match="no address of a registered model; write it as models:/NAME@ALIAS"):
            registry.snapshot_of(address, tmp_path / "none")
    assert registry.snapshot_of("models:/exported/1", tmp_path / "copy").read_bytes() == snapshot.read_bytes()
    run = CliRunner().invoke(app, ["export", "--model", "models:/exported/1", "--out", str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"generator.ts", "generator.onnx", "exports.json"}
    assert CliRunner().invoke(app, ["export", "--model", "models:/none/1", "--out", "x"]).exit_code == 2
