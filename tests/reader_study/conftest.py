"""A small study: a data set with two images a patient, synthetic images in a folder, and readers who answer."""

import json
import random

import numpy as np
import pytest
from filled_dataset import draw, write_dataset
from PIL import Image

from mammogan.data import manifest
from mammogan.reader_study import Design, make, read_key

DESIGN = Design(images=8, repeats=3, practice=2)


@pytest.fixture(scope="session")
def reals(tmp_path_factory):
    """Data set of 24 malignant images of 12 patients, and of benign ones."""
    folder = write_dataset(tmp_path_factory.mktemp("reals"), {"train": (4, 18), "test": (2, 6)}, seed=1)
    frame = manifest.read(folder)
    malignant = frame["label"] == 1
    frame.loc[malignant, "patient_id"] = [f"patient {number // 2}" for number in range(malignant.sum())]
    manifest.write(frame, folder)
    return folder


@pytest.fixture(scope="session")
def fakes(tmp_path_factory):
    """Folder of 12 images."""
    folder, rng = tmp_path_factory.mktemp("fakes"), np.random.default_rng(2)
    for number in range(12):
        Image.fromarray(draw(rng, 1)).save(folder / f"fake{number:02d}.png", pnginfo=None)
    return folder


@pytest.fixture(scope="session")
def study(reals, fakes, tmp_path_factory):
    return make(reals, fakes, 1, tmp_path_factory.mktemp("study") / "study", DESIGN, seed=3)


@pytest.fixture(scope="session")
def key(study):
    return read_key(study.key)


@pytest.fixture
def sheet(key, tmp_path):
    """Writes the answers of a reader who is right with a chance, as the page saves them; changed by ``change``."""

    def write(reader, right=0.5, seed=0, change=lambda content: None):
        rng, answers = random.Random(seed), []
        for item in key.cases:
            wrong = {"real": "synthetic", "synthetic": "real"}[item.kind]
            answer = item.kind.value if rng.random() < right else wrong
            answers.append({"case": item.case, "answer": answer, "confidence": rng.randint(1, 5), "seconds": 2})
        content = {"format": 1, "study": key.study, "reader": reader, "experience": "", "started": "", "saved": "",
                   "answers": answers}  # fmt: skip
        change(content)
        path = tmp_path / f"{reader.strip() or 'nobody'}.json"
        path.write_text(json.dumps(content))
        return path

    return write
