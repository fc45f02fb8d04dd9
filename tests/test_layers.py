"""Imports run one way, and nobody opens a catch-all module."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for top in ("mammogan", "components", "pipeline.py")
    for path in ([ROOT / top] if top.endswith(".py") else (ROOT / top).rglob("*.py"))
)
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}
ONLY = {"kfp": ("pipeline", "components", "launch"), "mlflow": ("mammogan.tracking", "mammogan.registry")}
BARE = (
    "mammogan.models",
    "mammogan.training",
    "mammogan.metrics",
    "mammogan.config",
    "mammogan.storage",
    "mammogan.patience",
)
NOT_ON_A_BARE_MACHINE = {"mlflow", "kfp", "lpips", "pydicom", "torchmetrics", "torch_fidelity", "pytorch_msssim"}


def imports(path, *, top_level_only=False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def below(name, tops):
    return any(name == top or name.startswith(f"{top}.") for top in tops)


@pytest.mark.parametrize("name", MODULES)
def test_who_may_import_what(name):
    for imported in imports(MODULES[name]):
        package = imported.split(".")[0]
        if package in ONLY:
            assert below(name, ONLY[package]), f"{name} imports {imported}"
        if below(name, ("mammogan",)):
            assert package not in ("components", "launch", "pipeline"), f"{name} imports {imported}"
        if below(name, ("components",)):
            assert package not in ("launch", "pipeline"), f"{name} imports {imported}"
        if below(name, BARE):
            assert imported not in (
                "mammogan.tracking",
                "mammogan.registry",
                "mammogan.reporting.report",
                "mammogan.commands",
            )


@pytest.mark.parametrize("name", [name for name in MODULES if below(name, BARE)])
def test_training_and_metrics_import_on_a_bare_gpu_machine(name):
    packages = {imported.split(".")[0] for imported in imports(MODULES[name], top_level_only=True)}
    assert not packages & NOT_ON_A_BARE_MACHINE


def test_no_circle():
    graph = {name: {i for i in imports(path) if i in MODULES and i != name} for name, path in MODULES.items()}
    for name, targets in graph.items():
        targets -= {name.rpartition(".")[0]}
    assert list(TopologicalSorter(graph).static_order())


def test_no_catch_all_module():
    assert not {path.stem for path in SOURCES} & {"utils", "helpers", "common", "misc", "util"}
