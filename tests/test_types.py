"""What passes from module to module has a type: no mapping of str to anything, no alias for one, no TypedDict."""

import ast
import contextlib
import functools

import pytest
from test_layers import MODULES

MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict", "UserDict", "ChainMap"}
ANYTHING = {"Any", "object"}
BORDERS = {
    "mammogan.codec": "JSON itself",
    "mammogan.serving.GeneratorService.predict": "MLflow calls it with its own parameters",
}
"""What may take or give one, and why."""


class Names(ast.NodeTransformer):
    """Gives what a module imports under another name its own name back."""

    def __init__(self, tree):
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        self.own = {name.asname: name.name for node in imports for name in node.names if name.asname}

    def visit_Name(self, node):
        return ast.copy_location(ast.Name(self.own.get(node.id, node.id), node.ctx), node)


def name_of(node):
    """Last part of a name, such as ``Any`` of ``typing.Any``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def parsed(annotation):
    """An annotation that was written as text is read as one."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        with contextlib.suppress(SyntaxError):
            return ast.parse(annotation.value, mode="eval").body
    return annotation


def is_untyped(annotation, aliases=frozenset()):
    """Whether an annotation holds a mapping whose values may be anything, a bare one, or a name that stands for one."""
    inside_a_mapping = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and name_of(node.value) in MAPPINGS:
            inside_a_mapping.add(id(node.value))
            values = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
            if any(name_of(part) in ANYTHING | aliases for part in ast.walk(values)):
                return True
    return any(
        name_of(node) in aliases or (name_of(node) in MAPPINGS and id(node) not in inside_a_mapping)
        for node in ast.walk(annotation)
    )


def aliases_of(tree, others=frozenset()):
    """Names of a module that stand for such a mapping, or for anything; ``others`` are those of other modules."""
    assigned = [(node.targets[0], node.value) for node in tree.body if isinstance(node, ast.Assign)]
    assigned += [(node.target, node.value) for node in tree.body if isinstance(node, ast.AnnAssign) and node.value]
    types = (ast.Subscript, ast.BinOp, ast.Constant)
    aliases = set()
    for name, value in assigned:
        value = parsed(value)
        stands = name_of(value) in ANYTHING | others | aliases
        if stands or (isinstance(value, types) and is_untyped(value, others | aliases)):
            aliases.add(name_of(name))
    aliases |= {
        node.name for node in tree.body if isinstance(node, ast.ClassDef) and any(map(is_untyped, bases_of(node)))
    }
    return aliases - {""}


def bases_of(node):
    """Base classes but for those that say with a type what they hold."""
    return [base for base in node.bases if not (isinstance(base, ast.Subscript) and name_of(base.value) == "Generic")]


def read(source):
    """A module's tree, with everything under its own name."""
    tree = ast.parse(source)
    return Names(tree).visit(tree)


@functools.cache
def all_aliases():
    """Such names of every module, and of those that import them under this name or that."""
    trees = [read(path.read_text()) for name, path in MODULES.items() if name not in BORDERS]
    found = frozenset()
    while (more := found.union(*(aliases_of(tree, found) for tree in trees))) != found:
        found = more
    return found


def annotations(body, owner):
    """Every annotation of what a module shows to others, with the name of what carries it."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from annotations(node.body, f"{owner}.{node.name}")
        elif isinstance(node, ast.AnnAssign) and not name_of(node.target).startswith("_"):
            yield f"{owner}.{name_of(node.target)}", node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            not node.name.startswith("_") or node.name == "__call__"
        ):
            given = node.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            hints = [argument.annotation for argument in arguments if argument] + [node.returns]
            yield from ((f"{owner}.{node.name}", annotation) for annotation in hints if annotation)


def untyped(module, source, others=frozenset()):
    """What of a module's source breaks the rule."""
    tree = read(source)
    aliases = aliases_of(tree, others) | others
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(name_of(base) == "TypedDict" for base in node.bases):
            yield f"{module}.{node.name}"
    for name, annotation in annotations(tree.body, module):
        if is_untyped(parsed(annotation), aliases):
            yield name


@pytest.mark.parametrize("module", [name for name in MODULES if name not in BORDERS])
def test_no_mapping_of_anything_passes_between_modules(module):
    assert set(untyped(module, MODULES[module].read_text(), all_aliases())) <= set(BORDERS)


@pytest.mark.parametrize(
    "source",
    [
        "def f(x: Mapping[str, Any]): ...",
        "def f(*, x: 'dict[str, list[object]]'): ...",
        "def f() -> list[dict[str, typing.Any]] | None: ...",
        "def f(x: dict): ...",
        "Row = dict[str, Any]\ndef f() -> Iterator[Row]: ...",
        "class A:\n    x: Mapping[str, Mapping[str, object]]",
        "class A:\n    def f(self, **x: Mapping): ...",
        "class A(TypedDict):\n    x: int",
        "async def f(x: dict[str, Any]): ...",
        "from typing import Any as Thing\ndef f(x: dict[str, Thing]): ...",
        "from collections.abc import Mapping as M\ndef f(x: M): ...",
        "Json = Any\ndef f(x: Json): ...",
        "Json = Any\ndef f(x: dict[str, Json]): ...",
        "Json: TypeAlias = 'dict[str, Any]'\ndef f(x: Json): ...",
        "Row = dict[str, Any]\nRows = list[Row]\ndef f(x: Rows): ...",
        "class Row(dict[str, Any]): ...\ndef f(x: Row): ...",
        "class Row(UserDict): ...\ndef f() -> Row: ...",
        "def f(x: ImportedRow): ...",
        "from mammogan.rows import ImportedRow as R\ndef f(x: list[R]): ...",
        "def f(x: list[tuple[str, dict[str, tuple[Any, ...]]]]): ...",
    ],
)
def test_the_rule_finds(source):
    assert list(untyped("m", source, frozenset({"ImportedRow"})))


@pytest.mark.parametrize(
    "source",
    [
        "def f(x: Mapping[str, float]) -> dict[str, list[str]]: ...",
        "def _f(x: dict[str, Any]): ...",
        "class _A:\n    x: dict[str, Any]",
        "Row = dict[str, Any]\ndef f() -> int: ...",
        "def f(x: object, y: Any): ...",
        "TABLE = {'a': dict}",
    ],
)
def test_the_rule_leaves_alone(source):
    assert not list(untyped("m", source))
