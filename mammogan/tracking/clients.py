"""Clients of MLflow that make a request again where its database refused it for a reason that passes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mammogan.tracking.database import Result, asked

REFUSED = "BAD_REQUEST"
"""Code under which MLflow hands on, unread, that its database refused a statement."""


class ServerClient(MlflowClient):
    """Client whose every request that the database behind MLflow refuses is made once more.

    MLflow looks whether a tag, an alias or an input is there and stores it where it is not. Of processes that do so at
    once, one alone can: the statements of the others are refused. Asked again, MLflow finds what was stored.
    """

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401  (whatever the client has by that name)
        """The client's attribute; a public method asks as ``_ask`` does."""
        attribute = super().__getattribute__(name)
        if name.startswith("_") or not callable(attribute):
            return attribute

        @functools.wraps(attribute)
        def patient(*given: object, **named: object) -> object:
            return self._ask(lambda: attribute(*given, **named))

        return patient

    def _ask(self, request: Callable[[], Result]) -> Result:
        try:
            return request()
        except MlflowException as error:
            if error.error_code != REFUSED:
                raise
            return request()


class DatabaseClient(ServerClient):
    """Client of a database that its process opens itself; a lock of it is waited for as ``database.asked`` does.

    Each request may be made twice, as over HTTP.
    """

    def _ask(self, request: Callable[[], Result]) -> Result:
        return asked(lambda: super(DatabaseClient, self)._ask(request), self.tracking_uri)
