"""Dataclasses to JSON and back, strictly: a field that is missing, unknown or of another type is refused by name.

A document carries ``"format"``; what an older version wrote is named as such and never read as something else. A field
whose name Python keeps for itself ends in ``_`` in the dataclass alone.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import TypeVar

FORMAT = "format"
T = TypeVar("T")


class OlderFormatError(ValueError):
    """A document that another version of this software wrote."""


def encode(value: object) -> object:
    """JSON's own types for a dataclass, an enum, a tuple, a mapping or a plain value; fields in their order."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_key(field.name): encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def decode(kind: type[T], data: object, where: str = "") -> T:
    """A value of the dataclass ``kind`` from what ``json.loads`` gives. Raises ValueError that names the field."""
    return typing.cast(T, _decode(kind, data, where or kind.__name__))


def dumps(value: object, version: int) -> bytes:
    """The document of a dataclass, with its format. Raises ValueError for a number that is not finite."""
    content = encode(value)
    assert isinstance(content, dict)
    return (json.dumps({FORMAT: version, **content}, indent=1, allow_nan=False) + "\n").encode()


def line(value: object, version: int) -> bytes:
    """The document of a dataclass in one line, its end included."""
    return json.dumps(json.loads(dumps(value, version)), separators=(",", ":")).encode() + b"\n"


def loads(kind: type[T], document: bytes | str, version: int, where: str) -> T:
    """The dataclass of a document of that format; ``where`` names it in errors.

    Raises OlderFormatError for one of another format, ValueError for one that is broken.
    """
    content = parsed(document, where)
    if not isinstance(content, dict):
        raise ValueError(f"{where}: it holds no object; write it again")
    written = content.pop(FORMAT, 1)
    if written != version:
        raise OlderFormatError(
            f"{where}: it has format {written!r} of another version of mammogan, this one reads format {version}; "
            "run the step that writes it again"
        )
    return decode(kind, content, where)


def parsed(document: bytes | str, where: str) -> object:
    """What ``json.loads`` gives; ``where`` names the document in errors. Raises ValueError alone, of one line."""
    try:
        return json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: it is no JSON ({error}); write it again") from error


@cache
def _hints(kind: type) -> dict[str, object]:
    return typing.get_type_hints(kind)


def _decode(kind: object, data: object, where: str) -> object:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_dataclass(kind, data, where)
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(parts, data, where)
    if origin is typing.Literal:
        if data not in parts:
            raise ValueError(f"{where}={data!r}: give one of {', '.join(map(str, parts))}")
        return data
    if origin is tuple:
        return _decode_tuple(parts, data, where)
    if origin is not None and issubclass(typing.cast(type, origin), Mapping):
        if not isinstance(data, dict):
            raise ValueError(f"{where}={data!r}: give an object")
        return {key: _decode(parts[1], item, f"{where}.{key}") for key, item in data.items()}
    return _scalar(typing.cast(type, kind), data, where)


def _decode_union(parts: tuple[object, ...], data: object, where: str) -> object:
    if data is None and type(None) in parts:
        return None
    rest = [part for part in parts if part is not type(None)]
    return _decode(rest[0] if len(rest) == 1 else _plain(rest, data, where), data, where)


def _decode_tuple(parts: tuple[object, ...], data: object, where: str) -> object:
    if not isinstance(data, list):
        raise ValueError(f"{where}={data!r}: give a list")
    if len(parts) == 2 and parts[1] is Ellipsis:
        return tuple(_decode(parts[0], item, f"{where}[{number}]") for number, item in enumerate(data))
    if len(parts) != len(data):
        raise ValueError(f"{where}={data!r}: give {len(parts)} values")
    return tuple(_decode(part, item, where) for part, item in zip(parts, data, strict=True))


def _plain(kinds: list[object], data: object, where: str) -> object:
    for kind in kinds:
        if isinstance(kind, type) and isinstance(data, kind):
            return kind
    raise ValueError(f"{where}={data!r}: give one of {', '.join(map(str, kinds))}")


def _decode_dataclass(kind: type, data: object, where: str) -> object:
    if not isinstance(data, dict):
        raise ValueError(f"{where}={data!r}: give an object")
    fields = {_key(field.name): field for field in dataclasses.fields(kind)}  # ty: ignore[invalid-argument-type]
    if unknown := sorted(set(data) - set(fields)):
        raise ValueError(f"{where}: unknown field {unknown[0]!r}")
    missing = [name for name, field in fields.items() if name not in data and not _has_default(field)]
    if missing:
        raise ValueError(f"{where}: the field {missing[0]!r} is missing")
    hints = _hints(kind)
    names = {key: field.name for key, field in fields.items()}
    values = {names[key]: _decode(hints[names[key]], item, f"{where}.{key}") for key, item in data.items()}
    try:
        return kind(**values)
    except ValueError as error:  # of the dataclass itself, which does not know where it stands
        raise ValueError(f"{where}: {error}") from error


def _key(name: str) -> str:
    """What a field is called in JSON."""
    return name.removesuffix("_")


def _has_default(field: dataclasses.Field) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _scalar(kind: type, data: object, where: str) -> object:
    if issubclass(kind, Enum):
        try:
            return kind(data)
        except ValueError:
            raise ValueError(f"{where}={data!r}: give one of {', '.join(str(item.value) for item in kind)}") from None
    if kind is float and isinstance(data, int | float) and not isinstance(data, bool) and math.isfinite(data):
        return float(data)
    if isinstance(data, kind) and (kind is bool or not isinstance(data, bool)) and kind is not float:
        return data
    raise ValueError(f"{where}={data!r}: give a {kind.__name__}")
