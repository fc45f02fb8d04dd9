"""The checklist says of a run what its record holds, and nothing else."""

import dataclasses
import html
import json
import re

import pytest
from sample_run import paper_run, rare_class, winner_result

from mammogan.data.summary import Leak
from mammogan.records import Findings, RunRecord
from mammogan.reporting import claim
from mammogan.reporting.claim import Status
from mammogan.results import Unmeasured


def answers(record):
    return {item.number: item for item in claim.checklist(record)}


@pytest.fixture(scope="module")
def items():
    return answers(paper_run())


def bare():
    return RunRecord(
        run_id="f" * 32, name="demo", experiment="mammogan", status="FAILED", started_ms=0, ended_ms=None, params={},
        tags={}, config=None, data=None, decision=None,
    )  # fmt: skip


def test_every_item_once_in_order(items):
    assert list(items) == list(range(1, 45))
    sections = [item.section for item in items.values()]
    assert sections == sorted(sections, key=sections.index)


def test_what_a_record_holds_is_answered(items):
    assert "train 981 images (574 benign, 407 malignant) of 539 patients" in items[19].text
    assert items[20].text == "not by patient: 148 are on both sides, with 190 test images"
    assert items[36].status is Status.IN_PART
    assert "inception/kid_train" in items[28].text
    assert items[26].text.startswith("snapshots ranked by kid,fid against the train reals, as select.against says")
    assert items[26].text.endswith(paper_run().decision.verdict)


def test_performance_is_what_was_measured_anew_and_says_how_often_its_test_set_was_looked_at():
    run = paper_run()
    result = winner_result(None, run.decision.winner, looks=4)
    for record, measured in (
        (dataclasses.replace(run, findings=Findings(result=result)), True),
        (run, False),
        (dataclasses.replace(run, findings=Findings(result=unmeasured(result))), False),
    ):
        items = answers(record)
        for number in (32, 37):
            text = items[number].text
            assert items[number].status is (Status.ANSWERED if measured else Status.NOT_DONE), number
            assert ("inception/kid_test 0.210 (0.190 to 0.230)" in text) is measured
            assert ("this test set has been looked at 4 times" in text) is measured
    items = answers(dataclasses.replace(run, findings=Findings(result=unmeasured(result))))
    assert "3 test images" in items[32].text
    items = answers(dataclasses.replace(run, findings=Findings(result=result)))
    assert items[37].text.startswith("lambda=3,seed=0, epoch 1000: inception/kid_test 0.21")
    assert "selected by inception/kid_train 0.1765 (0.1677 to" in items[37].text
    assert "not audited" in items[37].text


def unmeasured(result):
    return dataclasses.replace(
        result, measurements=(), verdict=None, unmeasured=Unmeasured.TOO_FEW_PATIENTS, reason="3 test images"
    )


def test_what_was_not_done_is_said(items):
    for number, reason in (
        (18, "annotates nothing"), (21, "no size was calculated"), (30, "one training seed"), (31, "no such method"),
        (32, "nothing was measured against test images"), (33, "one source"), (38, "no classifier"), (39, "nobody"),
    ):  # fmt: skip
        assert items[number].status is Status.NOT_DONE, number
        assert reason in items[number].text


def test_what_only_authors_know_is_left_to_them(items):
    for number in (1, 2, 3, 4, 5, 6, 13, 15, 16, 17, 34, 40, 41, 44):
        assert items[number].status is Status.AUTHORS, number


@pytest.mark.parametrize(
    ("leak", "text"),
    [
        (Leak(patients=0, test_images=0), "by patient: none is on both sides"),
        (
            Leak(0, 0, validation_patients=2, validation_images=3),
            "not by patient: 2 are in train and validation; their 3 validation images are not used",
        ),
        (Leak(0, 0, chosen_by=4), "not by patient: 4 test images are of validation patients, and are not used"),
    ],
)
def test_whom_the_partitions_share_is_said(leak, text):
    data = rare_class()
    sides = dataclasses.replace(data.whole.splits, leak=leak)
    run = dataclasses.replace(
        paper_run(), data=dataclasses.replace(data, whole=dataclasses.replace(data.whole, splits=sides))
    )
    assert answers(run)[20].text == text


def test_a_run_that_failed_at_once_claims_nothing():
    """No item is answered from what was never recorded."""
    items = answers(bare())
    answered = {number for number, item in items.items() if item.status is Status.ANSWERED}
    assert answered == {23}  # the software, whose commit is then called unrecorded
    assert "unrecorded" in items[23].text
    assert items[19].text == "the run ended before its data set was recorded"
    assert items[43].text.startswith("no model was registered")


def test_the_page_is_self_contained_and_escapes(tmp_path):
    run = dataclasses.replace(paper_run(), name="<script>alert(1)</script>")
    page = claim.build(run, tmp_path).read_text()
    assert "<script" not in page
    assert not re.findall(r"""(?:src|href)=["']""", page)
    text = html.unescape(re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)))
    places = [text.index(f" {number} {item.subject}") for number, item in answers(run).items()]
    assert places == sorted(places)
    assert "2024;6(4):e240300" in text


def test_it_is_json_too(items):
    from mammogan import codec

    first, *_ = json.loads(json.dumps(codec.encode(tuple(items.values()))))
    assert set(first) == {"number", "section", "subject", "status", "text"}
