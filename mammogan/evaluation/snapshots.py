"""The metrics of a trial's snapshots, and of any two folders of images; docs/metrics.md describes the numbers."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mammogan import codec, console, results, storage
from mammogan.addresses import masked
from mammogan.config import EvaluateConfig, digest
from mammogan.data.dataset import Dataset
from mammogan.evaluation.image_sources import RealImages, open_source, ranking_reals, read_fakes, read_reals
from mammogan.evaluation.incumbents import latent_seed
from mammogan.evaluation.measurement import (
    NETWORKS,
    Comparison,
    EvaluationNetworks,
    Reals,
    compare,
    load_networks,
    measure_reals,
    steps_of,
)
from mammogan.graph import Step
from mammogan.image_tensors import digest_of, same_size
from mammogan.results import EVALUATION_FORMAT, Evaluation, Measurement, Network, Omission, TrialResult, TrialStatus
from mammogan.training.trial_folder import RECORD as TRIAL_FILE
from mammogan.training.trial_folder import SNAPSHOTS, epoch_of, require_files

logger = logging.getLogger(__name__)

PROTOCOL = 9
"""Raised whenever a number would come out differently, so that no cached one is mixed with new ones."""
FILE = "evaluation.json"
RANKING = "ranking"
"""Role of the latents by which snapshots are ranked: not those of ``evaluate.seed``, nor of what is quoted."""

Report = Callable[[int, Mapping[str, float]], None]
ReportError = Callable[[BaseException], None]


@dataclass(frozen=True)
class FolderComparison:
    """Two sets of images compared, and the networks that did."""

    extractor: Network
    lpips: Network
    measurements: tuple[Measurement, ...]
    omitted: tuple[Omission, ...]


def evaluate_folders(real: Path, fake: Path, config: EvaluateConfig) -> FolderComparison:
    """Compare the generated images of a folder or data set with the real ones of another.

    Raises ValueError for folders without images or with images that cannot be compared, and as the loaders do.
    """
    return evaluate_images(read_reals(open_source(real)), read_fakes(open_source(fake)), config)


def evaluate_images(by_pairing: Mapping[str, RealImages], fakes: Tensor, config: EvaluateConfig) -> FolderComparison:
    """Compare uint8 ``fakes`` (M, 1, H, W) with the sets of real images (N, 1, H, W) of ``read_reals``."""
    same_size(next(iter(by_pairing.values())).images, fakes)
    networks = load_networks(config)
    with console.progress("evaluate", steps_of(by_pairing) + NETWORKS * len(fakes), unit="image passes") as advance:
        reals = measure_reals(by_pairing, networks, advance)
        compared = compare(reals, fakes, networks, advance)
    return FolderComparison(*networks.described, compared.measurements, compared.omitted)


def evaluate_trial(
    trial_dir: Path, dataset: Path, config: EvaluateConfig, out: Path, report: Report, store: str = ""
) -> Evaluation:
    """Evaluate every snapshot of a trial against the train and validation reals of a data set, never the test ones.

    Writes ``evaluation.json`` below ``out`` and returns it. Each snapshot's result is kept in ``store/evaluations``,
    without a store in ``out/snapshots``, under a digest of snapshot, images, networks and settings, so that running
    again measures only what is new, also while the training goes on. ``report`` is called once a snapshot, in order,
    with its values by key as ``results.charted`` gives them; step = epoch. A snapshot that cannot be used is listed
    under ``omitted``. Raises OSError for a folder that is no trial, ValueError for one that another version wrote, and
    where a snapshot is not the one that was trained.
    """
    begun = _begun(trial_dir)
    recorded = [file for file in begun.files if file.name.startswith(SNAPSHOTS)]
    try:
        for file in recorded:
            if epoch_of(file.name) is None:
                raise ValueError(f"{file.name!r} is no name of a snapshot")
        require_files(trial_dir, recorded)
    except ValueError as error:
        raise ValueError(f"{trial_dir}: {error}; train the trial again") from error
    snapshots = sorted(trial_dir / file.name for file in recorded)
    return evaluate_snapshots(begun, snapshots, dataset, config, out, report, store)


def evaluate_snapshots(
    begun: Evaluation,
    snapshots: Sequence[Path],
    dataset: Path,
    config: EvaluateConfig,
    out: Path,
    report: Report,
    store: str = "",
) -> Evaluation:
    """``evaluate_trial`` of snapshots ``epoch_<number>.pt`` of the trial that ``begun`` is about."""
    by_pairing = ranking_reals(Dataset.read(dataset))
    networks = load_networks(config)
    shared = _shared_key(by_pairing, networks)
    kept = storage.join(store, "evaluations") if store else str(out / "snapshots")
    keys = [f"{path.stem}-{digest([shared, storage.sha256_of(path)])}.json" for path in snapshots]
    caches = {storage.join(kept, key): path for key, path in zip(keys, snapshots, strict=True)}
    missing = {cache for cache in caches if not storage.exists(cache)}
    measurements, omitted = [], []
    per_snapshot = NETWORKS * config.fakes
    total, done = len(snapshots) * per_snapshot, (len(snapshots) - len(missing)) * per_snapshot
    if missing:
        total += steps_of(by_pairing)
    with console.progress(f"evaluate {begun.trial.name}", total, done, unit="image passes") as advance:
        reals = measure_reals(by_pairing, networks, advance) if missing else None
        for cache, path in caches.items():
            epoch = int(path.stem.removeprefix("epoch_"))
            if cache in missing:
                assert reals is not None
                compared = _compared(path, reals, networks, advance).at(epoch)
                storage.write_bytes(cache, codec.dumps(compared, EVALUATION_FORMAT))
                advance(0, note=f"epoch {epoch}")
            else:
                compared = codec.loads(Comparison, storage.read_bytes(cache), EVALUATION_FORMAT, cache)
            measurements += compared.measurements
            omitted += compared.omitted
            report(epoch, results.charted(compared.measurements))
    extractor, lpips = networks.described
    evaluation = dataclasses.replace(
        begun, extractor=extractor, lpips=lpips, measurements=tuple(measurements), omitted=tuple(omitted)
    )
    results.write(evaluation, out / FILE)
    return evaluation


def evaluate_or_fail(
    trial_dir: Path,
    dataset: Path,
    config: EvaluateConfig,
    out: Path,
    report: Report,
    store: str = "",
    report_error: ReportError | None = None,
) -> Evaluation:
    """``evaluate_trial``, but a fault of its own ends as a failed trial, without stopping the others.

    ``report_error`` gets the fault.
    """
    begun = _begun(trial_dir)
    try:
        return evaluate_trial(trial_dir, dataset, config, out, report, store)
    except Exception as error:
        reason = masked(f"{type(error).__name__}: {error}")
        logger.exception(f"{begun.trial.name}: not evaluated: {reason}")
        if report_error:
            report_error(error)
        failed = dataclasses.replace(begun, status=TrialStatus.FAILED, reason=reason, failed_in=Step.EVALUATE)
        results.write(failed, out / FILE)
        return failed


def _begun(trial_dir: Path) -> Evaluation:
    """An evaluation with what it takes over from its trial's record."""
    if not (trial_dir / TRIAL_FILE).is_file():
        raise ValueError(
            f"{trial_dir}: it has no {TRIAL_FILE}, so that it is no folder of a trial, or one of an older format; "
            "train the trial again"
        )
    trained = results.read(TrialResult, trial_dir / TRIAL_FILE)
    return Evaluation(
        gp_lambda=trained.gp_lambda,
        seed=trained.seed,
        status=trained.status,
        reason=trained.reason,
        key=trained.key,
        data_digest=trained.data_digest,
        train_s=trained.train_s,
        files=trained.files,
    )


def _shared_key(by_pairing: Mapping[str, RealImages], networks: EvaluationNetworks) -> str:
    """Digest of everything that a snapshot's numbers depend on besides the snapshot."""
    settings = dataclasses.asdict(networks.config)
    kept = {name: settings[name] for name in ("fakes", "seed", "pairs", "confidence")}
    reals = {pairing: [digest_of(real.images), real.patients.tolist()] for pairing, real in by_pairing.items()}
    return digest([PROTOCOL, EVALUATION_FORMAT, kept, reals, codec.encode(networks.described)])


def _compared(path: Path, reals: Reals, networks: EvaluationNetworks, advance: console.Advance) -> Comparison:
    from mammogan.models.generator import load_generator, sample

    config = networks.config
    try:
        generator = load_generator(path)
        finite = all(bool(value.isfinite().all()) for value in generator.state_dict().values())
        unusable = "" if finite else "the generator's weights are not finite"
    except ValueError as error:
        unusable = str(error)
    if unusable:
        advance(NETWORKS * config.fakes)
        return Comparison(omitted=(Omission("*", unusable),))
    fakes = sample(generator.to(networks.device), config.fakes, latent_seed(config.seed, RANKING), config.batch_size)
    return compare(reals, fakes.cpu(), networks, advance)
