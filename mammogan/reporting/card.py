"""The model card: what the generator is, what it stands on, how good it is and what it must not be used for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mammogan.records import RunRecord
from mammogan.reporting.findings import gate_lines

FILE = "model_card.md"

DATA_LICENCE = (
    "CBIS-DDSM: Sawyer-Lee, Gimenez, Hoogi, Rubin (2016), The Cancer Imaging Archive, "
    "doi 10.7937/k9/tcia.2016.7o02s9cy, CC BY 3.0."
)
WEIGHTS_LICENCE = (
    "RadImageNet's DenseNet121 (MIT) served in the critic during training; it is not part of the generator."
)
PHANTOM = "A phantom drawn by this software: no patient's image; the images say nothing of disease."
LIMITS = (
    "Other machines and people than those of the training data differ.",
    "No radiologist has judged the images.",
    "KID and FID depend on their feature extractor, on resolution and on sample size: compare like with like.",
    "A small training set can be memorised: check new samples against it before they leave the house.",
)


def write(record: RunRecord, decision: Mapping[str, Any]) -> str:
    """The card in Markdown, of the run that trained the decision's winner."""
    return "\n".join(_lines(record, decision)) + "\n"


def _lines(record: RunRecord, decision: Mapping[str, Any]) -> Iterator[str]:
    winner, config = decision["winner"], record.config
    yield "# Generator of synthetic mammograms"
    yield ""
    yield f"WGAN-GP generator, {winner['trial']}, epoch {winner['epoch']}, run `{record.run_id}`."
    yield f"{decision['verdict']}."
    yield from ("", "## Use", "")
    yield "- Input: a table with `n`, `seed` and optionally `truncation` (0, 1]; output: 8-bit grey PNGs, or an array"
    yield "  (N, H, W) with `params={'format': 'array'}`. Image i of a seed is always the same."
    yield "- Intended: research on class imbalance; augmenting training sets of classifiers."
    yield "- Not intended: diagnosis, teaching of radiology, or any claim about a patient."
    yield from ("", "## Metrics", "", "| metric | value | interval | real against real | real / fake images |")
    yield "|---|---|---|---|---|"
    counts = _counts(record, winner)
    for key, measure in winner["metrics"].items():
        low, high, reference = measure.get("low"), measure.get("high"), measure.get("reference")
        interval = "" if low is None or high is None else f"{low:.4g} to {high:.4g}"
        reference_text = "" if reference is None else f"{reference:.4g}"
        yield f"| {key} | {measure['value']:.4g} | {interval} | {reference_text} | {counts.get(key, '')} |"
    yield from ("", "## Gates", "")
    yield from gate_lines(decision["gates"])
    yield "- audited: see Privacy below, where the synthetic images were audited; without that it is not promoted."
    yield from ("", "## Data", "")
    yield from (f"- {line}" for line in _data(record))
    yield f"- {PHANTOM if record.data.get('source') == 'phantom' else DATA_LICENCE}"
    yield from ("", "## What it stands on", "")
    yield from (f"- {line}" for line in _foundations(record, winner))
    if config.get("model", {}).get("frozen_weights", "random") != "random":
        yield f"- {WEIGHTS_LICENCE}"
    yield f"- Image size {config.get('data', {}).get('size', 'unknown')} px; preset {config.get('preset', 'unknown')}."
    yield from ("", "## Limits", "")
    yield from (f"- {line}" for line in LIMITS)


def _counts(record: RunRecord, winner: Mapping[str, Any]) -> dict[str, str]:
    """Images on each side of every metric of the winner."""
    return {
        item["key"]: f"{item['n_real']} / {item['n_fake']}"
        for trial in record.trials
        if trial.trial.name == winner["trial"]
        for item in trial.evaluation.get("records", ())
        if item["epoch"] == winner["epoch"]
    }


def _data(record: RunRecord) -> Iterator[str]:
    summary = record.data
    whole = summary.get("whole") or {}
    counts = summary.get("train_counts") or {}
    if summary:
        yield f"Class: {summary.get('name')}; train split: {', '.join(f'{n} {name}' for name, n in counts.items())}."
        yield f"Source {whole.get('source')}, subset {whole.get('subset')}, digest `{summary.get('data_digest')}`."
    else:
        yield "The run recorded no data set."


def _foundations(record: RunRecord, winner: Mapping[str, Any]) -> Iterator[str]:
    for trial in record.trials:
        if trial.trial.name == winner["trial"]:
            yield f"Critic's frozen branch: {(trial.info.get('frozen') or {}).get('name', 'unknown')}."
            for part, label in (("extractor", "KID and FID features"), ("lpips", "LPIPS network")):
                found = trial.evaluation.get(part) or {}
                yield f"{label}: {found.get('name', 'unknown')}. {found.get('note', '')}".rstrip()
