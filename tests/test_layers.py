"""Imports run one way, in the order that docs/architecture.md draws, by what is really imported."""

import ast
import dataclasses
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    *sorted((ROOT / "mammogan").rglob("*.py")),
    *sorted((ROOT / "components").glob("*.py")),
    ROOT / "pipeline.py",
]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    inside = parts if parts[0] == "mammogan" else ("mammogan", *parts)
    return ".".join(inside).removesuffix(".__init__")


MODULES = {module_name(path): path for path in SOURCES}


def drawn():
    """Rooms by layer, the top one first, out of the block ``layers`` of docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    block = re.search(r"```layers\n(.*?)```", text, re.DOTALL)[1]
    return [line.partition("#")[0].split() for line in block.splitlines() if line.partition("#")[0].strip()]


LAYERS = drawn()
RANK = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
ONLY = {
    "kfp": ("mammogan.pipeline", "mammogan.components", "mammogan.launch"),
    "kfp_server_api": ("mammogan.launch",),
    "mlflow": ("mammogan.tracking", "mammogan.registry"),
}
"""Packages that only these rooms know."""
BARE = ("mammogan.models", "mammogan.training", "mammogan.metrics", "mammogan.features", "mammogan.evaluation")
NOT_ON_A_BARE_MACHINE = {"mlflow", "kfp", "lpips", "pydicom", "torchmetrics", "torch_fidelity", "pytorch_msssim"}


@dataclasses.dataclass(frozen=True)
class Import:
    """A module that another one imports, and whether that happens when the latter is itself imported."""

    target: str
    at_once: bool


def imports(name):
    """What a module imports, each name followed to the module that it is or that holds it, but for types alone."""
    tree = ast.parse(MODULES[name].read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    outside = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, id(node) in outside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module if not node.level else resolved(name, node)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield Import(inner if inner in MODULES else source, id(node) in outside)


def resolved(name, node):
    """Absolute name of what a relative import names."""
    package = name.split(".") if MODULES[name].stem == "__init__" else name.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def room(name):
    """The package or module below mammogan that a module belongs to."""
    return name.split(".")[1] if "." in name else "mammogan"


def below(name, tops):
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def test_every_room_is_drawn_once():
    rooms = [item for layer in LAYERS for item in layer]
    assert sorted(rooms) == sorted({room(name) for name in MODULES})


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name):
    for item in imports(name):
        if item.target in MODULES:
            own, other = room(name), room(item.target)
            assert own == other or RANK[own] < RANK[other], f"{name} imports {item.target}, which is not below it"
        package = item.target.split(".")[0]
        if package in ONLY:
            assert below(name, ONLY[package]), f"{name} imports {item.target}"


@pytest.mark.parametrize("name", [name for name in MODULES if below(name, BARE)])
def test_training_and_metrics_import_on_a_bare_gpu_machine(name):
    packages = {item.target.split(".")[0] for item in imports(name) if item.at_once}
    assert not packages & NOT_ON_A_BARE_MACHINE


def test_no_circle():
    graph = {name: {item.target for item in imports(name) if item.target in MODULES} - {name} for name in MODULES}
    for name, targets in graph.items():
        targets -= {name.rpartition(".")[0]}
    assert list(TopologicalSorter(graph).static_order())


def test_the_names_that_the_table_gives_exist():
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = text.partition("## To add something")[2].partition("\n## ")[0]
    named = re.findall(r"`([a-z_/]+\.py)` \(((?:`\w+`(?:, )?)+)\)", rows)
    assert len(named) >= 8
    for path, names in named:
        source = (ROOT / "mammogan" / path).read_text()
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^\s*(?:def |class )?{name}\b", source, re.MULTILINE), f"{path} has no {name}"


def test_no_catch_all_module():
    assert not {path.stem for path in SOURCES} & {"utils", "helpers", "common", "misc", "util"}


def test_an_import_of_a_name_is_followed_to_its_module(tmp_path, monkeypatch):
    """``from mammogan.tracking.runs import close`` is an import of mammogan.tracking.runs."""
    path = tmp_path / "x.py"
    path.write_text("from mammogan.tracking.runs import close\nfrom mammogan.tracking import runs\n")
    monkeypatch.setitem(MODULES, "mammogan.statistics", path)
    assert [item.target for item in imports("mammogan.statistics")] == ["mammogan.tracking.runs"] * 2
    with pytest.raises(AssertionError, match="is not below it"):
        test_imports_go_down("mammogan.statistics")
