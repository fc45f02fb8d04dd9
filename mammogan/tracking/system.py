"""The machine under a training: what MLflow shows as system metrics."""

from __future__ import annotations

import sys

import psutil


def sample() -> dict[str, float]:
    """Processor, memory and GPU use now, under the names that MLflow's own monitor gives them."""
    memory = psutil.virtual_memory()
    values = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_megabytes": psutil.Process().memory_info().rss / 1e6,
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        values["system/gpu_0_memory_usage_megabytes"] = (total - free) / 1e6
        values["system/gpu_0_memory_usage_percentage"] = 100 * (total - free) / total
    return values
