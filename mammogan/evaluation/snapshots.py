"""The metrics of a trial's snapshots, and of any two folders of images.

docs/architecture.md describes the file of an evaluation, docs/metrics.md its numbers.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mammogan import console, storage
from mammogan.config import EvaluateConfig, digest
from mammogan.data import manifest, minority
from mammogan.data.image_folder import digest_of, read_images, same_size
from mammogan.evaluation.measurement import (
    NETWORKS,
    Instruments,
    Reals,
    Record,
    compare,
    load_instruments,
    measure_reals,
    steps_of,
)
from mammogan.graph import Step

logger = logging.getLogger(__name__)

PROTOCOL = 4
"""Raised whenever a number would come out differently, so that no cached one is mixed with new ones."""
FROM_TRIAL = ("trial", "gp_lambda", "seed", "key", "status", "reason", "data_digest", "train_s")

Report = Callable[[int, Mapping[str, float]], None]
ReportError = Callable[[BaseException], None]


def evaluate_folders(real: Path, fake: Path, config: EvaluateConfig) -> dict[str, Any]:
    """Compare the generated images of a folder or data set with the real ones of another; records as of a snapshot.

    Raises ValueError for folders without images or with images that cannot be compared, and as the loaders do.
    """
    compared = evaluate_images(read_reals(real), read_fakes(fake), config)
    return {"real": str(real), "fake": str(fake), **compared}


def evaluate_images(by_pairing: Mapping[str, Tensor], fakes: Tensor, config: EvaluateConfig) -> dict[str, Any]:
    """Compare uint8 ``fakes`` (M, 1, H, W) with the sets of real images (N, 1, H, W) of ``read_reals``."""
    same_size(next(iter(by_pairing.values())), fakes)
    instruments = load_instruments(config)
    with console.progress("evaluate", steps_of(by_pairing) + NETWORKS * len(fakes)) as advance:
        reals = measure_reals(by_pairing, instruments, advance)
        compared = compare(reals, fakes, instruments, advance)
    return {**instruments.described(), **compared}


def is_dataset(folder: Path) -> bool:
    """Whether a folder has a manifest, which tells real from synthetic images and one class from the other."""
    return (folder / manifest.FILE).is_file()


def read_reals(folder: Path, label: int | None = None) -> dict[str, Tensor]:
    """Real images by pairing: ``train`` and ``test`` of a data set, where test may be empty, else ``real_fake``.

    Of a data set none of the synthetic images, and with ``label`` only that class. Raises ValueError where its train
    split holds no such image, and as ``manifest.read`` and ``read_images`` do.
    """
    return _both_splits(folder, label) if is_dataset(folder) else {"real_fake": read_images(folder)}


def _both_splits(folder: Path, label: int | None = None) -> dict[str, Tensor]:
    splits = set(manifest.select(manifest.read(folder), label=label, synthetic=False)["split"])
    if "train" not in splits:
        kind = _kind("real", label)
        raise ValueError(f"real={str(folder)!r}: its train split holds no {kind}; give the data set of `ingest`")
    train = manifest.load_images(folder, split="train", label=label, synthetic=False)
    if "test" not in splits:
        return {"train": train, "test": train[:0]}
    return {"train": train, "test": manifest.load_images(folder, split="test", label=label, synthetic=False)}


def read_fakes(folder: Path, label: int | None = None) -> Tensor:
    """Generated images (N, 1, H, W) of a folder, or the synthetic ones of a data set, with ``label`` of that class.

    Raises ValueError for a data set without such images, and as ``manifest.read`` and ``read_images`` do.
    """
    if not is_dataset(folder):
        return read_images(folder)
    if not classes_in(folder, label, synthetic=True):
        kind = _kind("synthetic", label)
        raise ValueError(f"fake={str(folder)!r}: the data set holds no {kind}; fill it with synthesise")
    return manifest.load_images(folder, label=label, synthetic=True)


def _kind(origin: str, label: int | None) -> str:
    return f"{origin} image" if label is None else f"{origin} {manifest.CLASSES[label]} image"


def classes_in(dataset: Path, label: int | None = None, *, synthetic: bool) -> list[str]:
    """Names of the classes among the real, or the synthetic, images of a data set; at most that of ``label``."""
    rows = manifest.select(manifest.read(dataset), label=label, synthetic=synthetic)
    return [manifest.CLASSES[number] for number in sorted(rows["label"].unique())]


def class_learnt(dataset: Path) -> int | None:
    """Label that a generator learns from the real images of a data set, by default the rare one; None without any."""
    real = manifest.select(manifest.read(dataset), synthetic=False)
    return None if real.empty else minority.to_synthesise(real)


def evaluate_trial(
    trial_dir: Path, dataset: Path, config: EvaluateConfig, out: Path, report: Report, store: str = ""
) -> dict[str, Any]:
    """Evaluate every snapshot of a trial against the train and test reals of a data set.

    Writes ``evaluation.json`` below ``out`` and returns its content; docs/architecture.md describes it. Each snapshot's
    result is kept in ``store/evaluations``, without a store in ``out/snapshots``, under a digest of snapshot, images,
    networks and settings, so that running again measures only what is new, also while the training goes on. ``report``
    is called once a snapshot, in order, with the finite numbers: step = epoch, ``{"<key>": value, "<key>/low": ...,
    "<key>/high": ..., "<key>/reference": ...}``. A snapshot that cannot be used is listed under ``omitted``. Raises
    OSError for a folder that is no trial.
    """
    trial = _read_trial(trial_dir)
    by_pairing = _both_splits(dataset)
    instruments = load_instruments(config)
    snapshots = sorted((trial_dir / "snapshots").glob("epoch_*.pt"))
    shared = _shared_key(by_pairing, instruments)
    folder = storage.join(store, "evaluations") if store else str(out / "snapshots")
    keys = [f"{path.stem}-{digest([shared, storage.sha256_of(path)])}.json" for path in snapshots]
    caches = {storage.join(folder, key): path for key, path in zip(keys, snapshots, strict=True)}
    missing = {cache for cache in caches if not storage.exists(cache)}
    records, omitted = [], []
    each = NETWORKS * config.fakes
    total, done = len(snapshots) * each, (len(snapshots) - len(missing)) * each
    if missing:
        total += steps_of(by_pairing)
    with console.progress(f"evaluate {trial['trial']}", total, done) as advance:
        reals = measure_reals(by_pairing, instruments, advance) if missing else None
        for cache, path in caches.items():
            epoch = int(path.stem.removeprefix("epoch_"))
            if cache in missing:
                assert reals is not None
                storage.write_bytes(cache, _as_json(_snapshot_result(path, reals, instruments, advance)))
                advance(0, note=f"epoch {epoch}")
            result = json.loads(storage.read_bytes(cache))
            records += [{"epoch": epoch, **record} for record in result["records"]]
            omitted += [{"epoch": epoch, **item} for item in result["omitted"]]
            report(epoch, reported(result["records"]))
    return _write({**trial, **instruments.described(), "records": records, "omitted": omitted}, out)


def evaluate_or_lose(
    trial_dir: Path, dataset: Path, config: EvaluateConfig, out: Path, report: Report, store: str = "",
    report_error: ReportError | None = None,
) -> dict[str, Any]:  # fmt: skip
    """``evaluate_trial``, but a fault of its own ends as a failed trial, with ``lost_in``, so that the others go on.

    ``report_error`` gets the fault.
    """
    trial = _read_trial(trial_dir)
    try:
        return evaluate_trial(trial_dir, dataset, config, out, report, store)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        logger.exception(f"{trial['trial']}: not evaluated: {reason}")
        if report_error:
            report_error(error)
        lost = {"status": "failed", "reason": reason, "lost_in": str(Step.EVALUATE)}
        return _write({**trial, **lost, "extractor": {}, "lpips": {}, "records": [], "omitted": []}, out)


def _read_trial(trial_dir: Path) -> dict[str, Any]:
    """What an evaluation takes over from its trial's record."""
    trial = json.loads((trial_dir / "trial.json").read_text())
    return {name: trial[name] for name in FROM_TRIAL if name in trial}


def _write(evaluation: dict[str, Any], out: Path) -> dict[str, Any]:
    storage.write_bytes(str(out / "evaluation.json"), _as_json(evaluation))
    return evaluation


def _shared_key(by_pairing: Mapping[str, Tensor], instruments: Instruments) -> str:
    """Digest of everything that a snapshot's numbers depend on besides the snapshot."""
    settings = dataclasses.asdict(instruments.config)
    kept = {name: settings[name] for name in ("fakes", "seed", "pairs", "confidence")}
    pixels = {pairing: digest_of(images) for pairing, images in by_pairing.items()}
    return digest([PROTOCOL, kept, pixels, instruments.described()])


def _snapshot_result(
    path: Path, reals: Reals, instruments: Instruments, advance: console.Advance
) -> dict[str, list[Record]]:
    from mammogan.models.generator import load_generator, sample

    config = instruments.config
    try:
        generator = load_generator(path)
        finite = all(bool(value.isfinite().all()) for value in generator.state_dict().values())
        unusable = "" if finite else "the generator's weights are not finite"
    except ValueError as error:
        unusable = str(error)
    if unusable:
        advance(NETWORKS * config.fakes)
        return {"records": [], "omitted": [{"key": "*", "reason": unusable}]}
    fakes = sample(generator.to(instruments.device), config.fakes, config.seed, config.batch_size)
    return compare(reals, fakes.cpu(), instruments, advance)


def reported(records: Sequence[Record]) -> dict[str, float]:
    """Flat finite numbers of records, as MLflow takes them."""
    flat = {record["key"]: record["value"] for record in records}
    for record in records:
        for part in ("low", "high", "reference"):
            if record[part] is not None:
                flat[f"{record['key']}/{part}"] = record[part]
    return flat


def _as_json(content: object) -> bytes:
    return json.dumps(content, indent=1, allow_nan=False).encode()
