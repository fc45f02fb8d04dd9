"""The machine: versions, torch's defaults, and the rates that bound everything else."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
from typing import NamedTuple

import torch

from gpu_sections.clock import convolutions, timed
from gpu_sections.record import Record
from gpu_sections.setting import Setting

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pillow", "scipy", "psutil", "pytest", "hypothesis", "lpips")
SMALL_KERNELS = 1000
NAMES = {torch.channels_last: "NHWC", torch.contiguous_format: "NCHW"}
LAYOUTS = (
    ("float32", torch.channels_last),
    ("TF32", torch.channels_last),
    ("TF32", torch.contiguous_format),
    ("bfloat16", torch.channels_last),
)


class Shape(NamedTuple):
    """A convolution of the step."""

    channels_in: int
    channels_out: int
    kernel: int
    shrunk: int
    """How many times smaller its maps' side is than the image's."""


FROZEN = (Shape(128, 32, 3, 4), Shape(32, 128, 3, 4), Shape(144, 128, 1, 4))
TRAINED = (Shape(64, 64, 3, 4), Shape(256, 256, 3, 16))


def measure(setting: Setting, record: Record) -> None:
    """Record the machine's properties and rates."""
    _describe(setting, record)
    device = setting.torch_device()
    with record.case("memory"):
        _measure_memory(setting, device, record)
    with record.case("matrix product"):
        _measure_products(setting, device, record)
    for shape in (*FROZEN, *TRAINED):
        with record.case(str(shape)):
            _measure_convolution(setting, device, record, shape)
    one = torch.zeros(8, device=device)
    duration = timed(lambda: [one.add_(1) for _ in range(SMALL_KERNELS)], device, setting.repeats)
    record.add(
        "a tiny kernel",
        device_us=1e6 * duration.device_s / SMALL_KERNELS,
        host_us=1e6 * duration.host_s / SMALL_KERNELS,
    )


def _describe(setting: Setting, record: Record) -> None:
    record.add("packages", f"Python {platform.python_version()}, {', '.join(map(_version, PACKAGES))}")
    record.add("CUDA", f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    record.add("processor", platform.machine(), cores=os.cpu_count() or 0, threads=torch.get_num_threads())
    record.add(
        "torch's defaults, 1 for on",
        cudnn_allow_tf32=torch.backends.cudnn.allow_tf32,
        matmul_allow_tf32=torch.backends.cuda.matmul.allow_tf32,
        cudnn_benchmark=torch.backends.cudnn.benchmark,
    )
    if setting.cuda:
        free, total = torch.cuda.mem_get_info()
        name, properties = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0)
        gib = {"free_gib": free / 2**30, "total_gib": total / 2**30}
        record.add("GPU", name, multiprocessors=properties.multi_processor_count, **gib)
        record.add("nvidia-smi", _smi())


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {package}"


def _smi() -> str:
    """Driver and clocks as they are just now; nothing is set."""
    if not shutil.which("nvidia-smi"):
        return "not there"
    query = "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem"
    command = ["nvidia-smi", query, "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()


def _measure_memory(setting: Setting, device: torch.device, record: Record) -> None:
    """Bytes read and written a second, on arrays too large for a cache."""
    inputs = torch.rand(3, 1 << (29 if setting.cuda else 22), device=device)
    out, size = torch.empty_like(inputs[0]), inputs[0].numel() * inputs.element_size()
    copy = timed(lambda: out.copy_(inputs[0]), device, setting.repeats).device_s
    addcmul = timed(lambda: torch.addcmul(*inputs, out=out), device, setting.repeats).device_s
    record.add("memory, read and written", copy_tb_s=2 * size / copy / 1e12, addcmul_tb_s=4 * size / addcmul / 1e12)


def _measure_products(setting: Setting, device: torch.device, record: Record) -> None:
    side = 8192 if setting.cuda else 256
    modes = {"float32": (torch.float32, False)}
    if setting.cuda:
        modes |= {"TF32": (torch.float32, True), "bfloat16": (torch.bfloat16, False)}
    before = torch.backends.cuda.matmul.allow_tf32
    for mode, (dtype, tf32) in modes.items():
        torch.backends.cuda.matmul.allow_tf32 = tf32
        matrix = torch.randn(side, side, device=device, dtype=dtype)
        seconds = timed(lambda matrix=matrix: matrix @ matrix, device, setting.repeats).device_s
        record.add(f"matrix product {side}, {mode}", tflop_s=2 * side**3 / seconds / 1e12)
    torch.backends.cuda.matmul.allow_tf32 = before


def _measure_convolution(setting: Setting, device: torch.device, record: Record, shape: Shape) -> None:
    """One of the step's shapes, by layout and precision."""
    side, kernel = setting.size // shape.shrunk, shape.kernel
    flops = 2 * setting.batch * side**2 * shape.channels_in * shape.channels_out * kernel**2
    for precision, layout in LAYOUTS if setting.cuda else LAYOUTS[:1]:
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        x, weight = (
            torch.randn(size, device=device, dtype=dtype).contiguous(memory_format=layout)
            for size in (
                (setting.batch, shape.channels_in, side, side),
                (shape.channels_out, shape.channels_in, kernel, kernel),
            )
        )
        for autotuned in (False, True) if setting.cuda else (False,):
            with convolutions(tf32=precision == "TF32", autotuned=autotuned):
                convolve = functools.partial(torch.nn.functional.conv2d, x, weight, padding=kernel // 2)
                seconds = timed(convolve, device, setting.repeats).device_s
            label = (
                f"{kernel}x{kernel} {shape.channels_in}>{shape.channels_out} at {side}, {precision}, {NAMES[layout]}"
            )
            record.add(label + (", autotuned" if autotuned else ""), tflop_s=flops / seconds / 1e12, us=1e6 * seconds)
