"""SwAV's and DINO's ResNet-50: torchvision's, on images prepared by torchvision's transforms, from both layouts."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torchvision import transforms
from torchvision.models import resnet50

from mammogan.config import EvaluateConfig
from mammogan.features import self_supervised
from mammogan.features.extractor import CPU, extract, load_extractor
from mammogan.features.self_supervised import SelfSupervised
from mammogan.storage import sha256_of

PUBLISHED = {
    "swav": transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.228, 0.224, 0.225]),
    ]),
    "dino": transforms.Compose([
        transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224),
        transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]),
}  # fmt: skip
"""As ``eval_linear.py`` of SwAV and ``eval_knn.py`` of DINO prepare an image."""


@pytest.fixture(scope="module")
def theirs():
    """ResNet-50 with weights that are no identity anywhere, so that a lost BatchNorm shows."""
    rng = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = resnet50(weights=None)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.copy_(torch.rand(layer.running_mean.shape, generator=rng) - 0.5)
            layer.running_var.copy_(torch.rand(layer.running_var.shape, generator=rng) + 0.5)
            layer.weight.data.copy_(torch.rand(layer.weight.shape, generator=rng) * 0.5 + 0.2)
    model.fc = torch.nn.Identity()
    return model.eval()


def published(kind, model):
    """Its state as the authors' file has it."""
    state = dict(model.state_dict())
    if kind == "dino":
        return state
    head = {
        "projection_head.0.weight": torch.zeros(2048, 2048), "projection_head.1.running_mean": torch.zeros(2048),
        "projection_head.1.num_batches_tracked": torch.tensor(1), "projection_head.3.bias": torch.zeros(128),
        "prototypes.weight": torch.zeros(3000, 128),
    }  # fmt: skip
    return {f"module.{name}": value for name, value in (state | head).items()}


def load(kind, path, sha256=None):
    return load_extractor(
        EvaluateConfig(extractor=kind, extractor_weights=str(path), extractor_sha256=sha256 or sha256_of(path)), CPU
    )


@pytest.mark.parametrize("kind", ["swav", "dino"])
def test_features_are_torchvisions_on_images_prepared_as_published(theirs, kind, tmp_path):
    torch.save(published(kind, theirs), tmp_path / "weights.pth.tar")
    extractor = load(kind, tmp_path / "weights.pth.tar")
    assert extractor.name == f"{kind}_{extractor.sha256[:8]}"
    rng = np.random.default_rng(0)
    # a uint8 tensor is resized to within two grey levels of what Pillow makes of it; 256 px stay as they are
    for shape, levels in (((56, 56), 2), ((300, 260), 2), ((256, 256), 0)):
        smooth = gaussian_filter(rng.normal(size=(2, *shape)), (0, 2, 2))
        pixels = (127 + 40 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)
        pictures = [Image.fromarray(each).convert("RGB") for each in pixels]
        with torch.inference_mode():
            expected = theirs(torch.stack([PUBLISHED[kind](picture) for picture in pictures])).numpy()
        found = extract(extractor, torch.from_numpy(pixels)[:, None], 2)
        assert found.shape == (2, 2048)
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4 * float(np.abs(expected).max()))
        network = SelfSupervised(tmp_path / "weights.pth.tar", kind)
        for picture, given in zip(pictures, network.prepared(torch.from_numpy(pixels)[:, None]), strict=True):
            torch.testing.assert_close(given, PUBLISHED[kind](picture), rtol=0, atol=levels / 255 / 0.224 + 1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer3.4.bn2.running_var"), r"layer3\.4\.bn2\.running_var has the shape None"),
        (lambda state: state.update({"layer5.0.weight": torch.zeros(1)}), r"layer5\.0\.weight has the shape \(1,\)"),
        (
            lambda state: state.update({"conv1.weight": torch.zeros(64, 1, 7, 7)}),
            r"conv1\.weight has the shape \(64, 1",
        ),
        (lambda state: state.update({"epoch": 3}), "give a plain state dict"),
    ],
)
def test_a_file_that_is_not_all_of_resnet50_is_refused(theirs, tmp_path, change, message):
    state = published("dino", theirs)
    change(state)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=rf"evaluate\.extractor_weights: .*other\.pth does not hold .*{message}"):
        load("dino", tmp_path / "other.pth")


def test_a_file_without_the_counters_is_whole(theirs, tmp_path):
    state = {name: value for name, value in theirs.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    assert load("swav", tmp_path / "old.pth").name.startswith("swav_")


def test_nothing_of_another_file_is_read(theirs, tmp_path, monkeypatch):
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    monkeypatch.setattr(self_supervised, "read_state", lambda path: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=f"not {'0' * 64}"):
        load("swav", tmp_path / "weights.pth", "0" * 64)


@pytest.mark.parametrize("kind", ["swav", "dino"])
def test_file_and_sha256_have_to_be_given(kind):
    with pytest.raises(ValueError, match=rf"evaluate\.extractor_weights='': .*{kind} needs the authors' file"):
        EvaluateConfig(extractor=kind)
    with pytest.raises(ValueError, match=r"evaluate\.extractor_sha256='': give the sha256 of x\.pth"):
        EvaluateConfig(extractor=kind, extractor_weights="x.pth")
