"""The accelerator as a step uses it: PyTorch sees it and computes on it."""

from __future__ import annotations

import re
from pathlib import Path

SIDE = 512
GIB = 2**30
_DRIVER = Path("/proc/driver/nvidia/version")


def probe() -> str:
    """Multiply two matrices on the device; says its name, its memory and the versions.

    Raises RuntimeError in one line with the fix where PyTorch sees none or cannot compute on it.
    """
    import torch

    built = torch.version.cuda or torch.version.hip
    if not built:
        raise RuntimeError(f"PyTorch {torch.__version__} of this image is for the CPU alone; give --gpu-image")
    try:
        torch.cuda.init()
        device = torch.cuda.get_device_properties(0)
        ones = torch.ones(SIDE, SIDE, device="cuda")
        total = float((ones @ ones).sum())
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch's for a build without CUDA
        reason = re.split(r"\n|\. ", str(error).strip())[0]
        raise RuntimeError(
            f"PyTorch {torch.__version__} for {_runtime(built)} with {_driver()} cannot compute on the accelerator: "
            f"{reason}; check the node's driver and device plugin, or build --gpu-image for this driver"
        ) from error
    if total != SIDE**3:
        raise RuntimeError(f"{device.name} computes {total:g} where {SIDE**3} is right; take the node out of use")
    return (
        f"{device.name}, {device.total_memory / GIB:.1f} GiB, {_driver()}, "
        f"PyTorch {torch.__version__} for {_runtime(built)}"
    )


def _runtime(built: str) -> str:
    import torch

    return f"{'CUDA' if torch.version.cuda else 'ROCm'} {built}"


def _driver() -> str:
    """Version of the node's driver, which a container sees too."""
    try:
        match = re.search(r"Module\D*([\d.]+)", _DRIVER.read_text())
    except OSError:
        match = None
    return f"driver {match[1]}" if match else "no NVIDIA driver in sight"
