"""Six metrics of generated images against real ones, each with its floor, its interval and its protocol.

KID and FID compare features, LPIPS and MS-SSIM compare images pair by pair: real with fake, fake with fake and, as the
floor that a perfect generator would reach, real with real. A *record* is one number with all that a reviewer asks for;
docs/architecture.md lists its fields. What cannot be measured is listed under ``omitted`` with the reason.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mammogan import console, storage
from mammogan.config import EvaluateConfig, digest
from mammogan.metrics import images as image_sets
from mammogan.metrics import perceptual, structural
from mammogan.metrics.features import Extractor, extract, load_extractor
from mammogan.metrics.frechet import frechet_distance, frechet_estimate
from mammogan.metrics.intervals import Estimate, Floats, pair_mean, pairs_between, pairs_within
from mammogan.metrics.kernel import kernel_distance, kernel_estimate
from mammogan.metrics.perceptual import Embedded, Perceptual, embedded, load_perceptual, mean_between, mean_within

PROTOCOL = 1
"""Raised whenever a number would come out differently, so that no cached one is mixed with new ones."""
HALVINGS = 5
FEATURE_METRICS = ("kid", "fid")
IMPLEMENTATIONS = {
    "kid": "unbiased cubic-kernel MMD of all images, float64; jackknife over images",
    "fid": "nuclear norm of centred features, float64; jackknife over up to 20 blocks of images",
    "lpips": "all pairs through block sums; jackknife over up to 50 blocks of images",
    "ms_ssim": "11x11 Gaussian, 5 scales, [0, 1], valid windows; jackknife over images that share pairs",
}
ENLARGED = {
    "lpips": (perceptual.SMALLEST_SIDE, perceptual.ENLARGED_SIDE),
    "ms_ssim": (structural.SMALLEST_SIDE, structural.ENLARGED_SIDE),
}
"""By metric: the side below which images are enlarged, and to which."""

Record = dict[str, Any]
Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Instruments:
    """Networks and settings that every measurement of an evaluation shares."""

    extractor: Extractor
    perceptual: Perceptual
    device: torch.device
    config: EvaluateConfig

    def described(self) -> dict[str, dict[str, str]]:
        """Names, sha256 and notes of both networks, as the evaluation's file carries them."""
        return {
            label: {"name": network.name, "sha256": network.sha256, "note": network.note}
            for label, network in (("extractor", self.extractor), ("lpips", self.perceptual))
        }


@dataclass(frozen=True)
class ImageSet:
    """Images (N, 1, H, W), uint8, with what the networks make of them."""

    images: Tensor
    features: Floats
    embedded: Embedded | None
    """None where no LPIPS is asked of this set, and for a set without images."""

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.images)


@dataclass(frozen=True)
class Measure:
    """One number to be taken: its names, what it needs and how it is computed."""

    metric: str
    pairing: str
    key: str
    direction: Literal["lower", "near_floor"]
    n_real: int
    n_fake: int
    least_real: int
    least_fake: int
    floor: float | None
    estimate: Callable[[], Estimate]


def load_instruments(config: EvaluateConfig) -> Instruments:
    """Extractor and LPIPS network on the configured device, saying which weights they are. Raises as the loaders do."""
    name = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    instruments = Instruments(
        load_extractor(config, device), load_perceptual(config.lpips_weights, device), device, config
    )
    for network in (instruments.extractor, instruments.perceptual):
        console.say(f"{network.name}: {network.note}")
    return instruments


def image_set(images: Tensor, instruments: Instruments, with_pairs: bool) -> ImageSet:
    """Featurise uint8 ``images`` (N, 1, H, W); N may be 0. ``with_pairs`` adds what LPIPS needs."""
    if not len(images):
        return ImageSet(images, np.empty((0, 0)), None)
    batch_size = instruments.config.batch_size
    features = extract(instruments.extractor, images, batch_size)
    return ImageSet(images, features, embedded(instruments.perceptual, images, batch_size) if with_pairs else None)


@dataclass(frozen=True)
class Reals:
    """The real side of an evaluation, featurised once, with its floors."""

    sets: Mapping[str, ImageSet]
    """By pairing: the first is the one that the pair metrics use."""
    feature_floors: Mapping[tuple[str, str], float | None]
    """By (metric, pairing)."""
    pair_floors: Mapping[str, Estimate | None]
    """Real with real, by metric."""

    @property
    def main(self) -> ImageSet:
        """The set that the pair metrics use."""
        return next(iter(self.sets.values()))


def measure_reals(by_pairing: Mapping[str, Tensor], instruments: Instruments) -> Reals:
    """Featurise the real images and measure real against real.

    The floor of the first pairing compares random halves of it (mean of 5 halvings); that of a later one compares the
    first set with it, because new real images are what a perfect generator would give.
    """
    main, *_ = by_pairing
    sets = {pairing: image_set(images, instruments, pairing == main) for pairing, images in by_pairing.items()}
    floors: dict[tuple[str, str], float | None] = {}
    for metric, distance in (("kid", kernel_distance), ("fid", frechet_distance)):
        for pairing, reals in sets.items():
            if pairing == main:
                floors[metric, pairing] = _halves_floor(reals.features, distance, instruments.config.seed)
            else:
                enough = min(reals.count, sets[main].count) >= 2
                floors[metric, pairing] = distance(sets[main].features, reals.features) if enough else None
    pair_floors = {
        "lpips": _within("lpips", sets[main], instruments),
        "ms_ssim": _within("ms_ssim", sets[main], instruments),
    }
    return Reals(sets, floors, pair_floors)


def _halves_floor(features: Floats, distance: Callable[[Floats, Floats], float], seed: int) -> float | None:
    half = len(features) // 2
    if half < 2:
        return None
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(features)) for _ in range(HALVINGS)]
    return float(np.mean([distance(features[order[:half]], features[order[half:]]) for order in orders]))


def _within(metric: str, images: ImageSet, instruments: Instruments) -> Estimate | None:
    """Mean over pairs of two images of one set; None for fewer than 2."""
    config = instruments.config
    if images.count < 2 or images.embedded is None:
        return None
    if metric == "lpips":
        return mean_within(images.embedded, config.confidence)
    left, right = pairs_within(images.count, config.pairs, config.seed)
    values = structural.ms_ssim(images.images, images.images, left, right, instruments.device)
    return pair_mean(values, left, right, one_sample=True, confidence=config.confidence)


def _between(metric: str, real: ImageSet, fake: ImageSet, instruments: Instruments) -> Estimate:
    config = instruments.config
    if metric == "lpips":
        assert real.embedded is not None
        assert fake.embedded is not None
        return mean_between(real.embedded, fake.embedded, config.confidence)
    left, right = pairs_between(real.count, fake.count, config.pairs, config.seed)
    values = structural.ms_ssim(real.images, fake.images, left, right, instruments.device)
    return pair_mean(values, left, right, one_sample=False, confidence=config.confidence)


def measures(reals: Reals, fake: ImageSet, instruments: Instruments) -> Iterable[Measure]:
    """Every number that this evaluation takes, in the order of the paper's tables."""
    confidence = instruments.config.confidence
    name = instruments.extractor.name
    for metric, estimate in (("kid", kernel_estimate), ("fid", frechet_estimate)):
        for pairing, real in reals.sets.items():
            key = f"{metric}/{name}" + ("" if pairing == "real_fake" else f"/{pairing}")
            yield Measure(
                metric, pairing, key, "lower", real.count, fake.count, 2, 2, reals.feature_floors[metric, pairing],
                lambda estimate=estimate, real=real: estimate(real.features, fake.features, confidence),
            )  # fmt: skip
    for metric, floor in reals.pair_floors.items():
        yield from _pair_measures(metric, floor, reals.main, fake, instruments)


def _pair_measures(
    metric: str, floor: Estimate | None, real: ImageSet, fake: ImageSet, instruments: Instruments
) -> Iterable[Measure]:
    name = instruments.perceptual.name if metric == "lpips" else metric
    known = Estimate(math.nan, None, None) if floor is None else floor
    value = None if floor is None else floor.value

    def within_fake() -> Estimate:
        return _within(metric, fake, instruments) or Estimate(math.nan, None, None)

    for pairing, counts, least, estimate in (
        ("real_fake", (real.count, fake.count), (1, 1), lambda: _between(metric, real, fake, instruments)),
        ("fake_fake", (0, fake.count), (0, 2), within_fake),
        ("real_real", (real.count, 0), (2, 0), lambda: known),
    ):
        yield Measure(metric, pairing, f"{name}/{pairing}", "near_floor", *counts, *least, value, estimate)


def take(measure: Measure, instruments: Instruments, side: int) -> tuple[Record | None, str]:
    """Record of one measure, or None and why there is none. ``side`` is the images' smaller side in pixels."""
    for name, count, least in (
        ("real", measure.n_real, measure.least_real),
        ("fake", measure.n_fake, measure.least_fake),
    ):
        if count < least:
            return None, f"{count} {name} images: at least {least} are needed"
    value, low, high = measure.estimate()
    if not math.isfinite(value):
        return None, "the value is not finite"
    implementation = IMPLEMENTATIONS[measure.metric]
    smallest, enlarged = ENLARGED.get(measure.metric, (0, 0))
    if side < smallest:
        implementation += f"; enlarged from {side} to {enlarged} px"
    return {
        "metric": measure.metric,
        "pairing": measure.pairing,
        "key": measure.key,
        "value": value,
        "low": _finite(low),
        "high": _finite(high),
        "confidence": instruments.config.confidence,
        "floor": _finite(measure.floor),
        "direction": measure.direction,
        "n_real": measure.n_real,
        "n_fake": measure.n_fake,
        "seed": instruments.config.seed,
        "implementation": implementation,
    }, ""


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def compare(reals: Reals, fake_images: Tensor, instruments: Instruments) -> dict[str, list[Record]]:
    """``{"records": [...], "omitted": [...]}`` of uint8 ``fake_images`` (N, 1, H, W) against the reals."""
    image_sets.checked_images("fake", fake_images)
    image_sets.same_size(reals.main.images, fake_images)
    fake = image_set(fake_images, instruments, with_pairs=True)
    side = min(fake_images.shape[-2:])
    records, omitted = [], []
    for measure in measures(reals, fake, instruments):
        record, reason = take(measure, instruments, side)
        if record is None:
            omitted.append({"key": measure.key, "reason": reason})
        else:
            records.append(record)
    return {"records": records, "omitted": omitted}


def evaluate_folders(real: Path, fake: Path, config: EvaluateConfig) -> dict[str, Any]:
    """Compare two folders of images; the result is that of a snapshot without epoch, pairing ``real_fake``.

    Raises ValueError for folders without images or with images that cannot be compared, and as the loaders do.
    """
    real_images, fake_images = image_sets.read_images(real), image_sets.read_images(fake)
    image_sets.same_size(real_images, fake_images)
    instruments = load_instruments(config)
    reals = measure_reals({"real_fake": real_images}, instruments)
    compared = compare(reals, fake_images, instruments)
    return {"real": str(real), "fake": str(fake), **instruments.described(), **compared}


def evaluate_branch(
    branch_dir: Path, dataset: Path, config: EvaluateConfig, out: Path, report: Report
) -> dict[str, Any]:
    """Evaluate every snapshot of a branch against the train and test reals of a data set.

    Writes ``evaluation.json`` below ``out`` and returns its content; docs/architecture.md describes it. Each snapshot's
    result is kept in ``out/snapshots`` under a digest of snapshot, images, networks and settings, so that running again
    measures only what is new, also while the training goes on. ``report`` is called once a snapshot, in order, with the
    finite numbers: step = epoch, ``{"<key>": value, "<key>/low": ..., "<key>/high": ..., "<key>/floor": ...}``.
    A snapshot that cannot be used is listed under ``omitted``. Raises OSError for a folder that is no branch.
    """
    branch = json.loads((branch_dir / "branch.json").read_text())
    by_pairing = _read_reals(dataset)
    instruments = load_instruments(config)
    snapshots = sorted((branch_dir / "snapshots").glob("epoch_*.pt"))
    shared = _shared_key(by_pairing, instruments)
    caches = [out / "snapshots" / f"{path.stem}-{digest([shared, storage.sha256_of(path)])}.json" for path in snapshots]
    missing = sum(not cache.is_file() for cache in caches)
    reals = measure_reals(by_pairing, instruments) if missing else None
    records, omitted = [], []
    with console.progress(f"evaluate {branch['branch']}", len(snapshots), len(snapshots) - missing) as advance:
        for path, cache in zip(snapshots, caches, strict=True):
            epoch = int(path.stem.removeprefix("epoch_"))
            if not cache.is_file():
                assert reals is not None
                storage.write_bytes(str(cache), _as_json(_snapshot_result(path, reals, instruments)))
                advance()
            result = json.loads(cache.read_text())
            records += [{"epoch": epoch, **record} for record in result["records"]]
            omitted += [{"epoch": epoch, **item} for item in result["omitted"]]
            report(epoch, reported(result["records"]))
    kept = {name: branch[name] for name in ("branch", "gp_lambda", "seed", "status", "reason")}
    evaluation = {**kept, **instruments.described(), "records": records, "omitted": omitted}
    storage.write_bytes(str(out / "evaluation.json"), _as_json(evaluation))
    return evaluation


def _read_reals(dataset: Path) -> dict[str, Tensor]:
    """Images of both splits; a small data set may have no test images."""
    from mammogan.data import manifest

    train = manifest.load_images(dataset, split="train")
    has_test = (manifest.read(dataset)["split"] == "test").any()
    return {"train": train, "test": manifest.load_images(dataset, split="test") if has_test else train[:0]}


def _shared_key(by_pairing: Mapping[str, Tensor], instruments: Instruments) -> str:
    """Digest of everything that a snapshot's numbers depend on besides the snapshot."""
    settings = dataclasses.asdict(instruments.config)
    kept = {name: settings[name] for name in ("fakes", "seed", "pairs", "confidence")}
    pixels = {pairing: image_sets.digest_of(images) for pairing, images in by_pairing.items()}
    return digest([PROTOCOL, kept, pixels, instruments.described()])


def _snapshot_result(path: Path, reals: Reals, instruments: Instruments) -> dict[str, list[Record]]:
    from mammogan.models.generator import load_generator, sample

    config = instruments.config
    try:
        generator = load_generator(path)
    except ValueError as error:
        return {"records": [], "omitted": [{"key": "*", "reason": str(error)}]}
    if not all(bool(value.isfinite().all()) for value in generator.state_dict().values()):
        return {"records": [], "omitted": [{"key": "*", "reason": "the generator's weights are not finite"}]}
    fakes = sample(generator.to(instruments.device), config.fakes, config.seed, config.batch_size)
    return compare(reals, fakes.cpu(), instruments)


def reported(records: Sequence[Record]) -> dict[str, float]:
    """Flat finite numbers of records, as MLflow takes them."""
    flat = {record["key"]: record["value"] for record in records}
    for record in records:
        for part in ("low", "high", "floor"):
            if record[part] is not None:
                flat[f"{record['key']}/{part}"] = record[part]
    return flat


def _as_json(content: object) -> bytes:
    return json.dumps(content, indent=1, allow_nan=False).encode()
