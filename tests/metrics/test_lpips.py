import hashlib
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from mammogan.metrics import lpips
from mammogan.metrics.lpips import embedded, load_perceptual, mean_between, mean_within

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def alexnet(shared):
    return shared / "data/weights/lpips_alex.pth"


def lpips_package(weights):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lpips

        return lpips.LPIPS(net="alex", pnet_rand=True, model_path=str(weights), verbose=False)


def noise(count, side=64, seed=0):
    return torch.randint(
        0, 256, (count, 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def distance(network, x, y):
    return float((network.embed(x) - network.embed(y)).double().square().sum())


def test_known_distances_of_the_reference_implementations_examples(shared, alexnet):
    """Its example images are in colour, so they go into the network itself."""
    folder = shared / "data/weights/lpips_example"
    images = {
        name: torch.from_numpy(np.array(Image.open(folder / f"ex_{name}.png"))).permute(2, 0, 1)[None] / 127.5 - 1
        for name in ("ref", "p0", "p1")
    }
    network = lpips._from_state(lpips.weights_files.read_state(alexnet), str(alexnet))
    with torch.inference_mode():
        phi = {name: network(image) for name, image in images.items()}
    distances = [float((phi["ref"] - phi[name]).square().sum()) for name in ("p0", "p1")]
    assert distances == pytest.approx([0.72188, 0.13757], abs=1e-5)


def test_agrees_with_the_lpips_package_on_grey_images(alexnet):
    network, theirs = load_perceptual(str(alexnet), CPU), lpips_package(alexnet)
    x, y = noise(3), noise(3, seed=1) // 2
    with torch.inference_mode():
        expected = theirs(*((images / 127.5 - 1).expand(-1, 3, -1, -1) for images in (x, y))).flatten()
    ours = [distance(network, x[i : i + 1], y[i : i + 1]) for i in range(3)]
    assert ours == pytest.approx(expected.tolist(), rel=1e-5)
    assert network.name == "lpips"


@pytest.fixture(scope="module")
def random_network(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("hub")))
        return load_perceptual("", CPU)


def test_without_weights_the_key_is_another_and_the_weights_are_always_the_same(random_network, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(7)
    again = load_perceptual("", CPU)
    assert (again.name, again.sha256) == ("lpips_random", random_network.sha256)
    assert torch.equal(again.embed(noise(1)), random_network.embed(noise(1)))


def test_the_hub_caches_trunk_and_the_packages_heads_make_the_same_network(alexnet, tmp_path, monkeypatch):
    full = torch.load(alexnet, weights_only=True)
    trunk = {
        f"features.{index}.{kind}": full[f"net.slice{layer + 1}.{index}.{kind}"]
        for layer, index in enumerate((0, 3, 6, 8, 10))
        for kind in ("weight", "bias")
    }
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(trunk, tmp_path / "hub/checkpoints" / lpips.TRUNK_FILE)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    default, given = load_perceptual("", CPU), load_perceptual(str(alexnet), CPU)
    assert default.name == "lpips"
    assert torch.equal(default.embed(noise(1)), given.embed(noise(1)))


@pytest.mark.parametrize(("n", "m", "blocks"), [(1, 1, 50), (7, 4, 50), (7, 9, 3)])
def test_means_are_those_over_all_pairs(random_network, monkeypatch, n, m, blocks):
    monkeypatch.setattr(lpips, "BLOCKS", blocks)
    x, y = noise(n), noise(m, seed=1)
    phi, psi = random_network.embed(x), random_network.embed(y)
    between = [float((a - b).double().square().sum()) for a in phi for b in psi]
    sets = embedded(random_network, x, 3), embedded(random_network, y, 100)
    assert mean_between(*sets, 0.95).value == pytest.approx(np.mean(between), rel=1e-5)
    if n > 1:
        within = [float((phi[i] - phi[j]).double().square().sum()) for i in range(n) for j in range(i)]
        assert mean_within(sets[0], 0.95).value == pytest.approx(np.mean(within), rel=1e-5)


def test_the_interval_is_that_of_leaving_images_out_for_real(random_network):
    x, y = noise(6), noise(5, seed=1)
    whole = mean_within(embedded(random_network, x, 8), 0.95)
    keep = [[j for j in range(6) if j != i] for i in range(6)]
    without = np.array([mean_within(embedded(random_network, x[k], 8), 0.95).value for k in keep])
    from mammogan.statistics import combine, jackknife

    assert whole == pytest.approx(combine(whole.value, [jackknife(whole.value, without)], 0.95), rel=1e-4)
    between = mean_between(embedded(random_network, x, 8), embedded(random_network, y, 8), 0.95)
    assert between.low < between.value < between.high


def test_a_collapsed_generator_has_distance_zero(random_network):
    same = noise(1).expand(6, -1, -1, -1)
    assert mean_within(embedded(random_network, same, 4), 0.95).value == pytest.approx(0, abs=1e-5)


def test_files_that_are_not_lpips_say_so(tmp_path):
    text, other, code = tmp_path / "text.pth", tmp_path / "other.pth", tmp_path / "code.pth"
    text.write_text("no weights")
    torch.save({"a": torch.zeros(1)}, other)
    torch.save(Exploit(), code)
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        load_perceptual(str(tmp_path / "none.pth"), CPU)
    with pytest.raises(ValueError, match=r"text\.pth cannot be read"):
        load_perceptual(str(text), CPU)
    with pytest.raises(ValueError, match=r"other\.pth does not hold LPIPS"):
        load_perceptual(str(other), CPU)
    with pytest.raises(ValueError, match=r"code\.pth cannot be read"):
        load_perceptual(str(code), CPU)


class Exploit:
    """Would raise ZeroDivisionError if unpickling ran it."""

    def __reduce__(self):
        return eval, ("1 / 0",)


def test_given_weights_are_compared_with_the_given_sha256(alexnet):
    sha256 = hashlib.sha256(alexnet.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=f"is {sha256}, not {'0' * 64}"):
        load_perceptual(str(alexnet), CPU, "0" * 64)
    assert load_perceptual(str(alexnet), CPU, sha256).sha256 == sha256
