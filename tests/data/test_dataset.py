"""One object for a data set: narrowed without reading again, and never changed by it."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.data.minority import label_to_synthesise


def greys(dataset):
    """Grey value of each image, which in these data sets is the number in its name."""
    return dataset.images()[:, 0, 0, 0].tolist()


@pytest.fixture
def filled(dataset):
    """The ten images, I2 and I7 of them by a generator."""
    frame = manifest.read(dataset)
    frame.loc[[2, 7], "source"] = manifest.SYNTHETIC
    manifest.write(frame, dataset)
    return Dataset.read(dataset)


def test_images_come_in_the_order_of_their_ids(dataset):
    whole = Dataset.read(dataset)
    images = whole.images()
    assert (images.shape, images.dtype) == ((10, 1, 28, 28), torch.uint8)
    assert greys(whole) == list(range(10))
    assert whole.image_ids == [f"I{number}" for number in range(10)]
    assert whole.files[3] == "images/I3.png"


def test_every_narrowing_keeps_the_images_that_it_names(filled):
    assert greys(filled.train) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert greys(filled.test) == [0, 9]
    assert greys(filled.of(0)) == [0, 1, 2, 3, 4, 5]
    assert greys(filled.synthetic) == [2, 7]
    assert greys(filled.real.train.of(1)) == [6, 8]
    assert filled.of(None) is filled


def test_an_image_keeps_its_label_its_patient_and_its_class(filled):
    part = filled.train.real
    assert part.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert part.patients == ["NA8", "NA6", "NA5", "NA4", "NA3", "NA1"]
    assert part.classes == ["benign", "malignant"]
    assert (filled.of(1).classes, filled.test.of(1).synthetic.classes) == (["malignant"], [])
    assert (len(part), len(filled.test.of(1)), len(filled.test.synthetic)) == (6, 1, 0)


def test_patients_of_another_part_are_left_out(dataset):
    frame = manifest.read(dataset)
    frame.loc[frame["image_id"] == "I0", "patient_id"] = "NA1"
    manifest.write(frame, dataset)
    whole = Dataset.read(dataset)
    assert whole.test.without_patients_of(whole.train).image_ids == ["I9"]
    assert whole.test.without_patients_of(whole.train.of(0)).image_ids == ["I0", "I9"]
    other = Dataset(whole.root, whole.frame.assign(patient_id=whole.frame["patient_id"].str.lower()))
    assert other.test.without_patients_of(whole.train).image_ids == ["I9"]


def test_who_is_held_out_has_no_image_in_a_role_before(dataset):
    frame = manifest.read(dataset)
    frame["split"] = ["train"] * 4 + ["validation"] * 3 + ["test"] * 3
    frame["patient_id"] = ["a", "b", "c", "d", "a", "v", "w", "b", "v", "t"]
    manifest.write(frame, dataset)
    whole = Dataset.read(dataset)
    assert whole.validation.image_ids == ["I4", "I5", "I6"]
    assert whole.held_out_validation.image_ids == ["I5", "I6"]
    assert whole.held_out.image_ids == ["I9"]


def test_the_digest_is_that_of_the_rows_which_are_left(filled):
    frame = manifest.read(filled.root)
    assert filled.digest == manifest.data_digest(frame)
    assert filled.train.of(1).digest == manifest.data_digest(frame[(frame["split"] == "train") & (frame["label"] == 1)])
    assert filled.train.digest != filled.digest


def test_narrowing_changes_nothing_and_reads_nothing(filled, monkeypatch):
    monkeypatch.setattr(manifest, "read", None)
    part = filled.train.of(1)
    part.labels[:] = 0
    assert (len(filled), len(part), part.labels.tolist()) == (10, 3, [1, 1, 1])
    with pytest.raises(dataclasses.FrozenInstanceError):
        filled.root = part.root


def test_where_there_are_no_images_the_error_says_which_were_asked_for(filled):
    nothing = filled.test.of(1).synthetic
    with pytest.raises(ValueError, match=r"split='test', label=1, synthetic: the data set at .* holds no such image"):
        nothing.images()
    empty = nothing.images(allow_empty=True)
    assert (empty.shape, empty.dtype) == ((0, 1, 0, 0), torch.uint8)


def test_images_of_two_sizes_are_refused_where_both_are_read(filled):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(filled.root / "images/I2.png")
    assert len(filled.real.images()) == 8
    with pytest.raises(ValueError, match="the images differ in size; ingest again"):
        filled.images()


def test_a_folder_is_a_data_set_where_it_has_a_manifest(dataset):
    assert Dataset.is_at(dataset)
    assert not Dataset.is_at(dataset / "images")
    with pytest.raises(FileNotFoundError, match="no data set"):
        Dataset.read(dataset / "images")


def test_the_class_to_synthesise_is_the_rarer_one_or_the_only_one(filled):
    assert label_to_synthesise(filled) == 1
    assert label_to_synthesise(filled, "benign") == 0
    assert label_to_synthesise(filled.of(0), "malignant") == 0
