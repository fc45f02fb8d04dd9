"""What the steps hand to each other, each in one type: from a metric's value to the decision, the audit, the utility.

Every document is written and read here alone (``codec``); MLflow gets its numbers through ``charted``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from mammogan import codec, storage
from mammogan.config import AuditCheck, Trial
from mammogan.graph import Step

TRIAL_FORMAT = CANDIDATE_FORMAT = AUDIT_FORMAT = UTILITY_FORMAT = 3
EVALUATION_FORMAT = DECISION_FORMAT = 4
WINNER_FORMAT = NOTE_FORMAT = MOVE_FORMAT = 1
"""Raised when a field changes its meaning; documents without one are of format 1."""


PAIRS = "sample_pairs"
"""Section of what is measured between pairs of images. MLflow sorts sections: KID's, an extractor's, is before it."""


WASSERSTEIN, CRITIC_LOSS = "train/wasserstein", "train/critic_loss"
GRADIENT_NORM, GENERATOR_LOSS = "train/gradient_norm", "train/generator_loss"
"""Curves of a training in MLflow that are read back or charted; the others are only there."""
AUC_GAIN, MEMORISED = "result/utility_auc_gain", "result/audit_memorised"
"""What a whole pipeline run came to, beside its winner's figures: a trend over retrainings."""


class Outcome(StrEnum):
    """Answer of a check."""

    PASSED = "passed"
    REFUSED = "refused"
    NOT_CHECKED = "not_checked"
    """It lacked its data: it refuses nothing, but it did not pass either."""

    @property
    def words(self) -> str:
        """As a person reads it."""
        return self.value.replace("_", " ")


class Role(StrEnum):
    """What a real image is for; a patient's images have one role, but where the source says otherwise."""

    TRAIN = "train"
    """Learnt from."""
    TEST = "test"
    """Measures what was chosen."""
    VALIDATION = "validation"
    """Never learnt from: stops trainings early, ranks snapshots, and stands for the non-members of the audit."""


class Direction(StrEnum):
    """What is good of a measurement."""

    LOWER = "lower"
    HIGHER = "higher"
    MATCH_REFERENCE = "match_reference"
    """Near to what real images give against other real images."""


class TrialStatus(StrEnum):
    """How a trial ended."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """Answer of one gate, with the numbers behind it or why the check was not made."""

    gate: str
    outcome: Outcome
    why: str
    check: AuditCheck | None = None
    """Check of the audit that it answers; None for another gate."""

    @property
    def refuses(self) -> bool:
        """Whether the candidate must not go on."""
        return self.outcome is Outcome.REFUSED


@dataclass(frozen=True)
class Network:
    """A network whose weights a result rests on."""

    name: str
    sha256: str
    note: str = ""


@dataclass(frozen=True)
class Quantity:
    """What was measured."""

    metric: str
    """kid, fid, lpips, ms_ssim, precision, recall, density, coverage."""
    extractor: str
    """Network whose features were compared; empty for MS-SSIM, which has none."""
    pairing: str
    """train, validation or test: the fakes with these reals; real_fake, fake_fake, real_real: pairs of images."""

    @property
    def key(self) -> str:
        """Its name in MLflow and in tables, with one slash: before it the section of MLflow's page that charts it."""
        if self.metric == "lpips" or not self.extractor:  # LPIPS has one network, whose name says with what weights
            return f"{PAIRS}/{self.extractor or self.metric}_{self.pairing}"
        name = self.metric if self.pairing == "real_fake" else f"{self.metric}_{self.pairing}"
        return f"{self.extractor}/{name}"  # of one set of reals, which needs no mention, by the metric alone

    @property
    def result_key(self) -> str:
        """Its name in MLflow as a figure of a whole pipeline run's winner; numbers of other networks are others."""
        return "_".join(filter(None, (f"result/{self.metric}", self.pairing, self.extractor)))


@dataclass(frozen=True)
class SubsetScores:
    """KID of random subsets, as torch-fidelity publishes it."""

    mean: float
    std: float
    size: int


@dataclass(frozen=True)
class Measurement:
    """One number with all that a reviewer asks for."""

    quantity: Quantity
    value: float
    low: float | None
    """Ends of the interval; None where the metric has none."""
    high: float | None
    confidence: float
    reference: float | None
    """What real images give against other real images on the same protocol."""
    direction: Direction
    n_real: int
    n_fake: int
    seed: int
    implementation: str
    epoch: int | None = None
    """Epoch of the snapshot; None for images that are of no snapshot."""
    subsets: SubsetScores | None = None
    extrapolated: float | None = None
    """FID-infinity, beside FID."""

    def __post_init__(self) -> None:
        """A number that is not finite is no measurement; it is omitted, with the reason."""
        for name in ("value", "low", "high", "reference"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{self.quantity.key}: {name}={value!r} is not finite")

    @property
    def key(self) -> str:
        """Name in MLflow and in tables."""
        return self.quantity.key

    @property
    def score(self) -> float:
        """Less is better: the value, the value negated, or the distance to the reference."""
        if self.direction is Direction.MATCH_REFERENCE:
            return abs(self.value - (self.reference or 0.0))
        return -self.value if self.direction is Direction.HIGHER else self.value


@dataclass(frozen=True)
class Omission:
    """Something that was not measured."""

    key: str
    """Of the quantity; ``*`` for all of a snapshot."""
    reason: str
    epoch: int | None = None


@dataclass(frozen=True)
class _OfTrial:
    """Of one trial, told by its gradient-penalty weight and seed."""

    gp_lambda: float
    seed: int

    @property
    def trial(self) -> Trial:
        """The trial that it is of."""
        return Trial(self.gp_lambda, self.seed)


@dataclass(frozen=True)
class TrialFile:
    """A file that a training hands on, by its content."""

    name: str
    """Path below the trial's folder, such as ``snapshots/epoch_0001.pt``."""
    sha256: str


@dataclass(frozen=True)
class TrialResult(_OfTrial):
    """What a training hands on, ``trial.json``."""

    data_digest: str
    epochs: int
    """Epochs that were asked for."""
    status: TrialStatus = TrialStatus.FAILED
    reason: str = ""
    """Why it failed or diverged, or why it stopped early."""
    key: str = ""
    """Name of its state in the store."""
    epochs_done: int = 0
    frozen: Network = Network("", "")
    device: str = ""
    train_s: float = 0.0
    images_seen: int = 0
    files: tuple[TrialFile, ...] = ()
    """Snapshots, grids, and of a finished trial critic and history: what is used of it has this content."""


@dataclass(frozen=True)
class Evaluation(_OfTrial):
    """The measurements of a trial's snapshots, ``evaluation.json``."""

    status: TrialStatus
    reason: str = ""
    failed_in: Step | None = None
    """Step that failed, where one did."""
    key: str = ""
    """Name of the trial's state in the store."""
    data_digest: str = ""
    train_s: float | None = None
    files: tuple[TrialFile, ...] = ()
    """Those of the trial's record."""
    extractor: Network | None = None
    lpips: Network | None = None
    measurements: tuple[Measurement, ...] = ()
    omitted: tuple[Omission, ...] = ()

    def of(self, metric: str, pairing: str) -> list[Measurement]:
        """Measurements of one metric and pairing, in the order of the snapshots."""
        return [
            item for item in self.measurements if (item.quantity.metric, item.quantity.pairing) == (metric, pairing)
        ]


@dataclass(frozen=True)
class Candidate(_OfTrial):
    """A snapshot that may win."""

    epoch: int
    deciding: tuple[Quantity, ...]
    """What decides, the first first."""
    data_digest: str
    measurements: tuple[Measurement, ...]

    def find(self, quantity: Quantity) -> Measurement | None:
        """Its measurement of a quantity."""
        return next((item for item in self.measurements if item.quantity == quantity), None)

    def decided_by(self) -> list[Measurement]:
        """Measurements of the deciding quantities. Raises ValueError where one is missing."""
        measurements = [self.find(quantity) for quantity in self.deciding]
        if missing := [
            quantity.key for quantity, item in zip(self.deciding, measurements, strict=True) if item is None
        ]:
            raise ValueError(f"candidate {self.trial.name} epoch {self.epoch}: no measurement of {missing[0]}")
        return [item for item in measurements if item]


class Unmeasured(StrEnum):
    """Why a winner has no figure on test images."""

    NO_IMAGES = "no test images of patients of their own"
    TOO_FEW_PATIENTS = "too few test patients"
    FAILED = "the measurement failed"


@dataclass(frozen=True)
class HeldOutSet:
    """Test images of the class, of patients who have none in train or validation, and how often they were looked at."""

    digest: str
    """Hex sha256 of the source's files that they were made from; empty where there are none."""
    images: int
    patients: int
    looks: int
    """Runs of the tracking server that measured on these files, this one included; 0 where there are none."""


@dataclass(frozen=True)
class WinnerResult(_OfTrial):
    """The winner measured anew, once, on test images, with latents that ranked nothing; ``result.json``."""

    epoch: int
    snapshot_sha256: str
    latent_seed: int
    """Seed of the images that were drawn for it."""
    test_set: HeldOutSet
    selected_by: tuple[Measurement, ...]
    """By what it was chosen, the first first: the best of many, and so too good."""
    measurements: tuple[Measurement, ...] = ()
    """Against the test images; and KID and FID against the train ones, from the same draw."""
    omitted: tuple[Omission, ...] = ()
    verdict: Verdict | None = None
    """Whether it favours the train images over the test ones; None where nothing was measured."""
    extractor: Network | None = None
    lpips: Network | None = None
    subgroups: SubgroupFidelity | None = None
    """For whom the generator works; None where nothing was measured, and in a document of an earlier version."""
    unmeasured: Unmeasured | None = None
    """Why there is no figure; None where there is one."""
    reason: str = ""
    """The same in a sentence."""

    def charted(self) -> dict[str, float]:
        """Its figures by key, as MLflow shows them of the whole run and of the version."""
        return {item.quantity.result_key: item.value for item in self.figures()}

    def figures(self) -> list[Measurement]:
        """What the selection went by, measured on the test images; what is quoted and compared. Empty if unmeasured."""
        metrics = [item.quantity.metric for item in self.selected_by]
        found = {item.quantity.metric: item for item in self.measurements if item.quantity.pairing == "test"}
        return [found[metric] for metric in metrics if metric in found]

    @property
    def outcome(self) -> Outcome:
        """Passed where it was measured and does not favour the train images; what was not checked has not passed."""
        if self.unmeasured is not None or self.verdict is None:
            return Outcome.NOT_CHECKED
        return self.verdict.outcome


@dataclass(frozen=True)
class Contest:
    """A version against a champion, both drawn and measured anew on the same held-out images."""

    version: str
    incumbent: str
    """Version of the champion."""
    margin: float
    """KID by which the version must be better."""
    confidence: float
    """Of the one-sided upper end."""
    reason: str = ""
    """Why it was not measured; empty where it was."""
    quantity: Quantity | None = None
    """What was measured: KID against test images; None where nothing was."""
    value: float | None = None
    """KID of the version."""
    incumbent_value: float | None = None
    difference: float | None = None
    """The version's less the incumbent's: less is better."""
    upper: float | None = None
    """One-sided upper end of the difference, by a joint jackknife over patients; None where it was not measured."""
    images: int = 0
    """Held-out images, of patients who have none in train."""
    patients: int = 0
    fakes: int = 0
    """Images that each generator drew."""


@dataclass(frozen=True)
class AuditNote:
    """What the audit of a version's images came to."""

    outcome: Outcome
    summary: str
    for_release: bool = False
    """Whether every check there is was required, as strictly as by default."""


@dataclass(frozen=True)
class ResultNote:
    """What came of measuring a version anew on test images."""

    outcome: Outcome
    summary: str


@dataclass(frozen=True)
class Move:
    """A move of the aliases that was made, or refused."""

    moved: bool
    """Whether ``champion`` points to ``version`` because of this move."""
    why: str
    """The reason given for a move that was made, with the gate's numbers; or why it was refused."""
    version: str
    """Version that was to become champion."""
    before: str | None
    """Champion before the move."""
    kind: str = "promote"
    """promote or rollback."""
    by: str = ""
    """User who asked."""
    at_ms: int = 0
    """When, in milliseconds since 1970."""
    best: str | None = None
    """Best champion so far once the move is made; None in the records of earlier versions of this software."""


class Finding(StrEnum):
    """What a comparison came to."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no significant difference"
    ONE_SEED = "one seed is not enough to tell"
    NO_SEED = "no seed in common"
    NO_EPOCH = "no epoch in common"


@dataclass(frozen=True)
class BlockDesign:
    """The runs that a comparison of gradient-penalty weights rests on, in blocks by seed."""

    metric: str
    pairing: str
    lambdas: int
    """Weights that are compared at once: those with two seeds or more."""
    seeds: int
    """Seeds of any of them."""
    runs: int
    """Runs of these weights; fewer than lambdas times seeds where some failed, which least squares leaves out."""
    first_epoch: int | None
    """Epochs over whose snapshots each run's figure is the mean; None where no epoch is common to all runs."""
    last_epoch: int | None
    shortest: str
    """Run that ended at the last epoch while others went on; empty where all have the same last epoch."""
    confidence: float
    """Level of all intervals together."""
    power: float
    """Share of such experiments in which the smallest detectable difference is found."""
    residual_sd: float | None
    """Pooled standard deviation of a run within its block; None where no degree of freedom is left."""
    freedom: int

    @property
    def missing(self) -> int:
        """Runs that failed or were never made."""
        return self.lambdas * self.seeds - self.runs


@dataclass(frozen=True)
class LambdaComparison:
    """Difference of one gradient-penalty weight from another, ``one`` minus ``other``; less is better."""

    one: float
    other: float
    difference: float | None
    """By least squares; None where no chain of common seeds connects the two."""
    low: float | None
    """Ends of Tukey's interval, which holds for all pairs of weights together; None where nothing can be said."""
    high: float | None
    seeds: int
    """Seeds that both have."""
    detectable: float | None
    """Smallest true difference that such an experiment finds with the design's power."""
    seeds_needed: int | None
    """Seeds of all weights that find a true difference as large as the one observed; None for more than 1000."""
    finding: Finding
    """Of ``one``: better, worse, or why nothing can be said."""
    design: BlockDesign

    @property
    def better(self) -> float | None:
        """The better weight; None where neither is."""
        return {Finding.BETTER: self.one, Finding.WORSE: self.other}.get(self.finding)

    def counterpart(self, gp_lambda: float) -> float:
        """The weight that ``gp_lambda``, one of the two, is compared with."""
        return self.other if gp_lambda == self.one else self.one

    def finding_of(self, gp_lambda: float) -> Finding:
        """The finding of ``gp_lambda``, one of the two."""
        if self.better is None:
            return self.finding
        return Finding.BETTER if self.better == gp_lambda else Finding.WORSE

    @property
    def bound(self) -> float | None:
        """What the two differ by at most: the interval's larger end. They are equivalent within any margin above."""
        if self.low is None or self.high is None:
            return None
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class LambdaStrength:
    """The deciding metric of one gradient-penalty weight."""

    gp_lambda: float
    value: float
    low: float | None
    high: float | None
    seeds: int | None = None
    """Seeds whose mean it is; None for the best snapshot of a single one."""


@dataclass(frozen=True)
class FailedTrial(_OfTrial):
    """A trial that cannot win."""

    status: TrialStatus
    reason: str


class RankingReason(StrEnum):
    """Why these reals ranked the snapshots."""

    SETTING = "as select.against says"
    VALIDATION = "they are of validation patients, whom no training saw"
    NO_VALIDATION = "there are too few validation patients for an interval"


@dataclass(frozen=True)
class Decision:
    """The selection's decision, ``decision.json``."""

    verdict: str
    winner: Candidate | None = None
    skipped: bool = False
    """Whether nothing was trained, because it could only repeat an earlier run."""
    trials: int = 0
    against: str = "train"
    """Reals that ranked the snapshots: train or validation."""
    against_because: RankingReason = RankingReason.SETTING
    metrics: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    """What was refused, and why."""
    gates: tuple[Verdict, ...] = ()
    """The winner's."""
    candidates: tuple[Candidate, ...] = ()
    """Best first."""
    failed: tuple[FailedTrial, ...] = ()
    lambdas: tuple[LambdaStrength, ...] = ()
    comparisons: tuple[LambdaComparison, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether there is a winner."""
        return self.winner is not None


_MEMORISED = (AuditCheck.MEMORISED_PIXEL, AuditCheck.MEMORISED_LPIPS, AuditCheck.MEMORISED_FEATURES)


@dataclass(frozen=True)
class AuditMeasure:
    """One number of the audit."""

    check: AuditCheck
    """Check that it answers."""
    statistic: str
    space: str
    meaning: str
    value: float
    low: float
    high: float
    reference: float | None
    """Of real images, where that can be asked."""
    limit: float
    outcome: Outcome
    """Passed where ``high`` is within the limit; not checked where the sample cannot show that, and of a random
    network, which takes all smooth images for the same."""
    needed: int | None
    """What it takes to show that, in ``unit``, where the check was not made for want of it; else None."""
    unit: str
    """``images``, or ``held-out patients``."""
    given: int
    """What the sample has of them."""
    n_train: int
    n_held_out: int
    n_fake: int
    confidence: float

    @property
    def key(self) -> str:
        """Its name in lists."""
        return f"{self.statistic.replace(' ', '_')}/{self.space}"


@dataclass(frozen=True)
class ClosestPair:
    """A synthetic image and its nearest training image."""

    space: str
    fake: int
    """Index among the synthetic images."""
    train: int
    """Index among the training images."""
    distance: float
    """In the space; of the search for moved copies 1 less the correlation."""
    ratio: float
    """Distance as a share of the mean to the 50 nearest; of the search for moved copies half the threshold over the
    score. Below 0.5 it counts as a copy."""
    train_image: str = ""
    """Pseudonym of the training image, as a run's manifest has it; of any data set ``image-`` and the beginning of the
    picture's sha256."""


@dataclass(frozen=True)
class CopiedImage:
    """A training image that synthetic ones copy."""

    train: int
    """Index among the training images."""
    fakes: tuple[int, ...]
    """Indices among the synthetic images."""
    spaces: tuple[str, ...]
    """By what they were found: spaces of distances, ``moved`` for the search under moves."""
    train_image: str = ""
    """Pseudonym of the training image, as in ``ClosestPair``."""


@dataclass(frozen=True)
class AuditCounts:
    """Images of an audit."""

    train: int
    held_out: int
    held_out_patients: int
    fakes: int
    compared: int
    exact_copies: int
    exact_repeats: int
    test_images_of_train_patients: int = 0
    """Test images that were left out, where test images are the held-out ones."""
    drawn: int = 0
    """Synthetic images, the last ones, that were made for the audit alone."""
    held_out_role: Role = Role.TEST
    """What the held-out images are: validation, or test where there is no validation image to take."""
    validation_images_left_out: int = 0
    """Validation images of patients who are in train too."""


@dataclass(frozen=True)
class SpaceNote:
    """A space in which distances were taken."""

    name: str
    note: str


@dataclass(frozen=True)
class Audit:
    """What the audit found, ``audit.json``."""

    verdicts: tuple[Verdict, ...]
    measures: tuple[AuditMeasure, ...]
    closest: tuple[ClosestPair, ...]
    copied: tuple[CopiedImage, ...]
    """Training images that are copied, the most often copied first."""
    counts: AuditCounts
    spaces: tuple[SpaceNote, ...]
    required: tuple[AuditCheck, ...]
    """Checks that must pass."""
    label: str = ""
    """Class of the images."""
    loosened: tuple[str, ...] = ()
    """Settings by which a check passes more easily than by default."""

    @property
    def outcome(self) -> Outcome:
        """Refused by one check, not checked where a required one was not made, else passed."""
        return combined(self.verdicts, self.required)

    @property
    def memorised(self) -> float | None:
        """Largest share of synthetic images that copy a training image, over the spaces; None where none was asked."""
        return max((item.value for item in self.measures if item.check in _MEMORISED), default=None)

    @property
    def for_release(self) -> bool:
        """Whether every check there is was required, as strictly as by default."""
        return set(self.required) == set(AuditCheck) and not self.loosened


def combined(verdicts: Iterable[Verdict], required: Iterable[AuditCheck] = ()) -> Outcome:
    """Outcome of several checks: refused by one of them, not checked where none or not every required one passed."""
    answers = tuple(verdicts)
    if any(verdict.refuses for verdict in answers):
        return Outcome.REFUSED
    passed = [verdict for verdict in answers if verdict.outcome is Outcome.PASSED]
    return Outcome.PASSED if passed and not unmade(answers, required) else Outcome.NOT_CHECKED


def unmade(verdicts: Iterable[Verdict], required: Iterable[AuditCheck]) -> list[AuditCheck]:
    """Required checks that no verdict passed, or some did not."""
    answers: dict[AuditCheck, set[Outcome]] = {}
    for verdict in verdicts:
        if verdict.check is not None:
            answers.setdefault(verdict.check, set()).add(verdict.outcome)
    return [check for check in required if answers.get(check) != {Outcome.PASSED}]


class Attribute(StrEnum):
    """What a manifest says of an image, by which subgroups are made."""

    VIEW = "view"
    SIDE = "side"
    DENSITY = "density"
    """BI-RADS breast density, 1 to 4."""
    ABNORMALITY = "abnormality"
    SUBTLETY = "subtlety"
    """1 is hardly seen, 5 obvious."""


@dataclass(frozen=True)
class Subgroup:
    """Images of which the manifest says the same."""

    attribute: Attribute
    value: str
    """Such as ``mlo``, ``left``, ``3``, ``mass``."""
    images: int
    patients: int

    @property
    def name(self) -> str:
        """As keys have it, such as ``density_3``."""
        return f"{self.attribute}_{self.value.replace('+', '_and_')}"


@dataclass(frozen=True)
class Unknown:
    """An attribute that the manifest does not say of all images; those without belong to no subgroup of it."""

    attribute: Attribute
    images: int
    """How many."""


@dataclass(frozen=True)
class SubgroupOmission:
    """A subgroup that nothing was measured of."""

    subgroup: Subgroup
    reason: str
    """Such as ``not done: 3 patients, 10 are needed``."""


@dataclass(frozen=True)
class SubgroupMeasure:
    """A number of the generated images and a subgroup of the real ones, and whether it is worse than for the others."""

    subgroup: Subgroup
    quantity: Quantity
    direction: Direction
    value: float
    low: float
    """Ends of the interval over patients."""
    high: float
    reference: float
    """What a generator without a fault would give: by real images of other patients in place of the generated ones."""
    difference: float
    """The value less its reference, of the subgroup less that of all other images."""
    difference_low: float
    difference_high: float
    worse: float | None
    """One-sided p-value of "no worse than for the others", adjusted by Holm for all subgroups; None where the metric
    only describes."""
    finding: Finding | None
    """Worse or no significant difference, by ``worse``; None without it."""

    @property
    def key(self) -> str:
        """Its name in tables."""
        return f"{self.quantity.key} {self.subgroup.name}"


@dataclass(frozen=True)
class SubgroupFidelity:
    """For whom a generator works: its images against each subgroup of the real ones."""

    measures: tuple[SubgroupMeasure, ...] = ()
    """Of each subgroup coverage, which decides, then recall and KID."""
    omitted: tuple[SubgroupOmission, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    confidence: float = 0.95
    seed: int = 0
    n_fake: int = 0

    @property
    def worse(self) -> list[Subgroup]:
        """Subgroups that are covered worse than the other images."""
        return [item.subgroup for item in self.measures if item.finding is Finding.WORSE]


@dataclass(frozen=True)
class SubgroupAuc:
    """AUC of an arm in a subgroup of the test images, the mean over its blocks."""

    subgroup: Subgroup
    arm: str
    value: float
    low: float
    high: float
    benign_patients: int
    malignant_patients: int


@dataclass(frozen=True)
class SubgroupEffect:
    """Difference of AUC of an arm with synthetic images from its control, in a subgroup; corrected for nothing."""

    subgroup: Subgroup
    arm: str
    control: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SubgroupUtility:
    """For whom the synthetic images help a classifier."""

    aucs: tuple[SubgroupAuc, ...] = ()
    """Of the arms that decide."""
    effects: tuple[SubgroupEffect, ...] = ()
    omitted: tuple[SubgroupOmission, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    confidence: float = 0.95


class Benefit(StrEnum):
    """What the synthetic images do for a classifier."""

    HELPS = "helps"
    """Better than oversampling, and with augmentation better than augmentation alone."""
    HARMS = "harms"
    """Worse in both comparisons."""
    NO_DIFFERENCE = "no significant difference"


@dataclass(frozen=True)
class UtilityMetric:
    """A metric of the classifiers."""

    name: str
    title: str
    aim: Direction


@dataclass(frozen=True)
class UtilityArm:
    """What a classifier was trained on."""

    name: str
    title: str
    control: str | None
    """Arm that differs from it in one thing; None for real images alone."""
    share: float | None
    """Share of the synthetic images that was added, without augmentation; None for another arm."""
    benign: int
    """Training images, in the first block."""
    malignant: int
    synthetic: int
    """How many of them are synthetic."""
    steps: float
    """Mean number of optimiser steps until the validation loss had reached its plateau."""
    unfinished: int
    """Trainings that used up their steps before that."""


@dataclass(frozen=True)
class UtilityMeasure:
    """A metric of one arm, the mean over its blocks."""

    arm: str
    metric: str
    value: float
    low: float | None
    high: float | None
    confidence: float
    by_seed: tuple[float, ...]


@dataclass(frozen=True)
class UtilityEffect:
    """Difference of an arm from its control; an estimate, whose interval is corrected for nothing."""

    arm: str
    control: str
    metric: str
    value: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class UtilityTest:
    """Difference of AUC between an arm with synthetic images and its control, which decides; one-sided p-values."""

    arm: str
    control: str
    value: float
    low: float
    high: float
    confidence: float
    better: float
    """p-value of "the arm is not better", adjusted by Holm for the family of tests."""
    worse: float
    """p-value of "the arm is not worse", adjusted likewise."""
    finding: Finding
    """Better, worse or no significant difference, by the adjusted p-values."""


@dataclass(frozen=True)
class CalibrationBin:
    """Test images whose predicted probabilities are neighbours."""

    predicted: float
    """Mean predicted probability of malignant."""
    observed: float
    """Share that is malignant."""
    count: int
    """Predictions, each image once a block."""


@dataclass(frozen=True)
class UtilityCalibration:
    """How far the probabilities of an arm are what happens, mean over its blocks."""

    arm: str
    intercept: float | None
    """Log-odds by which the outcomes exceed the predictions, 0 where calibrated; None where it does not exist."""
    slope: float | None
    """Of the outcomes on the predictions' log-odds, 1 where calibrated; None where a block separates the classes."""
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class UtilityCounts:
    """What the study rests on."""

    test: int
    """Test images."""
    test_patients: int
    benign: int
    """Benign ones among the test images."""
    benign_patients: int
    """Patients of theirs."""
    malignant: int
    malignant_patients: int
    test_images_of_train_patients: int
    """Test images that were left out."""
    synthetic: int
    """Images in a set of synthetic ones."""
    synthetic_sets: int
    """Sets that were drawn from the generator: one a block, or a single one."""
    validation_role: Role = Role.TRAIN
    """Out of what the images come that end a training: the data set's validation, or where it has none a part of train,
    which the generator has seen."""
    validation: int = 0
    """These images, of both classes, in the first block."""


@dataclass(frozen=True)
class Utility:
    """What the utility study found, ``utility.json``."""

    finding: Benefit
    verdict: str
    """The finding in a sentence."""
    classifier: str
    seeds: int
    """Blocks: each has a seed, validation patients and, where the generator is at hand, synthetic images of its own."""
    steps: int
    """Optimiser steps of a training at most."""
    metrics: tuple[UtilityMetric, ...]
    arms: tuple[UtilityArm, ...]
    measures: tuple[UtilityMeasure, ...]
    effects: tuple[UtilityEffect, ...]
    counts: UtilityCounts
    tests: tuple[UtilityTest, ...]
    """The comparisons that decide, all of the family."""
    calibrations: tuple[UtilityCalibration, ...]
    power: float
    smallest_effect: float | None
    """Difference of AUC that, true of each test, would have been found in all of them with this power; None where the
    arms do not differ at all."""
    subgroups: SubgroupUtility | None = None
    """For whom they help; None in a document of an earlier version."""

    @property
    def auc_gain(self) -> float | None:
        """AUC that synthetic images add in the first of the comparisons that decide; None where there is none."""
        return self.tests[0].value if self.tests else None


class Number(Protocol):
    """What has a value and maybe an interval."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float | None: ...  # noqa: D102
    @property
    def high(self) -> float | None: ...  # noqa: D102


def charted(measurements: Iterable[Measurement]) -> dict[str, float]:
    """Values by key as MLflow charts them over the epochs.

    Intervals and references are no lines of their own: they stand in the run's table, and what real images give against
    real ones is the line of a run beside the trials.
    """
    return {item.key: item.value for item in measurements if item.quantity.pairing != "real_real"}


_FORMATS: dict[type, int] = {
    TrialResult: TRIAL_FORMAT,
    Evaluation: EVALUATION_FORMAT,
    Decision: DECISION_FORMAT,
    Audit: AUDIT_FORMAT,
    Utility: UTILITY_FORMAT,
    Candidate: CANDIDATE_FORMAT,
    WinnerResult: WINNER_FORMAT,
    AuditNote: NOTE_FORMAT,
    ResultNote: NOTE_FORMAT,
    Move: MOVE_FORMAT,
}


def write(result: TrialResult | Evaluation | Decision | WinnerResult | Audit | Utility, path: Path | str) -> None:
    """Write a result's document, local or s3://, whole or not at all."""
    storage.write_bytes(str(path), document(result))


def document(result: TrialResult | Evaluation | Decision | WinnerResult | Audit | Utility | Candidate) -> bytes:
    """The JSON document of a result."""
    return codec.dumps(result, _FORMATS[type(result)])


def line(result: AuditNote | ResultNote | Move) -> str:
    """The JSON document of what is kept in a tag, in one line."""
    return codec.line(result, _FORMATS[type(result)]).decode().rstrip()


def read(kind: type[codec.T], path: Path | str) -> codec.T:
    """The result of that type which a file holds. Raises ``codec.OlderFormatError`` for one of another version."""
    return parse(kind, storage.read_bytes(str(path)), str(path))


def parse(kind: type[codec.T], content: bytes | str, where: str) -> codec.T:
    """The result that a document holds; ``where`` names it in errors. Raises as ``read``."""
    return codec.loads(kind, content, _FORMATS[kind], where)
