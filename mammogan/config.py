"""Every knob of the experiment: frozen dataclasses, the presets, and typed overrides by dotted name.

The configuration travels through the graph as one text, the preset's name and the overrides as they stand behind
``--set``: Kubeflow turns the integers of a dictionary parameter into floats, and repeats a parameter six times for each
step of a run inside of other JSON, where every quote of a JSON object would become eight characters.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import hashlib
import json
import re
import shlex
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from mammogan.addresses import masked

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SettingValue = str | int | float | bool | Sequence[str] | Sequence[int] | Sequence[float]
"""What a setting may be given as: of its own type, or as text."""
Overrides = Mapping[str, SettingValue]
"""Settings by their dotted names."""

SUBSETS = ("calc-train", "calc-test", "mass-train", "mass-test")

MODEL_LOCK = ".lock"
"""What the name of a registered model ends in that is held while the aliases of another one move."""
LONGEST_MODEL_NAME = 256 - len(MODEL_LOCK)
_NOT_IN_MODEL_NAMES = "/:'\"`\\@?#%"
"""MLflow refuses the first two; the others end a name in its filters and in the address models:/NAME@ALIAS."""

_DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
"""Without PyTorch's others, of which some make numbers that mean nothing, such as ``meta``."""

SEEDS = 2**32
"""How many seeds there are, from 0: of a larger one PyTorch's generator on a CPU uses the last 32 bits alone."""

LARGEST_INTEGER = 2**53
"""Beyond it floating-point numbers, and so JSON in many a reader, leave out integers."""

MOST_BLOCKS = 1000
"""Of a utility study, whose every block trains each arm: more is a typing error."""

FEWEST_VALIDATION_IMAGES = 2
"""Of fewer there is no unbiased KID."""

SELF_SUPERVISED = ("swav", "dino")
"""Extractors whose published files have no sha256 that could be checked here: who gives one says which."""
EXTRACTORS = ("auto", "inception", "inception_clean", "radimagenet", *SELF_SUPERVISED, "random")
TORCHSCRIPT_SUFFIXES = (".torchscript", ".ts")
EXPORTED_SUFFIXES = (*TORCHSCRIPT_SUFFIXES, ".onnx")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")

RADIMAGENET_URL = "https://huggingface.co/Lab-Rasool/RadImageNet/resolve/main/DenseNet121.pt"
RADIMAGENET_SHA256 = "5011b427acf483b3c05d9d4ac6ea4ff0baf5714c23937c0fcdc7c446226d0a14"


def _require(ok: bool, argument: str, value: object, fix: str) -> None:
    if not ok:
        raise ValueError(f"{argument}={value!r}: {fix}")


def require_seed(argument: str, seed: int) -> None:
    """Raise ValueError for what is no seed, wherever it is given: another one's images would come without a word."""
    _require(0 <= seed < SEEDS, argument, seed, f"give a whole number from 0 to {SEEDS - 1}")


def _public(section: DataclassInstance) -> DataclassInstance:
    texts = {item.name: getattr(section, item.name) for item in dataclasses.fields(section) if item.init}
    return dataclasses.replace(section, **{name: masked(text) for name, text in texts.items() if isinstance(text, str)})


def _require_sha256(argument: str, value: str) -> None:
    """Refuse what is no sha256; empty is none."""
    _require(not value or bool(_SHA256.fullmatch(value)), argument, value, "give a sha256, 64 hexadecimal digits")


def _require_choices(config: object, section: str) -> None:
    """Check every ``Literal`` field of a dataclass, for values that came from a JSON string."""
    for name, kind in typing.get_type_hints(type(config)).items():
        if typing.get_origin(kind) is Literal:
            choices = typing.get_args(kind)
            value = getattr(config, name)
            _require(value in choices, f"{section}.{name}", value, f"choose one of {', '.join(map(str, choices))}")


def _require_device(argument: str, name: str) -> None:
    """Refuse what is no device that computes; which of them a machine has is not known here."""
    known = name in _DEVICES or (name.startswith("cuda:") and name.removeprefix("cuda:").isdecimal() and name.isascii())
    _require(known, argument, name, f"use one of {', '.join(_DEVICES)} or cuda:N")


def _require_model_name(name: str) -> None:
    """Refuse what MLflow's registry would refuse after the training, or could not find again by filter or address."""
    argument = "select.model_name"
    _require(bool(name.strip()) and name == name.strip(), argument, name, "give a name without space at its ends")
    wrong = [letter for letter in name if letter in _NOT_IN_MODEL_NAMES or not letter.isprintable()]
    _require(not wrong, argument, name, f"leave out {' '.join(map(repr, dict.fromkeys(wrong)))}")
    _require(not name.startswith("..") and name != ".", argument, name, "begin it with something else than dots")
    _require(len(name) <= LONGEST_MODEL_NAME, argument, name, f"give at most {LONGEST_MODEL_NAME} characters")
    _require(not name.endswith(MODEL_LOCK), argument, name, f"end it in something else than {MODEL_LOCK}")


@dataclass(frozen=True)
class DataConfig:
    """Which images, how they are made 8-bit squares, and how they are split."""

    subset: str = "calc-train"
    """CBIS-DDSM subsets to use, joined by '+': calc-train (the paper's), calc-test, mass-train, mass-test."""
    images: Literal["full", "crop"] = "full"
    """Whole mammograms, or the crop around each abnormality."""
    size: int = 224
    """Side of the square output in pixels, 7 * 2^k."""
    fit: Literal["stretch", "pad"] = "stretch"
    """Stretch to the square as the paper does, or keep the aspect ratio and pad with black."""
    intensity: Literal["minmax", "percentile"] = "minmax"
    """Map the darkest and brightest pixel to 0 and 255, or the 0.5th and 99.5th percentile."""
    region: Literal["whole", "breast"] = "whole"
    """The whole image, or the breast alone, without borders and burnt-in labels."""
    orientation: Literal["keep", "left"] = "keep"
    """Keep the image as it is, or mirror it where needed so that the chest wall is on the left."""
    window: Literal["ignore", "apply"] = "ignore"
    """Ignore the viewing window (VOI) that a DICOM file proposes, or apply it; CBIS-DDSM has none."""
    split: Literal["patient", "image", "official"] = "patient"
    """Unit of the train/test split; 'image' is the paper's and lets a patient be on both sides, 'official' takes
    CBIS-DDSM's own test sets as test."""
    test_fraction: float = 0.2
    """Share of the patients, or by 'image' of the images, held out as test."""
    validation_fraction: float = 0.0
    """Share of the patients held out beside test, to stop trainings early, to rank snapshots and to stand for the
    audit's non-members; by 'official' a share of those of the train subsets; 0 holds out none, as 'image' must. A
    manifest that says what its images are for decides itself."""
    split_seed: int = 0
    """Seed of the split."""
    minority: Literal["auto", "benign", "malignant"] = "auto"
    """Class to synthesise; 'auto' takes the rarer one of the train split."""
    max_bad: float = 0.01
    """Share of unreadable source images above which ingest fails, after saving the good ones."""

    def __post_init__(self) -> None:
        """Check each field on its own."""
        _require_choices(self, "data")
        for name in self.subset.split("+"):
            _require(name in SUBSETS, "data.subset", self.subset, f"join any of {', '.join(SUBSETS)} with '+'")
        sides = [7 * 2**k for k in range(2, 8)]
        _require(self.size in sides, "data.size", self.size, f"use 7 * 2^k: {', '.join(map(str, sides))}")
        _require(0 < self.test_fraction < 1, "data.test_fraction", self.test_fraction, "give a share between 0 and 1")
        self._require_validation_fraction()
        require_seed("data.split_seed", self.split_seed)
        _require(0 <= self.max_bad <= 1, "data.max_bad", self.max_bad, "give a share from 0 to 1")

    def _require_validation_fraction(self) -> None:
        argument, share, left = "data.validation_fraction", self.validation_fraction, 1 - self.test_fraction
        _require(0 <= share < left, argument, share, f"give a share from 0 to below {left:g}, to have some to train on")
        fix = "data.split=image has no validation, whose patients would be in train too: give 0, or data.split=patient"
        _require(not share or self.split != "image", argument, share, fix)


@dataclass(frozen=True)
class ModelConfig:
    """The two networks."""

    latent_dim: int = 100
    """Length of the standard Gaussian latent vector z."""
    generator_channels: int = 256
    """Channels of the generator's 7x7 map, halved at each doubling of the side down to 32."""
    upsampling: Literal["transposed", "interpolated"] = "transposed"
    """How the generator doubles the side: by a transposed convolution, or by interpolation before a convolution."""
    critic_channels: int = 32
    """Channels of the critic's first trained layer, doubled at each halving of the side up to 256."""
    head: Literal["linear", "sigmoid"] = "linear"
    """Critic output: the Wasserstein critic's unbounded score, or the paper's text to the letter."""
    readout: Literal["flat", "projected"] = "flat"
    """How the critic reads the frozen branch: its last map flattened, or both dense blocks' maps through trained 1x1
    convolutions and residual blocks."""
    frozen_weights: str = "random"
    """RadImageNet DenseNet121 state dict: a path, an s3:// or https:// address, or 'random'."""
    frozen_sha256: str = ""
    """Expected sha256 of the frozen weights' file; required for an address."""

    def __post_init__(self) -> None:
        """Check each field on its own."""
        _require_choices(self, "model")
        for name in ("latent_dim", "generator_channels", "critic_channels"):
            _require(getattr(self, name) > 0, f"model.{name}", getattr(self, name), "give a positive number")
        _require_sha256("model.frozen_sha256", self.frozen_sha256)
        remote = "://" in self.frozen_weights
        _require(
            bool(self.frozen_sha256) or not remote,
            "model.frozen_sha256",
            self.frozen_sha256,
            "give the sha256 of the file at model.frozen_weights",
        )


@dataclass(frozen=True)
class TrainConfig:
    """The WGAN-GP training of one trial, that is of one (lambda, seed)."""

    epochs: int = 1000
    """Passes over the minority class of the train split."""
    batch_size: int = 32
    """Real images per critic update."""
    loss: Literal["wasserstein", "hinge"] = "wasserstein"
    """What the critic minimises beside the gradient penalty; the hinge is meant for lambda 0, without a penalty."""
    learning_rate: float = 1e-4
    """Adam's initial learning rate of both networks."""
    beta1: float = 0.0
    """Adam's first-moment decay."""
    beta2: float = 0.9
    """Adam's second-moment decay."""
    decay_from: float = 0.5
    """Share of the training after which the learning rate falls linearly to 0; 1 keeps it constant."""
    n_critic: int = 5
    """Critic updates per generator update."""
    critic_batches: Literal["reuse", "fresh"] = "reuse"
    """Each real batch serves all n_critic updates, or every critic update draws a new batch."""
    ema_decay: float = 0.0
    """Decay of the averaged generator that is snapshotted, less in the first steps; 0 snapshots the raw one."""
    flip: bool = True
    """Augmentation: mirror horizontally with probability 0.5."""
    rotation: float = 10.0
    """Augmentation: rotate by up to this many degrees either way."""
    crop: float = 0.1
    """Augmentation: crop away up to this share of each side and resize back."""
    noise: float = 0.01
    """Augmentation: standard deviation of additive Gaussian noise, on the [-1, 1] scale."""
    contrast: float = 0.1
    """Augmentation: scale the contrast by up to this share either way."""
    diff_shift: float = 0.0
    """Differentiable augmentation of reals and fakes: shift by up to this share of the side either way."""
    diff_cutout: float = 0.0
    """Differentiable augmentation: blank a square of this share of the side."""
    diff_contrast: float = 0.0
    """Differentiable augmentation: scale the contrast by up to this share, and add up to as much brightness."""
    snapshot_every: int = 100
    """Epochs between generator snapshots and sample grids; epoch 1 always has one."""
    checkpoint_every: int = 10
    """Epochs between checkpoints of everything that a resumed run needs."""
    patience: int = 0
    """Snapshots in a row without a KID against the validation images that is lower beyond its noise, after which a
    trial stops; needs data.validation_fraction, or a manifest with validation images; 0 never stops early."""
    device: str = "auto"
    """Torch device; 'auto' takes a GPU where there is one."""
    precision: Literal["tf32", "float32"] = "tf32"
    """What the convolutions of a training step read on a GPU: tf32 rounds it to 10 bits, about twice as fast. All else
    is float32."""
    deterministic: bool = False
    """Only algorithms that give the same bits each time on the same machine; on a CPU they do so anyway."""

    def __post_init__(self) -> None:
        """Check each field on its own."""
        _require_choices(self, "train")
        _require_device("train.device", self.device)
        for name in ("epochs", "batch_size", "n_critic", "snapshot_every", "checkpoint_every"):
            _require(getattr(self, name) >= 1, f"train.{name}", getattr(self, name), "give a whole number from 1")
        _require(self.learning_rate > 0, "train.learning_rate", self.learning_rate, "give a positive number")
        for name in ("beta1", "beta2", "ema_decay"):
            _require(0 <= getattr(self, name) < 1, f"train.{name}", getattr(self, name), "give a number in [0, 1)")
        for name in ("decay_from", "crop", "contrast", "diff_shift", "diff_cutout", "diff_contrast"):
            _require(0 <= getattr(self, name) <= 1, f"train.{name}", getattr(self, name), "give a share from 0 to 1")
        for name in ("rotation", "noise", "patience"):
            _require(getattr(self, name) >= 0, f"train.{name}", getattr(self, name), "give a number from 0")

    def require_validation(self, images: int) -> None:
        """Refuse, by ValueError, a patience with fewer ``images`` to validate by than a KID needs."""
        _require(
            not self.patience or images >= FEWEST_VALIDATION_IMAGES, "train.patience", self.patience,
            f"the class has {images} validation images of patients who are not in train, it takes "
            f"{FEWEST_VALIDATION_IMAGES}; set data.validation_fraction, such as 0.15, or train.patience=0",
        )  # fmt: skip


@dataclass(frozen=True)
class EvaluateConfig:
    """How a snapshot is measured."""

    fakes: int = 1000
    """Images drawn from each snapshot, from a fixed z."""
    seed: int = 0
    """Seed of z, of the sampled pairs and of the bootstrap."""
    extractor: str = "auto"
    """Features for KID and FID: inception (resized as torch-fidelity does), inception_clean (as clean-fid does),
    radimagenet, swav or dino (ResNet-50 trained without labels), random (VGG of fixed seed), a .torchscript or .onnx
    file, or 'auto': Inception where its weights are found, else random. A .torchscript or .ts file is a program that
    runs with your rights."""
    extractor_weights: str = ""
    """File of the Inception or RadImageNet weights, for which empty takes the cached or published ones, or of SwAV's or
    DINO's, which has to be given."""
    extractor_sha256: str = ""
    """Expected sha256 of the file at evaluate.extractor or evaluate.extractor_weights; required for TorchScript, which
    runs code, for weights at an address, and for swav and dino."""
    lpips_weights: str = ""
    """File of the AlexNet LPIPS v0.1 weights; empty looks in torch's hub cache, else random weights are used."""
    lpips_sha256: str = ""
    """Expected sha256 of the file at evaluate.lpips_weights; required for an address."""
    pairs: int = 2000
    """Image pairs per MS-SSIM value at most; fewer when all pairs are fewer. LPIPS takes all pairs in any case."""
    confidence: float = 0.95
    """Level of the intervals."""
    batch_size: int = 50
    """Images per forward pass of an extractor; on a CPU at most 8."""
    device: str = "auto"
    """Torch device; 'auto' takes a GPU where there is one."""

    def __post_init__(self) -> None:
        """Check each field on its own."""
        _require_choices(self, "evaluate")
        _require_device("evaluate.device", self.device)
        known = self.extractor in EXTRACTORS or self.extractor.lower().endswith(EXPORTED_SUFFIXES)
        choices = f"choose one of {', '.join(EXTRACTORS)}, or a file {' or '.join(EXPORTED_SUFFIXES)}"
        _require(known, "evaluate.extractor", self.extractor, choices)
        self._require_sha256()
        require_seed("evaluate.seed", self.seed)
        _require(self.fakes >= 2, "evaluate.fakes", self.fakes, "give at least 2")
        _require(self.pairs >= 1, "evaluate.pairs", self.pairs, "give at least 1")
        _require(self.batch_size >= 1, "evaluate.batch_size", self.batch_size, "give at least 1")
        _require(0 < self.confidence < 1, "evaluate.confidence", self.confidence, "give a level between 0 and 1")

    def _require_sha256(self) -> None:
        """A digest for whatever runs code or comes from elsewhere, and none that nothing would be compared with."""
        extractor, given = self.extractor.lower(), self.extractor_sha256
        _require_sha256("evaluate.extractor_sha256", given)
        _require_sha256("evaluate.lpips_sha256", self.lpips_sha256)
        if extractor.endswith(TORCHSCRIPT_SUFFIXES):
            fix = f"{self.extractor} is TorchScript, a program that runs with your rights: give the file's sha256"
            _require(bool(given), "evaluate.extractor_sha256", given, f"{fix}, if you trust who made it")
        _require("://" not in self.extractor, "evaluate.extractor", self.extractor, "give the path of a file")
        for name, address, expected in (
            ("evaluate.extractor_sha256", self.extractor_weights, given),
            ("evaluate.lpips_sha256", self.lpips_weights, self.lpips_sha256),
        ):
            _require(bool(expected) or "://" not in address, name, expected, f"give the sha256 of {address}")
        if extractor in SELF_SUPERVISED:
            fix = f"evaluate.extractor={extractor} needs the authors' file, which is not fetched"
            _require(bool(self.extractor_weights), "evaluate.extractor_weights", "", f"{fix}: give its path")
            _require(bool(given), "evaluate.extractor_sha256", given, f"give the sha256 of {self.extractor_weights}")
        _require(extractor != "random" or not given, "evaluate.extractor_sha256", given,
                 "leave it out: evaluate.extractor=random has no file")  # fmt: skip
        _require(bool(self.lpips_weights) or not self.lpips_sha256, "evaluate.lpips_sha256", self.lpips_sha256,
                 "give the file as evaluate.lpips_weights too")  # fmt: skip


@dataclass(frozen=True)
class SelectConfig:
    """How the winner among all snapshots of all trials is chosen."""

    metrics: str = "kid,fid"
    """Metrics that decide, the first one first, later ones break ties."""
    against: Literal["auto", "train", "validation"] = "auto"
    """Reals that rank the snapshots: the train ones, which a generator that copies them is nearest to, or those of
    validation patients; 'auto' takes the latter where they are enough for an interval. Never the test ones."""
    min_diversity: float = 0.4
    """LPIPS between fakes, as a share of LPIPS between reals, below which a snapshot counts as collapsed."""
    margin: float = 0.0
    """KID by which a challenger must be better than a champion: their difference's upper end must lie below -margin."""
    confidence: float = 0.975
    """Level of that one-sided upper end; a challenger that is no better is promoted in 1 - confidence of the cases."""
    model_name: str = "mammogan"
    """Registered model's name in MLflow."""

    def __post_init__(self) -> None:
        """Check each field on its own."""
        _require_choices(self, "select")
        for name in self.metrics.split(","):
            _require(name in ("kid", "fid"), "select.metrics", self.metrics, "join any of kid, fid with ','")
        _require(self.min_diversity >= 0, "select.min_diversity", self.min_diversity, "give a number from 0")
        _require(0 <= self.margin < float("inf"), "select.margin", self.margin, "give a number from 0")
        _require(0.5 <= self.confidence < 1, "select.confidence", self.confidence, "give a level from 0.5 to below 1")
        _require_model_name(self.model_name)


@dataclass(frozen=True)
class SynthesiseConfig:
    """How many synthetic images fill up the rare class, and which are left out."""

    count: int = 0
    """Images to make; 0 makes as many as ratio asks for."""
    ratio: float = 1.0
    """Images of the rare class per image of the common one, in the train split once it is filled up."""
    seed: int = 0
    """Seed of z; image i of a seed is always the same."""
    truncation: float = 1.0
    """Number in (0, 1] that z is multiplied by: less is more typical and less diverse."""
    min_realism: float = 0.0
    """Realism (Kynkäänniemi et al. 2019, eq. 3) below which an image is left out; 0 leaves out none."""
    min_distance: float = 0.0
    """Feature distance to the nearest training image below which an image is left out, as a share of the median such
    distance between training images; 0 leaves out none."""
    dicom: bool = False
    """Also write each image as DICOM Secondary Capture."""

    def __post_init__(self) -> None:
        """Check each field on its own."""
        _require(0 <= self.count <= 10**7, "synthesise.count", self.count, "give a whole number from 0 to 10000000")
        _require(self.ratio >= 0, "synthesise.ratio", self.ratio, "give a number from 0; 1 balances the classes")
        require_seed("synthesise.seed", self.seed)
        _require(0 < self.truncation <= 1, "synthesise.truncation", self.truncation, "give a number in (0, 1]")
        for name in ("min_realism", "min_distance"):
            _require(getattr(self, name) >= 0, f"synthesise.{name}", getattr(self, name), "give a number from 0")


class SpaceKind(StrEnum):
    """In what the audit takes distances."""

    PIXEL = "pixel"
    LPIPS = "lpips"
    FEATURES = "features"


class AuditCheck(StrEnum):
    """A check of the audit, as ``audit.required`` names it; those by distance once for each space."""

    EXACT_COPIES = "exact_copies"
    MOVED_COPIES = "moved_copies"
    MEMORISED_PIXEL = "memorised/pixel"
    MEMORISED_LPIPS = "memorised/lpips"
    MEMORISED_FEATURES = "memorised/features"
    REPEATED_PIXEL = "repeated/pixel"
    REPEATED_LPIPS = "repeated/lpips"
    REPEATED_FEATURES = "repeated/features"
    NEARER_PIXEL = "nearer/pixel"
    NEARER_LPIPS = "nearer/lpips"
    NEARER_FEATURES = "nearer/features"
    MEMBERSHIP_PIXEL = "membership/pixel"
    MEMBERSHIP_LPIPS = "membership/lpips"
    MEMBERSHIP_FEATURES = "membership/features"
    ATTACK_PIXEL = "attack/pixel"
    ATTACK_LPIPS = "attack/lpips"
    ATTACK_FEATURES = "attack/features"
    MEMBERSHIP_CRITIC = "membership/critic"
    ATTACK_CRITIC = "attack/critic"


@dataclass(frozen=True)
class AuditConfig:
    """How synthetic images are checked for copies of training images, and what may be released.

    A check passes where the upper end of its interval is within the limit. It is not made where there are too few
    images or patients to show that even of a generator that copies nothing.
    """

    required: tuple[AuditCheck, ...] = tuple(AuditCheck)
    """Checks that must pass before a version becomes champion; what leaves one out is a demo, not for release."""
    fakes: int = 1000
    """Synthetic images that are compared: those of the data set, at most so many, evenly taken; in a run, and as many
    more of the generator as it has fewer. 736 without a hit show a share of at most 0.005."""
    confidence: float = 0.95
    """Level of the intervals."""
    max_memorised: float = 0.005
    """Share of synthetic images that copy a training image, moved or not."""
    max_duplicates: float = 0.02
    """Share of synthetic images that nearly repeat another one."""
    max_nearer: float = 0.65
    """Share of synthetic images nearer to train than to as many held-out images, 0.5 for no copying."""
    max_membership: float = 0.65
    """AUC at which an attacker who has the synthetic images tells train from held-out patients, 0.5 for no leak."""
    max_attack: float = 0.15
    """Share of the train patients whom that attacker finds at 1% false positives, 0.01 for no leak."""
    max_critic_membership: float = 0.9
    """AUC of an attacker who has the critic, which is never released."""
    max_critic_attack: float = 0.5
    """Share of the train patients whom an attacker who has the critic finds at 1% false positives."""

    def __post_init__(self) -> None:
        """Check each field on its own."""
        _require(len(set(self.required)) == len(self.required), "audit.required", [*map(str, self.required)],
                 "give each check once")  # fmt: skip
        _require(self.fakes >= 2, "audit.fakes", self.fakes, "give at least 2")
        _require(0 < self.confidence < 1, "audit.confidence", self.confidence, "give a level between 0 and 1")
        for name in ("max_memorised", "max_duplicates", "max_attack", "max_critic_attack"):
            _require(0 < getattr(self, name) <= 1, f"audit.{name}", getattr(self, name),
                     "give a share above 0, which no number of images can show, and up to 1")  # fmt: skip
        for name in ("max_nearer", "max_membership", "max_critic_membership"):
            _require(0.5 < getattr(self, name) <= 1, f"audit.{name}", getattr(self, name),
                     "give a share above 0.5, which is that without copying, and up to 1")  # fmt: skip

    @property
    def loosened(self) -> tuple[str, ...]:
        """Dotted names of the settings by which a check passes more easily than by default."""
        usual, limits = AuditConfig(), (item.name for item in dataclasses.fields(self) if item.name.startswith("max_"))
        wider = [name for name in limits if getattr(self, name) > getattr(usual, name)]
        return tuple(f"audit.{name}" for name in [*wider, *["confidence"] * (self.confidence < usual.confidence)])


@dataclass(frozen=True)
class UtilityConfig:
    """The classifier by which it is measured whether synthetic images help."""

    classifier: Literal["small_cnn", "densenet121"] = "small_cnn"
    """A small convolutional network, or DenseNet121 that starts from model.frozen_weights."""
    seeds: int = 5
    """Blocks. In each, every arm is trained once, with the same initial weights, draws, validation patients and
    synthetic images; each block has its own, but for the validation patients of the data set."""
    steps: int = 600
    """Optimiser steps of each training at most, the same for every arm."""
    check_every: int = 20
    """Steps between two looks at the validation patients."""
    patience: int = 5
    """Looks without a lower validation loss that end a training; the weights of the lowest are taken."""
    validation_fraction: float = 0.2
    """Share of the train patients of each class that only tells when to stop, where the data set has no validation
    images to do so; the test images never do."""
    batch_size: int = 32
    """Images per step, half of them of each class in every arm."""
    learning_rate: float = 1e-3
    """AdamW's learning rate."""
    shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Shares of the synthetic images, each a point of the learning curve; all of them are always one."""
    specificity: float = 0.9
    """Specificity at which the sensitivity is read."""
    confidence: float = 0.95
    """Level of the intervals; a claim is made where its chance without an effect is below 1 less this."""
    device: str = "auto"
    """Torch device; 'auto' takes a GPU where there is one."""

    def __post_init__(self) -> None:
        """Check each field on its own."""
        _require_choices(self, "utility")
        _require_device("utility.device", self.device)
        fix = f"give a number of blocks from 2 to {MOST_BLOCKS}"
        _require(2 <= self.seeds <= MOST_BLOCKS, "utility.seeds", self.seeds, fix)
        _require(self.batch_size >= 2, "utility.batch_size", self.batch_size, "give at least 2")
        for name in ("steps", "check_every", "patience"):
            _require(getattr(self, name) >= 1, f"utility.{name}", getattr(self, name), "give at least 1")
        _require(self.learning_rate > 0, "utility.learning_rate", self.learning_rate, "give a positive number")
        once = len(set(self.shares)) == len(self.shares) > 0
        _require(once and all(0 < share <= 1 for share in self.shares), "utility.shares", self.shares,
                 "give shares in (0, 1], each once")  # fmt: skip
        for name in ("specificity", "confidence", "validation_fraction"):
            _require(0 < getattr(self, name) < 1, f"utility.{name}", getattr(self, name), "give a number in (0, 1)")


@dataclass(frozen=True)
class ReportConfig:
    """What the pages show that are made for others to read."""

    real_images: bool = False
    """Show real images, those that synthetic ones are nearest to, in the audit's page and the report, with a banner."""


@dataclass(frozen=True)
class Config:
    """One experiment: its data, its networks, its trials, and how they are judged."""

    preset: str = "paper"
    """Name of the preset this configuration started from."""
    lambdas: tuple[float, ...] = (0.5, 3.0, 5.0)
    """Gradient-penalty weights, finite and not negative; one trial for each with each seed."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds."""
    hour_price: float = 0.0
    """Price of an hour on the training device in any currency, for the report's costs; 0 leaves them out."""
    data: DataConfig = field(default_factory=DataConfig)
    """Which images and how they are prepared."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The two networks."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training of a trial."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    """The metrics of a snapshot."""
    select: SelectConfig = field(default_factory=SelectConfig)
    """The choice of the winner."""
    synthesise: SynthesiseConfig = field(default_factory=SynthesiseConfig)
    """The synthetic images that fill up the rare class."""
    audit: AuditConfig = field(default_factory=AuditConfig)
    """The check for copies of training images."""
    utility: UtilityConfig = field(default_factory=UtilityConfig)
    """The measure of what the synthetic images are good for."""
    report: ReportConfig = field(default_factory=ReportConfig)
    """The report, and the audit's page."""

    def __post_init__(self) -> None:
        """Check the trial lists."""
        _require(bool(self.lambdas), "lambdas", self.lambdas, "give at least one gradient-penalty weight")
        _require(bool(self.seeds), "seeds", self.seeds, "give at least one seed")
        for seed in self.seeds:
            require_seed("seeds", seed)
        _require(
            all(0 <= value < float("inf") for value in self.lambdas), "lambdas", self.lambdas, "give finite weights"
        )
        _require(self.hour_price >= 0, "hour_price", self.hour_price, "give a price from 0")
        for name in ("lambdas", "seeds"):
            values = getattr(self, name)
            _require(len(set(values)) == len(values), name, values, "give each value once")

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every (lambda, seed), in the order of the lists."""
        return tuple(Trial(gp_lambda, seed) for gp_lambda in self.lambdas for seed in self.seeds)

    @property
    def public(self) -> Config:
        """The settings as they may be recorded and shown: what signs in or is signed in an address is masked."""
        sections = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return dataclasses.replace(
            self, **{name: _public(value) for name, value in sections.items() if dataclasses.is_dataclass(value)}
        )

    def flat(self) -> dict[str, SettingValue]:
        """Dotted names to values, sections first to last, as ``--set`` spells them."""
        nested = json.loads(json.dumps(dataclasses.asdict(self)))
        return {
            f"{name}.{key}" if isinstance(value, dict) else name: inner
            for name, value in nested.items()
            for key, inner in (value.items() if isinstance(value, dict) else ((name, value),))
        }


def lambda_text(gp_lambda: float) -> str:
    """A gradient-penalty weight as it is written everywhere: two that differ never look alike."""
    return repr(gp_lambda).removesuffix(".0")


@dataclass(frozen=True)
class Trial:
    """One trial of the fan-out: a gradient-penalty weight and a training seed."""

    gp_lambda: float
    """Gradient-penalty weight lambda."""
    seed: int
    """Training seed."""

    @property
    def name(self) -> str:
        """Short name for runs, files and figures, such as ``lambda=0.5,seed=0``."""
        return f"lambda={lambda_text(self.gp_lambda)},seed={self.seed}"

    @classmethod
    def parse(cls, name: str) -> Trial:
        """Inverse of ``name``. Raises ValueError for any other text."""
        try:
            lambda_part, seed_part = name.split(",")
            return cls(float(lambda_part.removeprefix("lambda=")), int(seed_part.removeprefix("seed=")))
        except ValueError as error:
            raise ValueError(f"trial={name!r}: write it as lambda=0.5,seed=0") from error


DEFAULT_SOURCES = {"demo": "phantom"}
"""Source of a preset that needs no data of one's own; the others are told theirs."""
PRESETS: dict[str, Config] = {
    "demo": Config(
        preset="demo",
        data=DataConfig(subset="mass-train", size=56, test_fraction=0.35, validation_fraction=0.15),
        model=ModelConfig(generator_channels=128, critic_channels=16),
        train=TrainConfig(
            epochs=21,
            batch_size=6,  # of the phantom's 19 images, so that an epoch has three steps
            learning_rate=5e-4,
            n_critic=2,
            snapshot_every=7,
            checkpoint_every=1,
        ),
        evaluate=EvaluateConfig(fakes=120, pairs=400),
        audit=AuditConfig(required=(AuditCheck.EXACT_COPIES,), fakes=60),
        utility=UtilityConfig(steps=40, check_every=10, patience=2, batch_size=16, shares=(1.0,)),
    ),
    "paper": Config(
        preset="paper",
        data=DataConfig(split="image"),
        model=ModelConfig(frozen_weights=RADIMAGENET_URL, frozen_sha256=RADIMAGENET_SHA256),
        evaluate=EvaluateConfig(extractor="inception"),
        select=SelectConfig(against="train"),
    ),
    "modern": Config(
        preset="modern",
        seeds=(0, 1, 2),
        data=DataConfig(intensity="percentile", fit="pad", validation_fraction=0.15),
        model=ModelConfig(
            upsampling="interpolated",
            readout="projected",
            frozen_weights=RADIMAGENET_URL,
            frozen_sha256=RADIMAGENET_SHA256,
        ),
        train=TrainConfig(
            learning_rate=5e-4,
            beta2=0.99,
            n_critic=2,
            ema_decay=0.999,
            rotation=0.0,
            crop=0.0,
            noise=0.0,
            contrast=0.0,
            diff_shift=0.125,
            diff_cutout=0.3,
            diff_contrast=0.2,
            patience=4,
        ),
        evaluate=EvaluateConfig(extractor="inception"),
    ),
}


def _convert(key: str, value: Any, kind: Any) -> Any:  # noqa: ANN401  (values come from JSON or a shell)
    """Turn a string or a JSON value into the field's type, or raise ValueError that says which type it is."""
    origin = typing.get_origin(kind)
    if origin is Literal:
        return value if isinstance(value, str) else str(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice(key, str(value).strip(), kind)
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            items = [items]
        _require(bool(items), key, value, "give at least one")
        return tuple(_convert(key, item, typing.get_args(kind)[0]) for item in items)
    text = str(value).strip()
    try:
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        converted = _whole(text) if kind is int else kind(text)
    except (ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"{key}={value!r}: give a value of type {kind.__name__}") from error
    if kind is int:
        _require(
            abs(converted) <= LARGEST_INTEGER,
            key,
            value,
            f"give a whole number up to {LARGEST_INTEGER}; larger ones are rounded on their way",
        )
    return converted


def _choice(key: str, text: str, kind: type[Enum]) -> Enum:
    """The member of that value."""
    choices = [str(item.value) for item in kind]
    if text not in choices:
        near = difflib.get_close_matches(text, choices, n=3, cutoff=0.5) or choices
        raise ValueError(f"{key}={text!r}: there is no such choice; use {' or '.join(near)}")
    return kind(text)


def _whole(text: str) -> int:
    """The integer that a text is, written as 3, 3.0 or 3e2."""
    with contextlib.suppress(ValueError):
        return int(text)
    number = float(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number)


def _field_types(config: object) -> dict[str, object]:
    """Dotted name of every settable field to its type."""
    types: dict[str, object] = {}
    for name, kind in typing.get_type_hints(type(config)).items():
        if dataclasses.is_dataclass(kind):
            types |= {f"{name}.{key}": inner for key, inner in typing.get_type_hints(kind).items()}
        elif name != "preset":
            types[name] = kind
    return types


_Settings = TypeVar("_Settings", bound="DataclassInstance")


def override(config: _Settings, overrides: Overrides) -> _Settings:
    """Copy of ``config`` with the dotted names of ``overrides`` replaced.

    ``config`` is a ``Config``, or any other frozen dataclass of settings.

    Raises ValueError naming the key, the value and the fix: an unknown key with its nearest
    neighbours, a value of the wrong type, or a value that the field does not admit.
    """
    types = _field_types(config)
    changes: dict[str, dict[str, object]] = {}
    for key, value in overrides.items():
        if key not in types:
            near = difflib.get_close_matches(key, types, n=3, cutoff=0.5)
            near = near or [name for name in types if name.split(".")[-1] == key.split(".")[-1]]
            hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(types)}"
            raise ValueError(f"{key}={value!r}: no such setting; {hint}")
        _require_plain(key, value)
        section, _, name = key.rpartition(".")
        changes.setdefault(section, {})[name] = _convert(key, value, types[key])
    top = changes.pop("", {})
    for section, values in changes.items():
        top[section] = dataclasses.replace(getattr(config, section), **values)
    return dataclasses.replace(config, **top)


def overrides_text(overrides: Overrides) -> str:
    """The overrides as ``resolve`` takes them, by their names: ``lambdas=0.5,3 train.epochs=7``, quoted as in a shell.

    The same overrides in another order are the same text. Raises ValueError for a value of another kind.
    """
    return shlex.join(f"{name}={_shell_value(name, value)}" for name, value in sorted(overrides.items()))


def _shell_value(name: str, value: SettingValue) -> str:
    _require_plain(name, value)
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _require_plain(name: str, value: object) -> None:
    """Raise ValueError for what a file may hold, such as a mapping, a set, a date or nothing, and no setting is."""
    items = value if isinstance(value, (list, tuple)) else [value]
    plain = all(isinstance(item, (str, int, float)) for item in items)
    _require(plain, name, value, "give a text, a number, true or false, or a list of these")


def settings_text(preset: str, overrides: Overrides) -> str:
    """A whole configuration in one text, as ``parse`` takes it: ``preset=demo lambdas=0.5,3``.

    Raises ValueError for a value of another kind, and for a preset among the overrides.
    """
    if "preset" in overrides:
        raise ValueError(f"preset={overrides['preset']!r}: no setting among others; choose it by --preset")
    return " ".join(filter(None, (overrides_text({"preset": preset}), overrides_text(overrides))))


def parse(text: str) -> Config:
    """Configuration of a preset's name and overrides, in any order, as ``settings_text`` writes them.

    Raises ValueError for text of another kind or without a preset, for an unknown one, and as ``override`` does.
    """
    given = _values(text)
    if "preset" not in given:
        raise ValueError(f"settings={text[:300]!r}: name the preset too, such as preset=paper")
    return override(resolve(given.pop("preset")), given)


def resolve(preset: str, overrides: str = "") -> Config:
    """Configuration of a preset's name and overrides as ``overrides_text`` writes them.

    Raises ValueError for an unknown preset, for text that is none of that kind, and as ``override`` does.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r}: choose one of {', '.join(PRESETS)}")
    return override(PRESETS[preset], _values(overrides))


def _values(text: str) -> dict[str, str]:
    """Values by their names. Raises ValueError for text that is not KEY=VALUE, quoted as in a shell, each once."""
    try:
        items = [item.partition("=") for item in shlex.split(text)]
    except ValueError as error:
        raise ValueError(f"settings={text[:300]!r}: give KEY=VALUE, quoted as in a shell ({error})") from error
    for name, sign, _ in items:
        if not sign:
            raise ValueError(f"settings={text[:300]!r}: {name[:100]!r} is no KEY=VALUE, such as train.epochs=3")
    values = {name: value for name, _, value in items}
    if len(values) < len(items):
        twice = next(name for name in values if sum(name == other for other, _, _ in items) > 1)
        raise ValueError(f"settings={text[:300]!r}: {twice[:100]} is given more than once; give it once")
    return values


def digest(value: object) -> str:
    """First 16 hex digits of the sha256 of a JSON-able value, for keys that name what they hold."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
