"""An error in each step of the graph: its record's status, one line on the console, the traceback in log and MLflow."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filled_dataset import write_dataset
from mlflow.exceptions import MlflowException

from mammogan import console, results, tracking
from mammogan.components.audit import audit
from mammogan.components.evaluate import evaluate
from mammogan.components.evaluate_winner import evaluate_winner
from mammogan.components.filter_minority import filter_minority
from mammogan.components.finish import finish
from mammogan.components.ingest import ingest
from mammogan.components.promote import promote
from mammogan.components.register import register
from mammogan.components.select import select
from mammogan.components.start import start
from mammogan.components.synthesise import synthesise
from mammogan.components.train import train
from mammogan.components.utility import utility
from mammogan.config import PRESETS, Trial
from mammogan.data import manifest
from mammogan.data.minority import TrainingSet
from mammogan.graph import PER_TRIAL, Step
from mammogan.launch import local
from mammogan.ledger import State, Task
from mammogan.results import TrialResult, TrialStatus
from mammogan.tracking import find_trial

TRIAL = Trial(3.0, 0)
MLFLOW = (MlflowException, "http://anna:secret@mlflow: the table is locked\nmore")
TORCH = (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2 GiB\nmore")
MLFLOW_REASON = "MlflowException: http://***@mlflow: the table is locked"
TORCH_REASON = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"


@pytest.fixture(autouse=True)
def mlflow(database, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("MAMMOGAN_SAY_PREFIX", local.MARK)
    tracking.ensure_experiment(tmp_path.name, str(tmp_path / "artifacts"))
    yield tracking.client()
    console.configure()


@pytest.fixture
def parent(tmp_path):
    return tracking.begin(tmp_path.name, tmp_path.name, PRESETS["demo"], {})


@pytest.fixture
def call(tmp_path):
    """``call(step, **more)``: the step as Kubeflow calls it, every artifact below ``tmp_path``."""

    def at(name):
        return SimpleNamespace(path=str(tmp_path / name), log_metric=lambda *_: None)

    settings = {"settings": "preset=demo data.size=28", "run": tmp_path.name}
    data = {name: at(name) for name in ("dataset", "minority", "trained", "chosen", "decision", "result", "filled")}
    over = SimpleNamespace(state="RUNNING", error_message=None, pipeline_job_resource_name="mammogan-x")
    steps = {
        Step.START: (start, {"experiment": tmp_path.name, "source": "phantom", "link": at("link")}),
        Step.INGEST: (ingest, {"source": str(tmp_path / "absent"), "labels": "", "store": "", "work": ""}),
        Step.FILTER_MINORITY: (filter_minority, {"force": False}),
        Step.TRAIN: (train, {"trial": TRIAL.name, "store": str(tmp_path / "store")}),
        Step.EVALUATE: (
            evaluate,
            {"trial": TRIAL.name, "store": str(tmp_path / "store"), "evaluation": at("evaluation")},
        ),
        Step.SELECT: (select, {"store": "", "evaluations": [at("absent")]}),
        Step.EVALUATE_WINNER: (evaluate_winner, {}),
        Step.REGISTER: (register, {}),
        Step.SYNTHESISE: (synthesise, {"version": "1"}),
        Step.AUDIT: (audit, {"version": "1", "privacy": at("privacy")}),
        Step.PROMOTE: (promote, {"version": "1"}),
        Step.UTILITY: (utility, {"version": "1", "benefit": at("benefit")}),
        Step.FINISH: (finish, {"page": at("page"), "status": over}),
    }

    def call(step):
        component, named = steps[step]
        offered = {**settings, **data, **named}
        return component.python_func(
            **{name: offered[name] for name in component.python_func.__annotations__ if name in offered}
        )

    return call


def raising(kind, message):
    def injected(*_, **__):
        raise kind(message)

    return injected


def run_step(call, step, capsys):
    """Run a step as its process does; what the local runner keeps in the log, shows, and calls the failure."""
    capsys.readouterr()
    status = "SUCCESS"
    try:
        call(step)
    except Exception:
        status = "FAILURE"
        sys.excepthook(*sys.exc_info())
    log, screen = io.StringIO(), io.StringIO()
    lines = local.StepLog(log, screen)
    lines.write(capsys.readouterr().err)
    lines.write(f"15:13:12.823 - ERROR - Task '{step}' finished with status {status}\n")
    return log.getvalue(), screen.getvalue().splitlines(), lines.failure


def artifact(mlflow, run_id, name, tmp_path):
    return Path(mlflow.download_artifacts(run_id, name, str(tmp_path))).read_text()


def entries(mlflow, tmp_path):
    return tracking.read_ledger(tracking.find_parent(tmp_path.name)).entries


WHOLE_STEPS = {
    Step.START: ("mammogan.tracking.opening.describe_parent", MLFLOW, MLFLOW_REASON),
    Step.INGEST: ("", None, "source='{folder}/absent'"),
    Step.FILTER_MINORITY: ("", None, "FileNotFoundError: no data set at {folder}/dataset: manifest.csv is missing"),
    Step.SELECT: ("", None, "No such file or directory: '{folder}/absent/evaluation.json'"),
    Step.EVALUATE_WINNER: ("", None, "No such file or directory: '{folder}/chosen/decision.json'"),
    Step.REGISTER: ("mammogan.registry.register", MLFLOW, MLFLOW_REASON),
    Step.SYNTHESISE: ("", None, "No such file or directory: '{folder}/minority/summary.json'"),
    Step.AUDIT: ("", None, "ValueError: critic='{folder}/chosen/critic': no critic of a trial ("),
    Step.PROMOTE: ("mammogan.registry.contests", MLFLOW, MLFLOW_REASON),
    Step.UTILITY: ("mammogan.steps.utility.study", TORCH, TORCH_REASON),
    Step.FINISH: ("mammogan.steps.finish.rebuild", TORCH, TORCH_REASON),
}  # fmt: skip


@pytest.mark.parametrize("step", WHOLE_STEPS)
def test_a_step_that_fails_says_so_everywhere(mlflow, tmp_path, call, monkeypatch, capsys, request, step):
    if step is not Step.START:
        request.getfixturevalue("parent")
    if step is Step.AUDIT:
        write_dataset(tmp_path / "filled", {"train": (6, 4), "test": (3, 3)})
        mark_synthetic(tmp_path / "filled")
        (tmp_path / "chosen").mkdir()
        (tmp_path / "chosen" / "critic").write_bytes(b"no critic")
    target, error, expected = WHOLE_STEPS[step]
    if target:
        monkeypatch.setattr(target, raising(*error))
    log, screen, failure = run_step(call, step, capsys)

    expected = expected.format(folder=tmp_path)
    assert failure.startswith(f"step {step}: ")
    assert expected in failure
    assert [line for line in screen if "rror" in line] == []
    assert log.count("Traceback (most recent call last):") >= 1
    assert log.splitlines()[-2] == failure.removeprefix(f"step {step}: ")
    assert "secret" not in log
    if target:
        assert "in injected\n    raise kind(message)" in log

    entry = entries(mlflow, tmp_path)[Task(step)]
    assert entry.state is State.FAILED
    assert failure.endswith(entry.reason)
    text = artifact(mlflow, tracking.find_parent(tmp_path.name), f"tracebacks/{step}.txt", tmp_path)
    assert text.splitlines()[0] == "Traceback (most recent call last):"
    assert entry.reason in text
    assert "secret" not in text


NAMED = "P_00007_anna"


def _library(*_, **__):
    """As a library that quotes what it was given, one error behind another."""
    try:
        int(NAMED)
    except ValueError as error:
        raise KeyError(NAMED) from error


def _system(*_, **__):
    Path("/", NAMED).read_bytes()


@pytest.mark.parametrize("named", ["MUSTERMANN_ERIKA.csv", "Erika Mustermann/cases 1.csv"])
@pytest.mark.parametrize("text", ['patient_id,image_file_path,cropped_image_file_path\nP,"a,b\n', "a,b\n1,2\n"])
def test_mlflow_does_not_hear_what_a_table_of_the_source_is_called(mlflow, tmp_path, parent, call, capsys, named, text):
    table = tmp_path / "absent" / named
    table.parent.mkdir(parents=True)
    table.write_text(text)
    (tmp_path / "absent" / "1.dcm").write_bytes(b"")
    log, _, _ = run_step(call, Step.INGEST, capsys)
    assert named.rpartition("/")[2] in log
    told = artifact(mlflow, parent, "tracebacks/ingest.txt", tmp_path) + str(mlflow.get_run(parent).data.tags)
    assert "*.csv" in entries(mlflow, tmp_path)[Task(Step.INGEST)].reason
    assert "mustermann" not in told.lower()
    assert "cases 1" not in told


@pytest.mark.parametrize(
    ("injected", "told"),
    [(_library, "KeyError: what it says"), (_system, "FileNotFoundError (No such file or directory): what it says")],
)
def test_mlflow_does_not_hear_a_name_that_an_unforeseen_error_of_ingest_quotes(
    mlflow, tmp_path, parent, call, monkeypatch, capsys, injected, told
):
    monkeypatch.setattr("mammogan.data.sources.locate", injected)
    log, _, failure = run_step(call, Step.INGEST, capsys)
    assert NAMED in log
    assert NAMED in failure
    entry = entries(mlflow, tmp_path)[Task(Step.INGEST)]
    assert entry.reason.startswith(told)
    text = artifact(mlflow, parent, "tracebacks/ingest.txt", tmp_path)
    assert entry.reason in text
    assert f"in {injected.__name__}" in text
    assert NAMED not in text + str(mlflow.get_run(parent).data.tags)


def mark_synthetic(folder):
    """Turn two of the benign training images into synthetic malignant ones."""
    frame = manifest.read(folder)
    taken = frame.index[(frame["split"] == "train") & (frame["label"] == 0)][:2]
    frame.loc[taken, ["source", "label"]] = [manifest.SYNTHETIC, 1]
    manifest.write(frame, folder)


@pytest.mark.parametrize("step", PER_TRIAL)
def test_a_trial_that_fails_carries_its_traceback(mlflow, parent, tmp_path, call, monkeypatch, capsys, step):
    finished = TrialResult(TRIAL.gp_lambda, TRIAL.seed, "d" * 64, 4, TrialStatus.FINISHED, key="k")
    results.write(finished, tmp_path / "trained" / "trial.json")
    pixels = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
    learnt = TrainingSet(pixels, list("abcd"), pixels[:0], (), "d" * 64)
    monkeypatch.setattr("mammogan.steps.train.training_set", lambda *_: learnt)
    monkeypatch.setattr("mammogan.training.trial.RETRY_PAUSES_S", ())
    monkeypatch.setattr("mammogan.training.trial.Trainer", raising(*TORCH))
    monkeypatch.setattr("mammogan.evaluation.snapshots.evaluate_snapshots", raising(*TORCH))
    log, screen, failure = run_step(call, step, capsys)

    what = {Step.TRAIN: "failed", Step.EVALUATE: "not evaluated"}[step]
    assert failure == ""
    assert [line for line in screen if "rror" in line] == [f"  {TRIAL.name}: {what}: {TORCH_REASON} more"]
    assert "in injected\n    raise kind(message)" in log
    entry = entries(mlflow, tmp_path)[Task(step, TRIAL.name)]
    assert (entry.state, entry.reason.splitlines()[0]) == (State.FAILED, TORCH_REASON)
    child = mlflow.get_run(find_trial(parent, TRIAL))
    assert child.info.status == "FAILED"
    heading, *text = artifact(mlflow, child.info.run_id, "traceback.txt", tmp_path).splitlines()
    assert heading.endswith(f" UTC, {step} of {TRIAL.name}")
    assert text[0] == "Traceback (most recent call last):"
    assert "    raise kind(message)" in text


def test_what_fails_behind_the_measurement_is_in_the_record_too(mlflow, parent, tmp_path, call, monkeypatch, capsys):
    finished = TrialResult(TRIAL.gp_lambda, TRIAL.seed, "d" * 64, 4, TrialStatus.FINISHED, key="k")
    monkeypatch.setattr(
        "mammogan.steps.evaluate.evaluate_or_fail", lambda *_, **__: results.Evaluation(0.5, 0, finished.status)
    )
    monkeypatch.setattr("mammogan.steps.evaluate.ranking_pairing", raising(*TORCH))
    _, _, failure = run_step(call, Step.EVALUATE, capsys)
    assert TORCH_REASON in failure
    assert entries(mlflow, tmp_path)[Task(Step.EVALUATE, TRIAL.name)].state is State.FAILED
    child = mlflow.get_run(find_trial(parent, TRIAL))
    assert child.info.status == "FAILED"
    assert TORCH_REASON in artifact(mlflow, child.info.run_id, "traceback.txt", tmp_path)


def test_a_trial_whose_step_raises_carries_the_traceback_of_every_attempt(mlflow, parent, tmp_path, call, capsys):
    for attempt in (1, 2):
        _, screen, failure = run_step(call, Step.TRAIN, capsys)
        assert failure.startswith(f"step train: FileNotFoundError: no data set at {tmp_path}/minority")
        assert [line for line in screen if "rror" in line] == []
        child = find_trial(parent, TRIAL)
        text = artifact(mlflow, child, "traceback.txt", tmp_path)
        assert (
            text.count("Traceback (most recent call last):") == text.count(f" UTC, train of {TRIAL.name}\n") == attempt
        )
        assert mlflow.get_run(child).info.status == "FAILED"
    assert entries(mlflow, tmp_path)[Task(Step.TRAIN, TRIAL.name)].state is State.FAILED


def test_a_step_fails_with_its_own_error_where_mlflow_is_away(parent, monkeypatch):
    for target, error in (
        ("mammogan.tracking.ledger.client", (ConnectionError, "no route")),
        ("mammogan.tracking.ledger.write", MLFLOW),
    ):
        with pytest.raises(OSError, match="disk full"), tracking.step(parent, Step.SELECT):  # noqa: PT012
            monkeypatch.setattr(target, raising(*error))
            raise OSError("disk full")


@pytest.fixture
def notes(monkeypatch):
    """What the step leaves on the registered version."""
    messages = []
    monkeypatch.setattr(
        "mammogan.steps.notes.notes.write", lambda model, version, step, text, card: messages.append(text)
    )
    monkeypatch.setattr("mammogan.steps.notes.notes.write_outcome", lambda *_, **__: None)
    return messages


def test_an_audit_of_too_little_data_is_not_done(mlflow, parent, tmp_path, call, notes):
    write_dataset(tmp_path / "filled", {"train": (6, 3), "test": (3, 3)})
    mark_synthetic(tmp_path / "filled")
    frame = manifest.read(tmp_path / "filled")
    real = (frame["source"] != manifest.SYNTHETIC) & (frame["label"] == 1) & (frame["split"] == "train")
    manifest.write(frame[~real], tmp_path / "filled")
    (tmp_path / "critic").write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mammogan.audit.inspection.critic_scores", lambda *_: None)
        call(Step.AUDIT)
    assert notes == ["not done: train has 0 images: the audit needs at least 3"]
    assert entries(mlflow, tmp_path)[Task(Step.AUDIT)].state is State.DONE
    assert mlflow.get_run(parent).data.tags["mammogan.audit"] == notes[0]


def test_a_study_of_too_few_patients_is_not_done(mlflow, parent, tmp_path, call, notes):
    write_dataset(tmp_path / "filled", {"train": (6, 4), "test": (1, 3)})
    mark_synthetic(tmp_path / "filled")
    call(Step.UTILITY)
    assert notes == [f"not done: dataset='{tmp_path}/filled': 1 benign patients in test; the study needs 2 or more"]
    assert entries(mlflow, tmp_path)[Task(Step.UTILITY)].state is State.DONE


@pytest.mark.parametrize("step", [Step.AUDIT, Step.UTILITY])
def test_a_data_set_without_synthetic_images_is_a_wrong_one(mlflow, parent, tmp_path, call, notes, step):
    write_dataset(tmp_path / "filled", {"train": (6, 4), "test": (3, 3)})
    with pytest.raises(ValueError, match="it holds no synthetic images"):
        call(step)
    assert notes == []
    assert entries(mlflow, tmp_path)[Task(step)].state is State.FAILED
