"""One place chooses the device, and says in a line which one there is not."""

import pytest
import torch

from mammogan.config import PRESETS, EvaluateConfig, Trial, override
from mammogan.device import device_name, is_gpu, pick_device, select_local_gpu
from mammogan.results import TrialStatus


@pytest.fixture
def gpus(monkeypatch):
    """Function that lets PyTorch see so many GPUs, of which ``current`` is the current one."""

    def see(count, current=0):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: current)

    return see


def test_auto_is_the_current_gpu_or_the_cpu(gpus):
    gpus(0)
    assert pick_device() == pick_device("cpu") == torch.device("cpu")
    gpus(2, current=1)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", 1)
    assert pick_device("cuda:0") == torch.device("cuda", 0)
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("gpu", 1, "train.device='gpu': PyTorch knows no such device; use auto, cpu, cuda or cuda:N"),
        ("", 1, "train.device='': PyTorch knows no such device; use auto, cpu, cuda or cuda:N"),
        ("cuda", 0, "train.device='cuda': PyTorch sees no GPU on this machine; use auto or cpu"),
        (
            "cuda:2",
            2,
            "train.device='cuda:2': the GPUs of this machine are cuda:0 to cuda:1; use one of them or auto",
        ),
    ],
)
def test_a_device_that_there_is_not_is_named_with_its_setting(gpus, name, count, message):
    gpus(count)
    with pytest.raises(ValueError, match="device=") as raised:
        pick_device(name, "train.device")
    assert str(raised.value) == message


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has such a device")
def test_a_device_of_another_kind_is_tried():
    with pytest.raises(ValueError, match=r"^device='mps': PyTorch cannot use it on this machine; use auto or cpu$"):
        pick_device("mps")


def test_a_process_takes_the_gpu_of_its_local_rank(gpus, monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    gpus(0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    select_local_gpu()
    assert chosen == []
    gpus(2)
    select_local_gpu()
    monkeypatch.delenv("LOCAL_RANK")
    select_local_gpu()
    assert chosen == [1, 0]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="LOCAL_RANK=2: this machine has 2 GPUs; start with --nproc-per-node=2"):
        select_local_gpu()


def test_devices_are_called_as_a_reader_knows_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"NVIDIA H100 number {device.index}")
    threads = torch.get_num_threads()
    assert device_name(torch.device("cpu")) == f"cpu, {threads} threads"
    assert device_name(torch.device("cpu"), 2) == f"2 x cpu, {threads} threads"
    assert device_name(torch.device("cuda", 1), 4) == "4 x NVIDIA H100 number 1"


def test_training_evaluation_audit_and_utility_ask_here(gpus, tmp_path):
    from mammogan.audit.distances import load_spaces
    from mammogan.evaluation.measurement import load_networks
    from mammogan.training.trial import train_trial
    from mammogan.utility.arms import Arm
    from mammogan.utility.blocks import Block
    from mammogan.utility.study import _fits

    gpus(0)
    for load in (load_networks, load_spaces):
        with pytest.raises(ValueError, match=r"evaluate\.device='cuda': PyTorch sees no GPU"):
            load(EvaluateConfig(device="cuda", extractor="random"))
    asked = override(PRESETS["demo"], {"train.device": "cuda", "utility.device": "cuda", "data.size": 28})
    images = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"utility\.device='cuda': PyTorch sees no GPU"):
        _fits(
            [Block(0, (Arm("real", "", (images, images)),), (images, images), 0.5)], images, asked, tmp_path, "digest"
        )
    result = train_trial(
        images, asked, Trial(3.0, 0), data_digest="d", store=str(tmp_path / "store"), out=tmp_path / "out",
        report=lambda *_: None, report_grid=lambda *_: None,
    )  # fmt: skip
    assert result.status is TrialStatus.FAILED
    assert "train.device='cuda': PyTorch sees no GPU on this machine" in result.reason


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA H100 80GB HBM3", True),
        ("4 x NVIDIA H100", True),
        (device_name(torch.device("cpu")), False),
        (device_name(torch.device("cpu"), 2), False),
        ("cpu", False),
        ("", False),
    ],
)
def test_whose_seconds_are_a_gpus(name, gpu):
    """The report adds up what GPUs took, by the names that ``device_name`` gives; none of them begins with ``cuda``."""
    assert is_gpu(name) is gpu
