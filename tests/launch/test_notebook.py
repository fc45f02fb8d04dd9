"""The notebook runs top to bottom against the local runner and a pretended Kubeflow, and shows what it says."""

import ast
import base64
import io
import os
import sys
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
import quick_run
from kubeflow import Kubeflow, serve
from PIL import Image

import mammogan
from mammogan import tracking

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "submit_and_compare.ipynb"
QUICK = {**quick_run.QUICK, "lambdas": "0.5,3"}


def texts(notebook):
    return "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )


def pictures(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield np.asarray(Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("L"))


def test_it_is_kept_without_outputs():
    assert all(not cell.get("outputs") for cell in nbformat.read(NOTEBOOK, as_version=4).cells)


def test_of_our_own_packages_it_imports_the_one_that_is_offered():
    cells = [cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    imported = [
        name
        for node in ast.walk(ast.parse("\n".join(cells)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    ]
    assert imported == ["warnings", "mammogan", "matplotlib.pyplot"]
    offered = {
        node.attr
        for node in ast.walk(ast.parse("\n".join(cells)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mammogan"
    }
    assert offered == {"run", "submit"}
    assert offered <= set(mammogan.__all__)


def execute(**parameters):
    """The notebook after a run with these parameters."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (first,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    first.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    return notebook


@pytest.mark.long
def test_it_runs_top_to_bottom(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "KFP_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("MAMMOGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    out = tmp_path / "runs"
    check(execute(SETTINGS=QUICK, OUT=str(out), TRACKING_URI=None))
    follow_on_kubeflow(f"sqlite:///{out / 'mlflow.db'}", str(out))


def follow_on_kubeflow(uri, out):
    """The same with a host: the run above takes the place of the one that Kubeflow would have made."""
    kubeflow = Kubeflow()
    kubeflow.script = ["demo-nameless-task", "demo-nameless-task", "demo-frozen-at-end"]
    kubeflow.ids = iter(["e", "p", "v", "run-on-kubeflow"])
    client = tracking.client(uri)
    (parent,) = client.search_runs(
        [client.get_experiment_by_name("mammogan").experiment_id], "tags.`mammogan.kind` = 'pipeline'"
    )
    client.set_tag(parent.info.run_id, "mammogan.run_key", "run-on-kubeflow")
    image = "registry.example.org/mammogan@sha256:" + "c" * 64
    with serve(kubeflow) as host:
        notebook = execute(HOST=host, IMAGE=image, STORE="s3://bucket/store", SETTINGS=QUICK, TRACKING_URI=uri, OUT=out)
    check(notebook)
    assert "select: done after" in texts(notebook)
    assert "the run ended FINISHED" in texts(notebook)
    (run,) = kubeflow.runs.values()
    version = kubeflow.versions[run["pipeline_version_reference"]["pipeline_version_id"]]
    assert "nvidia" not in str(version["pipeline_spec"]), "no accelerators were asked for"


def check(notebook):
    output = texts(notebook)
    assert "lambda=0.5,seed=0" in output
    assert "* winner" in output
    assert "MS-SSIM fake-fake" in output
    assert "against real" in output
    assert "models:/mammogan/1 (8, 28, 28) uint8" in output
    shown = list(pictures(notebook))
    assert len(shown) == 3, "the curves, the samples and the model's images"
    assert all(picture.std() > 5 for picture in shown), "a picture is blank"
