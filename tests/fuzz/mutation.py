"""How inputs are broken: anywhere in their bytes, and in a tree of values by what a type, size or nesting may be."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

EXTREMES = (
    b"\0" * 4, b"\xff" * 4, b"\xff\x7f\xff\x7f", b"\0\0\0\x80", b"\xfe\xff\x00\xe0", b"99999999", b"-1", b"1e999",
    b"nan", b"../../x", b"/etc/passwd", b'"', b"'", b"\n", b"\r", b",", b"\0", b"%s", b"=1+1",
    b"\xef\xbb\xbf", b"\xed\xa0\x80",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2, 3, 7, 255, 256, 65535, 65536, 1 << 24, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 63, 1 << 200)
VALUES = (
    *NUMBERS, None, True, False, "", "x", "nan", "../../x", "\ud800", "a" * 5000, 0.5, -1.5, 1e308, float("inf"),
    float("nan"), [], {}, [None], {"": None}, [[[]]], ["x"] * 50, {"x": {"x": 1}},
)  # fmt: skip
DEEP = 100_000
"""Levels of nesting that no reader by recursion survives."""


def damaged(rng: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """The bytes, broken in one to six places; ``others`` lend parts of theirs."""
    for _ in range(rng.randint(1, 6)):
        content = rng.choice(_STEPS)(rng, content)
        if others and rng.random() < 0.05:
            other, at = rng.choice(others), rng.randrange(len(content) + 1)
            content = content[:at] + other[rng.randrange(len(other) + 1) :]
    return content


def _flip(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + bytes(byte ^ (1 << rng.randrange(8)) for byte in content[at : at + 1]) + content[at + 1 :]


def _put(rng: random.Random, content: bytes) -> bytes:
    at, extreme = rng.randrange(len(content) + 1), rng.choice(EXTREMES)
    return content[:at] + extreme + content[at + len(extreme) :]


def _insert(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(EXTREMES) * rng.choice((1, 1, 1, 50)) + content[at:]


def _number(rng: random.Random, content: bytes) -> bytes:
    """A length, a count or an offset that tells another size."""
    at, width, order = rng.randrange(len(content) + 1), rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    number = rng.choice(NUMBERS) % (1 << 8 * width)
    return content[:at] + number.to_bytes(width, order) + content[at + width :]


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _delete(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + content[at + rng.randint(1, 64) :]


def _repeat(rng: random.Random, content: bytes) -> bytes:
    at, length = rng.randrange(len(content) + 1), rng.choice((1, 8, 200, 5000))
    return content[:at] + content[at : at + length] * rng.choice((2, 3, 30)) + content[at + length :]


def _swap(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[at:] + content[:at]


_STEPS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip, _flip, _put, _put, _insert, _number, _number, _number, _cut, _delete, _repeat, _swap,
)  # fmt: skip


def changed(rng: random.Random, tree: object) -> object:
    """A tree of dicts, lists and values with one to three nodes replaced, removed, doubled or renamed."""
    for _ in range(rng.randint(1, 3)):
        tree = _changed_once(rng, tree)
    return tree


def _changed_once(rng: random.Random, tree: object) -> object:
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(sorted(tree, key=str))
        step = rng.random()
        if step < 0.1:
            return {name: value for name, value in tree.items() if name != key}
        if step < 0.2:
            return {rng.choice(("", "x", "__class__", f"{name}_")) if name == key else name: value
                    for name, value in tree.items()}  # fmt: skip
        return {**tree, key: _changed_once(rng, tree[key])}
    if isinstance(tree, list) and tree and rng.random() < 0.85:
        at, step = rng.randrange(len(tree)), rng.random()
        if step < 0.1:
            return tree[:at] + tree[at + 1 :]
        if step < 0.2:
            return tree[:at] + [tree[at]] * rng.choice((2, 100)) + tree[at:]
        return [*tree[:at], _changed_once(rng, tree[at]), *tree[at + 1 :]]
    if isinstance(tree, bytes):
        return damaged(rng, tree)
    if isinstance(tree, int) and not isinstance(tree, bool) and rng.random() < 0.3:
        return tree + rng.choice((-1, 1, 1 << 40))
    return rng.choice(VALUES)
