import numpy as np
import pytest

from mammogan.data import manifest, summary
from mammogan.data.dataset import Dataset
from mammogan.data.minority import filter_minority


def test_what_is_written_is_read_sorted_with_its_types(dataset):
    frame = manifest.read(dataset)
    assert list(frame.columns) == list(manifest.COLUMNS)
    assert frame["image_id"].is_monotonic_increasing
    assert frame["label"].dtype == frame["original_rows"].dtype == np.int64
    assert set(frame["laterality"]) == {""}


@pytest.mark.parametrize("column", ["sha256", "label", "split", "image_id", "pathology", "subset"])
def test_the_digest_changes_with_what_the_data_set_is(dataset, column):
    frame = manifest.read(dataset)
    changed = frame.copy()
    changed.loc[3, column] = {"label": 1 - frame.loc[3, "label"], "split": "test"}.get(column, "other")
    assert manifest.data_digest(changed) != manifest.data_digest(frame)


def test_the_digest_knows_who_shares_a_patient_but_no_patients_name(dataset):
    frame = manifest.read(dataset)
    renamed = frame.assign(patient_id=[f"patient-{text[::-1]}" for text in frame["patient_id"]])
    assert manifest.data_digest(renamed) == manifest.data_digest(frame)
    shared = frame.copy()
    shared.loc[3, "patient_id"] = frame.loc[2, "patient_id"]
    assert manifest.data_digest(shared) != manifest.data_digest(frame)


def test_the_digest_knows_neither_order_nor_where_files_came_from(dataset):
    frame = manifest.read(dataset)
    moved = frame.sample(frac=1, random_state=0).assign(source="elsewhere.dcm", source_sha256="x")
    assert manifest.data_digest(moved) == manifest.data_digest(frame)
    assert len(manifest.data_digest(frame)) == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("label", "lable"), "no column label"),
        (lambda text: text.replace(",train,", ",val,", 1), "split='val'"),
        (lambda text: text.replace(",1,MALIGNANT", ",2,MALIGNANT", 1), "label='2'"),
        (lambda text: text.replace("I3,", "I4,"), "image_id='I4' stands there twice"),
        (lambda text: text.replace("images/I3.png", "../I3.png"), "leaves its folder"),
        (lambda text: "", "not a readable CSV"),
    ],
)
def test_a_broken_manifest_says_what_is_wrong(dataset, change, message):
    path = dataset / manifest.FILE
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        manifest.read(dataset)


def test_the_list_of_a_source_is_no_data_set_and_says_how_to_make_one(tmp_path):
    (tmp_path / manifest.FILE).write_text("file,patient_id,pathology\na.png,P,BENIGN\n")
    with pytest.raises(ValueError, match=r"the list of a source, not of a data set; make one with `.*ingest --source "):
        manifest.read(tmp_path)


def test_missing_images_and_data_sets(dataset, tmp_path):
    (dataset / "images/I3.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"images/I3\.png"):
        manifest.read(dataset)
    with pytest.raises(FileNotFoundError, match="no data set"):
        manifest.read(tmp_path)


def test_filter_keeps_the_rarer_class_of_the_train_split(dataset, tmp_path):
    result = filter_minority(dataset, "auto", tmp_path / "rare")
    kept = manifest.read(tmp_path / "rare")
    assert (result.label, result.name, result.missing) == (1, "malignant", 2)
    assert result.train_counts == {"benign": 5, "malignant": 3}
    assert kept["label"].tolist() == [1] * 4
    assert sorted(kept["split"]) == ["test", "train", "train", "train"]
    assert result.data_digest == manifest.data_digest(kept)
    assert Dataset.read(tmp_path / "rare").images()[:, 0, 0, 0].tolist() == [6, 7, 8, 9]
    assert summary.read(tmp_path / "rare") == result
    assert result.whole == summary.read(dataset)


def test_filter_takes_the_class_that_is_named(dataset, tmp_path):
    result = filter_minority(dataset, "benign", tmp_path / "rare")
    assert (result.label, result.missing, len(manifest.read(tmp_path / "rare"))) == (0, 0, 6)
    with pytest.raises(ValueError, match=r"data\.minority='cancer'"):
        filter_minority(dataset, "cancer", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_filter_needs_both_classes_in_train(dataset, tmp_path):
    frame = manifest.read(dataset)
    manifest.write(frame.assign(split=np.where(frame["label"] == 1, "test", "train")), dataset)
    with pytest.raises(ValueError, match="all 6 images are benign and none is malignant"):
        filter_minority(dataset, "auto", tmp_path / "rare")
