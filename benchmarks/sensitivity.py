"""What each metric notices: real images against real ones that were damaged in one way at a time.

    python benchmarks/sensitivity.py FOLDER --size 56

FOLDER holds grey images and manifest.csv with file, patient_id and pathology; the malignant ones are used. Patients are
halved: one half is the reals; the other half, as it is and damaged, stands in for a generator. Beside the metrics is
``copied``, the share of images that are nearer to a real one than that is to any other real one (one minus the
authenticity of Alaa et al. 2022, ICML, How faithful is your synthetic data?): no metric of an evaluation asks that.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from mammogan.config import EvaluateConfig
from mammogan.evaluation.image_sources import RealImages
from mammogan.evaluation.snapshots import evaluate_images
from mammogan.features.extractor import Extractor, extract, random_vgg
from mammogan.metrics.prdc import distances

Damage = Callable[[Tensor, Tensor], Tensor]


def read_halves(folder: Path, size: int) -> tuple[Tensor, Tensor]:
    """Malignant images of each half of the patients: uint8 (N, 1, size, size)."""
    manifest = pd.read_csv(folder / "manifest.csv")
    malignant = manifest[manifest["pathology"] == "MALIGNANT"]
    patients = np.random.default_rng(0).permutation(malignant["patient_id"].unique())
    first = malignant["patient_id"].isin(patients[: len(patients) // 2])
    files = {path.name: path for path in folder.rglob("*.png")}

    def read(names: pd.Series) -> Tensor:
        pictures = [Image.open(files[Path(name).name]).convert("L").resize((size, size)) for name in names]
        return torch.from_numpy(np.stack([np.array(picture) for picture in pictures]))[:, None]

    return read(malignant.loc[first, "file"]), read(malignant.loc[~first, "file"])


def per_picture(change: Callable[[Image.Image], Image.Image]) -> Damage:
    """Damage that changes one picture at a time."""

    def damage(images: Tensor, _: Tensor) -> Tensor:
        pictures = [np.array(change(Image.fromarray(image[0].numpy()))) for image in images]
        return torch.from_numpy(np.stack(pictures))[:, None]

    return damage


def as_jpeg(picture: Image.Image) -> Image.Image:
    """The picture after JPEG compression of quality 15."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=15)
    return Image.open(content)


def with_noise(images: Tensor, _: Tensor) -> Tensor:
    """Gaussian noise of standard deviation 10 of 255."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)) * 10
    return (images + noise).clamp(0, 255).round().byte()


def darkest_third(images: Tensor, _: Tensor) -> Tensor:
    """Mode dropping: only the darkest third, repeated to the same count."""
    order = images.float().mean(dim=(1, 2, 3)).argsort()[: len(images) // 3]
    return images[order.repeat(3)]


def copies(images: Tensor, reals: Tensor) -> Tensor:
    """A generator that memorised: copies of the reals."""
    return reals[: len(images)]


def copied(reals: Tensor, images: Tensor, extractor: Extractor) -> float:
    """Share of ``images`` whose nearest real is nearer to them than to its own nearest other real."""
    known = distances(*(extract(extractor, batch, batch_size=16) for batch in (reals, images)))
    np.fill_diagonal(known.real, np.inf)
    nearest = known.across.argmin(axis=0)
    return float(np.mean(known.across.min(axis=0) < known.real.min(axis=1)[nearest]))


DAMAGES: dict[str, Damage] = {
    "nothing (reference)": lambda images, _: images,
    "blur, radius 1": per_picture(lambda picture: picture.filter(ImageFilter.GaussianBlur(1))),
    "noise, sd 10": with_noise,
    "JPEG, quality 15": per_picture(as_jpeg),
    "only the darkest third": darkest_third,
    "copies of the reals": copies,
}


def main() -> None:
    """Print a Markdown table, a damage a row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=56)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--lpips-weights", default="")
    arguments = parser.parse_args()
    config = EvaluateConfig(extractor="random", lpips_weights=arguments.lpips_weights, pairs=arguments.pairs)
    reals, others = read_halves(arguments.folder, arguments.size)
    print(f"{len(reals)} reals, {len(others)} others, {arguments.size} px\n")
    extractor = random_vgg(torch.device("cpu"))
    for row, (name, damage) in enumerate(DAMAGES.items()):
        images = damage(others, reals)
        measurements = evaluate_images({"real_fake": RealImages.unrelated(reals)}, images, config).measurements
        if row == 0:
            print("| damage |", " | ".join(item.key for item in measurements), "| copied |")
            print("|---" * (len(measurements) + 2) + "|")
        cells = [f"{item.value:.4g}" for item in measurements] + [f"{copied(reals, images, extractor):.4g}"]
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
