"""The report as a browser shows it: no wider than a telephone, nothing over anything else, all of it on paper."""

import dataclasses
import sys
from pathlib import Path

import pytest
from sample_run import paper_run, winner_result

from mammogan import config
from mammogan.config import Trial
from mammogan.records import Findings, Link, Production
from mammogan.reporting import report
from mammogan.results import (
    Benefit,
    Direction,
    Unmeasured,
    Utility,
    UtilityArm,
    UtilityCounts,
    UtilityMeasure,
    UtilityMetric,
)

sys.path.append(str(Path(__file__).parents[1] / "reader_study"))
import browser

pytestmark = pytest.mark.skipif(not browser.CHROMIUM, reason="no Chromium; apt-get install chromium")
LONG = "ANameWithoutAnyPlaceToBreakIt" * 4
WIDER = """[...document.querySelectorAll("main *")].filter(item => !item.closest(".wide")
    && item.getBoundingClientRect().right > document.documentElement.clientWidth).map(item => item.outerHTML)"""
SPILLING = """[...document.querySelectorAll("dd, dt, td, th, .mark")].filter(item =>
    item.scrollWidth > item.clientWidth + 1 && getComputedStyle(item).display !== "inline")
    .map(item => item.outerHTML)"""
COVERING = """[...document.querySelectorAll("td, th")].filter(item =>
    getComputedStyle(item).position === "sticky" && item.offsetWidth > innerWidth / 2).map(item => item.outerHTML)"""
BROKEN = """[...document.querySelectorAll(".wide :is(td, th):first-child")].flatMap(cell => {
    const text = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), broken = [];
    while (text.nextNode()) for (const word of text.currentNode.data.matchAll(/[^\\s–]+/g)) {
        const range = document.createRange();
        range.setStart(text.currentNode, word.index);
        range.setEnd(text.currentNode, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map(box => box.top)).size;
        if (word[0].length <= 12 && lines > 1) broken.push(word[0]);
    }
    return broken; })"""
HIDDEN = """[...document.querySelectorAll("details > :not(summary)")]
    .filter(item => !item.checkVisibility({contentVisibilityAuto: true})).length"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    profile = tmp_path_factory.mktemp("profile")
    with browser.browser(profile, profile) as opened:
        yield opened
        assert opened.problems == []
        assert {url.partition(":")[0] for url in opened.requests} == {"file", "data"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A run whose every name is longer than a column, with all sections that it can have."""
    run = paper_run()
    awkward = [0.5, 3.123456789, 5.0]
    trials = tuple(
        dataclasses.replace(trial, trial=Trial(gp_lambda, 123456789))
        for trial, gp_lambda in zip(run.trials, awkward, strict=True)
    )
    winner = dataclasses.replace(run.decision.winner, gp_lambda=3.123456789, seed=123456789)
    decision = dataclasses.replace(run.decision, winner=winner)
    arm = UtilityArm("real", f"real images and {LONG}", None, None, 1, 1, 0, 9.0, 0)
    utility = Utility(
        Benefit.HARMS, LONG, LONG, 2, 9, (UtilityMetric("auc", "AUC", Direction.HIGHER),), (arm,),
        (UtilityMeasure("real", "auc", 0.5, 0.4, 0.6, 0.95, (0.5,)),), (), UtilityCounts(*[9] * 8, 1), (), (), 0.8,
        None,
    )  # fmt: skip
    findings = Findings(
        utility=utility, result=winner_result(None, winner, unmeasured=Unmeasured.FAILED, reason=f"disk full: /{LONG}")
    )
    champion = Production(
        model=LONG, version="7", asked_ms=1_790_050_000_000, since_ms=None, why=LONG, by=LONG, run_id="b" * 32,
        for_release=True, tags={"mammogan.audit": LONG},
    )  # fmt: skip
    settings = config.override(run.config, {"select.model_name": LONG})
    run = dataclasses.replace(
        run, name=LONG, trials=trials, decision=decision, findings=findings, config=settings,
        tags={"mammogan.model_version": "8", "mammogan.promotion": LONG},
    )  # fmt: skip
    return report.build(run, tmp_path_factory.mktemp("page"), champion, Link(f"http://localhost:5000/#/{LONG}", LONG))


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen_or_touches_its_neighbour(tab, path, width):
    tab.size(width, 900, mobile=width < 500)
    tab.open(path)
    for opened in (False, True):
        tab.evaluate(f"document.querySelectorAll('details').forEach(item => item.open = {str(opened).lower()})")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(WIDER) == []
        assert tab.evaluate(SPILLING) == []
        assert tab.evaluate(COVERING) == []
        assert tab.evaluate(BROKEN) == []


def test_what_is_folded_on_a_screen_is_open_in_print(tab, path):
    tab.size(1280, 900)
    tab.open(path)
    assert tab.evaluate(HIDDEN) > 0
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.evaluate(HIDDEN) == 0
    tab.call("Emulation.setEmulatedMedia", media="")
