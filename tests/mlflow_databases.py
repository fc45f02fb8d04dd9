"""MLflow databases for tests: one is made, every module gets a copy, because making the tables takes seconds."""

import shutil

import pytest

from mammogan import tracking


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
        tracking.client(make=True).search_experiments()
    return path


@pytest.fixture(scope="module")
def database(empty_database, tmp_path_factory):
    """URI of a database of the module's own."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    shutil.copyfile(empty_database, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="module", autouse=True)
def quick_runs():
    """Opening a run waits for other processes that open the same one; here there are none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mammogan.tracking.runs.SETTLE_S", 0.0)
        yield
