"""What ``benchmarks/release.py`` refuses to measure, and how it tells the audit's answers."""

import importlib.util
from argparse import Namespace
from pathlib import Path

import pytest

from mammogan.data.ingest import write_summary

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "release.py"


@pytest.fixture(scope="module", name="benchmark")
def _benchmark():
    spec = importlib.util.spec_from_file_location("release_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_crops_of_another_size_are_not_taken(benchmark, tmp_path):
    (tmp_path / "crops").mkdir()
    write_summary({"settings": {"size": 56}}, tmp_path / "crops")
    given = Namespace(work=tmp_path, folder=tmp_path, lpips_weights=None, seeds=2, steps=1)
    assert benchmark.prepared(given, 56)[0] == tmp_path / "crops"
    with pytest.raises(ValueError, match=r"--work=.*: its crops have 56 px, not 112; give another folder"):
        benchmark.prepared(given, 112)


def test_a_check_that_was_not_made_did_not_pass(benchmark):
    verdicts = [
        {"gate": "exact copies", "passed": True, "why": "0 of 9"},
        {"gate": "nearer", "passed": True, "why": "not checked: nobody"},
    ]
    utility = {
        "verdict": "no effect",
        "classifier": "c",
        "seeds": 1,
        "steps": 1,
        "metrics": [],
        "records": [],
        "arms": [],
    }
    item = {"images": 9, "audit": {"passed": True, "verdicts": verdicts}, "utility": utility}
    counts = {"benign": 2, "malignant": 1, "patients": 3}
    found = {"train": counts, "test": counts, "balanced": item, "as many": item}
    lines = benchmark.page(found, "about").splitlines()
    assert "The audit refuses nothing: passed 1 of 2 checks, 1 not checked." in lines
    assert "| nearer | not checked | nobody |" in lines
    assert "| exact copies | passed | 0 of 9 |" in lines
