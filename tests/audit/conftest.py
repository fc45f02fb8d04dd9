"""Fixtures of the filled data set, of the databases and of the networks."""

from filled_dataset import _write_dataset, dataset, model, snapshot  # noqa: F401
from mlflow_databases import database, quick_runs  # noqa: F401
from random_networks import one_random_frozen, one_random_vgg  # noqa: F401
