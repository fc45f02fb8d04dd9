"""The page holds the run's numbers, opens offline, and exists for a run that failed."""

import base64
import dataclasses
import html
import re

import pytest
from sample_run import grid, paper_run, rare_class, winner_result

from mammogan import config
from mammogan.config import PRESETS, AuditCheck
from mammogan.data.summary import Counts, Leak
from mammogan.records import Findings, Link, Production, RunRecord
from mammogan.reporting import figures, marks, report
from mammogan.results import Audit, AuditCounts, Network, Outcome, Unmeasured, Verdict
from mammogan.selection.ranking import select


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    path = report.build(paper_run(), out)
    assert {item.name for item in out.iterdir()} == {
        "report.html", "winner.png", "metrics.png", "samples.png", "losses.png",
    }  # fmt: skip
    return path.read_text()


@pytest.fixture(autouse=True)
def _no_charts(monkeypatch):
    """A page's charts take two seconds to draw; ``page``, which is made before, has them."""
    for name in ("metrics", "samples", "losses"):
        monkeypatch.setattr(figures, f"{name}_figure", lambda *_: None)


def text_of(page):
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", body))


def test_nothing_is_loaded_from_elsewhere(page):
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "url(" not in page
    assert "<script" not in page


def test_the_one_address_is_that_of_the_comparison(tmp_path):
    link = "http://localhost:5000/#/experiments/1/runs?viewStateShareKey=a&compareRunsMode=CHART"
    page = report.build(paper_run(), tmp_path, link=Link(link, "mammogan ui --port 5000")).read_text()
    assert [html.unescape(found) for found in re.findall(r"""(?:src|href)=["'](?!data:)([^"']*)""", page)] == [link]
    assert "Compare the trials while mammogan ui --port 5000 runs" in text_of(page)


def test_answers_come_first_and_what_they_rest_on_is_folded_below(page):
    text = text_of(page)
    titles = [
        "λ = 3, seed 0, epoch 1000 has the lowest KID against train images.",
        "One seed is not enough to tell λ = 3 from λ = 0.5 or λ = 5.",
        "Nothing: no version of mammogan is @champion.",
        "Is one λ better?",
        "In production",
        "Synthetic images",
        "Do the synthetic images copy?",
        "Do the synthetic images help a classifier?",
        "Data: calc-train from nbia, 1227 images",
        "Curves and tables over training",
        "Samples over epochs",
        "Settings: preset paper",
    ]
    places = [text.index(title, text.index("Is one λ better?") if title == "In production" else 0) for title in titles]
    assert places == sorted(places)
    folded = page[page.index(">Details</h2>") :]
    assert folded.count("<details") == folded.count("</details>") == 4
    assert "<details open" not in page


def test_tables_hold_every_number_beside_the_papers(page):
    text = text_of(page)
    assert "1000 winner 0.1765 0.1677 to 0.1853 paper 0.1765 179.3 170.4 to 188.3 paper 179.35" in text
    assert text.count("paper 0.") + text.count("paper 1") + text.count("paper 2") + text.count("paper 3") >= 180


def test_a_column_is_written_in_one_power_of_ten(tmp_path):
    """KID of a demo is thousandths, its first epoch hundreds of them."""
    run, kids = paper_run(), {100: (0.4, 0.39, 0.41), 1000: (0.00032, -0.00003, 0.00066)}

    def small(item):
        if item.quantity.metric != "kid":
            return item
        value, low, high = kids.get(item.epoch, (0.0005, 0.0001, 0.0009))
        return dataclasses.replace(item, value=value, low=low, high=high, reference=0.0001)

    def evaluated(evaluation):
        return dataclasses.replace(evaluation, measurements=tuple(map(small, evaluation.measurements)))

    trials = tuple(dataclasses.replace(trial, evaluation=evaluated(trial.evaluation)) for trial in run.trials)
    settings = config.override(run.config, {"select.metrics": "kid"}).select
    decision = select([item.evaluation for item in trials], settings)
    text = text_of(report.build(dataclasses.replace(run, trials=trials, decision=decision), tmp_path).read_text())
    assert "KID train images × 10⁻³ lower is better" in text
    assert "100 400 390 to 410" in text
    assert "1000 winner 0.32 −0.03 to 0.66" in text
    assert "real–real 0.10" in text
    figure = "selected by 0.32 (−0.03 to 0.66) × 10⁻³ 95% interval; real against real 0.10 × 10⁻³"
    assert f"KID against train images, {figure}" in text


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
    assert "The paper, λ = 5:" in text  # this run lacks epochs of the paper, whose rows then stand below


def test_a_run_that_failed_at_once_still_has_a_report(tmp_path):
    bare = RunRecord(
        run_id="f" * 32, name="demo", experiment="mammogan", status="FAILED", started_ms=0, ended_ms=None, params={},
        tags={"mammogan.reason": "step ingest: data.source='x': no such folder"}, config=None, data=None, decision=None,
    )  # fmt: skip
    text = text_of(report.build(bare, tmp_path).read_text())
    assert "The run failed: step ingest: data.source='x': no such folder" in text
    assert "The run ended before a decision was reached." in text
    assert "The run ended before the audit." in text


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


def test_what_is_in_production_and_why(tmp_path):
    run = paper_run()
    champion = Production(
        model="mammogan", version="7", asked_ms=1_790_050_000_000, since_ms=1_790_040_000_000,
        why="reviewed; kid 0.17 against the champion's 0.2", by="user", run_id=run.run_id, for_release=True,
        tags={"lambda": "3", "epoch": "1000", "mammogan.audit": "passed 3 of 5 checks, 2 not checked"},
    )  # fmt: skip
    own = dataclasses.replace(run, tags={"mammogan.model_version": "7", "mammogan.audit": "passed 3 of 5 checks"})
    text = text_of(report.build(own, tmp_path, champion).read_text())
    assert "Version 7 of mammogan since 2026-09-22 01:20 UTC, this run's winner." in text
    end = text[text.index("the winner of this run") - 80 :]
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


def measured(name, outcome):
    return Verdict(name, outcome, "why", AuditCheck(name))


ALL = tuple(AuditCheck)


@pytest.mark.parametrize(
    ("unmade", "refused", "required", "tone", "demo"),
    [
        ((), (), ALL, "good", False),
        ((), (), ALL[:3], "amber", True),
        (ALL[-2:], (), ALL[:3], "amber", True),
        (ALL[-2:], (), ALL, "amber", False),
        ((), ALL[:1], ALL, "bad", False),
    ],
)
def test_amber_where_checks_are_missing(tmp_path, unmade, refused, required, tone, demo):
    verdicts = tuple(
        measured(
            check,
            Outcome.NOT_CHECKED if check in unmade else Outcome.REFUSED if check in refused else Outcome.PASSED,
        )
        for check in ALL
    )
    audit = dataclasses.replace(passed(), verdicts=verdicts, required=required)
    run = dataclasses.replace(paper_run(), findings=Findings(audit=audit))
    shown = marks.of_run(run, None)
    assert [item.tone.value for item in shown if "copies" in item.words] == [tone]
    page = report.build(dataclasses.replace(run, trials=()), tmp_path).read_text()
    verdict = page[page.index('class="verdict') : page.index("</section>")]
    assert ("demo, not for release" in verdict) == demo
    assert f'<span class="mark {tone}">' in verdict
    assert verdict.startswith(f'class="verdict {"bad" if refused else "amber"}"')  # no test figure, no utility
    assert page.count('class="amber"') == len(unmade)
    assert (f"{len(unmade)} of 19 checks not made" in verdict) == bool(unmade)


def test_an_audit_that_was_not_made_is_amber_and_a_demo_by_its_settings():
    run = paper_run()
    assert [(item.tone.value, item.words) for item in marks.of_run(run, None)] == [
        ("plain", "not in production"),
        ("amber", "no figure on test images"),
        ("amber", "copies: not checked"),
        ("amber", "for a classifier: not tried"),
    ]
    demo = dataclasses.replace(run, config=PRESETS["demo"])
    assert next(item.words for item in marks.of_run(demo, None)) == "demo, not for release"


def line(*values, low=None, high=None):
    epochs = tuple(range(1, len(values) + 1))
    return figures.Band("λ", epochs, values, low or values, high or values)


def test_a_first_epoch_does_not_flatten_the_curve():
    view = figures.viewport([line(400.0, 0.9, 0.6, 0.5, 0.4)], reference=0.1)
    assert (view.low, view.high) == pytest.approx((0.06, 0.94))
    low = figures.viewport([line(-400.0, 0.5, 0.6, 0.5, 0.4)])
    assert low.low > 0


def test_what_is_near_the_later_epochs_is_shown_with_its_interval():
    view = figures.viewport([line(0.9, 0.8, 0.6, 0.5, low=(0.7, 0.7, 0.5, 0.4), high=(1.0, 0.9, 0.7, 0.6))])
    assert view.low < 0.4
    assert view.high > 1.0
    assert figures.viewport([]) is None
    still = figures.viewport([line(2.0, 2.0)])
    assert still.low < 2.0 < still.high


def test_the_test_figure_is_quoted_with_the_looks_at_the_test_set(tmp_path):
    run = paper_run()
    result = winner_result(None, run.decision.winner, kid=0.21, looks=3)
    findings = Findings(result=result)
    text = text_of(report.build(dataclasses.replace(run, trials=(), findings=findings), tmp_path).read_text())
    verdict = text[: text.index("Is one λ better?")]
    anew = verdict.index("KID against test images, measured anew, once 0.210 (0.190 to 0.230)")
    assert anew < verdict.index("KID against train images, selected by 0.1765 (0.1677 to 0.1853)")
    assert "40 test images of 20 patients who have none in train or validation" in verdict
    assert "this test set has been looked at 3 times" in verdict
    marked = [item.words for item in marks.of_run(dataclasses.replace(run, findings=findings), None)]
    assert marked[1:3] == ["measured on test images", "test set looked at 3 times"]


@pytest.mark.parametrize(
    ("given", "tone", "words"),
    [
        ({}, "good", "measured on test images"),
        ({"verdict": None}, "amber", "test images: not checked"),
        ({"unmeasured": Unmeasured.FAILED, "measurements": ()}, "amber", "no figure on test images"),
        (
            {"verdict": Verdict("not memorised", Outcome.REFUSED, "a gap")},
            "bad",
            "favours the train images over the test ones",
        ),
    ],
)
def test_what_the_test_images_did_not_show_is_not_green(given, tone, words):
    result = winner_result(None, paper_run().decision.winner, **given)
    assert (marks.of_result(result).tone, marks.of_result(result).words) == (tone, words)


def test_the_verdict_is_red_without_a_winner_or_a_good_end():
    run = paper_run()
    assert marks.tone_of(run, None) == "amber"
    assert marks.tone_of(dataclasses.replace(run, status="KILLED"), None) == "bad"
    assert marks.tone_of(dataclasses.replace(run, decision=None), None) == "bad"
    nobody = dataclasses.replace(run.decision, winner=None)
    assert marks.tone_of(dataclasses.replace(run, decision=nobody), None) == "bad"
