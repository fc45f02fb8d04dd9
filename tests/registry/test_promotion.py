"""The aliases on real registry state: gated, whole or not at all, one at a time, and recorded."""

import dataclasses
import itertools
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from mlflow import MlflowClient
from sample_run import paper_run, snapshot_evaluation, write_result
from typer.testing import CliRunner

from mammogan import registry, results, tracking
from mammogan.command_line import app
from mammogan.config import PRESETS, Trial
from mammogan.models.generator import Generator, save_snapshot
from mammogan.registry import lock, notes, promotion
from mammogan.reporting import card
from mammogan.results import Candidate, Contest, Outcome, Quantity, Unmeasured, Verdict
from mammogan.selection import gates
from mammogan.selection.ranking import select
from mammogan.tracking import heartbeat

CONFIG = PRESETS["demo"]
TRIAL = Trial(3.0, 0)
AUDIT = "mammogan.audit"
"""Tag of a version that tells its users what the audit came to."""


@pytest.fixture
def client(database, little_code, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    tracking.ensure_experiment(tmp_path.name, str(tmp_path / "artifacts"))
    return tracking.client()


@pytest.fixture
def add(client, tmp_path):
    """Register a generator with a KID and promote it, if it may be: ``add(0.2)`` gives the version's number."""
    name = tmp_path.name.replace("_", "-")
    count, kids = iter(range(100)), {}

    def contests(version):
        return [
            contest(version, incumbent, kids[version], kids[incumbent])
            for incumbent in promotion.incumbents(name, version)
        ]

    def add(kid, train_s=100.0, *, audit=(Outcome.PASSED, "passed"), promoted=True, release=False, **result):
        number = next(count)
        config = type(CONFIG)(**{**vars(CONFIG), "select": type(CONFIG.select)(model_name=name)})
        parent = tracking.open_parent(tmp_path.name, f"run-{number}", config, {})
        torch.manual_seed(number)
        save_snapshot(Generator(28, 4, 8), 1, tmp_path / "winner")
        evaluated = snapshot_evaluation(TRIAL, 1, kid, train_s=train_s)
        results.write(select([evaluated], config.select), tmp_path / "decision.json")
        measured = write_result(tmp_path, tmp_path / "winner", kid=kid, **result)
        version = registry.register(tmp_path / "winner", tmp_path / "decision.json", measured, parent, config)
        kids[version] = kid
        if audit:
            client.set_model_version_tag(name, version, AUDIT, audit[1])
            notes.write_outcome(name, version, *audit, for_release=release)
        if promoted:
            promote(version, f"selected by run {parent}")
        return version

    def promote(version, why="x", **options):
        made = [] if alias(client, name, "champion") is None else contests(version)
        return registry.promote(name, version, why, contests=made, **options)

    add.model, add.promote, add.contests = name, promote, contests
    return add


def contest(version, incumbent, kid, incumbent_kid, half=0.01):
    """As 20 patients would tell, to ``half`` of KID."""
    difference = kid - incumbent_kid
    return Contest(
        version, incumbent, 0.0, 0.975, quantity=Quantity("kid", "inception", "test"), value=kid,
        incumbent_value=incumbent_kid, difference=difference, upper=difference + half,
        images=40, patients=20, fakes=100,
    )  # fmt: skip


def alias(client, model, name):
    found = client.get_registered_model(model).aliases.get(name)
    return None if found is None else str(found)


def best(client, add):
    return client.get_registered_model(add.model).tags.get(promotion.BEST)


def aliases(client, add):
    return {alias: str(number) for alias, number in client.get_registered_model(add.model).aliases.items()}


def test_better_is_promoted_worse_stays_challenger(client, add):
    assert add(0.3) == "1"
    assert aliases(client, add) == {"champion": "1"}
    assert add(0.2) == "2"
    assert aliases(client, add) == {"champion": "2", "previous": "1"}
    assert add(0.4) == "3"
    assert aliases(client, add) == {"champion": "2", "previous": "1", "challenger": "3"}
    refused = add.promote("3", "I like it")
    assert not refused.moved
    assert "0.400 against 0.200 of champion version 2 on 40 held-out images of 20 patients" in refused.why
    assert "difference 0.200, upper end 0.210 at 0.975, to lie below 0" in refused.why
    assert aliases(client, add)["champion"] == "2"


@pytest.mark.parametrize(("kid", "train_s"), [(0.295, 10_000.0), (0.3, 1.0), (0.3, 99.0), (0.305, 1.0), (0.305, 99.0)])
def test_no_speed_of_training_promotes_what_is_not_better(client, add, kid, train_s):
    add(0.3)
    add(kid, train_s=train_s)
    assert aliases(client, add)["champion"] == "1"


def test_a_margin_is_to_be_passed_by_the_upper_end(client, add):
    add(0.3)
    add(0.2, promoted=False)
    made = dataclasses.replace(add.contests("2")[0], margin=0.1)
    assert "upper end -0.0900 at 0.975, to lie below -0.1" in registry.promote(add.model, "2", "x", contests=[made]).why
    assert registry.promote(add.model, "2", "x", contests=[dataclasses.replace(made, margin=0.08)]).moved


def test_what_was_not_measured_on_the_same_images_stays_challenger(client, add):
    """No contest, one of another champion or another version, and one without figures."""
    add(0.3)
    add(0.2, promoted=False)
    (made,) = add.contests("2")
    blank = Contest("2", "1", 0.0, 0.975, reason="champion version 1 draws 28 px, the images have 56")
    for given in ([], [dataclasses.replace(made, incumbent="7")], [dataclasses.replace(made, version="1")], [blank]):
        found = registry.promote(add.model, "2", "x", contests=given)
        assert not found.moved
        assert "refused: better than version 1: not checked: " in found.why
    assert found.why.endswith(": not checked: champion version 1 draws 28 px, the images have 56")
    assert aliases(client, add) == {"champion": "1", "challenger": "2"}
    assert registry.promote(add.model, "2", "x", contests=[made]).moved


def test_the_best_champion_so_far_is_to_be_beaten_whoever_is_champion(client, add):
    """By force each a little worse, which no chain of gates would notice if they looked at the last one alone."""
    add(0.20)
    assert best(client, add) == "1"
    add(0.30, promoted=False)
    assert add.promote("2", "by hand", force=True).best == "1"
    assert (alias(client, add.model, "champion"), best(client, add)) == ("2", "1")
    assert promotion.incumbents(add.model, "3") == ["2", "1"]
    add(0.25)
    refused = add.promote("3")
    assert not refused.moved
    assert "better than version 1: inception/kid_test 0.250 against 0.200 of champion version 1" in refused.why
    assert "better than version 2" not in refused.why
    add(0.15)
    assert (alias(client, add.model, "champion"), best(client, add)) == ("4", "4")
    assert [move.best for move in registry.moves(add.model)] == ["1", "1", "4"]


@pytest.mark.parametrize("removed", ["version", "alias"])
@pytest.mark.parametrize("forced", [True, False])
def test_the_best_is_to_be_beaten_when_a_champion_by_force_is_removed_by_hand(client, add, removed, forced):
    """Without the one by force it was the best itself that somebody withdrew."""
    first = add(0.2)
    gone = add(0.3, promoted=False) if forced else first
    if forced:
        add.promote(gone, force=True)
    if removed == "version":
        client.delete_model_version(add.model, gone)
    else:
        client.delete_registered_model_alias(add.model, "champion")
    worse = add(0.25, promoted=False)
    assert promotion.incumbents(add.model, worse) == ([first] if forced else [])
    move = registry.promote(add.model, worse, "x", contests=add.contests(worse))
    assert move.moved is not forced
    assert ("0.250 against 0.200 of champion version 1" in move.why) is forced
    better = add(0.1, promoted=False)
    assert registry.promote(add.model, better, "x", contests=add.contests(better)).moved
    assert best(client, add) == better


def test_what_is_withdrawn_is_not_to_be_beaten(client, add):
    add(0.3)
    add(0.2)
    assert best(client, add) == "2"
    registry.rollback(add.model, "artefacts")
    assert best(client, add) == "1"
    add(0.25)
    assert alias(client, add.model, "champion") == "3"


def test_a_best_champion_that_was_deleted_leaves_the_present_one(client, add):
    add(0.2)
    add(0.3, promoted=False)
    add.promote("2", force=True)
    client.delete_model_version(add.model, "1")
    assert promotion.incumbents(add.model, "3") == ["2"]


@pytest.mark.parametrize(
    ("audit", "why"),
    [
        (None, "its images were not audited for copies of training images"),
        ((Outcome.REFUSED, "refused: memorised (pixel)"), "the audit refused: memorised (pixel)"),
        ((Outcome.NOT_CHECKED, "not done: train has 1 image"), "the audit not done: train has 1 image"),
    ],
)
def test_nothing_becomes_champion_without_an_audit_that_passed(client, add, audit, why):
    assert add(0.3, audit=audit) == "1"
    assert aliases(client, add) == {"challenger": "1"}
    assert registry.promote(add.model, "1", "x").why == f"refused: audited: {why}"
    assert registry.promote(add.model, "1", "seen by eye", force=True).moved


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (
            {"unmeasured": Unmeasured.TOO_FEW_PATIENTS, "reason": "3 test images of 3 patients", "measurements": ()},
            "not checked: not measured on test images: 3 test images of 3 patients; selected by inception/kid_train",
        ),
        ({"verdict": None}, "not checked: inception/kid_test 0.200 (0.180 to 0.220), inception/fid_test 91.000"),
        (
            {"verdict": Verdict("not memorised", Outcome.NOT_CHECKED, "no interval")},
            "not checked: no interval; ince",
        ),
        (
            {"verdict": Verdict("not memorised", Outcome.REFUSED, "it copies")},
            "it copies; inception/kid_test",
        ),
    ],
)
def test_without_a_figure_on_test_images_no_version_becomes_champion(client, add, result, why):
    for number in ("1", "2"):
        assert add(0.2, **result) == number
        assert aliases(client, add) == {"challenger": number}
        assert registry.promote(add.model, number, "x").why.startswith(f"refused: measured anew: {why}")
    client.delete_model_version_tag(add.model, "2", promotion.RESULT_OUTCOME)
    assert (
        "measured anew: not checked: it carries no figure on test images" in registry.promote(add.model, "2", "x").why
    )
    assert registry.promote(add.model, "2", "seen by eye", force=True).moved


def test_a_demo_does_not_replace_a_champion_that_passed_every_check(client, add):
    add(0.3, release=True)
    assert add(0.2) == "2"
    assert aliases(client, add) == {"champion": "1", "challenger": "2"}
    why = add.promote("2").why
    assert why == "refused: audited: the audit passed; the champion passed every check; audit this one as strictly"
    add(0.1, release=True)
    assert aliases(client, add)["champion"] == "3"


@pytest.mark.parametrize("words", ["passed 3 of 3 checks", "refused: not checked"])
def test_no_word_of_a_message_decides(client, add, monkeypatch, words):
    """Every gate's sentence and every summary rewritten: the same versions become champion, the same do not."""
    monkeypatch.setattr(gates, "Verdict", lambda gate, outcome, _: Verdict(gate, outcome, words))
    monkeypatch.setattr(gates, "tally", lambda _: words)
    for kid, outcome, champion in (
        (0.30, Outcome.PASSED, "1"),
        (0.20, Outcome.REFUSED, "1"),
        (0.20, Outcome.NOT_CHECKED, "1"),
        (0.40, Outcome.PASSED, "1"),
        (0.20, Outcome.PASSED, "5"),
    ):
        add(kid, audit=(outcome, words))
        assert aliases(client, add)["champion"] == champion, (kid, outcome)


def test_a_version_that_another_software_registered_may_be_beaten_and_not_promoted(client, add, monkeypatch):
    """Its generator is measured like any other; its own figures, which nobody can read, are not missed."""
    add(0.4)
    with monkeypatch.context() as patch:
        patch.setitem(results._FORMATS, Candidate, results.CANDIDATE_FORMAT - 1)
        old = add(0.3, promoted=False)
    why = "refused: better than the champion: this version carries no metrics that can be read"
    assert add.promote(old).why == why
    assert add.promote(old, force=True).moved
    add(0.1)
    assert aliases(client, add)["champion"] == "3"


def test_rollback_is_one_command_and_every_move_is_recorded(client, add):
    add(0.3)
    add(0.2)
    run = CliRunner().invoke(app, ["rollback", "--model", add.model, "--why", "artefacts in production"])
    assert run.exit_code == 0, run.output
    assert aliases(client, add) == {"champion": "1", "previous": "2"}
    moves = registry.moves(add.model)
    assert [(move.kind, move.before, move.version) for move in moves] == [
        ("promote", None, "1"), ("promote", "1", "2"), ("rollback", "2", "1"),
    ]  # fmt: skip
    assert moves[-1].why == "artefacts in production"
    assert moves[-1].by


def test_rollback_without_previous_and_unknown_names_are_value_errors(add):
    add(0.3)
    with pytest.raises(ValueError, match="no @previous"):
        registry.rollback(add.model, "why")
    with pytest.raises(ValueError, match="version='9'"):
        registry.promote(add.model, "9", "why")
    with pytest.raises(ValueError, match="model='nobody'"):
        registry.promote("nobody", "1", "why")


def test_a_refused_promotion_ends_the_command_with_its_reason(add):
    add(0.2)
    add(0.3)
    run = CliRunner().invoke(app, ["promote", "2", "--model", add.model, "--why", "x"])
    assert run.exit_code == 1
    why = "refused: better than version 1: not checked: it was not measured on the same images as champion version 1"
    assert why in run.stderr


def test_of_two_promotions_at_once_one_wins_and_one_is_reported(client, add, monkeypatch):
    add(0.3)
    for kid in (0.2, 0.1):
        add(kid, promoted=False)
    judged = promotion.gates.better_than
    with ThreadPoolExecutor(2) as pool:
        both = threading.Barrier(2)

        def together(*arguments):
            both.wait(10)
            return judged(*arguments)

        monkeypatch.setattr(promotion.gates, "better_than", together)
        moves = list(pool.map(lambda number: add.promote(number, "race"), ("2", "3")))
    won, refused = sorted(moves, key=lambda move: not move.moved)
    assert (won.moved, refused.moved) == (True, False)
    assert f"the champion became version {won.version} in the meantime" in refused.why
    assert aliases(client, add)["champion"] == won.version
    assert aliases(client, add)["previous"] == "1"
    assert not [model.name for model in client.search_registered_models() if model.name.endswith(".lock")]


@pytest.fixture
def dies(client, add, monkeypatch):
    """``dies(2, call)`` promotes version 2 in a process that dies at one of the calls that change the registry."""

    def dies(version, call):
        done = []

        def dying(name):
            real = getattr(MlflowClient, name)

            def change(self, *arguments):
                done.append(name)
                if len(done) == call:
                    raise KeyboardInterrupt
                return real(self, *arguments)

            return change

        with monkeypatch.context() as patch:
            for name in ("set_registered_model_tag", "set_registered_model_alias", "delete_registered_model_tag"):
                patch.setattr(MlflowClient, name, dying(name))
            with pytest.raises(KeyboardInterrupt):
                add.promote(version, "dies")

    return dies


@pytest.mark.parametrize("call", [1, 3, 5, *(pytest.param(call, marks=pytest.mark.long) for call in (2, 4, 6))])
def test_a_process_killed_within_a_move_leaves_it_to_the_next(client, add, dies, call):
    """Die at each call that changes the registry; the next promotion finds the move whole or not begun."""
    add(0.3)
    add(0.2, promoted=False)
    add(0.1, promoted=False)
    dies("2", call)
    assert aliases(client, add)["champion"] in ("1", "2")
    if aliases(client, add)["champion"] == "2":  # the rerun of the step that died leaves nothing behind
        assert add.promote("2", "again").moved
        assert not [model.name for model in client.search_registered_models() if model.name.endswith(".lock")]
    last = add.promote("3", "after")
    if not last.moved:  # the half-made move was finished first, so the gate had been asked about version 1
        assert "the champion became version 2" in last.why
        last = add.promote("3", "after")
    assert last.moved
    chain = [(move.before, move.version) for move in registry.moves(add.model)]
    assert chain[0] == (None, "1")
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(chain))
    assert aliases(client, add)["champion"] == "3"
    assert aliases(client, add)["previous"] == chain[-1][0]


@pytest.mark.parametrize("call", range(1, 7))
def test_a_promotion_that_died_is_finished_when_it_is_asked_for_again(client, add, dies, call):
    """As a step of the graph does that is run again: it is told of its own move, not that the champion has changed."""
    add(0.3)
    add(0.2, promoted=False)
    dies("2", call)
    again = add.promote("2", "again")
    assert (again.moved, again.version, again.before) == (True, "2", "1")
    assert again.why.startswith("again" if call == 1 else "dies")  # the first call writes down what is to be done
    assert registry.moves(add.model)[1:] == [again]
    assert aliases(client, add) == {"champion": "2", "previous": "1"}


def test_the_lock_of_a_process_that_is_gone_is_taken_over_at_once(client, add):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    process = {heartbeat.PROCESS: f"{socket.gethostname()}:{gone.stdout.strip()}"}
    add(0.3, promoted=False)
    client.create_registered_model(f"{add.model}.lock", {"owner": "dead", **process})
    started = time.monotonic()
    assert registry.promote(add.model, "1", "x").moved
    assert time.monotonic() - started < 10


def test_a_stale_lock_is_taken_over(client, add, monkeypatch):
    add(0.3)
    client.create_registered_model(f"{add.model}.lock", {"owner": "dead"})
    monkeypatch.setattr(promotion, "LOCK_WAIT_S", 0.1)
    better = add(0.2)  # registered all the same, as challenger
    assert aliases(client, add) == {"champion": "1", "challenger": better}
    assert "another promotion is under way" in add.promote(better).why
    monkeypatch.setattr(lock, "STALE_S", 0.0)
    monkeypatch.setattr(promotion, "LOCK_WAIT_S", 5.0)
    assert add.promote(better).moved


def test_a_clock_that_is_ahead_takes_no_living_lock(client, add, monkeypatch):
    """This process believes that it is 130 s later than the server, which dated the lock."""
    add(0.3)
    client.create_registered_model(f"{add.model}.lock", {"owner": "alive"})
    later = time.time_ns() + 130 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    monkeypatch.setattr(promotion, "LOCK_WAIT_S", 1.0)
    better = add(0.2)
    assert "another promotion is under way" in add.promote(better).why
    assert client.get_registered_model(f"{add.model}.lock").tags["owner"] == "alive"


def test_what_is_in_production_and_why(client, add):
    assert registry.in_production(add.model) is None
    add(0.3, promoted=False)
    assert registry.in_production(add.model) is None
    registry.promote(add.model, "1", "reviewed")
    production = registry.in_production(add.model)
    measured = "inception/kid_test 0.300 (0.280 to 0.320), inception/fid_test 91.000 (90.980 to 91.020)"
    figures = f"{measured} on 40 test images of 20 patients"
    looks = "this test set has been looked at once; selected by inception/kid_train 0.3"
    assert production.version == "1"
    assert production.why.startswith(f"reviewed; the audit passed; {figures}, {looks}")
    assert production.why.endswith("; there was no champion before")
    assert production.since_ms <= production.asked_ms
    assert client.get_run(production.run_id).data.tags["mammogan.run_key"] == "run-0"
    assert (production.tags["lambda"], production.tags[AUDIT]) == ("3", "passed")
    add(0.2)
    registry.rollback(add.model, "artefacts")
    assert (registry.in_production(add.model).version, registry.in_production(add.model).why) == ("1", "artefacts")


def test_the_card_tells_metrics_data_use_and_limits(client, add):
    add(0.3)
    text = client.get_model_version(add.model, "1").description
    assert "| inception/kid_train | 0.300 (0.285 to 0.315) | 0.010 |" in text
    assert "- not memorised: not checked: KID against validation reals" in text
    assert "- diverse: passed: sample_pairs/lpips_fake_fake" in text
    for heading in ("## Use", "## Gates", "## Data", "## Provenance", "## Limits"):
        assert heading in text
    assert "CC BY 3.0" in text
    run = paper_run()
    full = card.write(run, run.decision)
    sentences = [line for line in full.splitlines() if line and line[0] not in "#|"]
    assert {line[-1] for line in sentences if line[0] != "-"} == {"."}, "a card that is cut ends in a whole sentence"
    assert not any(line.startswith(" ") for line in sentences)
    cut = registry.promotion.model_page.fitted(full, full.index("The best of many") + 100)
    assert full.startswith(cut.removesuffix(registry.promotion.model_page.CUT).rstrip())
    assert "What selected it" not in cut, "a heading of nothing"
    assert "574 benign, 407 malignant" in full
    assert "| inception/kid_train | 0.1765 (0.1677 to 0.1853) | 0.0100 | 407 / 1000 |" in full
