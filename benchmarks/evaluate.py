"""All metrics of generated against real images: this project beside torch-fidelity, lpips and pytorch-msssim.

Both sides read the same PNG files and use the same Inception weights (random ones of the published shapes) and the
same AlexNet LPIPS weights; the others are called the way their documentation shows. Sides alternate, each in a process
of its own, so that both meet the same machine and peak memory is that of one side.

    python benchmarks/evaluate.py --reals 400 --fakes 1000 --size 224 --pairs 400 --rounds 1
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

from resident import peak_mib

SIDES = ("mammogan", "usual")
LABELS = {"seconds": "wall time, s", "cpu_s": "processor time, s", "peak_mib": "peak memory, MiB"}


def write_inputs(folder: Path, reals: int, fakes: int, size: int) -> None:
    """Smooth noise as PNGs, random Inception weights, and random LPIPS weights with the published heads."""
    import torch
    from PIL import Image

    rng = torch.Generator().manual_seed(0)
    for name, count in (("real", reals), ("fake", fakes)):
        (folder / name).mkdir()
        coarse = torch.rand(count, 1, size // 14, size // 14, generator=rng)
        smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
        pixels = (smooth + 0.03 * torch.randn(smooth.shape, generator=rng)).clamp(0, 1).mul(255).round().byte()
        for number, image in enumerate(pixels):
            Image.fromarray(image[0].numpy()).save(folder / name / f"{number:05d}.png")
    torch.save(random_inception_state(), folder / "inception.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lpips

        torch.manual_seed(1)
        torch.save(lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).state_dict(), folder / "lpips.pth")


def random_inception_state() -> dict[str, Any]:
    """State dict of torch-fidelity's Inception with He-normal weights; the class itself insists on a file."""
    import torch
    from torch_fidelity import feature_extractor_inceptionv3 as module

    torch.manual_seed(0)
    with (
        mock.patch.multiple(module, load_state_dict_from_url=mock.DEFAULT),
        mock.patch.object(module.FeatureExtractorInceptionV3, "load_state_dict"),
    ):
        network = module.FeatureExtractorInceptionV3("inception", ["2048"])
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # keeps the features' scale
    return network.state_dict()


def run_mammogan(folder: Path, pairs: int, device: str) -> dict[str, float]:
    """Measure with this project: everything that ``mammogan evaluate`` measures."""
    from mammogan.config import EvaluateConfig
    from mammogan.evaluation.snapshots import evaluate_folders

    config = EvaluateConfig(
        extractor="inception",
        extractor_weights=str(folder / "inception.pth"),
        lpips_weights=str(folder / "lpips.pth"),
        pairs=pairs,
        device=device,
    )
    measurements = evaluate_folders(folder / "real", folder / "fake", config).measurements
    values = {f"{item.quantity.metric} {item.quantity.pairing}": item.value for item in measurements}
    subsets = next(item.subsets for item in measurements if item.subsets)
    return values | {"kid subsets": subsets.mean}


def run_usual(folder: Path, pairs: int, device: str) -> dict[str, float]:
    """FID and KID by torch-fidelity, LPIPS and MS-SSIM by their packages over the pairs that this project takes."""
    import lpips
    import torch
    import torch_fidelity
    from pytorch_msssim import ms_ssim

    from mammogan.data.image_folder import read_images
    from mammogan.statistics import pairs_between, pairs_within

    reals, fakes = (len(list((folder / name).iterdir())) for name in ("real", "fake"))
    measured = torch_fidelity.calculate_metrics(
        input1=str(folder / "real"), input2=str(folder / "fake"), fid=True, kid=True, verbose=False, cache=False,
        kid_subset_size=min(1000, reals, fakes), cuda=device == "cuda",
        feature_extractor_weights_path=str(folder / "inception.pth"),
    )  # fmt: skip
    values = {
        "fid real_fake": measured["frechet_inception_distance"],
        "kid subsets": measured["kernel_inception_distance_mean"],
    }
    perceptual = lpips.LPIPS(net="alex", pnet_rand=True, model_path=str(folder / "lpips.pth"), verbose=False).to(device)
    sets = {name: read_images(folder / name).to(device) for name in ("real", "fake")}
    for left, right, design in (
        ("real", "fake", pairs_between(reals, fakes, pairs, 0)),
        ("fake", "fake", pairs_within(fakes, pairs, 0)),
        ("real", "real", pairs_within(reals, pairs, 0)),
    ):
        name = f"{left}_{right}"
        i, j = map(torch.from_numpy, design)
        distances, similarities = [], []
        for a, b in zip(i.split(50), j.split(50), strict=True):
            x, y = sets[left][a].float() / 255, sets[right][b].float() / 255
            with torch.no_grad():
                distances.append(perceptual(x.expand(-1, 3, -1, -1), y.expand(-1, 3, -1, -1), normalize=True).flatten())
                similarities.append(ms_ssim(x, y, data_range=1, size_average=False))
        values |= {f"lpips {name}": float(torch.cat(distances).mean())}
        values |= {f"ms_ssim {name}": float(torch.cat(similarities).mean())}
    return values


def measure_side(side: str, folder: Path, pairs: int, device: str) -> None:
    """Run one side in this process and print its figures as JSON."""
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    values = {"mammogan": run_mammogan, "usual": run_usual}[side](folder, pairs, device)
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "seconds": time.perf_counter() - started,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mib": peak_mib(),
    }
    print(json.dumps({**figures, "values": values}))


def measure_forward(folder: Path, device: str) -> dict[str, float]:
    """Wall and processor seconds that the extractor's own forward takes for all images, in this process."""
    import torch

    from mammogan.config import EvaluateConfig
    from mammogan.data.image_folder import read_images
    from mammogan.device import pick_device
    from mammogan.evaluation.measurement import CPU_BATCH
    from mammogan.features.extractor import extract, inception

    images = torch.cat([read_images(folder / name) for name in ("real", "fake")])
    extractor = inception(folder / "inception.pth", "inception", pick_device(device, "--device"))
    started, cpu_started = time.perf_counter(), time.process_time()
    extract(extractor, images, CPU_BATCH if device == "cpu" else EvaluateConfig.batch_size)
    return {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu_started}


def run_in_process(side: str, folder: Path, arguments: argparse.Namespace) -> dict:
    """One side in a fresh process with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
        command += ["--pairs", str(arguments.pairs), "--device", arguments.device]
        environment = os.environ | {"MAMMOGAN_CACHE": cache}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def table(results: dict[str, list[dict]], forward: dict[str, float]) -> str:
    """Markdown of the medians of both sides."""
    median = {
        side: {key: sorted(run[key] for run in runs)[len(runs) // 2] for key in LABELS}
        for side, runs in results.items()
    }
    ours, usual = median["mammogan"], median["usual"]
    lines = ["| | mammogan | usual | usual / mammogan |", "|---|---|---|---|"]
    for key, label in LABELS.items():
        lines.append(f"| {label} | {ours[key]:.1f} | {usual[key]:.1f} | {usual[key] / ours[key]:.2f} |")
    ours_values, usual_values = (results[side][-1]["values"] for side in SIDES)
    for name, theirs in usual_values.items():
        lines.append(f"| {name} | {ours_values[name]:.6g} | {theirs:.6g} | {theirs / ours_values[name]:.6f} |")
    lines.append("")
    for key, label in (("seconds", "wall"), ("cpu_s", "processor")):
        share = ours[key] / forward[key]
        lines.append(
            f"The extractor's own forward takes {forward[key]:.1f} s {label} time, all of it {share:.2f} times."
        )
    return "\n".join(lines)


def main() -> None:
    """Make the inputs, run both sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("reals", 400), ("fakes", 1000), ("size", 224), ("pairs", 400), ("rounds", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side", choices=(*SIDES, "forward"))
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.side == "forward":
        print(json.dumps(measure_forward(arguments.folder, arguments.device)))
        return
    if arguments.side:
        measure_side(arguments.side, arguments.folder, arguments.pairs, arguments.device)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_inputs(folder, arguments.reals, arguments.fakes, arguments.size)
        results: dict[str, list[dict]] = {side: [] for side in SIDES}
        for _ in range(arguments.rounds):
            for side in SIDES:
                results[side].append(run_in_process(side, folder, arguments))
        forward = run_in_process("forward", folder, arguments)
        print(table(results, forward))


if __name__ == "__main__":
    main()
