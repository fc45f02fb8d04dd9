"""What passes from module to module has a type: no mapping of str to anything, no alias for one, no TypedDict."""

import ast

import pytest
from test_layers import MODULES

MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict"}
ANYTHING = {"Any", "object"}
BORDERS = {
    "mammogan.codec": "JSON itself",
    "mammogan.serving.GeneratorService.predict": "MLflow calls it with its own parameters",
}
"""What may take or give one, and why."""


def name_of(node):
    """Last part of a name, such as ``Any`` of ``typing.Any``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def parsed(annotation):
    """An annotation that was written as text is read as one."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return ast.parse(annotation.value, mode="eval").body
    return annotation


def is_untyped(annotation, aliases=frozenset()):
    """Whether an annotation holds a mapping whose values may be anything, a bare one, or a name that stands for one."""
    inside_a_mapping = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Subscript) and name_of(node.value) in MAPPINGS:
            inside_a_mapping.add(id(node.value))
            values = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
            if any(name_of(part) in ANYTHING for part in ast.walk(values)):
                return True
    return any(
        name_of(node) in aliases or (name_of(node) in MAPPINGS and id(node) not in inside_a_mapping)
        for node in ast.walk(annotation)
    )


def aliases_of(tree):
    """Names of a module that stand for such a mapping."""
    assigned = [(node.targets[0], node.value) for node in tree.body if isinstance(node, ast.Assign)]
    types = (ast.Subscript, ast.BinOp)
    return {name_of(name) for name, value in assigned if isinstance(value, types) and is_untyped(value)} - {""}


def annotations(body, owner):
    """Every annotation of what a module shows to others, with the name of what carries it."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from annotations(node.body, f"{owner}.{node.name}")
        elif isinstance(node, ast.AnnAssign) and not name_of(node.target).startswith("_"):
            yield f"{owner}.{name_of(node.target)}", node.annotation
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__call__"):
            given = node.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            hints = [argument.annotation for argument in arguments if argument] + [node.returns]
            yield from ((f"{owner}.{node.name}", annotation) for annotation in hints if annotation)


def untyped(module, source):
    """What of a module's source breaks the rule."""
    tree = ast.parse(source)
    aliases = aliases_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(name_of(base) == "TypedDict" for base in node.bases):
            yield f"{module}.{node.name}"
    for name, annotation in annotations(tree.body, module):
        if is_untyped(parsed(annotation), aliases):
            yield name


@pytest.mark.parametrize("module", [name for name in MODULES if name not in BORDERS])
def test_no_mapping_of_anything_passes_between_modules(module):
    assert set(untyped(module, MODULES[module].read_text())) <= set(BORDERS)


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
    ],
)
def test_the_rule_finds(source):
    assert list(untyped("m", source))


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
