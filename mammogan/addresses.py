"""Addresses of servers as they may be said: without the user and the password that some carry."""

from __future__ import annotations

import re
import urllib.parse

_SIGN_IN = re.compile(
    r"(?<=//)([^/?#\s]*@|[^/?#\s:@]+:(?!\d+([/?#\s]|$))\S*@|[^/?#:@\n'\"]+:(?!\d+([/?#\s]|$))[^/?#@\n'\"]*@)"
)
"""A user and a password; also one with a letter in it that should have been written as ``%2F`` or ``%23``, or with a
space."""


def masked(text: str) -> str:
    """The address, or a text with addresses in it, with ``***`` for a user and a password before the host."""
    return _SIGN_IN.sub("***@", text)


def sign_in_of(address: str) -> tuple[str, str, str]:
    """The address without user and password, the user, and the password; empty for what it does not carry."""
    parts = urllib.parse.urlsplit(address)
    before, _, host = parts.netloc.rpartition("@")
    user, _, password = before.partition(":")
    return parts._replace(netloc=host).geturl(), urllib.parse.unquote(user), urllib.parse.unquote(password)
