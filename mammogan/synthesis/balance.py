"""The rare class of a data set filled up with synthetic images: a data set like any other.

Synthetic rows are in the train split, have ``source`` = ``synthetic``, the model version, seed and index in
``image_id`` and ``source_uid``, the snapshot's sha256 in ``source_sha256``, and a patient of their own each, who is no
patient of the real images.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from mammogan import console, lock, storage
from mammogan.codec import OlderFormatError
from mammogan.config import Config, SynthesiseConfig, digest
from mammogan.data import manifest, replacement, summary
from mammogan.data.dataset import Dataset
from mammogan.data.summary import Summary, SyntheticPart
from mammogan.synthesis import publication
from mammogan.synthesis.plausibility import load_filter
from mammogan.synthesis.sampling import Model
from mammogan.synthesis.stream import Stream

logger = logging.getLogger(__name__)

FORMAT = 1
"""Raised when the same settings give other bytes than before."""


def fill(model: Model, dataset: Dataset | None, label: int, config: Config, out: str) -> Summary:
    """Write the data set ``out``, local or ``s3://``: the images of ``dataset`` and synthetic ones of class ``label``.

    Without ``dataset`` it holds ``synthesise.count`` synthetic images alone. Returns its summary, of which the part
    ``synthetic`` counts what was made, drawn and dropped. Run again it resumes where it was stopped, and a finished
    one is left as it is. Raises ValueError where nothing is to be made and for an ``out`` that holds something else,
    RuntimeError while another process writes a folder ``out``.
    """
    with contextlib.nullcontext() if storage.is_remote(out) else lock.out_folder(out):
        return _filled(model, dataset, label, config, out)


def _filled(model: Model, dataset: Dataset | None, label: int, config: Config, out: str) -> Summary:
    wanted = missing(dataset, label, config.synthesise)
    key = _key(model, label, config, wanted, dataset)
    if finished := _finished(out, key):
        return finished
    stream = _stream(model, label, config, out, key)
    rare = dataset.train.of(label).images() if dataset is not None else None
    left_out = load_filter(config, rare)
    drawn, dropped = 0, Counter[str]()
    with console.progress("synthesise", wanted, unit="images") as advance:
        for chunk in stream.chunks(wanted, left_out):
            drawn += chunk.drawn
            dropped.update(chunk.dropped)
            advance(len(chunk.kept))
    about = SyntheticPart(
        key=key,
        model=model.version,
        snapshot_sha256=model.sha256,
        class_=manifest.CLASSES[label],
        settings=config.synthesise,
        images=wanted,
        drawn=drawn,
        dropped=dict(dropped),
    )
    filled = publication.publish(stream, label, dataset, about)
    _take_its_place(out, stream)
    return filled


def missing(dataset: Dataset | None, label: int, config: SynthesiseConfig) -> int:
    """Images to make: ``count``, or as many as bring the train split to ``ratio``. Raises ValueError for none."""
    if config.count:
        return config.count
    if dataset is None:
        raise ValueError("synthesise.count=0: without a data set, say how many images to make")
    if wanted := shortage(dataset, label, config.ratio):
        return wanted
    own, others = (len(dataset.train.of(number)) for number in (label, 1 - label))
    name = manifest.CLASSES[label]
    raise ValueError(
        f"synthesise.ratio={config.ratio:g}: the train split already has {own} {name} images against {others}; raise "
        "it, or set synthesise.count"
    )


def shortage(dataset: Dataset, label: int, ratio: float) -> int:
    """Images that the class lacks in the train split to be ``ratio`` times as large as the other one."""
    own, others = (len(dataset.train.of(number)) for number in (label, 1 - label))
    return max(0, round(ratio * others) - own)


def _key(model: Model, label: int, config: Config, wanted: int, dataset: Dataset | None) -> str:
    """Digest of all that the synthetic images and their data set depend on."""
    settings = config.synthesise
    parts = [FORMAT, model.version, model.sha256, label, wanted, asdict(settings)]
    if settings.min_realism or settings.min_distance:
        parts.append([config.evaluate.extractor, config.evaluate.extractor_weights])
    return digest([*parts, dataset.digest if dataset is not None else ""])


def _finished(out: str, key: str) -> Summary | None:
    """Summary of ``out`` if it is finished. Raises ValueError where something else than a data set stands there."""
    uri = storage.join(out, summary.FILE)
    if not storage.is_remote(out):
        manifest.put_back(Path(out))
    if storage.exists(uri):
        try:
            earlier = summary.parse(storage.read_bytes(uri), uri)
        except OlderFormatError:
            return None
        if isinstance(earlier, Summary) and earlier.synthetic and earlier.synthetic.key == key:
            logger.info(f"{out}: finished by an earlier run")
            return earlier
    elif not storage.is_remote(out) and Path(out).exists() and (Path(out).is_file() or any(Path(out).iterdir())):
        raise ValueError(f"out={out!r}: something else than a data set stands there; choose another folder")
    return None


def _stream(model: Model, label: int, config: Config, out: str, key: str) -> Stream:
    """Where the images go: on S3 their own place, where the manifest comes last; else a folder that is renamed."""
    name = manifest.CLASSES[label]
    if storage.is_remote(out):
        return Stream(model, name, config.synthesise, out, storage.join(out, f".chunks-{key}"))
    work = _work(out) / key
    return Stream(model, name, config.synthesise, str(work / "new"), str(work / "chunks"))


def _work(out: str) -> Path:
    return Path(out).parent / f".{Path(out).name}.work"


def _take_its_place(out: str, stream: Stream) -> None:
    """Make the finished folder ``out``, in place of an older one, and remove what only served the making."""
    if storage.is_remote(out):
        for name in storage.list_files(stream.records):
            storage.remove(storage.join(stream.records, name))
        return
    os.sync()  # the images were not synced one by one
    replacement.take_place(Path(stream.root), Path(out))
    shutil.rmtree(_work(out))
