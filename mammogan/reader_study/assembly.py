"""A study from its images: cases with names and orders by a secret, the page without the truth, the key with it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mammogan import __version__, storage
from mammogan.data.dataset import Dataset
from mammogan.data.manifest import CLASSES
from mammogan.data.replacement import replaced_folder
from mammogan.reader_study import page
from mammogan.reader_study.key import FILE as KEY_FILE
from mammogan.reader_study.key import Case, Key, keyed_name, write_key
from mammogan.reader_study.order import random_order
from mammogan.reader_study.page import ShownCase
from mammogan.reader_study.pictures import Picture, draw

SECRET_BYTES = 32
ORDERS = 24
"""A reader has one of so many orders, so that what tires or practises readers falls on other images with each."""


@dataclass(frozen=True)
class Design:
    """How large a study is, in images of each kind, real and synthetic."""

    images: int = 50
    """Images that are judged."""
    repeats: int = 10
    """Those of them that are shown a second time, for the reader's agreement with themselves."""
    practice: int = 3
    """Images shown before, whose answers are not kept."""

    def __post_init__(self) -> None:
        """Check each field, and that the repeats can be kept apart from their first showings."""
        for name, least in (("images", 3), ("repeats", 0), ("practice", 0)):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"--{name}={value}: give a whole number from {least}")
        if self.repeats > self.images // 2:
            raise ValueError(f"--repeats={self.repeats}: give at most {self.images // 2}, half of --images")


@dataclass(frozen=True)
class Study:
    """What ``make`` has written."""

    page: Path
    """The one file for readers, with images of real patients."""
    key: Path
    """Which images are real; nobody but its owner may read it."""
    images: int
    """Images that are judged, both kinds together."""
    showings: int
    """Times that a reader answers, repeats included."""


def make(
    real: Path,
    synthetic: Path,
    label: int,
    out: Path,
    design: Design = Design(),
    seed: int | None = None,
) -> Study:
    """Write ``reader_study.html`` and ``key.json`` to the folder ``out``, both or neither, for nobody but the owner.

    ``seed`` chooses the images alone, at random where it is None: names and orders come from a secret of this study, so
    that who knows the seed cannot work them out. Raises ValueError for an ``out`` that is not empty or not on this
    disk, and as ``pictures.draw`` and ``Dataset.read`` do.
    """
    _check_place(out)
    seed = secrets.randbits(32) if seed is None else seed
    reals, fakes = draw(real, synthetic, label, design.images + design.practice, seed)
    secret = secrets.token_bytes(SECRET_BYTES)
    cases, shown = _cases(secret, reals[design.practice :], fakes[design.practice :], design.repeats)
    key = Key(
        study=keyed_name(secret, "study"), secret=secret.hex(), label=CLASSES[label], seed=seed,
        data_digest=Dataset.read(real).real.digest, version=__version__, cases=tuple(cases),
    )  # fmt: skip
    practice = _shuffled(secret, [*reals[: design.practice], *fakes[: design.practice]])
    content = page.render(key.study, shown, practice, _orders(secret, cases))
    _write(out, content, key)
    return Study(out / page.FILE, out / KEY_FILE, len(key.first), len(cases))


def _check_place(out: Path) -> None:
    """Refuse what is no place for real images, and one where a study may be, whose answers need its key."""
    if ":/" in str(out):  # an address, of which Path has dropped a slash
        raise ValueError(f"--out={str(out)!r}: the page holds real patients' images; give a folder of this machine")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"--out={str(out)!r}: it is not empty; give a new folder, so that no study's key is lost")


def _cases(
    secret: bytes, reals: Sequence[Picture], fakes: Sequence[Picture], repeats: int
) -> tuple[list[Case], list[ShownCase]]:
    """Every showing, in the order of the cases' names, as the key and as the page has it."""
    images = [*reals, *fakes]
    again = [*reals[:repeats], *fakes[:repeats]]
    names = {item.name: keyed_name(secret, "case", item.kind, item.name) for item in images}
    pairs = [(Case(names[item.name], item.kind, item.name), item) for item in images]
    for item in again:
        name = keyed_name(secret, "repeat", item.kind, item.name)
        pairs.append((Case(name, item.kind, item.name, repeats=names[item.name]), item))
    pairs.sort(key=lambda pair: pair[0].case)
    return [case for case, _ in pairs], [ShownCase(case.case, item.pixels) for case, item in pairs]


def _shuffled(secret: bytes, pictures: Sequence[Picture]) -> list[ShownCase]:
    shown = [ShownCase(keyed_name(secret, "practice", item.kind, item.name), item.pixels) for item in pictures]
    return sorted(shown, key=lambda item: item.case)


def _orders(secret: bytes, cases: Sequence[Case]) -> list[list[int]]:
    rng = np.random.default_rng(int.from_bytes(secret))
    place = {item.case: number for number, item in enumerate(cases)}
    pairs = [(place[item.repeats], place[item.case]) for item in cases if item.repeats]
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return [random_order(len(cases), first, second, rng).tolist() for _ in range(ORDERS)]


def _write(out: Path, content: bytes, key: Key) -> None:
    """Both files at once, by the name of their folder, which is its owner's alone."""
    with replaced_folder(out) as folder:
        folder.chmod(0o700)
        storage.write_bytes(str(folder / page.FILE), content)
        (folder / page.FILE).chmod(0o600)
        write_key(key, folder / KEY_FILE)
        _check_place(out)  # again: somebody may have made another study there meanwhile
