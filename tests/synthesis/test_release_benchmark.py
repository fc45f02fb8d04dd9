"""What ``benchmarks/release.py`` refuses to measure, and how it tells the audit's answers."""

from argparse import Namespace

import benchmark_module
import pytest

from mammogan.config import AuditCheck, DataConfig
from mammogan.data import summary
from mammogan.data.summary import Counts, Leak, Sides, Summary
from mammogan.results import Audit, AuditCounts, Benefit, Outcome, Utility, UtilityCounts, Verdict


@pytest.fixture(scope="module", name="benchmark")
def _benchmark():
    return benchmark_module.load("release")


def test_crops_of_another_size_are_not_taken(benchmark, tmp_path):
    (tmp_path / "crops").mkdir()
    none = Counts(0, 0, 0, 0)
    content = Summary(
        **vars(none), source="images", subset="mass-train", splits=Sides(none, none, Leak(0, 0)), data_digest="d",
        settings=DataConfig(size=56),
    )  # fmt: skip
    summary.write(content, str(tmp_path / "crops"))
    given = Namespace(work=tmp_path, folder=tmp_path, lpips_weights=None, seeds=2, steps=1)
    assert benchmark.prepared(given, 56)[0] == tmp_path / "crops"
    with pytest.raises(ValueError, match=r"--work=.*: its crops have 56 px, not 112; give another folder"):
        benchmark.prepared(given, 112)


def test_a_check_that_was_not_made_did_not_pass(benchmark):
    verdicts = (
        Verdict("exact copies", Outcome.PASSED, "0 of 9", AuditCheck.EXACT_COPIES),
        Verdict("nearer", Outcome.NOT_CHECKED, "nobody"),
    )
    utility = Utility(
        finding=Benefit.NO_DIFFERENCE, verdict="no effect", classifier="c", seeds=1, steps=1, metrics=(), arms=(),
        measures=(), effects=(), counts=UtilityCounts(2, 2, 1, 1, 1, 1, 0, 9, 1), tests=(), calibrations=(), power=0.8,
        smallest_effect=None,
    )  # fmt: skip
    audit = Audit(verdicts, (), (), (), AuditCounts(1, 1, 1, 9, 9, 0, 0), (), (AuditCheck.EXACT_COPIES,))
    item, counts = benchmark.FilledSet(9, audit, utility), Counts(images=3, benign=2, malignant=1, patients=3)
    lines = benchmark.page(benchmark.Release(counts, counts, item, item), "about").splitlines()
    demo = "demo, not for release: 18 of 19 checks are not required"
    assert f"The audit refuses nothing: passed 1 of 2 checks, 1 not checked; {demo}." in lines
    assert "| nearer | not checked | nobody |" in lines
    assert "| exact copies | passed | 0 of 9 |" in lines
