"""A version and the champions that it is to follow, drawn and measured anew on the same held-out images.

The figure that a version was registered with is that of the snapshot which looked best among many, and the champion's
may be of other data. Both generators are at hand, so both draw again, from latents that no ranking has seen, and only
their difference on the same patients is judged.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from mammogan import tracking
from mammogan.config import Config
from mammogan.data.dataset import Dataset
from mammogan.data.minority import label_to_synthesise
from mammogan.data.patient_name import canonical
from mammogan.errors import first_line
from mammogan.metrics.kid import FEWEST_FOR_INTERVAL
from mammogan.registry.contents import AlteredError
from mammogan.registry.model import snapshot_of
from mammogan.registry.promotion import incumbents
from mammogan.registry.versions import PARENT_RUN
from mammogan.results import Contest, Quantity, Role
from mammogan.tracking import looks, stored
from mammogan.tracking.lineage import sources_of
from mammogan.tracking.server import CONFIG_FILE, MANIFEST_FILE, NOTHING_THERE

if TYPE_CHECKING:
    from mammogan.evaluation.image_sources import RealImages
    from mammogan.models.generator import Generator

logger = logging.getLogger(__name__)


def contests(
    version: str, dataset: Path, config: Config, tracking_uri: str = "", *, by_hand: bool = False
) -> tuple[Contest, ...]:
    """A version against each of its incumbents on the test images of a data set, of patients who have none in train.

    ``dataset`` is the data set folder that the version was selected on; of both classes the one that is synthesised.
    Before anything is measured the look at these test images is recorded: as that of the version's own run, which is
    one whatever it measures on them, or ``by_hand`` as a further one. Empty where there is no incumbent. Where a
    champion cannot draw such images again, patients are too few, or, ``by_hand``, the version's own run learnt or chose
    by some of them, the contest has the reason and no figures. Any error of the measurement itself is raised, and
    ValueError where the files of either are not those that were registered.
    """
    model = config.select.model_name
    opponents = incumbents(model, version, tracking_uri)
    if not opponents:
        return ()
    blank = [Contest(version, incumbent, config.select.margin, config.select.confidence) for incumbent in opponents]
    held_out = _held_out(dataset, config.data.minority)
    real = _images(held_out)
    patients = len(set(real.patients.tolist()))
    if patients < FEWEST_FOR_INTERVAL:
        reason = (
            f"{len(real)} test images of {patients} patients who have none in train: the difference of two generators "
            f"needs {FEWEST_FOR_INTERVAL} patients; use more data or data.split=patient"
        )
        return tuple(dataclasses.replace(contest, reason=reason) for contest in blank)
    if by_hand and (reason := _not_held_out(model, version, held_out, tracking_uri)):
        return tuple(dataclasses.replace(contest, reason=reason) for contest in blank)
    own = _generator(model, version, tracking_uri)
    _record_look(model, version, held_out, by_hand, tracking_uri)
    return tuple(_measured(contest, own, real, config, tracking_uri) for contest in blank)


def contests_of_run(model: str, version: str, dataset: Path, tracking_uri: str = "") -> tuple[Contest, ...]:
    """``contests`` by hand, by the settings of the run that registered the version.

    Raises ValueError where none is recorded, or somebody has written over them or the run's manifest, and
    FileNotFoundError where that is gone.
    """
    parent = _parent(model, version, tracking_uri)
    config = tracking.read_run(parent, tracking_uri).config if parent else None
    if parent is None or config is None or not stored.is_sealed(parent, CONFIG_FILE, tracking_uri):
        raise ValueError(
            f"version={version!r}: no run of this software registered it and recorded the sha256 of its settings, so "
            "that they are not known; run the pipeline again, or promote without --dataset by --force"
        )
    named = dataclasses.replace(config, select=dataclasses.replace(config.select, model_name=model))
    return contests(version, dataset, named, tracking_uri, by_hand=True)


def _parent(model: str, version: str, tracking_uri: str) -> str | None:
    """Pipeline run that registered the version; None for one of other making. Raises ValueError for no version."""
    try:
        return tracking.client(tracking_uri).get_model_version(model, version).tags.get(PARENT_RUN)
    except MlflowException as error:
        if error.error_code not in NOTHING_THERE:
            raise
        raise ValueError(f"version={version!r}: model {model} has no such version") from error


def _held_out(dataset: Path, minority: str) -> Dataset:
    """Test images of the class that is synthesised, of patients who have none in train or validation."""
    real = Dataset.read(dataset).real
    return real.of(label_to_synthesise(real, minority)).held_out


def _not_held_out(model: str, version: str, held_out: Dataset, tracking_uri: str) -> str:
    """Why what a data set holds out is not held out for this version; empty where its run knew it as test or not."""
    parent = _parent(model, version, tracking_uri)
    sealed = parent and stored.is_sealed(parent, MANIFEST_FILE, tracking_uri)
    sources = sources_of(parent, tracking_uri) if parent and sealed else ()
    if not sources:
        return f"version {version}: its run recorded no manifest with its sha256, so nobody knows what it learnt from"
    known = [source for source in sources if source.split != Role.TEST]
    files = {source.source_sha256 for source in known} - {""}
    frame, patients = held_out.frame, {canonical(source.patient_id) for source in known}
    seen = frame["source_sha256"].isin(files) | frame["patient_id"].map(canonical).isin(patients)
    if not seen.any():
        return ""
    return (
        f"{int(seen.sum())} of these {len(frame)} test images are of patients by whom version {version} was trained or "
        "chosen; give the data set of its run, or one without them"
    )


def _images(held_out: Dataset) -> RealImages:
    from mammogan.evaluation.image_sources import RealImages  # with PyTorch, which takes seconds; rarely needed

    return RealImages.of(held_out)


def _record_look(model: str, version: str, held_out: Dataset, by_hand: bool, tracking_uri: str) -> None:
    """Count that these test images are measured on; a version of other making has no run to count it by."""
    parent = _parent(model, version, tracking_uri)
    if parent and by_hand:
        name = f"contest of version {version} by hand"
        looks.look_by_hand(parent, held_out.source_digest, name, tracking_uri)
    elif parent:
        looks.look(parent, held_out.source_digest, tracking_uri)


def _generator(model: str, version: str, tracking_uri: str) -> Generator:
    from mammogan.models.generator import load_generator

    with tempfile.TemporaryDirectory() as folder:
        return load_generator(snapshot_of(f"models:/{model}/{version}", Path(folder, "model"), tracking_uri))


def _measured(blank: Contest, own: Generator, real: RealImages, config: Config, tracking_uri: str) -> Contest:
    from mammogan.evaluation.incumbents import compare_generators

    where = f"champion version {blank.incumbent}"
    try:
        incumbent = _generator(config.select.model_name, blank.incumbent, tracking_uri)
    except AlteredError:
        raise
    except (ValueError, FileNotFoundError) as error:
        return dataclasses.replace(blank, reason=f"{where} cannot draw its images again: {first_line(error)}")
    side = real.images.shape[-1]
    for name, generator in ((f"version {blank.version}", own), (where, incumbent)):
        if generator.size != side:
            reason = f"{name} draws {generator.size} px, the images have {side}"
            return dataclasses.replace(blank, reason=reason)
    logger.info(f"version {blank.version} and {where} are measured on the same {len(real)} images")
    incumbent_kid = compare_generators(own, incumbent, real, config.evaluate, blank.confidence)
    return dataclasses.replace(
        blank,
        quantity=Quantity("kid", incumbent_kid.extractor, "test"),
        value=incumbent_kid.difference.one,
        incumbent_value=incumbent_kid.difference.other,
        difference=incumbent_kid.difference.value,
        upper=incumbent_kid.difference.upper,
        reason="" if incumbent_kid.difference.upper is not None else "too few images for an interval",
        images=len(real),
        patients=len(set(real.patients.tolist())),
        fakes=config.evaluate.fakes,
    )
