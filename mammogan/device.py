"""Which device computes, and how exactly: one choice for training, evaluation, audit, utility, synthesis and serving.

On a GPU, PyTorch lets cuDNN round what a float32 convolution reads to TF32's 10 bits. Whatever becomes a number that
somebody reads, or an image, is computed without: ``float32_convolutions``. A training step may choose TF32.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch

CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
DETERMINISTIC_WORKSPACE = ":4096:8"
THREADS = " threads"


def pick_device(name: str = "auto", setting: str = "device") -> torch.device:
    """Device of a name, a GPU with its number: ``auto`` takes the current GPU where there is one, else the CPU.

    The current GPU is the first, or that of ``select_local_gpu``. ``setting`` says where the name was given, such as
    ``train.device``. Raises ValueError for a device that this machine does not have.
    """
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ValueError(f"{setting}={name!r}: PyTorch knows no such device; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda":
        return torch.device("cuda", _gpu_index(device, f"{setting}={name!r}"))
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(f"{setting}={name!r}: PyTorch cannot use it on this machine; use auto or cpu") from error
    return device


def _gpu_index(device: torch.device, given: str) -> int:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise ValueError(f"{given}: PyTorch sees no GPU on this machine; use auto or cpu")
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= count:
        raise ValueError(f"{given}: the GPUs of this machine are cuda:0 to cuda:{count - 1}; use one of them or auto")
    return index


def select_local_gpu() -> None:
    """Make the GPU of this process's local rank, as ``torchrun`` numbers them, the current one; without GPUs, nothing.

    Raises ValueError where there are fewer GPUs than processes on this machine.
    """
    if not torch.cuda.is_available():
        return
    rank, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if rank >= count:
        raise ValueError(f"LOCAL_RANK={rank}: this machine has {count} GPUs; start with --nproc-per-node={count}")
    torch.cuda.set_device(rank)


def device_name(device: torch.device, processes: int = 1) -> str:
    """What the device is called, such as ``NVIDIA H100``, ``4 x NVIDIA H100`` or ``cpu, 2 threads``."""
    times = f"{processes} x " if processes > 1 else ""
    if device.type == "cuda":
        return times + torch.cuda.get_device_name(device)
    return f"{times}{device.type}, {torch.get_num_threads()}{THREADS}"


def is_gpu(name: str) -> bool:
    """Whether ``device_name`` gave that name to a GPU: any other device's ends in its threads."""
    return bool(name) and not name.endswith((THREADS, "cpu"))


@contextmanager
def tf32_convolutions(allowed: bool) -> Generator[None]:
    """Convolutions of float32 tensors on a GPU in TF32, where it has that, or in float32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextmanager
def float32_convolutions() -> Generator[None]:
    """Convolutions on a GPU without TF32, for all that is measured and all that is generated; a decorator as well."""
    with tf32_convolutions(False):
        yield


@contextmanager
def deterministic_algorithms(wanted: bool) -> Generator[None]:
    """Only algorithms that give the same bits each time on the same machine; where not ``wanted``, as it is.

    PyTorch raises RuntimeError for an operation that has none. To be begun before the process's first matrix product.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault(CUBLAS_WORKSPACE, DETERMINISTIC_WORKSPACE)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
