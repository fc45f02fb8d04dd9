"""Processes that write the same thing into MLflow at once: it is there once, and none of them fails."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import mlflow_servers
import pytest
from mlflow.entities import Dataset, DatasetInput, Param
from mlflow.exceptions import MlflowException

from mammogan import tracking
from mammogan.tracking import database as databases

WRITERS = 6
TIMES = 8


@pytest.fixture(scope="module", params=["database", "server"])
def address(request, empty_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    file = shutil.copyfile(empty_database, folder / "mlflow.db")
    if request.param == "database":
        yield databases.address_of(file)
        return
    with mlflow_servers.mlflow_server(f"sqlite:///{file}", str(folder / "artifacts"), folder) as server:
        yield server.uri


@pytest.fixture(scope="module")
def run(address, tmp_path_factory):
    experiment = tracking.ensure_experiment("at once", str(tmp_path_factory.mktemp("artifacts")), address)
    client = tracking.client(address)
    run = client.create_run(experiment)
    client.create_registered_model("model")
    client.create_model_version("model", run.info.artifact_uri, run.info.run_id)
    return run.info


WRITES = {
    "tag": lambda client, run, name, value: client.set_tag(run.run_id, name, value),
    "experiment tag": lambda client, run, name, value: client.set_experiment_tag(run.experiment_id, name, value),
    "version tag": lambda client, _, name, value: client.set_model_version_tag("model", "1", name, value),
    "model tag": lambda client, _, name, value: client.set_registered_model_tag("model", name, value),
    "alias": lambda client, _, name, __: client.set_registered_model_alias("model", name, "1"),
    "input": lambda client, run, name, _: client.log_inputs(
        run.run_id, [DatasetInput(Dataset(name, "digest", "mammogan", "{}"))]
    ),
    "parameter": lambda client, run, name, _: client.log_batch(run.run_id, params=[Param(name, "same")]),
}


@pytest.mark.parametrize("kind", WRITES)
def test_whoever_is_not_the_first_finds_what_the_first_one_stored(address, run, kind):
    together = threading.Barrier(WRITERS)

    def write(writer):
        client, failed = tracking.client(address), []
        for time in range(TIMES):
            together.wait()
            try:
                WRITES[kind](client, run, f"{kind.replace(' ', '_')}{time}", f"{writer}")
            except MlflowException as error:
                failed.append(error)
        return failed

    with ThreadPoolExecutor(WRITERS) as pool:
        assert [failed for each in pool.map(write, range(WRITERS)) for failed in each] == []
