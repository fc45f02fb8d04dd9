"""The campaign itself: every kind for a short while, and that it tells what it is there to find."""

import os
import time
from pathlib import Path

import children
import pytest
from campaign import MODULES, fuzz, kind_of
from cases import GOOD, Case, Kind, LossError, Outcome

MINUTES = float(os.environ.get("FUZZ_MINUTES", "5"))
"""Of all kinds together."""


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", sorted(MODULES))
def test_broken_inputs_are_results_or_refusals_of_one_line(name):
    tally = fuzz(kind_of(name), int(time.time()), 60 * MINUTES / len(MODULES))
    print(tally.line())
    assert not tally.failures, [f"{case.kind}/{case.seed}/{case.number}: {verdict}" for case, verdict in tally.failures]


def recursion(given, out):
    return recursion(given, out)


def ends(given, out):
    os.kill(os.getpid(), 9)


def waits(given, out):
    os.mkfifo(given / "pipe")
    (given / "pipe").read_bytes()


def escapes(given, out):
    Path("ran").write_text("code of the input ran")


def loses(given, out):
    raise LossError("a row went missing")


def raises(error):
    def read(given, out):
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        (lambda given, out: (out / "made").write_text(""), Outcome.RESULT),
        (raises(ValueError("file='a': it is none; give another")), Outcome.REFUSED),
        (raises(ValueError("two\nlines")), Outcome.TRACEBACK),
        (raises(KeyError("kept")), Outcome.TRACEBACK),
        (raises(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")), Outcome.TRACEBACK),
        (recursion, Outcome.TRACEBACK),
        (loses, Outcome.LOSS),
        (escapes, Outcome.ESCAPE),
        (lambda given, out: bytearray(4 << 30), Outcome.MEMORY),
        (ends, Outcome.CRASH),
        (waits, Outcome.HANG),
    ],
)
def test_what_goes_wrong_is_reported_by_its_name(tmp_path, monkeypatch, read, outcome):

    monkeypatch.setattr(children, "CASE_S", 3)
    kind = Kind("planted", lambda rng, folder: None, read)
    batch = children._batch(kind, 0, 0, children.Sandbox(tmp_path))
    case, verdict = next(batch)
    batch.close()
    assert (case, verdict.outcome) == (Case("planted", 0, 0), outcome)
    assert (verdict.outcome in GOOD) == (outcome in ("result", "refused"))


def test_a_case_is_the_same_whenever_it_is_made(tmp_path):
    kind = kind_of("manifests")
    for name in "ab":
        (tmp_path / name).mkdir()
        kind.write(Case("manifests", 0, 7).rng(), tmp_path / name)
    assert (tmp_path / "a/manifest.csv").read_bytes() == (tmp_path / "b/manifest.csv").read_bytes()
