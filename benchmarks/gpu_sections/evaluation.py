"""Seconds of the parts of one snapshot's evaluation.

Inception has random weights of the published shapes and LPIPS the project's random ones: the time is the same, and no
file is needed. The metrics' values mean nothing by themselves.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torchvision.models import inception_v3

from gpu_sections.clock import peak_gib, synchronise
from gpu_sections.crops import read_malignant
from gpu_sections.networks import MODEL
from gpu_sections.record import Record
from gpu_sections.setting import Setting
from mammogan.config import EvaluateConfig
from mammogan.features.extractor import Extractor, extract, inception
from mammogan.features.inception import CLASSES
from mammogan.metrics import fid, kid, lpips, ms_ssim, prdc
from mammogan.models.generator import Generator, sample
from mammogan.statistics import Floats, pairs_between

CONFIDENCE = EvaluateConfig().confidence
BATCH, BATCH_ON_CPU = EvaluateConfig().batch_size, 8
Result = TypeVar("Result")


class Stopwatch:
    """Records the seconds of every part."""

    def __init__(self, device: torch.device, record: Record) -> None:
        self.device, self.record = device, record

    def __call__(self, part: str, work: Callable[[], Result]) -> Result:
        """Result of the work."""
        synchronise(self.device)
        began = time.perf_counter()
        result = work()
        synchronise(self.device)
        self.record.add(part, seconds=time.perf_counter() - began)
        return result


def measure(setting: Setting, record: Record) -> None:
    """Record all parts."""
    device = setting.torch_device()
    seconds = Stopwatch(device, record)
    reals, batch = read_malignant(setting.crops, setting.size), BATCH if setting.cuda else BATCH_ON_CPU
    generator = Generator(setting.size, MODEL.latent_dim, MODEL.generator_channels).to(device)
    fakes = seconds("samples", lambda: sample(generator, setting.fakes, 0, batch))
    with record.case("LPIPS"):
        perceptual = lpips.load_perceptual("", device)
        seconds("LPIPS, warm-up", lambda: perceptual.embed(fakes[:batch]))
        seconds("LPIPS, embedding of the fakes", lambda: lpips.embedded(perceptual, fakes, batch))
    with record.case("MS-SSIM"):
        left, right = pairs_between(len(reals), len(fakes), setting.pairs, 0)
        seconds(f"MS-SSIM, {len(left)} pairs", lambda: ms_ssim.ms_ssim(reals, fakes, left, right, device))
    extractor = _random_inception(device)
    extractor.features(reals[:batch])
    x = seconds(f"Inception, {len(reals)} reals", lambda: extract(extractor, reals, batch))
    y = seconds(f"Inception, {len(fakes)} fakes", lambda: extract(extractor, fakes, batch))
    _measure_metrics(x, y, record, seconds)
    record.add("memory", peak_gib=peak_gib(device))


def _random_inception(device: torch.device) -> Extractor:
    """Torchvision's network, of the published one's names and shapes; He-normal weights keep the features' scale."""
    torch.manual_seed(0)
    network = inception_v3(weights=None, aux_logits=False, init_weights=False, num_classes=CLASSES)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "inception.pth")
        torch.save(network.state_dict(), path)
        return inception(path, "inception", device)


def _measure_metrics(x: Floats, y: Floats, record: Record, seconds: Stopwatch) -> None:
    """What is computed on the host."""
    parts: dict[str, Callable[[], object]] = {
        "FID": lambda: fid.frechet_distance(x, y),
        "FID with its jackknife": lambda: fid.frechet_estimate(x, y, CONFIDENCE),
        "FID extrapolated": lambda: fid.frechet_extrapolated(x, y, 0),
        "KID with its jackknife": lambda: kid.kernel_estimate(x, y, CONFIDENCE),
        "KID of subsets": lambda: kid.kernel_subsets(x, y),
        "precision, recall, density, coverage": lambda: prdc.neighbourhood_estimates(x, y, CONFIDENCE, 0),
    }
    for part, work in parts.items():
        with record.case(part):
            seconds(part, work)
