"""What is measured and what is generated is float32 everywhere; a training step as ``train.precision`` says."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mammogan.config import PRESETS, EvaluateConfig, Trial, override
from mammogan.device import CUBLAS_WORKSPACE, deterministic_algorithms
from mammogan.evaluation.image_sources import RealImages
from mammogan.evaluation.snapshots import evaluate_images
from mammogan.features.densenet import random_frozen
from mammogan.features.extractor import load_extractor
from mammogan.models.critic import Critic
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import Generator, sample
from mammogan.serving import GeneratorService
from mammogan.synthesis.sampling import batches
from mammogan.training.diagnostics import scores
from mammogan.training.early_stop import HeldOutKid
from mammogan.training.trainer import Trainer
from mammogan.training.trial import train_trial
from mammogan.utility.arms import Arm
from mammogan.utility.classifier import train_and_score

CPU = torch.device("cpu")
SMALL = {
    "data.size": 28, "model.generator_channels": 8, "model.critic_channels": 4, "model.latent_dim": 4,
    "train.batch_size": 2, "train.n_critic": 2, "train.epochs": 2, "utility.steps": 2, "utility.batch_size": 4,
}  # fmt: skip
RANDOM = EvaluateConfig(extractor="random", pairs=10)


class Convolutions(TorchDispatchMode):
    """Whether TF32 was allowed at each convolution that this thread began."""

    def __init__(self):
        super().__init__()
        self.in_tf32 = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if "conv" in str(function):
            self.in_tf32.append(torch.backends.cudnn.allow_tf32)
        return function(*arguments, **(options or {}))


@pytest.fixture(autouse=True)
def _as_pytorch_has_it(monkeypatch, tmp_path):
    """TF32 allowed, and one thread, so that nothing happens in another one."""
    monkeypatch.setenv("MAMMOGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    assert torch.backends.cudnn.allow_tf32, "what the caller had was not put back"


def noise(count, side=28):
    return torch.randint(0, 256, (count, 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def small(**changes):
    return override(PRESETS["demo"], SMALL | changes)


def a_critic():
    return Critic(28, 4, FoldedDenseNet(random_frozen()))


NUMBERS = {
    "metrics": lambda: evaluate_images({"real_fake": RealImages.unrelated(noise(4, 32))}, noise(5, 32), RANDOM),
    "early stop": lambda: HeldOutKid(noise(4), load_extractor(RANDOM, CPU)).compute(Generator(28, 4, 8)),
    "samples": lambda: sample(Generator(28, 4, 8, "interpolated"), 2, 0),
    "synthesis": lambda: next(batches(Generator(28, 4, 8).eval(), 0, 1.0, 0)),
    "serving": lambda: GeneratorService(Generator(28, 4, 8)).images(2, 0),
    "critic's scores": lambda: scores(a_critic(), noise(3)),
    "utility": lambda: train_and_score(
        Arm("real", "", (noise(4), noise(4))), (noise(2), noise(2)), noise(2), 0.5, small(), 0, CPU
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_and_images_are_float32(name):
    with Convolutions() as convolutions:
        NUMBERS[name]()
    assert convolutions.in_tf32
    assert not any(convolutions.in_tf32)


@pytest.mark.parametrize("precision", ["tf32", "float32"])
def test_a_training_step_is_as_exact_as_asked(precision):
    trainer = Trainer(noise(4), small(**{"train.precision": precision}), Trial(3.0, 0), random_frozen(), CPU)
    with Convolutions() as convolutions:
        trainer.advance()
    assert set(convolutions.in_tf32) == {precision == "tf32"}


@pytest.mark.parametrize("wanted", [True, False])
def test_a_trial_is_deterministic_where_asked(wanted, tmp_path, monkeypatch):
    monkeypatch.delenv(CUBLAS_WORKSPACE, raising=False)
    modes = []

    def report(*_):
        modes.append(torch.are_deterministic_algorithms_enabled())

    config = small(**{"train.deterministic": wanted})
    result = train_trial(
        noise(4), config, Trial(3.0, 0), data_digest="d", store=str(tmp_path / "store"), out=tmp_path / "out",
        report=report, report_grid=lambda *_: None,
    )  # fmt: skip
    assert result.reason == ""
    assert modes == [wanted] * 2
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_the_caller_chose_stays(monkeypatch):
    monkeypatch.setenv(CUBLAS_WORKSPACE, ":16:8")
    torch.use_deterministic_algorithms(True)
    try:
        with deterministic_algorithms(True):
            pass
        with deterministic_algorithms(False):
            assert torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
