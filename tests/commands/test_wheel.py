"""What a wheel installs: one package with graph and components inside, and one command that works from anywhere."""

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MAMMOGAN = [sys.executable, "-P", "-m", "mammogan"]
SOURCES = (".py", ".html", ".css", ".js")
IMAGE = f"registry.example.org/mammogan@sha256:{'a' * 64}"

pytest.importorskip("hatchling", reason="the build backend is not installed; make setup brings it")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Keywords of a process in an empty folder that finds the wheel's package before the checkout's."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    wheel.extractall(site)
    place = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": str(site)}, "text": True}
    command = [sys.executable, "-P", "-c", "import mammogan; print(mammogan.__file__)"]
    assert subprocess.check_output(command, **place).startswith(str(site))
    return place


def test_the_only_package_is_ours(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    (metadata,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"mammogan", metadata}
    record = wheel.read(f"{metadata}/RECORD").decode().splitlines()
    assert {line.split("/")[0] for line in record} == tops
    assert wheel.read(f"{metadata}/entry_points.txt").decode().split() == [
        *("[console_scripts]", "mammogan", "=", "mammogan.command_line:start")
    ]


def test_it_brings_graph_components_templates_and_types(wheel):
    here = {str(path.relative_to(ROOT)) for path in (ROOT / "mammogan").rglob("*") if path.suffix in SOURCES}
    here |= {f"mammogan/components/{path.name}" for path in (ROOT / "components").glob("*.py")}
    assert here | {"mammogan/pipeline.py", "mammogan/py.typed"} <= set(wheel.namelist())
    assert not [name for name in wheel.namelist() if "__pycache__" in name or "tests" in name]


def test_commands_work_in_an_empty_folder(installed, tmp_path):
    assert subprocess.check_output([*MAMMOGAN, "--version"], **installed).startswith("mammogan ")
    path = tmp_path / "graph.yaml"
    options = ["--preset", "demo", "--source", "phantom", "--store", "s3://bucket/store", "--image", IMAGE]
    subprocess.run([*MAMMOGAN, "compile", str(path), *options], **installed, check=True, capture_output=True)
    graph, _ = yaml.safe_load_all(path.read_text())
    images = {executor["container"]["image"] for executor in graph["deploymentSpec"]["executors"].values()}
    assert images == {IMAGE}


@pytest.mark.long
def test_the_graph_begins_to_run(installed, tmp_path):
    """As far as the second step: kfp, the graph, the first component and MLflow have then worked from the wheel."""
    command = [*MAMMOGAN, "run", "--preset", "demo", "--out", str(tmp_path), "--tracking-uri", ""]
    run = subprocess.Popen(command, **installed, stderr=subprocess.PIPE, start_new_session=True)
    lines = []
    try:
        while line := run.stderr.readline():
            lines.append(line.strip())
            if line == "-> ingest\n":
                break
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    assert lines[-2:] == ["-> start", "-> ingest"]
