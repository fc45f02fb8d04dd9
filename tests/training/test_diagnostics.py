import mmap

import pytest
import torch
from torch import nn
from trial_process import blobs, train

from mammogan.models.generator import Generator
from mammogan.training.diagnostics import Overfitting, mean_score, memory_mb

pytestmark = pytest.mark.usefixtures("one_thread")


class Brightness(nn.Module):
    """A critic whose score is the mean of an image in [-1, 1]."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.gain * x.mean(dim=(1, 2, 3))


def grey(value, count=3):
    return torch.full((count, 1, 28, 28), value, dtype=torch.uint8)


def test_the_mean_score_is_that_of_the_images_in_their_range():
    images = torch.cat([grey(0, 20), grey(255, 20)])
    assert mean_score(Brightness(), images) == pytest.approx(0)
    assert mean_score(Brightness(), grey(255)) == pytest.approx(1)


@pytest.mark.parametrize(("held_out", "expected"), [(255, 0.0), (0, 1.0)])
def test_a_critic_that_takes_held_out_images_for_fakes_is_wholly_overfitted(held_out, expected, monkeypatch):
    monkeypatch.setattr("mammogan.training.diagnostics.sample", lambda _generator, count, *_: grey(0, count))
    measures = Overfitting(grey(255), grey(held_out)).measures(Brightness(), Generator(28, 4, 8))
    assert measures == {"held_out_wasserstein": pytest.approx(2 - 2 * expected), "overfitting": pytest.approx(expected)}


def test_nothing_held_out_nothing_measured():
    assert Overfitting(grey(255), grey(0, 0)).measures(Brightness(), Generator(28, 4, 8)) == {}


def test_memory_is_that_of_the_process():
    before = memory_mb(torch.device("cpu"))
    with mmap.mmap(-1, 50_000_000) as block:  # new pages; an array might get some that were freed before
        block.write(b"x" * len(block))
        assert 40 < memory_mb(torch.device("cpu")) - before < 150


def test_a_trial_reports_them_every_epoch_and_is_trained_as_on_the_other_images_alone(tmp_path):
    rows = []
    train(
        tmp_path / "watched",
        report=lambda _epoch, metrics: rows.append(metrics),
        images=blobs()[3:],
        validation=blobs()[:3],
        **{"train.epochs": 2},
    )
    assert all({"train/overfitting", "train/held_out_wasserstein"} <= set(row) for row in rows)
    train(tmp_path / "alone", images=blobs()[3:], **{"train.epochs": 2})
    watched, alone = ((tmp_path / name / "out/snapshots/epoch_0002.pt").read_bytes() for name in ("watched", "alone"))
    assert watched == alone


def test_the_norms_are_those_of_the_weights_gradients(tmp_path, monkeypatch):
    from mammogan.training.trainer import Trainer

    norms, advance = [], Trainer.advance

    def noting(self):
        advance(self)
        for network in (self.critic, self.generator):
            flat = [weight.grad.flatten() for weight in network.parameters() if weight.grad is not None]
            norms.append(torch.cat(flat).double().norm().item())

    monkeypatch.setattr(Trainer, "advance", noting)
    rows = []
    changes = {"train.epochs": 1, "train.n_critic": 1, "train.batch_size": 13}
    train(tmp_path, report=lambda _epoch, metrics: rows.append(metrics), **changes)
    assert [rows[0]["train/critic_grad_norm"], rows[0]["train/generator_grad_norm"]] == pytest.approx(norms, rel=1e-5)
