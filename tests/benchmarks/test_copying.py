"""The simulated audits of copies: moved ones are found that pixels miss, and a blind search breaks the bounds."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from decision_simulations import copying, deals
from decision_simulations.claims import Decision
from decision_simulations.setting import Setting
from torch.nn import functional

from mammogan.results import Outcome


def smooth(count, side=56):
    """(count, 1, side, side) uint8: random smooth pictures."""
    noise = torch.randn((count, 1, side // 4, side // 4), generator=torch.Generator().manual_seed(0))
    return (128 + 40 * functional.interpolate(noise, size=side, mode="bicubic")).clamp(0, 255).to(torch.uint8)


@pytest.fixture
def _pictures(monkeypatch):
    """84 pictures of as many patients; three kinds of copies."""
    images = smooth(84)
    reals = SimpleNamespace(images=lambda: images, patients=[f"p{number}" for number in range(len(images))])
    dataset = SimpleNamespace(real=SimpleNamespace(of=lambda label: reals))
    monkeypatch.setattr(copying.Dataset, "read", lambda folder: dataset)
    monkeypatch.setattr(copying, "FEWER", 1)
    monkeypatch.setattr(copying, "KINDS", {name: copying.KINDS[name] for name in copying.REPLAYED})


def simulated():
    return {(claim.decision, claim.case): claim for claim in copying.simulate(Setting(12, dataset="any"))}


@pytest.mark.long  # of the benchmark: tests/audit holds the audit itself to the same kinds
@pytest.mark.usefixtures("_pictures")
def test_moved_copies_are_found_that_pixels_miss(monkeypatch):
    claims = simulated()
    found = claims[Decision.MOVED_COPIES, "copies of training images, shifted by 12.5%: found"]
    assert (found.before.value, found.after.value) == (0, 1)
    assert found.after.repetitions >= 4
    still = claims[Decision.MOVED_COPIES, "copies of training images, noise 10: found"]
    assert (still.before.value, still.after.value) == (1, 1)
    assert {decision for decision, _ in claims} == {Decision.MOVED_COPIES, Decision.MEMORISED}
    monkeypatch.setattr(deals.Deal, "copied", lambda self, matches: np.zeros(len(matches.train), dtype=bool))
    monkeypatch.setattr(deals, "by_distance", lambda *_: SimpleNamespace(verdicts=(), measures=()))
    blind = simulated()
    assert not blind[Decision.MOVED_COPIES, "copies of training images, shifted by 12.5%: found"].holds
    assert not blind[Decision.MEMORISED, "replays of training images, noise 10: refused"].holds


def test_without_images_it_does_not_go_on():
    with pytest.raises(ValueError, match="dataset=None"):
        next(copying.simulate(Setting(1000)))


def test_a_passed_quarter_of_copies_breaks_the_bound():
    audits = [deals.Audited(Outcome.REFUSED, np.zeros(0, dtype=bool), Outcome.PASSED)] * 199
    record = copying.Record([*audits, deals.Audited(Outcome.PASSED, np.zeros(0, dtype=bool), Outcome.PASSED)])
    assert not record.claim(Decision.MOVED_COPIES, "x", Outcome.PASSED, most=0.0).holds
    assert copying.Record(audits).claim(Decision.MOVED_COPIES, "x", Outcome.PASSED, most=0.0).holds
