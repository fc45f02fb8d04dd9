"""What the record of a run's steps makes of the whole run, whatever Kubeflow says."""

import json

import pytest

from mammogan.graph import AFTER_A_WINNER, BEFORE_TRAINING, Step
from mammogan.ledger import Entry, Fate, Ledger, State, Status, Task, UnknownEntryError, ending

TRIALS = ("lambda=0.5,seed=0", "lambda=3,seed=0")
NOBODY = Fate()
"""Nobody could be asked."""
CALM = Fate(terminated=False)
TERMINATED = Fate(terminated=True)


def entry(task, state=State.DONE, **more):
    more = {"began_ms": 1, "ended_ms": None if state is State.RUNNING else 2} | more
    return Entry(task, state, **more)


def done(*steps, trials=TRIALS, trains=True, winner=True):
    """Entries of steps that did their work; those of the fan-out for each trial."""
    goes_on = {Step.FILTER_MINORITY: trains, Step.SELECT: winner}
    tasks = [Task(step, name) for step in steps for name in (trials if step in ("train", "evaluate") else ("",))]
    return {task: entry(task, goes_on=goes_on.get(task.step)) for task in tasks}


EVERYTHING = (*BEFORE_TRAINING, Step.TRAIN, Step.EVALUATE, Step.SELECT, *AFTER_A_WINNER)
TRAIN = Task(Step.TRAIN, TRIALS[1])


def test_every_step_done_is_finished_whatever_kubeflow_says():
    assert ending(Ledger(done(*EVERYTHING)), TRIALS, NOBODY).status is Status.FINISHED
    assert ending(Ledger(done(*EVERYTHING)), TRIALS, TERMINATED).status is Status.FINISHED, "it came too late"


def test_nothing_to_train_and_no_winner_are_verdicts_not_failures():
    stopped = done(*BEFORE_TRAINING, trains=False)
    assert ending(Ledger(stopped), TRIALS, CALM).status is Status.FINISHED
    refused = done(*BEFORE_TRAINING, Step.TRAIN, Step.EVALUATE, Step.SELECT, winner=False)
    assert ending(Ledger(refused), TRIALS, CALM).status is Status.FINISHED


@pytest.mark.parametrize("missing", list(done(*EVERYTHING)), ids=str)
def test_a_step_that_was_due_and_never_began_is_named(missing):
    entries = done(*EVERYTHING)
    del entries[missing]
    ended = ending(Ledger(entries), TRIALS, Fate(terminated=False, not_begun="ErrImagePull: no such image"))
    assert ended.status is Status.FAILED
    assert ended.reason.startswith(f"{missing} never began: ErrImagePull") or missing.step in (
        "filter-minority",
        "select",
    )


def test_a_failed_step_is_named_with_its_trial_and_reason():
    entries = done(*BEFORE_TRAINING, Step.TRAIN) | {TRAIN: entry(TRAIN, State.FAILED, reason="no room left")}
    ended = ending(Ledger(entries), TRIALS, CALM)
    assert (ended.status, ended.reason) == (Status.FAILED, "train of lambda=3,seed=0: no room left")


def test_a_step_that_failed_is_the_reason_also_where_somebody_asked_to_stop_later():
    ingest = Task(Step.INGEST)
    entries = done(Step.START) | {ingest: entry(ingest, State.FAILED, reason="no such bucket")}
    ended = ending(Ledger(entries), TRIALS, TERMINATED)
    assert (ended.status, ended.reason) == (Status.FAILED, "ingest: no such bucket")
    beside = entries | {TRAIN: entry(TRAIN, State.RUNNING)} | done(*BEFORE_TRAINING[2:])
    assert ending(Ledger(beside), TRIALS, TERMINATED).status is Status.KILLED


def test_all_that_failed_is_reported_also_where_the_rest_went_on_to_a_champion():
    entries = done(*EVERYTHING) | {TRAIN: entry(TRAIN, State.FAILED, reason="out of memory")}
    assert ending(Ledger(entries), TRIALS, CALM).reason == "train of lambda=3,seed=0: out of memory"


@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPED])
def test_a_pod_that_was_lost_is_a_failure_with_its_cause(state):
    lost = entry(TRAIN, state, pod="x-42", memory_limit=2**31, reason="told to stop" if state is State.STOPPED else "")
    entries = done(*BEFORE_TRAINING) | {TRAIN: lost}
    ended = ending(Ledger(entries), TRIALS, Fate(False, {TRAIN: "out of memory: the kernel ended it"}))
    assert ended.status is Status.FAILED
    assert ended.reason == "train of lambda=3,seed=0: lost with its pod x-42: out of memory: the kernel ended it"
    assert list(ended.failed_trials) == [TRIALS[1]]


def test_where_nobody_tells_why_a_pod_was_lost_its_memory_limit_is_named():
    lost = entry(TRAIN, State.RUNNING, pod="x-42", memory_limit=2**31)
    ended = ending(Ledger(done(*BEFORE_TRAINING) | {TRAIN: lost}), TRIALS, CALM)
    assert ended.reason == (
        "train of lambda=3,seed=0: lost with its pod x-42: its process ended without a word; "
        "its memory limit was 2.00 GiB"
    )


def test_without_a_word_from_anybody_a_running_step_was_lost():
    ended = ending(Ledger(done(*BEFORE_TRAINING) | {TRAIN: entry(TRAIN, State.RUNNING)}), TRIALS, NOBODY)
    assert ended.reason == "train of lambda=3,seed=0: its process ended without a word"


def test_terminated_in_a_step_and_between_two():
    inside = done(*BEFORE_TRAINING) | {TRAIN: entry(TRAIN, State.STOPPED, reason="told to stop")}
    ended = ending(Ledger(inside), TRIALS, TERMINATED)
    assert (ended.status, ended.reason) == (Status.KILLED, "terminated in train of lambda=3,seed=0")
    between = done(Step.START, Step.INGEST)
    ended = ending(Ledger(between), TRIALS, TERMINATED)
    assert (ended.status, ended.reason) == (Status.KILLED, "terminated after ingest, before filter-minority")
    assert ending(Ledger({}), (), TERMINATED).status is Status.KILLED


def test_a_step_that_was_stopped_is_killed_where_nobody_knows_more_and_failed_where_the_run_was_not_terminated():
    entries = done(*BEFORE_TRAINING) | {TRAIN: entry(TRAIN, State.STOPPED, reason="told to stop")}
    assert ending(Ledger(entries), TRIALS, NOBODY).status is Status.KILLED
    assert ending(Ledger(entries), TRIALS, CALM).status is Status.FAILED


def test_entries_survive_their_tag():
    written = entry(TRAIN, State.FAILED, reason="x" * 5000, pod="p", memory_limit=7, goes_on=None)
    read = Entry.from_json(written.to_json())
    assert (read.task, read.state, read.pod, read.memory_limit) == (TRAIN, State.FAILED, "p", 7)
    assert len(written.to_json()) < 5000, "a tag's limit"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"task": ["brew", ""], "state": "done"}', '{"task": ["train", ""]}'])
def test_what_is_no_entry_is_refused(text):
    with pytest.raises(ValueError, match="it is no record of a step"):
        Entry.from_json(text)


@pytest.mark.parametrize("reason", [3, [1], None, {"a": 1}])
def test_an_entry_whose_reason_is_no_text_is_none(reason):
    """It would be read and could not be written again."""
    content = json.loads(Entry(Task(Step.TRAIN, "lambda=3,seed=0"), State.RUNNING, 1).to_json())
    with pytest.raises(UnknownEntryError, match="it is no record of a step"):
        Entry.from_json(json.dumps(content | {"reason": reason}))
