"""The page holds the run's numbers, opens offline, and exists for a run that failed."""

import base64
import dataclasses
import html
import re

import pytest
from sample_run import grid, paper_run, rare_class

from mammogan import config
from mammogan.config import PRESETS
from mammogan.data.summary import Counts, Leak
from mammogan.records import Findings, Production, RunRecord
from mammogan.reporting import figures, report
from mammogan.results import Audit, AuditCounts, Network, Outcome, Verdict


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    path = report.build(paper_run(), out)
    assert {item.name for item in out.iterdir()} == {
        "report.html", "winner.png", "metrics.png", "samples.png", "losses.png",
    }  # fmt: skip
    return path.read_text()


def text_of(page):
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", body))


def test_nothing_is_loaded_from_elsewhere(page):
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "url(" not in page
    assert "<script" not in page


def test_verdict_comes_first_and_the_decision_ends_the_page(page):
    text = text_of(page)
    verdict = text.index("one seed is not enough to tell lambda=3 from lambda=0.5 and lambda=5")
    assert verdict < text.index("Data") < text.index("Table 1") < text.index("Settings") < text.index("The decision")


def test_tables_hold_every_number_beside_the_papers(page):
    text = text_of(page)
    assert "1000 winner 0.1765 0.1677 – 0.1853 paper 0.1765 179.35 170.38 – 188.32 paper 179.35" in text
    assert text.count("paper 0.") + text.count("paper 1") + text.count("paper 2") + text.count("paper 3") >= 180


def test_data_and_settings_are_reported(page):
    text = text_of(page)
    assert "train 981 574 407 539" in text
    assert "148 patients are on both sides" in text
    assert re.search(r'class="changed"><td>batch_size</td><td[^>]*>16<', page)
    assert not re.search(r'class="changed"><td>epochs<', page)


def test_a_split_that_the_manifest_gave_is_reported_as_such(tmp_path):
    data, kept = rare_class(), Counts(images=31, benign=20, malignant=11, patients=17)
    for leak, shown in ((data.whole.splits.leak, True), (Leak(patients=0, test_images=0), False)):
        sides = dataclasses.replace(data.whole.splits, validation=kept, given=True, leak=leak)
        whole = dataclasses.replace(data.whole, splits=sides)
        run = dataclasses.replace(paper_run(), data=dataclasses.replace(data, whole=whole))
        text = text_of(report.build(run, tmp_path).read_text())
        assert "pixels, split as its manifest says." in text
        assert "validation 31 20 11 17" in text
        assert "split is by image" not in text
        assert ("manifest puts some patients on both sides" in text) == shown


def test_a_lost_trial_is_named_with_its_reason(tmp_path):
    text = text_of(report.build(paper_run(diverged=5.0), tmp_path).read_text())
    assert "lambda=5,seed=0 – diverged: epoch 300: train/penalty is nan" in text
    assert "The paper, λ = 5" in text  # this run lacks epochs of the paper, whose rows then stand below


def test_a_run_that_failed_at_once_still_has_a_report(tmp_path):
    bare = RunRecord(
        run_id="f" * 32, name="demo", experiment="mammogan", status="FAILED", started_ms=0, ended_ms=None, params={},
        tags={"mammogan.reason": "step ingest: data.source='x': no such folder"}, config=None, data=None, decision=None,
    )  # fmt: skip
    text = text_of(report.build(bare, tmp_path).read_text())
    assert "The run failed: step ingest: data.source='x': no such folder" in text
    assert "No decision was reached" in text


def test_what_is_random_is_reported(tmp_path):
    run = paper_run()
    note = "random weights of seed 0; not comparable with published KID and FID"
    extractor = Network("random_vgg", "0" * 64, note)
    trials = tuple(
        dataclasses.replace(item, evaluation=dataclasses.replace(item.evaluation, extractor=extractor))
        for item in run.trials
    )
    run = dataclasses.replace(run, trials=trials, config=PRESETS["demo"], data=rare_class())
    text = text_of(report.build(run, tmp_path).read_text())
    assert "diagnostic branch has random weights" in text
    assert note in text


def test_text_from_outside_is_escaped(tmp_path):
    run = dataclasses.replace(paper_run(), name="<script>alert(1)</script>")
    assert "<script>" not in report.build(run, tmp_path).read_text()


@pytest.mark.parametrize(
    ("value", "shown"), [(0.17654, "0.1765"), (179.352, "179.35"), (0.0, "0.0000"), (1e-7, "1e-07"), (None, "–")]
)
def test_numbers(value, shown):
    assert report.number(value) == shown


def test_durations():
    assert [report.duration(s) for s in (5.2, 65, 3700, None)] == ["5 s", "1 min 05 s", "1 h 01 min", "–"]


def test_thinned_keeps_the_ends():
    assert figures.thinned(range(1, 101), 11)[0] == 1
    assert figures.thinned(range(1, 101), 11)[-1] == 100
    assert figures.thinned([1, 4], 11) == [1, 4]


@pytest.mark.parametrize(("asked", "kept"), [(False, "pairs"), (True, "pairs"), (False, "closest"), (True, "closest")])
def test_real_images_are_shown_where_the_run_asked_for_them_below_a_banner(tmp_path, asked, kept):
    """An earlier version's audit kept them always."""
    run, picture = paper_run(), grid(7)
    settings = config.override(run.config, {"report.real_images": asked})
    findings = Findings(audit=passed(), pictures={kept: picture})
    page = report.build(dataclasses.replace(run, config=settings, findings=findings, trials=()), tmp_path).read_text()
    shown = base64.b64encode(picture).decode() in page
    assert shown == (asked or kept == "closest")
    assert page.count("This page contains real patients' images.") == (2 if asked and kept == "pairs" else 0)
    assert ("No real image is shown here" in page) == (not (asked and kept == "pairs"))


def passed():
    """An audit of next to nothing."""
    counts = AuditCounts(
        train=3, held_out=0, held_out_patients=0, fakes=2, compared=2, exact_copies=0, exact_repeats=0
    )  # fmt: skip
    return Audit((Verdict("exact copies", Outcome.PASSED, "0 of 2"),), (), (), (), counts, (), ())


def test_it_ends_with_what_is_in_production_and_why(tmp_path):
    run = paper_run()
    champion = Production(
        model="mammogan", version="7", asked_ms=1_790_050_000_000, since_ms=1_790_040_000_000,
        why="reviewed; kid 0.17 against the champion's 0.2", by="user", run_id=run.run_id,
        tags={"lambda": "3", "epoch": "1000", "mammogan.audit": "passed 3 of 5 checks, 2 not checked"},
    )  # fmt: skip
    own = dataclasses.replace(run, tags={"mammogan.model_version": "7", "mammogan.audit": "passed 3 of 5 checks"})
    text = text_of(report.build(own, tmp_path, champion).read_text())
    end = text[text.index("In production") :]
    assert "Version 7 of mammogan is @champion since 2026-09-22 01:20 UTC, the winner of this run" in end
    assert "Why reviewed; kid 0.17 against the champion's 0.2" in end
    assert "Audit passed 3 of 5 checks, 2 not checked" in end
    assert "audited : passed 3 of 5 checks" in text[text.index("The winner's gates") :]

    refused = {"mammogan.model_version": "8", "mammogan.promotion": "refused: audited: the audit refused: memorised"}
    text = text_of(report.build(dataclasses.replace(run, tags=refused), tmp_path, champion).read_text())
    assert "This run's winner is version 8, not in production – refused: audited: the audit refused: memorised" in text

    cut_off = dataclasses.replace(run, tags={"mammogan.model_version": "8"})
    text = text_of(report.build(cut_off, tmp_path).read_text())
    assert "Nothing: no version of mammogan is @champion" in text
    assert "whether it may be was not asked" in text
