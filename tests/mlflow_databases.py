"""MLflow databases for tests: one is made, every other one is a copy, because making the tables takes seconds."""

import shutil

import pytest


@pytest.fixture(scope="module")
def database(empty_database, tmp_path_factory):
    """URI of a database of the module's own."""
    return f"sqlite:///{shutil.copyfile(empty_database, tmp_path_factory.mktemp('mlflow') / 'mlflow.db')}"


@pytest.fixture(scope="module")
def little_code(tmp_path_factory):
    """Registered models carry two files of the package in place of two hundred: where files go, not what they do."""
    from mammogan.registry import model

    folder = tmp_path_factory.mktemp("code") / "mammogan"
    folder.mkdir()
    for name in ("__init__.py", "serving.py"):
        shutil.copyfile(model.CODE / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "CODE", folder)
        yield


@pytest.fixture(scope="module", autouse=True)
def quick_runs():
    """Opening a run waits for other processes that open the same one; here there are none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mammogan.tracking.runs.SETTLE_S", 0.0)
        yield
