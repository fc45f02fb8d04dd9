"""The sentence of each dataclass field: the string literal below it, which Python itself does not keep."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import textwrap
import typing
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@functools.cache
def field_docs(kind: type[DataclassInstance]) -> Mapping[str, str]:
    """Field to sentence of a dataclass, on one line each, inherited fields too, nested dataclasses by dotted name.

    A field without a sentence is left out. Raises OSError where the source of the class is not installed.
    """
    sentences: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            sentences |= _below_fields(base)
    types = typing.get_type_hints(kind)
    docs: dict[str, str] = {}
    for field in dataclasses.fields(kind):
        inner = types[field.name]
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            docs |= {f"{field.name}.{name}": sentence for name, sentence in field_docs(inner).items()}
        elif field.name in sentences:
            docs[field.name] = sentences[field.name]
    return MappingProxyType(docs)


def _below_fields(kind: type) -> dict[str, str]:
    """Sentences of the fields that a class itself declares, read from its source."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    docs: dict[str, str] = {}
    for above, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name):
            match below:
                case ast.Expr(ast.Constant(str() as text)):
                    docs[above.target.id] = " ".join(text.split())
    return docs
