"""Addresses as they may be said: without the user and password that some carry, and without what signs a query."""

from __future__ import annotations

import re
import urllib.parse

UI_URL = "MLFLOW_UI_URL"
"""Variable with MLflow's address for browsers, where programs reach it by another one."""
DATABASE = "mlflow.db"
"""MLflow's file in a folder of runs."""

_SIGN_IN = re.compile(
    r"(?<=//)([^/?#\s]{0,4999}@|[^/?#\s:@]{1,99}:(?!\d+([/?#\s]|$))\S{0,4999}@|"
    r"[^/?#:@\n'\"]{1,99}:(?!\d+([/?#\s]|$))[^/?#@\n'\"]{0,4999}@)"
)
"""A user and a password; also one with a letter in it that should have been written as ``%2F`` or ``%23``, or with a
space."""

_QUERY = re.compile(r"(://[^\s?#'\"<>]{0,4999})\?([^\s'\"<>]+)")
"""Address before its query, and the query with what follows."""
_SIGNING = r"(?:sig|token|secret|pass|pwd|credential|key|auth|session|jwt|x-amz|x-goog)"
_SECRET = re.compile(rf"(?i)(?:^|[&;?])[^=&;]{{0,99}}{_SIGNING}[^=&;]{{0,99}}=")
"""A parameter by which an address is signed, or that signs in: S3, Google and Azure have several each."""
_STRAY_SIGN_IN = re.compile(r"(?<=:/)[^/?#\s:@]{1,99}:(?!\d+([/?#\s]|$))[^/\s@]{1,4999}@")
"""A user and a password behind a slash where two should be."""
_STRAY_SECRET = re.compile(
    r"(?i)([?&;#])(?:sig(?:nature)?|(?:[a-z]{1,20}[-_])?token|[a-z_-]{0,20}secret|password|passwd|pwd|credentials?|jwt|"
    r"(?:aws)?_?(?:api|access)_?key(?:_?id)?|x-(?:amz|goog)-[a-z-]{1,40})=[^\s'\"<>]+"
)
"""Such a parameter, by its whole name, where no address tells of a query: behind a blank, a ``#`` or a ``;``."""


def masked(text: str) -> str:
    """The address, or a text with addresses in it, with ``***`` for what signs in.

    That is a user and a password before the host, and a whole query, or part behind a ``#`` or ``;``, that holds a
    signature, a key, a token or a password: of a presigned address no part but the path is worth saying.
    """
    without = _STRAY_SIGN_IN.sub("***@", _SIGN_IN.sub("***@", text))
    return _STRAY_SECRET.sub(r"\1***", _QUERY.sub(_query_masked, without))


def _query_masked(match: re.Match[str]) -> str:
    query = urllib.parse.unquote(match[2])
    return f"{match[1]}?***" if _SECRET.search(query) else match[0]


def sign_in_of(address: str) -> tuple[str, str, str]:
    """The address without user and password, the user, and the password; empty for what it does not carry."""
    parts = urllib.parse.urlsplit(address)
    before, _, host = parts.netloc.rpartition("@")
    user, _, password = before.partition(":")
    return parts._replace(netloc=host).geturl(), urllib.parse.unquote(user), urllib.parse.unquote(password)
