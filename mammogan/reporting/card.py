"""The model card: what the generator is, what it rests on, how good it is and what it must not be used for."""

from __future__ import annotations

from collections.abc import Iterator

from mammogan.data.summary import NOBODY
from mammogan.records import RunRecord
from mammogan.reporting.findings import gate_lines
from mammogan.reporting.markdown import plain
from mammogan.reporting.winner import measurement_row
from mammogan.results import Candidate, Decision

FILE = "model_card.md"

DATA_LICENCE = (
    "CBIS-DDSM: Sawyer-Lee, Gimenez, Hoogi, Rubin (2016), The Cancer Imaging Archive, "
    "doi 10.7937/k9/tcia.2016.7o02s9cy, CC BY 3.0."
)
OF_CBIS_DDSM = frozenset({"dicom", "kaggle", "idc"})
"""Layouts of a source that are found by CBIS-DDSM's own case files or index."""
OWN_DATA = "Images of a folder with a manifest: their licence is not known here; say it before you share the model."
NO_DATA = f"Licence of the data: not known. Only if they are CBIS-DDSM's: {DATA_LICENCE}"
WEIGHTS_LICENCE = (
    "RadImageNet's DenseNet121 (MIT) served in the critic during training; it is not part of the generator."
)
PHANTOM = "A phantom drawn by this software: no patient's image; the images say nothing of disease."
LIMITS = (
    "Other machines and people than those of the training data differ.",
    "No radiologist has judged the images.",
    "KID and FID depend on their feature extractor, on resolution and on sample size: compare like with like.",
    "A small training set can be memorised: check new samples against it before you share them.",
)


def write(record: RunRecord, decision: Decision) -> str:
    """The card in Markdown, of the run that trained the decision's winner."""
    return "\n".join(_lines(record, decision)) + "\n"


def _lines(record: RunRecord, decision: Decision) -> Iterator[str]:
    winner, config = decision.winner, record.config
    assert winner is not None, "only a winner has a card"
    yield "# Generator of synthetic mammograms"
    yield ""
    yield f"WGAN-GP generator, {winner.trial.name}, epoch {winner.epoch}, run `{record.run_id}`."
    yield f"{plain(decision.verdict)}."
    yield from ("", "## Use", "")
    yield (
        "- Input: a table with `n`, `seed` and optionally `truncation` (0, 1]; output: 8-bit grey PNGs, or an array "
        "(N, H, W) with `params={'format': 'array'}`. Image i of a seed is always the same."
    )
    yield "- Intended: research on class imbalance; augmenting training sets of classifiers."
    yield "- Not intended: diagnosis, teaching of radiology, or any claim about a patient."
    yield from ("", "## What selected it", "")
    yield (
        f"The best of many against the {decision.against} reals ({decision.against_because}), and so too good in the "
        "mean; what is to be quoted stands under Result on test images."
    )
    yield from ("", "| metric | value (interval) | real against real | real / fake images |", "|---|---|---|---|")
    yield from (measurement_row(item) for item in winner.measurements)
    yield from ("", "## Gates", "")
    yield from gate_lines(decision.gates)
    yield "- audited: see Privacy below, where the synthetic images were audited; without that it is not promoted."
    yield from ("", "## Data", "")
    yield from (f"- {line}" for line in _data(record))
    yield from (f"- {line}" for line in _licences(record))
    yield from ("", "## Provenance", "")
    yield from (f"- {line}" for line in _foundations(record, winner))
    if config and config.model.frozen_weights != "random":
        yield f"- {WEIGHTS_LICENCE}"
    if config:
        yield f"- Image size {config.data.size} px; preset {config.preset}."
    yield from ("", "## Limits", "")
    yield from (f"- {line}" for line in LIMITS)


def _data(record: RunRecord) -> Iterator[str]:
    data = record.data
    if data:
        counts = ", ".join(f"{count} {plain(name)}" for name, count in data.train_counts.items())
        yield f"Class: {plain(data.name)}; train split: {counts}."
        source, subset, digest = map(plain, (data.whole.source, data.whole.subset, data.data_digest))
        yield f"Source {source}, subset {subset}, digest {digest}."
    else:
        yield "The run recorded no data set."


def _licences(record: RunRecord) -> Iterator[str]:
    """Whose the data are, by the layout that the source was recognised by."""
    kinds = record.data.whole.kinds if record.data else frozenset[str]()
    if not kinds:
        yield NO_DATA
    if "phantom" in kinds:
        yield PHANTOM
    if kinds & OF_CBIS_DDSM:
        yield DATA_LICENCE
    if kinds - OF_CBIS_DDSM - NOBODY:
        yield OWN_DATA


def _foundations(record: RunRecord, winner: Candidate) -> Iterator[str]:
    for item in record.trials:
        if item.trial != winner.trial:
            continue
        yield f"Critic's frozen branch: {plain(item.training.frozen.name) if item.training else 'unknown'}."
        networks = (item.evaluation.extractor, item.evaluation.lpips) if item.evaluation else (None, None)
        for network, label in zip(networks, ("KID and FID features", "LPIPS network"), strict=True):
            yield plain(f"{label}: {network.name}. {network.note}") if network else f"{label}: unknown."
