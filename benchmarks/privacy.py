"""How often the audit refuses a generator that copies, and one that does not: simulated cases on real images.

    python benchmarks/privacy.py DATASET --cases 200 --lpips-weights FILE --out PAGE.md

DATASET is one that ``ingest`` wrote; its malignant images are taken, both splits. In every case patients are dealt
anew, half of them to train, an eighth held out, the rest unrelated to both, and a "generator" hands over as many images
as are held out, none of them twice. Pixels judge; with LPIPS weights that space does too. Moved copies
are searched for by ``benchmarks/decisions.py --only copying``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mammogan import console, storage
from mammogan.audit import Reals, inspect
from mammogan.audit.distances import Space, pixel_embedding
from mammogan.config import AuditConfig, SpaceKind
from mammogan.data.dataset import Dataset
from mammogan.metrics.lpips import load_perceptual

MALIGNANT = 1
BATCH_SIZE = 50


def noisy(images: Tensor, deviation: float, rng: np.random.Generator) -> Tensor:
    """Images (N, 1, H, W), uint8, with Gaussian noise of a deviation in grey values."""
    noise = torch.from_numpy(rng.normal(scale=deviation, size=images.shape))
    return (images + noise).clamp(0, 255).round().to(torch.uint8)


def generators(
    train: Tensor, held_out: Tensor, unrelated: Tensor, count: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    """By what it does, ``count`` images (N, 1, H, W), uint8, of each "generator"."""

    def drawn(images: Tensor, number: int = count) -> Tensor:
        return images[torch.from_numpy(rng.choice(len(images), number, replace=False))]

    tenth = max(1, count // 10)
    return {
        "replays train, noise 10": noisy(drawn(train), 10, rng),
        "replays train, noise 30": noisy(drawn(train), 30, rng),
        "replays train in one image of ten, noise 10": torch.cat(
            [noisy(drawn(train, tenth), 10, rng), drawn(unrelated, count - tenth)]
        ),
        "two exact copies among unrelated patients": torch.cat([drawn(train, 2), drawn(unrelated, count - 2)]),
        "replays train, 4 pixels aside": drawn(train).roll((4, 4), (-1, -2)),
        "draws from unrelated patients": drawn(unrelated),
        "draws from the held-out patients, noise 10": noisy(drawn(held_out), 10, rng),
    }


def one_case(images: Tensor, patients: np.ndarray, spaces: list[Space], seed: int) -> dict[str, set[str]]:
    """Gates that refuse each "generator" after one deal of the patients."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.unique(patients))
    first, second = len(names) // 2, len(names) // 2 + len(names) // 8
    sides = [np.flatnonzero(np.isin(patients, part)) for part in np.split(names, [first, second])]
    train, held_out, _ = (Reals(images[torch.from_numpy(side)], patients[side].tolist()) for side in sides)
    unrelated = images[torch.from_numpy(sides[2])]
    refused = {}
    for name, fakes in generators(train.images, held_out.images, unrelated, len(held_out.images), rng).items():
        audit = inspect(train, held_out, fakes, spaces, AuditConfig(), batch_size=BATCH_SIZE)
        refused[name] = {verdict.gate.split(" (")[0] for verdict in audit.verdicts if verdict.refuses}
    return refused


def table(refusals: dict[str, Counter[str]], cases: int, gates: list[str], spaces: list[Space]) -> str:
    """Markdown: of all cases, how many were refused, and by which gate."""
    judged = " and ".join(space.name for space in spaces)
    lines = ["# How often the audit refuses", "", f"{cases} cases; judged by {judged}. Refused of {cases}:", ""]
    lines += [f'| the "generator" | refused | {" | ".join(gates)} |', "|---" * (len(gates) + 2) + "|"]
    for name, counts in refusals.items():
        lines.append(f"| {name} | **{counts['any']}** | {' | '.join(str(counts[gate]) for gate in gates)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Deal, generate and audit, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--lpips-weights", default="")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    console.configure()
    reals = Dataset.read(arguments.dataset).real.of(MALIGNANT)
    images, patients = reals.images(), np.array(reals.patients)
    spaces = [Space(SpaceKind.PIXEL, "pixel", "pixels", pixel_embedding)]
    if arguments.lpips_weights:
        network = load_perceptual(arguments.lpips_weights, torch.device("cpu"))
        spaces.append(Space(SpaceKind.LPIPS, "lpips", network.note, network.embed))
    refusals: dict[str, Counter[str]] = {}
    with console.progress("cases", arguments.cases) as advance:
        for seed in range(arguments.cases):
            for name, gates in one_case(images, patients, spaces, seed).items():
                refusals.setdefault(name, Counter()).update(gates, any=bool(gates))
            advance()
    gates = ["exact copies", "memorised", "repeated", "nearer", "membership", "attack"]
    text = table(refusals, arguments.cases, gates, spaces)
    print(text)
    if arguments.out:
        storage.write_bytes(str(arguments.out), text.encode())


if __name__ == "__main__":
    main()
