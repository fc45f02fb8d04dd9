"""Fixtures of the filled data set."""

from filled_dataset import _write_dataset, dataset, model, snapshot  # noqa: F401
