import contextlib
import hashlib

import numpy as np
import pytest
import torch

from mammogan.config import EvaluateConfig
from mammogan.metrics import features
from mammogan.metrics.features import extract, load_extractor

CPU = torch.device("cpu")


@contextlib.contextmanager
def torch_fidelity_without_weights():
    """torch-fidelity's Inception can only be built from a file; let it keep its initial weights instead."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        yield module.FeatureExtractorInceptionV3


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """File of the published one's shape, with random weights: the real one cannot be had without its download."""
    torch.manual_seed(0)
    with torch_fidelity_without_weights() as network:
        state = network("inception", ["2048"]).state_dict()
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(state, path)
    return path


def noise(count, side=56):
    return torch.randint(0, 256, (count, 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_inception_is_torch_fidelitys_on_grey_repeated_to_colour(inception_file):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(inception_file))
    extractor = load_extractor(EvaluateConfig(extractor="inception", extractor_weights=str(inception_file)), CPU)
    images = noise(3)
    expected = theirs(images.expand(-1, 3, -1, -1))[0].numpy()
    assert extract(extractor, images, 2) == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert extractor.sha256 == hashlib.sha256(inception_file.read_bytes()).hexdigest()


def test_auto_takes_what_it_finds_and_names_it(inception_file, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert load_extractor(EvaluateConfig(), CPU).name == "random_vgg"
    hub = tmp_path / "hub/checkpoints"
    hub.mkdir(parents=True)
    (hub / features.INCEPTION_FILE).write_bytes(inception_file.read_bytes())
    found = load_extractor(EvaluateConfig(), CPU)
    assert found.name == f"inception_{found.sha256[:8]}"
    assert "other than the published" in found.note
    assert load_extractor(EvaluateConfig(extractor="random"), CPU).name == "random_vgg"


def test_inception_that_cannot_be_had_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(features, "INCEPTION_URL", (tmp_path / "nothing.pth").as_uri())
    with pytest.raises(OSError, match=r"give the file as evaluate\.extractor_weights"):
        load_extractor(EvaluateConfig(extractor="inception"), CPU)
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        load_extractor(EvaluateConfig(extractor_weights=str(tmp_path / "none.pth")), CPU)


def test_a_file_of_another_network_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth does not hold torch-fidelity's Inception"):
        load_extractor(EvaluateConfig(extractor_weights=str(tmp_path / "other.pth")), CPU)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth holds a list"):
        load_extractor(EvaluateConfig(extractor_weights=str(tmp_path / "list.pth")), CPU)


def test_random_features_are_fixed_finite_and_independent_of_the_batch():
    torch.manual_seed(11)
    first, again = features.random_vgg(CPU), features.random_vgg(CPU)
    assert first.sha256 == again.sha256
    images = noise(5)
    whole = extract(first, images, 5)
    assert whole.shape == (5, 512)
    assert np.isfinite(whole).all()
    assert whole.std(axis=0).max() > 0
    assert extract(again, images, 2) == pytest.approx(whole, rel=1e-4, abs=1e-6)


def test_large_images_are_averaged_down():
    extractor = features.random_vgg(CPU)
    large = noise(2, 112).repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    assert extract(extractor, large, 2) == pytest.approx(extract(extractor, noise(2, 112), 2), rel=1e-4, abs=1e-6)
