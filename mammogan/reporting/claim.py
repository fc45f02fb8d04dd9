"""The CLAIM checklist of a run: what its record answers of it, what was not done, and what only the authors know.

Checklist for Artificial Intelligence in Medical Imaging, 2024 update: Tejani et al., Radiology: Artificial Intelligence
2024;6(4):e240300, doi 10.1148/ryai.240300. Numbers and subjects of the 44 items are those of its companion pages
(github.com/RSNA/CLAIM); their words here are our own, and the journal's form is what is to be handed in. Nothing is
answered but from the run's record.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mammogan import storage
from mammogan.config import Config, lambda_text
from mammogan.data.summary import Counts, MinoritySummary
from mammogan.numbers import estimate
from mammogan.records import RunRecord
from mammogan.reporting import pages, winner
from mammogan.results import Measurement
from mammogan.selection.gates import audit_summary

PAGE = "claim.html"
GIT_COMMIT = "mlflow.source.git.commit"
IMAGE = "mammogan.image"
MODEL_VERSION = "mammogan.model_version"


class Status(StrEnum):
    """Who answers an item."""

    ANSWERED = "from the run"
    IN_PART = "in part"
    """The run knows a part; the rest is for the authors."""
    NOT_DONE = "not done"
    AUTHORS = "for the authors"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Answer:
    """What a run has to say to an item."""

    status: Status
    text: str = ""


@dataclass(frozen=True)
class Item:
    """One item of the checklist."""

    number: int
    section: str
    subject: str
    """What is to be reported, in our own words."""
    answer: Callable[[RunRecord], Answer]


@dataclass(frozen=True)
class AnsweredItem:
    """An item with a run's answer."""

    number: int
    section: str
    subject: str
    status: Status
    text: str


def checklist(record: RunRecord) -> tuple[AnsweredItem, ...]:
    """All 44 items in order, answered from a run's record, also of one that failed early."""
    answers = [(item, item.answer(record)) for item in ITEMS]
    return tuple(
        AnsweredItem(item.number, item.section, item.subject, answer.status, answer.text) for item, answer in answers
    )


def build(record: RunRecord, out: Path) -> Path:
    """Write the checklist as one self-contained page to the folder ``out``; returns the page."""
    items = checklist(record)
    page = pages.environment().get_template("claim.html").render(record=record, items=items, summary=summary(items))
    storage.write_bytes(str(out / PAGE), page.encode())
    return out / PAGE


def summary(items: tuple[AnsweredItem, ...]) -> str:
    """How many items have which status."""
    counts = Counter(item.status for item in items)
    return ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status])


def _authors(text: str = "") -> Callable[[RunRecord], Answer]:
    return lambda _: Answer(Status.AUTHORS, text)


def _not_done(text: str) -> Callable[[RunRecord], Answer]:
    return lambda _: Answer(Status.NOT_DONE, text)


def _of_data(answer: Callable[[MinoritySummary, Config], Answer]) -> Callable[[RunRecord], Answer]:
    """Answer of a run that recorded its data and settings."""

    def answered(record: RunRecord) -> Answer:
        if record.data is None or record.config is None:
            return Answer(Status.NOT_DONE, "the run ended before its data set was recorded")
        return answer(record.data, record.config.public)

    return answered


def _of_settings(answer: Callable[[Config], Answer]) -> Callable[[RunRecord], Answer]:
    """Answer of a run that recorded its settings."""

    def answered(record: RunRecord) -> Answer:
        if record.config is None:
            return Answer(Status.NOT_DONE, "the run ended before its settings were recorded")
        return answer(record.config.public)

    return answered


def _settings(section: object, names: tuple[str, ...] = ()) -> str:
    """Settings of a section as text: all, or those named."""
    chosen = names or tuple(item.name for item in dataclasses.fields(section))  # ty: ignore[invalid-argument-type]
    return ", ".join(f"{name.replace('_', ' ')} {getattr(section, name)}" for name in chosen)


def _counts(counts: Counts) -> str:
    return (
        f"{counts.images} images ({counts.benign} benign, {counts.malignant} malignant) of {counts.patients} patients"
    )


def _source(data: MinoritySummary, _: Config) -> Answer:
    whole = data.whole
    text = f"{whole.subset} from a source of layout {whole.source}, data digest {whole.data_digest[:16]}"
    return Answer(Status.IN_PART, f"{text}; where it was had, and a link, are for the authors")


def _eligibility(data: MinoritySummary, config: Config) -> Answer:
    text = (
        f"subsets {config.data.subset}, images {config.data.images}; {data.whole.quarantined} rows left out as unusable"
    )
    return Answer(Status.IN_PART, f"{text}; by what criteria the source chose patients is for the authors")


def _preprocessing(config: Config) -> Answer:
    names = ("size", "fit", "intensity", "region", "orientation", "window")
    return Answer(Status.ANSWERED, f"8-bit grey squares: {_settings(config.data, names)}")


def _subset(data: MinoritySummary, config: Config) -> Answer:
    shown = {"full": "whole mammograms", "crop": "the crop around each abnormality"}[config.data.images]
    return Answer(Status.ANSWERED, f"{shown} of {config.data.subset}; synthesised is the class {data.name} alone")


def _deidentification(data: MinoritySummary, _: Config) -> Answer:
    text = "ingest puts pseudonyms in the place of patients, files and series (docs/patients.md)"
    burnt = f"{len(data.whole.burned_in)} images say that text is burnt into their pixels"
    return Answer(Status.IN_PART, f"{text}; {burnt}; how the source was de-identified is for the authors")


def _missing(data: MinoritySummary, _: Config) -> Answer:
    text = f"{data.whole.quarantined} rows that could not be read or contradict each other were left out"
    return Answer(Status.ANSWERED, f"{text}; nothing was imputed")


def _reference_standard(data: MinoritySummary, _: Config) -> Answer:
    text = "labels are the source's; an image with a benign and a malignant abnormality counts as malignant"
    return Answer(
        Status.IN_PART, f"{text} ({data.whole.mixed_labels} images); how the source came to them: the authors"
    )


def _partitions(data: MinoritySummary, config: Config) -> Answer:
    sides, settings = data.whole.splits, config.data
    way = "as the source's manifest says" if sides.given else f"at random by {settings.split}"
    if not sides.given:
        if settings.split == "official":
            way = "by the source's own test sets"
        else:
            way += f", {settings.test_fraction:g} held out as test"
        if settings.validation_fraction:
            way += f", {settings.validation_fraction:g} of the patients as validation"
        if settings.split != "official" or settings.validation_fraction:
            way += f", seed {settings.split_seed}"
    parts = [f"train {_counts(sides.train)}", f"test {_counts(sides.test)}"]
    if sides.validation.images:
        parts.append(f"validation {_counts(sides.validation)}")
    return Answer(Status.ANSWERED, f"{way}: {'; '.join(parts)}")


def _disjoint(data: MinoritySummary, _: Config) -> Answer:
    leak = data.whole.splits.leak
    shared = [f"{leak.patients} are on both sides, with {leak.test_images} test images"] if leak.patients else []
    if leak.validation_patients:
        shared.append(
            f"{leak.validation_patients} are in train and validation; their {leak.validation_images} validation images "
            "are not used"
        )
    if leak.chosen_by:
        shared.append(f"{leak.chosen_by} test images are of validation patients, and are not used")
    if not shared:
        return Answer(Status.ANSWERED, "by patient: none is on both sides")
    return Answer(Status.ANSWERED, f"not by patient: {'; '.join(shared)}")


def _sample_size(data: MinoritySummary, _: Config) -> Answer:
    return Answer(
        Status.NOT_DONE, f"the test set has {data.whole.splits.test.images} images; no size was calculated beforehand"
    )


def _model(config: Config) -> Answer:
    text = (
        f"WGAN-GP, a trained and a frozen branch in the critic: {_settings(config.model)}; output {config.data.size} px"
    )
    return Answer(Status.ANSWERED, f"{text}; layers in docs/training.md")


def _software(record: RunRecord) -> Answer:
    commit, image = record.tags.get(GIT_COMMIT, ""), record.tags.get(IMAGE, "")
    code = f"code {commit[:12]}" if commit else "code of an unrecorded commit"
    devices = sorted({trial.training.device for trial in record.trials if trial.training} - {""})
    hardware = f"; trained on {', '.join(devices)}" if devices else ""
    where = "every package with its version in the run's artifact environment.txt"
    return Answer(Status.ANSWERED, f"{code}{f', image {image}' if image else ''}{hardware}; {where}")


def _initialisation(record: RunRecord) -> Answer:
    if record.config is None:
        return Answer(Status.NOT_DONE, "the run ended before its settings were recorded")
    seeds = ", ".join(map(str, record.config.seeds))
    networks = sorted({item.training.frozen.name for item in record.trials if item.training} - {""})
    frozen = f"frozen branch {', '.join(networks)}" if networks else "the frozen branch was not recorded"
    random = " with random weights" if record.config.model.frozen_weights == "random" else ""
    return Answer(Status.ANSWERED, f"random, seeds {seeds}; {frozen}{random}")


def _training(config: Config) -> Answer:
    weights = ", ".join(map(lambda_text, config.lambdas))
    return Answer(Status.ANSWERED, f"gradient-penalty weights {weights}; {_settings(config.train)}")


def _selection(record: RunRecord) -> Answer:
    if record.config is None or record.decision is None:
        return Answer(Status.NOT_DONE, "the run ended before anything was selected")
    settings = record.config.select
    decision = record.decision
    way = f"snapshots ranked by {settings.metrics} against the {decision.against} reals, {decision.against_because}"
    return Answer(Status.ANSWERED, f"{way}; {decision.verdict}")


def _metrics(record: RunRecord) -> Answer:
    keys = {item.key for trial in record.trials if trial.evaluation for item in trial.evaluation.measurements}
    if not keys:
        return Answer(Status.NOT_DONE, "nothing was measured")
    return Answer(Status.ANSWERED, ", ".join(sorted(keys)))


def _uncertainty(record: RunRecord) -> Answer:
    if record.config is None or not (record.decision and record.decision.winner):
        return Answer(Status.NOT_DONE, "there is no winner, and so no interval")
    compared = len(record.decision.comparisons)
    text = f"intervals of {100 * record.config.evaluate.confidence:g}% on the metrics (docs/metrics.md)"
    return Answer(Status.ANSWERED, f"{text}; {compared} comparisons of gradient-penalty weights over seeds")


def _robustness(config: Config) -> Answer:
    if len(config.seeds) < 2:
        return Answer(Status.NOT_DONE, "one training seed")
    text = f"{len(config.lambdas)} gradient-penalty weights by {len(config.seeds)} training seeds"
    return Answer(Status.IN_PART, f"{text}; no other setting was varied")


def _internal(record: RunRecord) -> Answer:
    """The winner measured anew on test images, and how often these were looked at."""
    result = record.findings.result
    if result is None:
        return Answer(Status.NOT_DONE, "nothing was measured against test images")
    if result.unmeasured is not None:
        return Answer(Status.NOT_DONE, f"not measured against test images: {result.reason or result.unmeasured}")
    of_test = [item for item in result.measurements if item.quantity.pairing != "train"]
    way = "the winner, chosen without them, measured once on images drawn for it"
    return Answer(Status.ANSWERED, f"{way}: {_measured(of_test)}; {winner.looks(result.test_set)}")


def _measured(items: Iterable[Measurement]) -> str:
    return "; ".join(f"{item.key} {estimate(item)}" for item in items)


def _included(data: MinoritySummary, _: Config) -> Answer:
    whole = data.whole
    return Answer(
        Status.IN_PART, f"{_counts(whole)}; {whole.quarantined} rows left out; the flow diagram is for the authors"
    )


def _characteristics(data: MinoritySummary, _: Config) -> Answer:
    sides = data.whole.splits
    text = f"train {_counts(sides.train)}; test {_counts(sides.test)}"
    return Answer(Status.IN_PART, f"{text}; age and other characteristics are not kept")


def _performance(record: RunRecord) -> Answer:
    result, audit = record.findings.result, record.findings.audit
    if not (record.decision and record.decision.winner):
        return Answer(Status.NOT_DONE, "there is no winner")
    if result is None or result.unmeasured is not None:
        return Answer(Status.NOT_DONE, winner.sentence(result) if result else "the winner was not measured anew")
    text = f"{result.trial.name}, epoch {result.epoch}: {winner.sentence(result)}"
    return Answer(Status.ANSWERED, f"{text}; {f'audit {audit_summary(audit)}' if audit else 'not audited'}")


def _diagnostic(record: RunRecord) -> Answer:
    utility = record.findings.utility
    if utility is None:
        return Answer(Status.NOT_DONE, "no classifier was trained on the synthetic images")
    areas = [item for item in utility.measures if item.metric == "auc"]
    listed = "; ".join(f"{item.arm} AUC {estimate(item)}" for item in areas)
    return Answer(Status.ANSWERED, f"{utility.verdict}; {listed}" if listed else utility.verdict)


def _protocol(record: RunRecord) -> Answer:
    return Answer(
        Status.IN_PART, f"settings, decision and report of MLflow run {record.run_id}; a protocol: the authors"
    )


def _availability(record: RunRecord) -> Answer:
    version = record.tags.get(MODEL_VERSION, "")
    model = f"registered as version {version}" if version else "no model was registered"
    return Answer(Status.IN_PART, f"{model}; who may have code, model and data is for the authors")


TITLE, INTRODUCTION, DESIGN = "Title and abstract", "Introduction", "Methods: study design"
DATA, STANDARD, PARTITIONS = "Methods: data", "Methods: reference standard", "Methods: data partitions"
TESTING, MODEL, TRAINING = "Methods: testing data", "Methods: model", "Methods: training"
EVALUATION, DATA_RESULTS, PERFORMANCE = "Methods: evaluation", "Results: data", "Results: model performance"
DISCUSSION, OTHER = "Discussion", "Other information"
ITEMS = (
    Item(1, TITLE, "Say that AI is studied, and which kind", _authors("a generative adversarial network, WGAN-GP")),
    Item(2, TITLE, "Design, methods, results and conclusions in short", _authors()),
    Item(3, INTRODUCTION, "Background, and the part that the AI is to play", _authors()),
    Item(4, INTRODUCTION, "Aims, objectives, hypotheses", _authors()),
    Item(5, DESIGN, "Looking back or forward", _authors()),
    Item(6, DESIGN, "What the study is to achieve", _authors()),
    Item(7, DATA, "Where the data come from", _of_data(_source)),
    Item(8, DATA, "Who and what was included and excluded", _of_data(_eligibility)),
    Item(9, DATA, "Preprocessing", _of_settings(_preprocessing)),
    Item(10, DATA, "Which parts of the data were used", _of_data(_subset)),
    Item(11, DATA, "How identities were removed", _of_data(_deidentification)),
    Item(12, DATA, "What was done where data were missing", _of_data(_missing)),
    Item(13, DATA, "How the images were acquired", _authors("the run keeps no parameters of the acquisition")),
    Item(14, STANDARD, "How the reference standard was obtained", _of_data(_reference_standard)),
    Item(15, STANDARD, "Why this reference standard", _authors()),
    Item(16, STANDARD, "Who annotated", _authors("the run annotates nothing")),
    Item(
        17, STANDARD, "How the test set was annotated", _authors("test images have the source's labels, as all others")
    ),
    Item(18, STANDARD, "How annotators agree, with each other and themselves", _not_done("the run annotates nothing")),
    Item(19, PARTITIONS, "How data were dealt to partitions", _of_data(_partitions)),
    Item(20, PARTITIONS, "What partitions do not share", _of_data(_disjoint)),
    Item(21, TESTING, "Intended size of the test set", _of_data(_sample_size)),
    Item(22, MODEL, "The model in detail", _of_settings(_model)),
    Item(23, MODEL, "Software and its versions", _software),
    Item(24, MODEL, "Initial parameters", _initialisation),
    Item(25, TRAINING, "How it was trained", _of_settings(_training)),
    Item(26, TRAINING, "How the final model was chosen", _selection),
    Item(27, TRAINING, "Ensembles", lambda _: Answer(Status.NOT_APPLICABLE, "one snapshot of one generator")),
    Item(28, EVALUATION, "Metrics of performance", _metrics),
    Item(29, EVALUATION, "Significance and uncertainty", _uncertainty),
    Item(30, EVALUATION, "Robustness, or sensitivity to choices", _of_settings(_robustness)),
    Item(31, EVALUATION, "Explanation of what the model does", _not_done("no such method was applied")),
    Item(32, EVALUATION, "Evaluation on internal data", _internal),
    Item(33, EVALUATION, "Testing on external data", _not_done("a run uses data of one source")),
    Item(34, EVALUATION, "Registration of a clinical trial", _authors()),
    Item(35, DATA_RESULTS, "Numbers included and excluded", _of_data(_included)),
    Item(36, DATA_RESULTS, "Characteristics of the cases by partition", _of_data(_characteristics)),
    Item(37, PERFORMANCE, "Performance with its uncertainty", _performance),
    Item(38, PERFORMANCE, "Diagnostic performance and its precision", _diagnostic),
    Item(39, PERFORMANCE, "Analysis of what went wrong", _not_done("nobody looked at single images that went wrong")),
    Item(40, DISCUSSION, "Limitations", _authors()),
    Item(
        41, DISCUSSION, "What it means for practice", _authors("synthetic images are for research, not for diagnosis")
    ),
    Item(42, OTHER, "Full protocol or technical details", _protocol),
    Item(43, OTHER, "Availability of software, model and data", _availability),
    Item(44, OTHER, "Funding, and the part of the funders", _authors()),
)
