"""Names as Kubernetes' API server admits them: the rules of its ``validation`` package, asked before it is."""

from __future__ import annotations

import re

LONGEST_LABEL = 63
LONGEST_SUBDOMAIN = 253

_LABEL = re.compile(r"[a-z0-9]([a-z0-9\-]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_PLAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.\-]*[A-Za-z0-9])?")


def is_label(text: str) -> bool:
    """Whether it is an RFC 1123 label: the name of a namespace, a volume or a container."""
    return len(text) <= LONGEST_LABEL and bool(_LABEL.fullmatch(text))


def is_subdomain(text: str) -> bool:
    """Whether it is an RFC 1123 subdomain: the name of most other things."""
    return len(text) <= LONGEST_SUBDOMAIN and bool(_SUBDOMAIN.fullmatch(text))


def is_label_value(text: str) -> bool:
    """Whether it can be the value of a label or of a taint; empty can."""
    return not text or (len(text) <= LONGEST_LABEL and bool(_PLAIN.fullmatch(text)))


def is_qualified(text: str) -> bool:
    """Whether it can be the key of a label, of a taint or of a resource: NAME or PREFIX/NAME."""
    prefix, slash, name = text.rpartition("/")
    return bool(name) and is_label_value(name) and (is_subdomain(prefix) if slash else True)


def is_label_pair(text: str) -> bool:
    """Whether it is KEY=VALUE of a label."""
    key, equals, value = text.partition("=")
    return bool(equals) and is_qualified(key) and is_label_value(value)
