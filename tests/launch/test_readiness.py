"""What only the last steps read is looked at before the first."""

import pytest
import torch

from mammogan import config, storage
from mammogan.launch import readiness
from mammogan.launch.arguments import graph_arguments


def refused(**settings):
    with pytest.raises(ValueError, match="=") as caught:
        readiness.require(graph_arguments("demo", settings))
    return str(caught.value)


@pytest.mark.parametrize("name", ["model.frozen_weights", "evaluate.extractor", "evaluate.extractor_weights",
                                  "evaluate.lpips_weights"])  # fmt: skip
def test_a_file_that_is_missing_or_none(tmp_path, name):
    missing, folder = str(tmp_path / "x.onnx"), tmp_path / "folder.onnx"
    folder.mkdir()
    assert refused(**{name: missing}) == f"{name}={missing!r}: no such file or folder; give the path of one"
    assert refused(**{name: str(folder)}).startswith(f"{name}={str(folder)!r}: it is no file")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("evaluate.extractor", {}),
        ("evaluate.extractor_weights", {"evaluate.extractor": "inception"}),
        ("evaluate.extractor_weights", {"evaluate.extractor": "radimagenet"}),
        ("evaluate.extractor_weights", {}),
        ("evaluate.lpips_weights", {}),
        ("model.frozen_weights", {}),
    ],
)
def test_a_file_of_other_content(tmp_path, name, more):
    path = tmp_path / "network.ts"
    path.write_bytes(b"no network")
    assert str(path) in refused(**{name: str(path), **more})


def onnx_network(path, shape=("n", 3, "h", "w"), kind="FLOAT", axes=(2, 3), inputs=("x",), operator="ReduceMax"):
    """An ONNX file of one operator on images, whose inputs are added where there are two."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, of_kind = onnx.helper, getattr(onnx.TensorProto, kind)
    first = [helper.make_node("Add", list(inputs), ["sum"])] if len(inputs) == 2 else []
    image = "sum" if first else "x"
    axes_ = helper.make_tensor("axes", onnx.TensorProto.INT64, [len(axes)], axes)
    nodes = [
        *first,
        helper.make_node(operator, [image, "axes"], ["y"], **({} if operator == "Reshape" else {"keepdims": 0})),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, of_kind, shape) for name in inputs],
        [helper.make_tensor_value_info("y", of_kind, None)],
        [axes_],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return str(path)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"shape": ("n", 1, "h", "w")}, "of 2 images of 28 px it makes no features"),
        ({"shape": (1, 3, "h", "w")}, "of 2 images"),
        ({"shape": (2, 3, "h", "w")}, "of 1 images"),
        ({"shape": ("n", 3, 299, 299)}, "Got: 28 Expected: 299"),
        ({"kind": "FLOAT16"}, "tensor(float16)"),
        ({"inputs": ("x", "z")}, "of 2 images"),
        ({"operator": "Reshape", "axes": (1, 7)}, "requested shape:{1,7}"),
        ({"axes": (1, 2, 3)}, "of 2 images it makes (2,), and not features (N, D)"),
        ({"axes": (0, 2, 3)}, "of 2 images it makes (3,), and not features (N, D)"),
        ({"axes": (1,)}, "of 2 images it makes (2, 28, 28), and not features (N, D)"),
        ({"axes": (0,)}, "of 2 images it makes (3, 28, 28), and not features (N, D)"),
        ({"operator": "ReduceL2", "shape": ("n", 3, 28, 28)}, ""),
        ({}, ""),
    ],
)
def test_a_network_that_takes_no_batches_of_images_is_refused_before_the_training(tmp_path, capfd, network, words):
    settings = {"evaluate.extractor": onnx_network(tmp_path / "net.onnx", **network), "data.size": 28}
    if not words:
        readiness.require(graph_arguments("demo", settings))
        return
    text = refused(**settings)
    assert text.startswith(f"evaluate.extractor={settings['evaluate.extractor']!r}: of ")
    assert words in text
    assert "\n" not in text
    assert len(text) < 800
    assert capfd.readouterr().err == ""


class Program(torch.nn.Module):
    """A network of a file that does one of several things to images (B, 3, H, W)."""

    def __init__(self, wrong: str) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = x.mean(dim=(2, 3))
        if self.wrong == "nan":
            return features / 0 * 0
        if self.wrong == "width":
            return features @ features.T
        if self.wrong == "transposed":
            return features.T
        if self.wrong == "map":
            return x
        if self.wrong == "raises":
            raise ValueError("\n".join(["no"] * 500))
        return features


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("nan", "makes features that are not finite"),
        ("width", "of 2 images it makes 2 features each, of one 1"),
        ("transposed", "of 2 images it makes (3, 2)"),
        ("map", "of 2 images it makes (2, 3, 28, 28)"),
        ("raises", "no no"),
        ("", ""),
    ],
)
def test_a_program_is_tried_on_images_too_but_never_before_its_sha256(tmp_path, wrong, words, monkeypatch):
    path = tmp_path / "net.ts"
    torch.jit.script(Program(wrong)).save(path)
    settings = {
        "evaluate.extractor": str(path),
        "evaluate.extractor_sha256": storage.sha256_of(path),
        "data.size": 28,
    }
    if words:
        text = refused(**settings)
        assert text.startswith(f"evaluate.extractor={str(path)!r}: of 2 images")
        assert words in text
        assert len(text) < 800
    else:
        readiness.require(graph_arguments("demo", settings))
    monkeypatch.setattr(torch.jit, "load", None)
    with pytest.raises(ValueError, match=r"sha256 of .*net\.ts is [0-9a-f]{64}, not 0{64}"):
        readiness.require(graph_arguments("demo", settings | {"evaluate.extractor_sha256": "0" * 64}))


@pytest.mark.parametrize("section", ["train", "evaluate", "utility"])
@pytest.mark.parametrize("device", ["gpu0", "meta", "cuda:x", "cuda:", "CUDA", "", "cpu:7", "vulkan"])
def test_a_name_that_is_no_device_is_refused_by_the_settings(section, device):
    with pytest.raises(ValueError, match=rf"{section}\.device='{device}': use one of auto, cpu"):
        config.override(config.Config(), {f"{section}.device": device})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("section", ["train", "evaluate", "utility"])
@pytest.mark.parametrize("device", ["cuda", "cuda:9", "mps"])
def test_a_device_that_the_machine_has_not(section, device):
    assert refused(**{f"{section}.device": device}).startswith(f"{section}.device={device!r}: PyTorch")


def test_what_is_at_hand_is_accepted():
    readiness.require(graph_arguments("demo", {"train.device": "cpu", "evaluate.extractor": "random"}))
