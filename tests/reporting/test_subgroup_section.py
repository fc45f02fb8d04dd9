"""The report's section on subgroups: what decides with its mark, what was not done in amber."""

import dataclasses

import pytest
from sample_run import paper_run, winner_result
from test_subgroup_tables import COVERAGE, FIDELITY

from mammogan.records import Findings
from mammogan.reporting import report, subgroup_tables
from mammogan.results import Finding, SubgroupFidelity

SAME = dataclasses.replace(COVERAGE, worse=0.4, finding=Finding.NO_DIFFERENCE)


def part_of(found):
    result = winner_result(None, paper_run().decision.winner, subgroups=found)
    return subgroup_tables.part(Findings(result=result)).fidelity


@pytest.mark.parametrize(
    ("found", "tone", "words"),
    [
        (FIDELITY, "bad", "1 covered worse"),
        (SubgroupFidelity((SAME,)), "good", "none covered worse"),
        (SubgroupFidelity((SAME,), FIDELITY.omitted), "amber", "none covered worse; 1 not checked"),
        (SubgroupFidelity((), FIDELITY.omitted), "amber", "not checked"),
        (SubgroupFidelity(), "amber", "not checked"),
    ],
)
def test_what_was_not_checked_is_amber(found, tone, words):
    assert (part_of(found).mark.tone, part_of(found).mark.words) == (tone, words)


def test_the_report_has_a_row_a_subgroup(tmp_path):
    run = paper_run()
    assert subgroup_tables.part(run.findings) is None
    result = winner_result(None, run.decision.winner, subgroups=FIDELITY)
    page = report.build(dataclasses.replace(run, trials=(), findings=Findings(result=result)), tmp_path).read_text()
    section = page[page.index('id="subgroups"') : page.index('id="data"')]
    for cell in ("density 4", "30 / 15", "0.50 (0.30 to 0.70)", "0.90", "−0.40 (−0.60 to −0.20)", "0.004"):
        assert f">{cell}<" in section
    assert "abnormality calcification and mass: not done: 2 patients, 10 are needed" in section
    assert "side: not known of 7 images" in section
