import hashlib

import pytest
import torch
from torchvision.models import densenet121

from mammogan.features.densenet import load_frozen, random_frozen
from mammogan.features.densenet_weights import read_trunk
from mammogan.features.radimagenet import RadImageNet
from mammogan.results import Network


@pytest.fixture(scope="module")
def features():
    """DenseNet121 whose BatchNorms are not at the identity, so that a lost statistic shows."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        features = densenet121(weights=None).features.eval()
        for module in features.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.running_mean, std=0.1)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.1)
    return features


@pytest.fixture
def weights_file(features, tmp_path):
    """Save a state dict in the RadImageNet file's form, with a prefix of choice."""

    def save(prefix="backbone.0.", change=None):
        state = {prefix + key: value for key, value in features.state_dict().items()}
        path = tmp_path / "DenseNet121.pt"
        torch.save(change(state) if change else state, path)
        return path

    return save


def test_size_is_the_published_one():
    frozen = random_frozen()
    statistics = [value for name, value in frozen.named_buffers() if not name.endswith("num_batches_tracked")]
    assert sum(weight.numel() for weight in frozen.parameters()) == 617_856
    assert sum(value.numel() for value in statistics) == 6_336
    assert frozen(torch.zeros(2, 1, 224, 224)).shape == (2, 256, 28, 28)


@pytest.mark.parametrize("prefix", ["backbone.0.", "features.", ""])
def test_output_is_conv3_block4_concat_of_the_whole_network(features, weights_file, prefix):
    path = weights_file(prefix)
    frozen, identity = load_frozen(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    assert identity == Network("DenseNet121.pt", hashlib.sha256(path.read_bytes()).hexdigest())
    captured = []
    # the fifth layer's norm1 receives the concatenation that conv3_block4_concat makes
    hook = features.denseblock2.denselayer5.norm1.register_forward_pre_hook(lambda _m, x: captured.append(x[0]))
    x = torch.rand(2, 1, 56, 56) * 2 - 1
    features(torch.cat([x, x, x], dim=1))
    hook.remove()
    torch.testing.assert_close(frozen(x), captured[0], rtol=1e-5, atol=1e-5)


def test_random_weights_ignore_the_training_seed_and_keep_their_scale():
    torch.manual_seed(1)
    first = load_frozen("random")
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    second = load_frozen("random")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first[1] == second[1]
    assert first[1].name == "random"
    images = torch.rand(4, 1, 56, 56) * 2 - 1
    assert 0.2 < first[0](images).std() < 5


def drop_one(state):
    state.pop("backbone.0.denseblock1.denselayer1.conv1.weight")
    return state


def reshape_one(state):
    return state | {"backbone.0.conv0.weight": torch.zeros(64, 1, 7, 7)}


def add_one(state):
    return state | {"backbone.0.conv9.weight": torch.zeros(1)}


@pytest.mark.parametrize("change", [drop_one, reshape_one, add_one])
def test_wrong_keys_or_shapes_are_refused(weights_file, change):
    with pytest.raises(ValueError, match=r"^model\.frozen_weights: .*not DenseNet121's keys and shapes"):
        load_frozen(str(weights_file(change=change)))
    with pytest.raises(ValueError, match=r"^evaluate\.extractor_weights: .*not DenseNet121's keys and shapes"):
        RadImageNet(weights_file(change=change))


def test_a_classifier_in_the_file_is_left_out(features, weights_file):
    path = weights_file("features.", lambda state: state | {"classifier.weight": torch.zeros(2, 1024)})
    trunk = read_trunk(path, "model.frozen_weights")
    assert {key: value.sum() for key, value in trunk.state_dict().items()} == {
        key: value.sum() for key, value in features.state_dict().items()
    }


def test_other_things_than_tensors_are_refused(weights_file):
    path = weights_file(change=lambda state: state | {"epoch": 3})
    with pytest.raises(ValueError, match=r"model\.frozen_weights: .*holds other things than tensors"):
        load_frozen(str(path))


def test_a_foreign_state_dict_is_refused(weights_file):
    with pytest.raises(ValueError, match=r"backbone\.0\.conv0\.weight"):
        load_frozen(str(weights_file("module.")))


def test_a_wrong_sha256_is_refused_before_reading(weights_file):
    with pytest.raises(ValueError, match="sha256"):
        load_frozen(str(weights_file()), "0" * 64)


class Payload:
    def __reduce__(self):
        return (print, ("code ran while loading weights",))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, capsys):
    torch.save(Payload(), tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="give a PyTorch state dict"):
        load_frozen(str(tmp_path / "evil.pt"))
    assert "code ran" not in capsys.readouterr().out


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pt"):
        load_frozen(str(tmp_path / "absent.pt"))
