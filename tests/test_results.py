"""Results keep their type on the way through JSON; what is not exactly one of them is refused by name."""

import dataclasses
import json
import typing

import pytest
from sample_run import evaluation, measured, paper_run, winner_result

from mammogan import codec, results
from mammogan.codec import OlderFormatError
from mammogan.config import PRESETS, Config, Trial
from mammogan.data import summary
from mammogan.ledger import Entry, UnknownEntryError
from mammogan.results import (
    Candidate,
    Decision,
    Direction,
    Evaluation,
    Measurement,
    Network,
    Outcome,
    Quantity,
    TrialResult,
    TrialStatus,
    Verdict,
)


def trained():
    return TrialResult(0.5, 3, "d" * 64, 20, TrialStatus.FINISHED, epochs_done=20, frozen=Network("random", "0"))


@pytest.mark.parametrize(
    ("result", "number"),
    [
        (trained(), 3),
        (evaluation(Trial(0.5, 0), []), 4),
        (paper_run().trials[0].evaluation, 4),
        (paper_run().decision, 4),
        (winner_result(None, paper_run().decision.winner), 1),
    ],
)
def test_what_is_written_is_read_back_the_same(result, number, tmp_path):
    results.write(result, tmp_path / "result.json")
    assert results.read(type(result), tmp_path / "result.json") == result
    assert json.loads((tmp_path / "result.json").read_text())["format"] == number


def test_a_candidate_is_the_same_from_its_document():
    winner = paper_run().decision.winner
    assert results.parse(Candidate, results.document(winner), "model") == winner


@pytest.mark.parametrize("preset", PRESETS)
def test_a_configuration_is_the_same_from_its_json(preset):
    config = PRESETS[preset]
    assert codec.decode(Config, json.loads(json.dumps(codec.encode(config)))) == config


def changed(**fields):
    content = json.loads(results.document(trained()))
    return json.dumps({**content, **fields})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (changed(colour="red"), r"trial.json: unknown field 'colour'"),
        (changed(seed="3"), r"trial.json.seed='3': give a int"),
        (changed(seed=True), r"trial.json.seed=True: give a int"),
        (changed(gp_lambda="0.5"), r"trial.json.gp_lambda='0.5': give a float"),
        (changed(status="lost"), r"trial.json.status='lost': give one of finished, diverged, failed"),
        (changed(frozen={"name": "x"}), r"trial.json.frozen: the field 'sha256' is missing"),
        (changed(frozen=[]), r"trial.json.frozen=\[\]: give an object"),
        ("[]", "it holds no object"),
        ("{", "it is no JSON"),
    ],
)
def test_what_is_not_exactly_a_result_is_refused_by_name(document, message):
    with pytest.raises(ValueError, match=message):
        results.parse(TrialResult, document, "trial.json")


@pytest.mark.parametrize("written", [None, 1, 2, 4])
def test_another_format_is_named_as_such(written):
    content = json.loads(results.document(trained()))
    content.pop("format")
    document = json.dumps(content if written is None else {**content, "format": written})
    with pytest.raises(OlderFormatError, match=r"trial.json: it has format [1234] of another version of mammogan"):
        results.parse(TrialResult, document, "trial.json")


def test_no_document_holds_a_number_that_is_not_finite():
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.document(dataclasses.replace(trained(), train_s=float("nan")))
    document = results.document(trained()).decode().replace('"train_s": 0.0', '"train_s": NaN')
    with pytest.raises(ValueError, match=r"trial.json.train_s=nan: give a float"):
        results.parse(TrialResult, document, "trial.json")


@pytest.mark.parametrize(
    ("quantity", "key"),
    [
        (Quantity("kid", "inception", "train"), "inception/kid_train"),
        (Quantity("kid", "inception", "real_fake"), "inception/kid"),
        (Quantity("precision", "random_vgg", "test"), "random_vgg/precision_test"),
        (Quantity("lpips", "lpips_random", "fake_fake"), "sample_pairs/lpips_random_fake_fake"),
        (Quantity("ms_ssim", "", "real_fake"), "sample_pairs/ms_ssim_real_fake"),
    ],
)
def test_a_quantity_has_one_name_in_mlflow(quantity, key):
    assert quantity.key == key


def test_mlflow_charts_the_values_alone():
    kid, pairs = measured(1, "kid", 0.2), Quantity("ms_ssim", "", "real_real")
    among_reals = dataclasses.replace(kid, quantity=pairs)
    assert results.charted([kid, among_reals]) == {"inception/kid_train": 0.2}


@pytest.mark.parametrize(
    "extractor", ["inception", "inception_clean", "radimagenet", "random_vgg", "file_zebra_0a1b2c3d"]
)
def test_the_section_of_kid_is_the_first_on_mlflows_page(extractor):
    """MLflow sorts the sections of its Charts page by their names."""
    sections = {Quantity("kid", extractor, "train").key.partition("/")[0], results.PAIRS, "result", "train"}
    assert sorted(sections)[0] == extractor


@pytest.mark.parametrize(
    ("direction", "score"), [(Direction.LOWER, 0.2), (Direction.HIGHER, -0.2), (Direction.MATCH_REFERENCE, 0.19)]
)
def test_less_is_better_of_every_score(direction, score):
    assert dataclasses.replace(measured(1, "kid", 0.2), direction=direction).score == pytest.approx(score)


def test_every_field_of_a_result_has_a_type_that_the_codec_reads():
    """No field is a bare mapping of anything: what a document holds is named down to its numbers."""
    seen = set()

    def visit(kind):
        if dataclasses.is_dataclass(kind) and kind not in seen:
            seen.add(kind)
            for hint in typing.get_type_hints(kind).values():
                visit(hint)
        assert kind not in (typing.Any, object, dict), seen
        for part in typing.get_args(kind):
            if part is not Ellipsis:
                visit(part)

    for kind in (TrialResult, Evaluation, Decision, Candidate, results.Audit, results.Utility):
        visit(kind)
    assert {Measurement, Verdict, Quantity, Network} <= seen
    assert Outcome.NOT_CHECKED.words == "not checked"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_json_is_refused_in_one_line(opening):
    deep = opening * 100_000
    with pytest.raises(ValueError, match=r"^here: it is no JSON"):
        results.parse(TrialResult, deep, "here")
    with pytest.raises(UnknownEntryError, match="it is no record of a step"):
        Entry.from_json(deep)
    with pytest.raises(ValueError, match=r"^here: it is no JSON"):
        summary.parse(deep.encode(), "here")
