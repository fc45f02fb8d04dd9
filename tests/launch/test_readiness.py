"""What only the last steps read is looked at before the first."""

import pytest
import torch

from mammogan import config
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
