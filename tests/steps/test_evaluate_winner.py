"""The winner measured anew in a run: the look is recorded first, a failure costs the figure and not the version."""

import pytest
import torch
from filled_dataset import write_dataset
from sample_run import snapshot_evaluation

from mammogan import registry, results, tracking
from mammogan.config import PRESETS, Trial, override
from mammogan.data import manifest
from mammogan.data.minority import filter_minority
from mammogan.evaluation import winner as measuring
from mammogan.graph import Step
from mammogan.ledger import State, Task
from mammogan.models.generator import Generator, save_snapshot
from mammogan.registry import notes
from mammogan.reporting import winner as wording
from mammogan.results import Outcome, Unmeasured, WinnerResult
from mammogan.selection.ranking import select
from mammogan.steps import StepContext, evaluate_winner
from mammogan.tracking import looks, purge

NAME = "evaluate_winner"
CONFIG = override(
    PRESETS["demo"],
    {
        "data.size": 28, "evaluate.extractor": "random", "evaluate.fakes": 12, "evaluate.pairs": 12,
        "select.model_name": NAME,
    },
)  # fmt: skip


@pytest.fixture
def client(database, little_code, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "spool"))
    tracking.ensure_experiment(tmp_path.name, str(tmp_path / "artifacts"))
    return tracking.client()


@pytest.fixture
def data(tmp_path):
    """A class of 12 train and 6 test patients, whose files are this test's own."""
    return dataset(tmp_path, test=6)


def dataset(folder, test):
    whole = write_dataset(folder / "whole", {"train": (14, 12), "test": (3, test)})
    frame = manifest.read(whole)
    manifest.write(frame.assign(source_sha256=[f"{folder.name} {name}" for name in frame["image_id"]]), whole)
    filter_minority(whole, "auto", folder / "rare")
    return folder / "rare"


@pytest.fixture
def measure(client, tmp_path):
    """A run of the graph that has selected: ``measure(key, data)`` gives its id, result and registered version."""
    torch.manual_seed(0)
    save_snapshot(Generator(28, 4, 8), 1, tmp_path / "winner")
    evaluated = snapshot_evaluation(Trial(3.0, 0), 1, 0.2)
    results.write(select([evaluated], CONFIG.select), tmp_path / "decision.json")

    def measure(key, data):
        parent = tracking.open_parent(tmp_path.name, f"{tmp_path.name} {key}", CONFIG, {})
        paths = [tmp_path / name for name in ("decision.json", "winner", "result.json")]
        measured = evaluate_winner.run(StepContext(CONFIG, parent), data, *paths)
        assert results.read(WinnerResult, tmp_path / "result.json") == measured
        assert tracking.read_run(parent).findings.result == measured
        version = registry.register(paths[1], paths[0], paths[2], parent, CONFIG)
        notes.write_outcome(NAME, version, Outcome.PASSED, "passed")
        return parent, measured, version

    return measure


def test_the_figure_is_registered_with_the_number_of_looks(client, measure, data):
    parent, first, version = measure("one", data)
    assert (first.unmeasured, first.test_set.images, first.test_set.looks) == (None, 6, 1)
    metrics = client.get_run(parent).data.metrics
    figure = first.figures()[0]
    assert metrics[figure.quantity.result_key] == figure.value
    purge.remove(purge.held(runs=[parent]).items)
    assert tracking.read_run(parent).findings.result == first  # numbers stay when what tells of patients goes
    registered = client.get_model_version(NAME, version)
    (model,) = client.search_logged_models([client.get_run(parent).info.experiment_id])
    assert {item.key: item.value for item in model.metrics}[figure.quantity.result_key] == figure.value
    assert "This test set has been looked at once." in registered.description
    assert "Selected by inception/kid_train 0.2" in registered.description
    move = registry.promote(NAME, version, "selected")
    assert move.moved
    assert wording.figures(first.figures()) in move.why

    _, again, _ = measure("one", data)  # the run resumes
    assert again.test_set.looks == 1
    other, second, _ = measure("two", data)
    assert second.test_set.looks == 2
    assert [client.get_run(run).data.tags[looks.TEST_LOOKS] for run in (parent, other)] == ["1", "2"]
    client.delete_run(parent)
    assert looks.count(first.test_set.digest) == 2
    client.restore_run(parent)
    looks.look_by_hand(parent, first.test_set.digest, "a contest")
    assert looks.look(parent, first.test_set.digest) == 3
    assert looks.look(parent, "8" * 64) == 1  # the run was made anew on other data
    assert looks.count(first.test_set.digest) == 3
    client.delete_registered_model(NAME)


def test_the_look_is_recorded_first_and_a_failure_costs_the_figure_alone(client, measure, data, monkeypatch):
    seen = []

    def fail(_snapshot, _candidate, _real, test_set, _config):
        seen.append(looks.count(test_set.digest))
        raise torch.OutOfMemoryError("CUDA out of memory\nmore")

    with monkeypatch.context() as patch:
        patch.setattr(measuring, "measure_winner", fail)
        parent, result, version = measure("fails", data)
    assert seen == [1]
    assert (result.unmeasured, result.reason) == (Unmeasured.FAILED, "OutOfMemoryError: CUDA out of memory")
    entry = tracking.read_ledger(parent).entries[Task(Step.EVALUATE_WINNER)]
    assert (entry.state, entry.reason) == (State.FAILED, "CUDA out of memory")
    assert "Not measured: OutOfMemoryError: CUDA out of memory" in client.get_model_version(NAME, version).description
    move = registry.promote(NAME, version, "selected")
    assert not move.moved
    assert move.why.startswith("refused: measured anew: not checked: not measured on test images: OutOfMemoryError")

    _, result, again = measure("fails", data)  # the run is started again
    assert (result.unmeasured, again) == (None, version)
    assert tracking.read_ledger(parent).entries[Task(Step.EVALUATE_WINNER)].state is State.DONE
    assert registry.promote(NAME, version, "selected").moved
    client.delete_registered_model(NAME)


@pytest.mark.parametrize(("count", "kind"), [(0, Unmeasured.NO_IMAGES), (3, Unmeasured.TOO_FEW_PATIENTS)])
def test_too_few_test_images_leave_a_challenger(client, measure, tmp_path, count, kind):
    parent, result, version = measure("few", dataset(tmp_path, test=count))
    assert result.unmeasured is kind
    assert result.test_set.looks == (count > 0)
    assert tracking.read_ledger(parent).entries[Task(Step.EVALUATE_WINNER)].state is State.DONE
    move = registry.promote(NAME, version, "selected")
    assert (move.moved, move.why.split(":")[:3]) == (False, ["refused", " measured anew", " not checked"])
    client.delete_registered_model(NAME)
