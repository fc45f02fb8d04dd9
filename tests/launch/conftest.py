"""What tests against the pretended Kubeflow share."""

import functools

import pytest
from kubeflow import Kubeflow, serve
from mlflow_databases import quick_runs  # noqa: F401

from mammogan import pipeline
from mammogan.launch import compiled
from mammogan.launch import server as server_module

compile_pipeline = compiled.compile_pipeline


@functools.cache
def compile_once(name, pods):
    assert name == "mammogan"
    return compile_pipeline(pipeline.experiment, None, pods)


@pytest.fixture
def quick(monkeypatch):
    """No pauses, no sign-in from outside, and the real compiler once for each input."""
    monkeypatch.setattr(server_module, "PAUSE_S", 0.0)
    for name in ("KFP_TOKEN", "KFP_COOKIE", "KFP_USER", "KFP_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(compiled, "compile_pipeline", lambda graph, _, pods: compile_once(graph.name, pods))


@pytest.fixture
def kubeflow():
    return Kubeflow()


@pytest.fixture
def host(kubeflow):
    with serve(kubeflow) as address:
        yield address
