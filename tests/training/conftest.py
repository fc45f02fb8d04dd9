"""A trial that nothing interrupted, to which the interrupted ones are compared, and its images as a data set."""

import pytest
import torch
from PIL import Image
from random_networks import one_random_frozen  # noqa: F401
from trial_process import blobs, train

from mammogan.data import manifest


@pytest.fixture
def one_thread():
    """Sums in another order would give other bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trained = train(folder)
    torch.set_num_threads(threads)
    return trained, folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "images").mkdir()
    rows = []
    for index, blob in enumerate(blobs()):
        Image.fromarray(blob[0].numpy()).save(folder / f"images/{index:02d}.png")
        row = dict.fromkeys(manifest.COLUMNS, "0") | {
            "image_id": f"{index:02d}", "file": f"images/{index:02d}.png", "label": 1, "split": "train",
            "patient_id": f"P{index}", "pathology": "MALIGNANT",
        }  # fmt: skip
        rows.append(",".join(str(row[name]) for name in manifest.COLUMNS))
    (folder / manifest.FILE).write_text("\n".join([",".join(manifest.COLUMNS), *rows]) + "\n")
    return folder
