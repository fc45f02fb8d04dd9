"""Where a critic update's time goes, by kind of kernel."""

from __future__ import annotations

from collections import Counter

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gpu_sections.clock import synchronise
from gpu_sections.networks import FastTraining
from gpu_sections.record import Record
from gpu_sections.setting import PROFILE_FILE, Setting

ROWS = 45
# the first that a name contains is its kind; the layout conversions also contain "convolution"
KINDS = (
    "nchwtonhwc", "nhwctonchw", "memcpy", "memset", "wgrad", "dgrad", "scatter", "gather", "pool", "elementwise",
    "reduce", "adam", "gemm", "conv", "cudnn", "cutlass", "xmma",
)  # fmt: skip


def profile_update(setting: Setting, record: Record) -> None:
    """Record number and time of the kernels of one critic update at torch's defaults; the table goes to a file."""
    training = FastTraining(setting, setting.batch)
    for _ in range(min(setting.repeats, 3)):
        training.critic_update()
    synchronise(training.device)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if setting.cuda else [])
    with profile(activities=activities) as profiled:
        training.critic_update()
        synchronise(training.device)
    order, place = (
        ("self_device_time_total", DeviceType.CUDA) if setting.cuda else ("self_cpu_time_total", DeviceType.CPU)
    )
    (setting.out / PROFILE_FILE).write_text(profiled.key_averages().table(sort_by=order, row_limit=ROWS))
    # an annotation such as the optimiser's lies over kernels that are listed as well
    events = [event for event in profiled.events() if event.device_type == place and not event.is_user_annotation]
    counts, busy_ms = Counter(), Counter()
    for event in events:
        kind = next((kind for kind in KINDS if kind in event.name.lower()), "other")
        counts[kind] += 1
        # kernels do not nest, what runs on a CPU does
        busy_ms[kind] += (event.time_range.elapsed_us() if setting.cuda else event.self_cpu_time_total) / 1e3
    began, ended = min(event.time_range.start for event in events), max(event.time_range.end for event in events)
    record.add("profile", kernels=len(events), busy_ms=sum(busy_ms.values()), span_ms=(ended - began) / 1e3)
    for kind, kind_ms in busy_ms.most_common():
        record.add(f"profile, {kind}", kernels=counts[kind], busy_ms=kind_ms)
