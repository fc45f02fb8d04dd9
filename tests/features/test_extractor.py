import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from weights_files import write_inception

from mammogan.config import EvaluateConfig
from mammogan.features import extractor as extractors
from mammogan.features.extractor import extract, extract_cached, load_extractor
from mammogan.features.inception import resized_as_tensorflow1, resized_clean

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    return write_inception(tmp_path_factory.mktemp("weights") / "inception.pth")


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MAMMOGAN_CACHE", str(tmp_path / "cache"))


def noise(count, side=56, seed=1):
    return torch.randint(
        0, 256, (count, 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def load(name, weights="", sha256=""):
    config = EvaluateConfig(extractor=str(name), extractor_weights=str(weights), extractor_sha256=sha256)
    return load_extractor(config, CPU)


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_inception_is_torch_fidelitys_on_grey_repeated_to_colour(inception_file):
    theirs = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(inception_file))
    extractor = load("inception", inception_file)
    images = noise(3)
    expected = theirs(images.expand(-1, 3, -1, -1))[0].numpy()
    assert extract(extractor, images, 2) == pytest.approx(expected, rel=1e-4, abs=1e-5 * float(expected.max()))
    assert extractor.sha256 == hashlib.sha256(inception_file.read_bytes()).hexdigest()


def test_fid_and_kid_of_two_folders_are_torch_fidelitys(inception_file, tmp_path):
    """The whole way from PNG files to the numbers, to 1e-4 as published figures are read."""
    import torch_fidelity

    from mammogan.evaluation.snapshots import evaluate_folders

    for name, images in (("real", noise(7, seed=2)), ("fake", noise(8, seed=3) // 2)):
        (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image[0].numpy()).save(tmp_path / name / f"{number}.png")
    theirs = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "real"), input2=str(tmp_path / "fake"), fid=True, kid=True, kid_subset_size=7,
        cuda=False, verbose=False, cache=False, feature_extractor_weights_path=str(inception_file), save_cpu_ram=True,
    )  # fmt: skip
    config = EvaluateConfig(extractor="inception", extractor_weights=str(inception_file), pairs=1, device="cpu")
    measurements = evaluate_folders(tmp_path / "real", tmp_path / "fake", config).measurements
    ours = {item.quantity.metric: item for item in measurements}
    assert ours["fid"].value == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert ours["kid"].subsets.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)


@pytest.mark.parametrize("side", [56, 224, 299, 400])
def test_tensorflow1_resizing_is_torch_fidelitys(side):
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    images = noise(2, side).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    assert resized_as_tensorflow1(images).numpy() == pytest.approx(expected.numpy(), abs=2e-3)


@pytest.mark.parametrize("side", [56, 224, 400])
def test_clean_resizing_is_pillows_on_floats(side):
    """clean-fid resizes each channel as a float image, bicubic and antialiased, and clips; it never rounds."""
    images = noise(2, side).float()
    expected = [
        np.asarray(Image.fromarray(image[0].numpy()).resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255)
        for image in images
    ]
    assert resized_clean(images)[:, 0].numpy() == pytest.approx(np.array(expected), abs=1e-2)


def test_the_two_resizings_are_two_keys_and_two_numbers(inception_file):
    plain, clean = load("inception", inception_file), load("inception_clean", inception_file)
    assert plain.name == f"inception_{plain.sha256[:8]}"
    assert clean.name == f"inception_clean_{clean.sha256[:8]}"
    assert np.abs(extract(plain, noise(1), 1) - extract(clean, noise(1), 1)).max() > 1e-3


def test_auto_takes_what_it_finds_and_names_it(inception_file, tmp_path):
    assert load("auto").name == "random_vgg"
    hub = tmp_path / "torch/hub/checkpoints"
    hub.mkdir(parents=True)
    (hub / extractors.INCEPTION_FILE).write_bytes(inception_file.read_bytes())
    extractor = load("auto")
    assert extractor.name == f"inception_{extractor.sha256[:8]}"
    assert "other than the published" in extractor.note
    assert load("random").name == "random_vgg"


def test_the_published_weights_alone_are_called_inception(inception_file, monkeypatch):
    sha256 = hashlib.sha256(inception_file.read_bytes()).hexdigest()
    begins_so = sha256[:8] + "0" * 56
    monkeypatch.setattr(extractors, "INCEPTION_SHA256", begins_so)  # its first digits are in the file's name for all
    assert load("inception", inception_file).name == f"inception_{sha256[:8]}"
    monkeypatch.setattr(extractors, "INCEPTION_SHA256", sha256)
    assert load("inception", inception_file).name == "inception"


def test_a_download_is_compared_with_the_whole_sha256(inception_file, monkeypatch):
    monkeypatch.setattr(extractors, "INCEPTION_URL", inception_file.as_uri())
    monkeypatch.setattr(extractors, "INCEPTION_SHA256", sha256_of(inception_file)[:63] + "x")
    with pytest.raises(RuntimeError, match="invalid hash value"):
        load("inception")


@pytest.mark.parametrize("choice", ["auto", "inception", "radimagenet"])
def test_given_weights_are_compared_with_the_given_sha256(inception_file, choice):
    with pytest.raises(ValueError, match=f"is {sha256_of(inception_file)}, not {'0' * 64}"):
        load(choice, inception_file, "0" * 64)
    if choice != "radimagenet":
        assert load(choice, inception_file, sha256_of(inception_file).upper()).sha256 == sha256_of(inception_file)


def test_auto_draws_no_random_features_where_a_file_was_named_by_its_sha256(inception_file, tmp_path, monkeypatch):
    monkeypatch.setattr(extractors, "INCEPTION_URL", (tmp_path / "nothing.pth").as_uri())
    with pytest.raises(OSError, match="cannot be fetched"):
        load("auto", sha256=sha256_of(inception_file))
    hub = tmp_path / "torch/hub/checkpoints"
    hub.mkdir(parents=True, exist_ok=True)
    (hub / extractors.INCEPTION_FILE).write_bytes(inception_file.read_bytes())
    with pytest.raises(ValueError, match=f"not {'0' * 64}"):
        load("auto", sha256="0" * 64)
    assert load("auto", sha256=sha256_of(inception_file)).sha256 == sha256_of(inception_file)


def test_inception_that_cannot_be_had_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(extractors, "INCEPTION_URL", (tmp_path / "nothing.pth").as_uri())
    with pytest.raises(OSError, match=r"give the file as evaluate\.extractor_weights"):
        load("inception")
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        load("auto", tmp_path / "none.pth")


def test_files_of_another_network_are_refused(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth does not hold torch-fidelity's Inception"):
        load("inception", tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth does not hold DenseNet121"):
        load("radimagenet", tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth holds a list"):
        load("inception", tmp_path / "list.pth")


def test_radimagenet_is_the_mean_of_densenets_last_map(tmp_path):
    from torchvision.models import densenet121

    torch.manual_seed(0)
    theirs = densenet121(weights=None).eval()
    state = {f"backbone.0.{name}": value for name, value in theirs.features.state_dict().items()}
    torch.save(state, tmp_path / "densenet.pt")
    extractor = load("radimagenet", tmp_path / "densenet.pt")
    assert extractor.name == f"radimagenet_{extractor.sha256[:8]}"
    images = noise(2, 64)
    theirs.classifier = torch.nn.Identity()
    with torch.inference_mode():
        expected = theirs((images.float() / 127.5 - 1).expand(-1, 3, -1, -1)).numpy()
    assert extract(extractor, images, 1) == pytest.approx(expected, rel=1e-3, abs=1e-5)


class MeanAndMaximum(torch.nn.Module):
    """An extractor of somebody else: (B, 3, H, W), [0, 255] -> (B, 6, 1, 1)."""

    def forward(self, x):
        return torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)[:, :, None, None]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("suffix", [".torchscript", ".onnx"])
def test_exported_networks_get_colour_in_0_to_255(tmp_path, suffix):
    path = tmp_path / f"my net{suffix}"
    example = torch.zeros(2, 3, 8, 8)
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
        torch.onnx.export(MeanAndMaximum(), (example,), path, dynamo=True, verbose=False, dynamic_shapes=({0: "n"},))
    else:
        torch.jit.trace(MeanAndMaximum(), example).save(path)
    extractor = load(path, sha256=sha256_of(path))
    assert extractor.name == f"file_my_net_{extractor.sha256[:8]}"
    images = noise(5, 8)
    expected = MeanAndMaximum()(images.float().expand(-1, 3, -1, -1)).flatten(1).numpy()
    assert extract(extractor, images, 2) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("suffix", [".torchscript", ".onnx"])
def test_broken_exported_networks_are_named(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"torn")
    with pytest.raises(ValueError, match=rf"broken\{suffix}' cannot be loaded"):
        load(path, sha256=sha256_of(path))


class Overwriting(torch.nn.Module):
    """A program in a file: to run it is to write a file of its choice."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self.mark = mark

    def forward(self, x):
        written = torch.from_file(self.mark, True, 64, dtype=torch.uint8).fill_(33)
        return x.mean(dim=(2, 3)) + written.float().mean()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated")
@pytest.mark.parametrize("suffix", [".ts", ".torchscript", ".TS"])
def test_a_torchscript_program_runs_only_by_its_sha256(tmp_path, suffix):
    mark, path = tmp_path / "mark", tmp_path / f"program{suffix}"
    torch.jit.script(Overwriting(str(mark))).save(str(path))
    with pytest.raises(ValueError, match=r"evaluate\.extractor_sha256='': .*TorchScript, a program that runs"):
        load(path)
    with pytest.raises(ValueError, match=f"is {sha256_of(path)}, not {'0' * 64}"):
        load(path, sha256="0" * 64)
    with pytest.raises(ValueError, match=r"evaluate\.extractor_sha256='': sha256 of .* a TorchScript program"):
        extractors.exported(path, CPU)
    with pytest.raises(ValueError, match=f"sha256 of .* is {sha256_of(path)}; give"):
        extractors.exported(path, CPU, "0" * 64)
    assert not mark.exists()
    extract(load(path, sha256=sha256_of(path)), noise(1, 8), 1)
    assert mark.exists()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated")
@pytest.mark.filterwarnings("ignore:.torch.load. received a zip file")
@pytest.mark.parametrize("choice", ["inception", "radimagenet"])
def test_a_torchscript_program_in_place_of_weights_is_refused(tmp_path, choice):
    mark, path = tmp_path / "mark", tmp_path / "weights.pth"
    torch.jit.script(Overwriting(str(mark))).save(str(path))
    with pytest.raises(ValueError, match="cannot be read as"):
        load(choice, path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"extractor": "random", "extractor_sha256": "0" * 64}, "leave it out: evaluate.extractor=random has no file"),
        ({"lpips_sha256": "0" * 64}, "give the file as evaluate.lpips_weights too"),
        ({"extractor_sha256": "abc"}, "give a sha256, 64 hexadecimal digits"),
        ({"extractor_weights": "https://host/inception.pth"}, "give the sha256 of https://host/inception.pth"),
        ({"lpips_weights": "s3://bucket/lpips.pth"}, "give the sha256 of s3://bucket/lpips.pth"),
        ({"extractor": "s3://bucket/net.onnx"}, "give the path of a file"),
    ],
)
def test_a_sha256_that_compares_nothing_or_is_missing_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        EvaluateConfig(**given)


def test_an_unknown_extractor_names_the_known_ones():
    with pytest.raises(ValueError, match=r"evaluate\.extractor='resnet': choose one of auto, inception"):
        EvaluateConfig(extractor="resnet")


def test_random_features_are_fixed_finite_and_independent_of_the_batch():
    torch.manual_seed(11)
    first, again = extractors.random_vgg(CPU), extractors.random_vgg(CPU)
    assert first.sha256 == again.sha256
    images = noise(5)
    whole = extract(first, images, 5)
    assert whole.shape == (5, 512)
    assert np.isfinite(whole).all()
    assert whole.std(axis=0).max() > 0
    assert extract(again, images, 2) == pytest.approx(whole, rel=1e-4, abs=1e-6)


def test_large_images_are_averaged_down_and_tiny_ones_refused():
    extractor = extractors.random_vgg(CPU)
    large = noise(2, 112).repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    assert extract(extractor, large, 2) == pytest.approx(extract(extractor, noise(2, 112), 2), rel=1e-4, abs=1e-6)
    with pytest.raises(ValueError, match="need sides from 16"):
        extract(extractor, noise(1, 15), 1)


def test_cached_features_are_read_again_and_made_again_when_torn(tmp_path):
    calls = []
    extractor = extractors.Extractor("mean", "sha", "", lambda x: calls.append(len(x)) or x.float().mean(dim=(2, 3)))
    images = noise(5, 16)
    first = extract_cached(extractor, images, 3)
    assert (extract_cached(extractor, images, 3) == first).all()
    assert sum(calls) == 5
    (stored,) = (tmp_path / "cache/features").iterdir()
    stored.write_bytes(stored.read_bytes()[:100])
    assert (extract_cached(extractor, images, 3) == first).all()
    extract_cached(extractor, images.flip(0), 3)
    extract_cached(extractors.Extractor("mean", "other", "", extractor.features), images, 3)
    assert sum(calls) == 4 * 5
