"""Labels of a plain folder: by the rule, or out with both lines named; never by the order of rows."""

import csv
import os
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mammogan.config import DataConfig
from mammogan.data import manifest, minority, summary
from mammogan.data.dataset import Dataset
from mammogan.data.ingest import ingest
from mammogan.data.summary import Counts
from mammogan.data.verify import verify
from mammogan.evaluation.image_sources import read_reals

CONFIG = DataConfig(size=28, max_bad=0.5)
LINES = [f"{number}.bmp,P{number},{'MALIGNANT' if number % 2 else 'BENIGN'}" for number in range(8)]


@pytest.fixture
def folder(tmp_path, rng):
    """Eight pictures, four of them malignant; ``write`` makes their manifest."""
    place = tmp_path / "source"
    place.mkdir()
    for number in range(8):
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(place / f"{number}.bmp")
    return place


@pytest.fixture
def made(folder, tmp_path):
    """The frame by image, and the rows of quarantine, of a data set from lines of a manifest."""

    def make(*lines, header="file,patient_id,pathology", config=CONFIG):
        (folder / "manifest.csv").write_text("\n".join([header, *lines]))
        ingest(str(folder), "", config, tmp_path / "set", workers=1)
        frame = manifest.read(tmp_path / "set").set_index("image_id")
        with (tmp_path / "set/quarantine.csv").open(newline="") as file:
            return frame, list(csv.DictReader(file))

    return make


@pytest.mark.parametrize("reverse", [False, True])
def test_several_findings_of_a_file_are_malignant_if_any_is(made, reverse):
    lines = [*LINES, "2.bmp,P2,MALIGNANT"]
    frame, rows = made(*(reversed(lines) if reverse else lines))
    assert frame.loc["2", "pathology"] == "MALIGNANT"
    assert frame["label"].sum() == 5
    (row,) = rows
    assert row["image_id"] == "2"
    assert "2.bmp stands there twice" in row["reason"]


@pytest.mark.parametrize(("kind", "number"), [("Mass", "1"), ("mass", "1.0"), (" mass ", "01"), ("MASS", "1.")])
def test_an_abnormality_is_one_in_any_spelling(made, kind, number):
    lines = [f"{line},mass,1" for line in LINES] + [f"2.bmp,P2,MALIGNANT,{kind},{number}"]
    frame, rows = made(*lines, header="file,patient_id,pathology,abnormality_type,abnormality_id")
    assert "2" not in frame.index
    assert {row["source"] for row in rows} == {"manifest.csv:4", "manifest.csv:10"}


@pytest.mark.parametrize("path", ["sub/../2.bmp", "../2.bmp", "/elsewhere/2.bmp", "C:\\set\\2.bmp"])
def test_a_row_whose_path_is_refused_leaves_the_image_out_that_it_may_mean(made, path):
    """Its label may be the one that counts."""
    frame, rows = made(*LINES, f"{path},P2,MALIGNANT")
    assert sorted(frame.index) == ["0", "1", "3", "4", "5", "6", "7"]
    assert [(row["image_id"], row["source"]) for row in rows] == [("2", "manifest.csv:10"), ("2", "manifest.csv:4")]
    inside = path.startswith("sub/")
    assert ("'..' stands in it; write the path without it" if inside else "leaves its folder") in rows[0]["reason"]


def test_a_path_without_end_takes_no_time(made):
    frame, rows = made(*LINES, f"{'../' + 'é/' * 20_000}2.bmp,P2,MALIGNANT")
    assert len(frame) + len(rows) == 9


@pytest.mark.parametrize("name", [f"{'x' * 130}.bmp", "copy.gif"])
def test_a_copy_is_known_again_whose_own_row_is_refused_for_its_name(made, folder, name):
    shutil.copyfile(folder / "2.bmp", folder / name)
    frame, rows = made(*LINES, f"{name},P2,MALIGNANT")
    assert "2" not in frame.index
    assert len(frame) + len(rows) == 9


@pytest.mark.parametrize("names", [("a.bmp", " a.bmp"), ("d/a.bmp", "d\\a.bmp")])
def test_files_that_a_cell_cannot_tell_apart_are_refused_by_it(made, folder, rng, names):
    (folder / "d").mkdir()
    for name in names:
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(folder / name)
    frame, rows = made(*LINES, f"{names[1]},P9,BENIGN")
    assert len(frame) == 8
    (row,) = rows
    assert "2 files have this name" in row["reason"]


@pytest.mark.parametrize("reverse", [False, True])
def test_one_abnormality_with_two_labels_is_out_with_both_lines(made, reverse):
    lines = [f"{line},1" for line in LINES] + ["2.bmp,P2,MALIGNANT,1", "4.bmp,P4,MALIGNANT,2"]
    frame, rows = made(*(reversed(lines) if reverse else lines), header="file,patient_id,pathology,abnormality_id")
    assert "2" not in frame.index
    assert frame.loc["4", ["label", "abnormality"]].tolist() == [1, "1+2"]
    one, two = (3, 9) if reverse else (4, 10)
    out = [row for row in rows if row["image_id"] == "2"]
    assert {row["source"] for row in out} == {f"manifest.csv:{one}", f"manifest.csv:{two}"}
    for row in out:
        assert f"line {one}" in row["reason"]
        assert f"line {two}" in row["reason"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2.bmp,P99,BENIGN,", "patient_id is 'P2' in line 4 and 'P99' in line 10"),
        ("2.bmp,P2,BENIGN,RIGHT", "laterality is 'LEFT' in line 4 and 'RIGHT' in line 10"),
        ("2.bmp,P2,UNSURE,LEFT", "another row of 2.bmp cannot be used, in line 10"),
        ("2.bmp,,MALIGNANT,LEFT", "another row of 2.bmp cannot be used, in line 10"),
        ("2.bmp,P2,MALIGNANT,LEFT,x", "another row of 2.bmp cannot be used, in line 10"),
        ("./2.bmp,P99,MALIGNANT,LEFT", "patient_id"),
        (".\\2.bmp,P99,MALIGNANT,LEFT", "patient_id"),
    ],
)
def test_an_image_with_rows_that_disagree_or_cannot_be_used_is_out_as_a_whole(made, line, reason):
    frame, rows = made(*(f"{each},LEFT" for each in LINES), line, header="file,patient_id,pathology,laterality")
    assert sorted(frame.index) == list("0134567")
    assert {row["source"] for row in rows} == {"manifest.csv:4", "manifest.csv:10"}
    assert any(reason in row["reason"] for row in rows)


def test_a_stray_quote_drops_no_row_in_silence(made, folder, tmp_path):
    lines = [f"{line},LEFT,CC" for line in LINES]
    lines[3] = lines[3].replace("LEFT,CC", 'LEFT,"CC')
    with pytest.raises(ValueError, match=r"manifest\.csv:5: a quote that opens here is not closed"):
        made(*lines, header="file,patient_id,pathology,laterality,view")
    assert not (tmp_path / "set").exists()


def test_files_that_share_a_name_are_images_of_their_own(made, folder):
    (folder / "a").mkdir()
    for name in ("x.png", "x.bmp", "a/b.png", "a__b.png", "X.PNG"):
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 256, (64, 64), dtype=np.uint8)).save(folder / name)
    shutil.copyfile(folder / "0.bmp", folder / "x.bmp")
    shutil.copyfile(folder / "1.bmp", folder / "x.png")
    shutil.copyfile(folder / "3.bmp", folder / "a__b.png")
    new = ["x.png,PX,MALIGNANT", "x.bmp,PY,BENIGN", "X.PNG,PZ,BENIGN", "a/b.png,PA,BENIGN", "a__b.png,PB,MALIGNANT"]
    frame, rows = made(*LINES[4:], LINES[2], *new, config=replace(CONFIG, split="image"))
    assert not rows
    assert len(frame) == 10
    assert len({name.casefold() for name in frame.index}) == 10
    by_source = frame.set_index("source")["patient_id"]
    assert by_source[["x.png", "x.bmp", "X.PNG", "a/b.png", "a__b.png"]].tolist() == ["PX", "PY", "PZ", "PA", "PB"]


DOUBTED = {
    "two labels of one abnormality": ("0.bmp,P0,BENIGN,mass 1", "0.bmp,P0,MALIGNANT,mass 1"),
    "a pathology that is none": ("0.bmp,P0,UNSURE,mass 1",),
    "an unusable second finding": ("0.bmp,P0,BENIGN,mass 1", "0.bmp,P0,,mass 2"),
    "two patients": ("0.bmp,P0,BENIGN,mass 1", "0.bmp,P1,BENIGN,mass 2"),
}


@pytest.mark.parametrize("rows", DOUBTED.values(), ids=DOUBTED)
@pytest.mark.parametrize("name", ["copy.bmp", "again.png"])
def test_a_picture_whose_rows_are_in_doubt_does_not_come_back_under_another_name(made, folder, name, rows):
    """Neither as the same file nor as the same pixels in another one."""
    shutil.copyfile(folder / "0.bmp", folder / "copy.bmp")
    Image.open(folder / "0.bmp").save(folder / "again.png")
    others = [f"{line},mass 1" for line in LINES[1:]]
    header = "file,patient_id,pathology,abnormality"
    frame, bad = made(*others, f"{name},P9,MALIGNANT,mass 1", *rows, header=header)
    assert sorted(frame.index) == [str(number) for number in range(1, 8)]
    (row,) = [row for row in bad if row["source"] == name]
    assert row["image_id"] == name.partition(".")[0]
    assert row["reason"].startswith("the same image as 0.bmp (")
    assert len(bad) == 1 + len(rows), "every row is an image or a row of quarantine"


def test_a_picture_in_doubt_that_cannot_be_read_has_its_rows_alone_in_quarantine(made, folder):
    (folder / "0.bmp").write_bytes(b"no picture")
    frame, bad = made(*LINES[1:], "0.bmp,P0,UNSURE")
    assert len(frame) == 7
    assert [row["source"] for row in bad] == ["manifest.csv:9"]


def test_the_same_picture_with_two_labels_is_out_and_with_one_is_used_once(made, folder):
    Image.open(folder / "2.bmp").save(folder / "again.png")  # other bytes, the same pixels
    shutil.copyfile(folder / "4.bmp", folder / "copy.bmp")
    shutil.copyfile(folder / "6.bmp", folder / "same.bmp")
    lines = [*LINES, "again.png,P2,MALIGNANT", "copy.bmp,PX,MALIGNANT", "same.bmp,P6,BENIGN"]
    frame, rows = made(*lines)
    assert sorted(frame.index) == ["0", "1", "3", "5", "6", "7"]
    reasons = {row["image_id"]: row["reason"] for row in rows}
    assert reasons["2"] == reasons["again"] == "the same image with two labels: 2.bmp is BENIGN, again.png is MALIGNANT"
    assert reasons["4"] == reasons["copy"] == "the same image with two labels: 4.bmp is BENIGN, copy.bmp is MALIGNANT"
    assert reasons["same"] == "the same file as 6.bmp"
    assert len(lines) == len(frame) + len(rows)


@pytest.mark.parametrize("suffix", ["bmp", "png"])
def test_a_copy_under_another_patients_name_takes_no_test_image_into_train(made, folder, suffix):
    """By name it would come first, and its patient's hash may say train: then the old patient's image was learnt."""
    Image.open(folder / "1.bmp").save(folder / f"00_a.{suffix}")
    frame, rows = made(*LINES, f"00_a.{suffix},NEW,MALIGNANT")
    assert sorted(frame.index) == list("0234567")
    assert {row["image_id"] for row in rows} == {"1", "00_a"}
    assert all(row["reason"] == f"the same image of two patients: 00_a.{suffix}, 1.bmp" for row in rows)


def test_accents_and_slashes_of_another_system_find_their_file(made, folder):
    (folder / "Bäume").mkdir()
    names = [unicodedata.normalize("NFD", "Bäume/é.bmp"), "Bäume/ü.bmp"]
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.move(folder / f"{number}.bmp", folder / name)
    lines = ["Bäume\\é.bmp,Müller,BENIGN", unicodedata.normalize("NFD", "Bäume/ü.bmp,Müller,MALIGNANT"), *LINES[2:]]
    frame, rows = made(*lines)
    assert not rows
    assert {"Bäume__é", "Bäume__ü"} < set(frame.index)
    assert frame["patient_id"].nunique() == 7


BLANK_NAMES = {
    "blank": (["7.png", "7 .png"], ["7-", "7-"]),
    "no-break space": (["7.png", "7\N{NO-BREAK SPACE}.png"], ["7-", "7-"]),
    "one alone": ([" 7.png", "seven .png"], ["7", "seven"]),
    "nothing else": (["deep/ .png", " .png"], ["deep__", "blank-"]),
}


@pytest.mark.parametrize(("names", "starts"), BLANK_NAMES.values(), ids=BLANK_NAMES)
def test_names_are_what_is_read_back_whatever_blanks_are_at_their_ends(made, folder, rng, tmp_path, names, starts):
    (folder / "7.bmp").unlink()
    (folder / "deep").mkdir()
    for name in names:
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(folder / name)
    frame, _ = made(*LINES[:7], *(f'"{name}",Q{number},MALIGNANT' for number, name in enumerate(names)))
    made_of = frame.reset_index().set_index("patient_id")["image_id"]
    assert len(set(frame.index)) == 9
    for number, start in enumerate(starts):
        assert made_of[f"Q{number}"].startswith(start)
    assert verify(tmp_path / "set") == []


def test_a_space_is_a_space(made, folder):
    """As macOS puts one before AM, and Word between names."""
    os.rename(folder / "0.bmp", folder / "10\u202fAM.bmp")
    frame, rows = made("10 AM.bmp,Jane Doe,BENIGN", "1.bmp,Jane\u00a0Doe,MALIGNANT", *LINES[2:])
    assert not rows
    assert frame["patient_id"].nunique() == 7
    assert "10 AM" in frame.index


def test_a_hidden_file_that_a_row_names_is_read(made, folder):
    os.rename(folder / "0.bmp", folder / ".0.bmp")
    frame, rows = made(".0.bmp,P0,BENIGN", *LINES[1:])
    assert (len(frame), rows) == (8, [])


def test_two_files_whose_names_differ_in_bytes_alone_are_refused(made, folder, rng):
    for form in ("NFC", "NFD"):
        picture = Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8))
        picture.save(folder / unicodedata.normalize(form, "é.bmp"))
    _, rows = made(*LINES, "é.bmp,PE,BENIGN")
    assert [row["source"] for row in rows] == ["manifest.csv:10"]
    assert "2 files have this name" in rows[0]["reason"]


@pytest.mark.parametrize(
    "name", ["../secret.bmp", "..\\secret.bmp", "/etc/passwd", "C:\\x.bmp", "C:x.bmp", "\\\\server\\x.bmp"]
)
def test_a_path_that_leaves_its_folder_is_refused(made, folder, name):
    shutil.copyfile(folder / "0.bmp", folder.parent / "secret.bmp")
    _, rows = made(*LINES, f"{name},PX,BENIGN")
    assert "leaves its folder" in rows[0]["reason"]


def test_only_regular_files_below_the_source_are_opened(made, folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("L", (64, 64), 7).save(outside / "secret.png")
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "d").symlink_to(outside)
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe2.png")
    (folder / "alias.png").symlink_to("pipe2.png")
    (folder / "folder.png").mkdir()
    (folder / "within").symlink_to(".")
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "there.png").symlink_to("back.png")
    (folder / "back.png").symlink_to("there.png")
    refused = ["link.png", "d/secret.png", "pipe.png", "alias.png", "folder.png", "itself.png", "there.png"]
    frame, rows = made(*LINES[1:], "within/0.bmp,P0,BENIGN", *(f"{name},PX,BENIGN" for name in refused))
    assert {row["source"] for row in rows} == set(refused)
    assert len(frame) == 8
    reasons = {row["source"]: row["reason"] for row in rows}
    assert "leaves its folder by a link" in reasons["link.png"]
    assert "leaves its folder by a link" in reasons["d/secret.png"]
    assert "or is one to itself" in reasons["itself.png"] == reasons["there.png"]
    assert "no regular file" in reasons["pipe.png"]
    assert "no regular file" in reasons["alias.png"]
    assert "folder" in reasons["folder.png"]


def test_formulas_are_no_formulas_in_the_tables_and_come_back(made, folder, tmp_path):
    os.rename(folder / "0.bmp", folder / "=cmd|' C calc'!A0.bmp")
    frame, rows = made("=cmd|' C calc'!A0.bmp,=HYPERLINK(1),BENIGN", *LINES[1:], "@x.bmp,P1,BENIGN", "-1,+2,UNSURE")
    assert frame["patient_id"].tolist().count("=HYPERLINK(1)") == 1
    assert verify(tmp_path / "set") == []
    for name in ("manifest.csv", "quarantine.csv"):
        with (tmp_path / "set" / name).open(newline="") as file:
            assert not [cell for row in csv.reader(file) for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert len(rows) == 2


def test_pathologies_in_any_case(made):
    frame, rows = made(*LINES[:6], "6.bmp,P6,benign without callback", "7.bmp,P7,Malignant")
    assert not rows
    assert frame.loc[["6", "7"], "pathology"].tolist() == ["BENIGN_WITHOUT_CALLBACK", "MALIGNANT"]


def test_the_table_of_quarantine_that_is_named_is_there(made, caplog, tmp_path):
    caplog.set_level("INFO")
    made(*LINES, "9.bmp,P9,BENIGN")
    assert f"1 rows set aside in {tmp_path / 'set/quarantine.csv'}" in caplog.text
    with pytest.raises(ValueError, match=r"cannot both be split .*\(1 rows are set aside in (.*)\)$") as caught:
        made("0.bmp,P0,BENIGN", "9.bmp,P9,BENIGN", config=DataConfig(size=28, max_bad=0.5, split="image"))
    assert Path(str(caught.value).rpartition(" in ")[2].rstrip(")")).is_file()


SPLIT = "file,patient_id,pathology,split"
ROLES = ("train", "train", "test", "test", "train", "train", "validation", " VAL")


def with_roles(*roles):
    return [f"{line},{role}" for line, role in zip(LINES, roles, strict=True)]


def test_a_column_split_decides_and_its_validation_is_a_role_of_its_own(made, folder, tmp_path):
    frame, rows = made(*with_roles(*ROLES), header=SPLIT)
    assert not rows
    expected = [*ROLES[:6], "validation", "validation"]
    assert frame.loc[list("01234567"), "split"].tolist() == expected
    dataset = Dataset.read(tmp_path / "set")
    assert dataset.train.image_ids == list("0145")
    assert dataset.test.image_ids == list("23")
    assert dataset.validation.image_ids == list("67")
    made_of = summary.read(tmp_path / "set").whole
    sides = made_of.splits
    assert (made_of.images, sides.train.images, sides.test.images) == (8, 4, 2)
    assert sides.validation == Counts(images=2, benign=1, malignant=1, patients=2)
    assert sides.given
    assert verify(tmp_path / "set") == []
    digest = made_of.data_digest
    made(*with_roles(*ROLES[:6], "test", "test"), header=SPLIT)
    assert summary.read(tmp_path / "set").data_digest != digest


def test_validation_images_are_trained_on_by_nothing(made, tmp_path):
    made(*with_roles(*ROLES), header=SPLIT)
    minority.filter_minority(tmp_path / "set", "malignant", tmp_path / "minority")
    for folder in ("set", "minority"):
        learnt = minority.training_set(tmp_path / folder, "malignant")
        assert (learnt.validation_patients, len(learnt.validation)) == (["P7"], 1)
        assert sorted(learnt.patients) == ["P1", "P5"]
        assert len(learnt.images) == 2
        reals = read_reals(Dataset.read(tmp_path / folder), 1)
        assert {side: len(images) for side, images in reals.items()} == {"train": 2, "test": 1}


def test_a_test_image_of_a_patient_who_was_learnt_or_chosen_by_measures_nothing(made, tmp_path):
    """By hand too: what stands under one key is the same as the winner's."""
    made(*with_roles(*ROLES), header=SPLIT)
    frame = manifest.read(tmp_path / "set")
    for role in ("train", "validation"):
        patient = frame.loc[(frame["split"] == role) & (frame["label"] == 1), "patient_id"].iloc[0]
        leaky = frame.assign(patient_id=frame["patient_id"].where(frame["split"] != "test", patient))
        manifest.write(leaky, tmp_path / "set")
        assert len(read_reals(Dataset.read(tmp_path / "set"), 1)["test"]) == 0


@pytest.mark.parametrize("unit", ["image", "patient"])
def test_an_empty_column_split_leaves_it_to_the_settings(made, tmp_path, unit):
    config = replace(CONFIG, split=unit)
    whole, _ = made(*LINES, config=config)
    found, _ = made(*with_roles(*[""] * 8), header=SPLIT, config=config)
    assert found["split"].equals(whole["split"])
    assert not summary.read(tmp_path / "set").whole.splits.given


@pytest.mark.parametrize(
    ("roles", "line", "reason"),
    [
        ({1: "dev"}, 3, "split='dev': write train, test, validation"),
        ({1: "train test"}, 3, "split='train test': write train, test, validation"),
        ({1: ""}, 3, "split='': other rows say theirs"),
    ],
)
def test_a_row_without_a_known_split_is_out(made, roles, line, reason):
    frame, rows = made(*with_roles(*(roles.get(number, role) for number, role in enumerate(ROLES))), header=SPLIT)
    assert "1" not in frame.index
    assert len(frame) == 7
    (row,) = rows
    assert row["source"] == f"manifest.csv:{line}"
    assert reason in row["reason"]


@pytest.mark.parametrize("name", ["copy.bmp", "again.png"])
def test_a_picture_without_a_role_does_not_come_back_under_another_name(made, folder, name):
    """Whether it may be learnt from is not known, whatever the row of its copy says."""
    shutil.copyfile(folder / "1.bmp", folder / "copy.bmp")
    Image.open(folder / "1.bmp").save(folder / "again.png")
    roles = ["" if number == 1 else role for number, role in enumerate(ROLES)]
    frame, rows = made(*with_roles(*roles), f"{name},P9,MALIGNANT,train", header=SPLIT)
    assert sorted(frame.index) == ["0", "2", "3", "4", "5", "6", "7"]
    assert {row["source"] for row in rows} == {name, "manifest.csv:3"}


def test_an_image_of_two_splits_is_out_with_both_lines(made):
    frame, rows = made(*with_roles(*ROLES), "1.bmp,P1,MALIGNANT,Test", "5.bmp,P5,MALIGNANT,", header=SPLIT)
    assert "1" not in frame.index
    assert frame.loc["5", "split"] == "train"
    out = [row for row in rows if row["image_id"] == "1"]
    assert {row["source"] for row in out} == {"manifest.csv:3", "manifest.csv:10"}
    assert all("split is 'train' in line 3 and 'test' in line 10" in row["reason"] for row in out)


def test_one_picture_in_two_splits_under_two_names_is_in_neither(made, folder):
    shutil.copyfile(folder / "0.bmp", folder / "again.bmp")
    frame, rows = made(*with_roles(*ROLES), "again.bmp,P9,BENIGN,test", header=SPLIT)
    assert sorted(frame.index) == list("1234567")
    assert {row["image_id"]: row["reason"] for row in rows} == dict.fromkeys(
        ("0", "again"), "the same image in two splits: 0.bmp is train, again.bmp is test"
    )


def test_a_patient_in_train_and_test_is_refused_by_lines_where_patients_are_kept_together(made, folder):
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (64, 1))).save(folder / "more.bmp")
    lines = [*with_roles(*ROLES), "more.bmp,P1,BENIGN,test"]
    with pytest.raises(
        ValueError, match=r"split='train' in line 3 and split='test' in line 10; data\.split"
    ) as refused:
        made(*lines, header=SPLIT)
    assert "P1" not in str(refused.value)
    frame, rows = made(*lines, header=SPLIT, config=replace(CONFIG, split="image"))
    assert (frame.loc["more", "split"], len(rows)) == ("test", 0)


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (["train"] * 8, "the test split would have no benign image of 4"),
        (["test"] * 7 + ["train"], "the train split would have no benign image of 4"),
        (["train", "val"] * 3 + ["test"] * 2, "the train split would have no malignant image of 4"),
    ],
)
def test_a_given_side_without_a_class_is_refused(made, roles, message):
    with pytest.raises(ValueError, match=rf"the manifest's column split: {message}; give it some"):
        made(*with_roles(*roles), header=SPLIT)


def test_a_data_set_as_a_source_keeps_its_sides(made, folder, tmp_path):
    """Its manifest has the columns of a source's, and says what each image is for."""
    frame, _ = made(*with_roles(*ROLES), header=SPLIT)
    ingest(str(tmp_path / "set"), "", CONFIG, tmp_path / "again", workers=1)
    again = manifest.read(tmp_path / "again").set_index("source")
    assert {name: again.loc[f"images/{name}.png", "split"] for name in frame.index} == frame["split"].to_dict()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_mask_that_is_listed_is_set_aside_and_a_dark_mammogram_is_not(made, folder, rng, suffix):
    """As BUSI has them, beside the images and with their names; JPEG blurs the edge."""
    y, x = np.mgrid[:256, :256]
    blob = ((y - 100) ** 2 + (x - 140) ** 2 < 40**2).astype(np.uint8) * 255
    breast = (((y - 128) ** 2 + x**2 < 30**2) * rng.integers(40, 250, (256, 256))).astype(np.uint8)
    Image.fromarray(blob).save(folder / f"one_mask.{suffix}")
    Image.fromarray(breast).save(folder / f"dark.{suffix}")
    frame, rows = made(*LINES, f"one_mask.{suffix},M,BENIGN", f"dark.{suffix},D,BENIGN")
    assert "dark" in frame.index
    reason = {
        "png": "its pixels have two values alone, as those of a mask or of one bit a pixel",
        "jpg": "nearly all of it is black or white, as a mask is",
    }[suffix]
    assert [(row["image_id"], row["reason"]) for row in rows] == [("one_mask", reason)]


def test_an_abnormality_is_one_however_its_number_is_filled_up(made):
    lines = [f"{line},1" for line in LINES] + ["2.bmp,P2,MALIGNANT,01"]
    frame, rows = made(*lines, header="file,patient_id,pathology,abnormality_id")
    assert "2" not in frame.index
    assert "abnormality '1' is 'BENIGN' in line 4 and 'MALIGNANT' in line 10" in rows[0]["reason"]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_patient_is_one_however_capitals_are_used(made, reverse):
    lines = [
        line.replace(f",P{number},", f",{name},")
        for (number, line), name in zip(enumerate(LINES), ["Pa", "pA", "PB", "pb", *"cdef"], strict=True)
    ]
    frame, _ = made(*(reversed(lines) if reverse else lines))
    assert frame["patient_id"].tolist() == ["Pa", "Pa", "PB", "PB", *"cdef"]


def test_a_patient_in_two_cases_is_not_parted(folder, tmp_path):
    lines = [
        f"{number}.bmp,{'pP'[number % 2]}{number // 4},{'MALIGNANT' if number % 3 else 'BENIGN'},"
        f"{'test' if number == 5 else 'train'}"
        for number in range(8)
    ]
    (folder / "manifest.csv").write_text("\n".join(["file,patient_id,pathology,split", *lines]))
    with pytest.raises(ValueError, match="one patient is split='train' in line"):
        ingest(str(folder), "", replace(CONFIG, split="patient"), tmp_path / "set", workers=1)


def test_a_shielded_cell_stays_as_it_is_over_generations(folder, tmp_path):
    names = ["=P0", "'=P1", "''+P2", "-P3", "'P4", "@P5", "P6", "'"]
    lines = [
        line.replace(f",P{number},", f",{name},") for (number, line), name in zip(enumerate(LINES), names, strict=True)
    ]
    (folder / "manifest.csv").write_text("\n".join(["file,patient_id,pathology", *lines]))
    source = folder
    for generation in range(3):
        made = tmp_path / f"set{generation}"
        ingest(str(source), "", replace(CONFIG, split="image"), made, workers=1)
        assert manifest.read(made)["patient_id"].tolist() == names
        source = made


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (lambda path: path.symlink_to("/etc/hostname"), "a link that leads out of the folder, or nowhere"),
        (lambda path: path.symlink_to("nothing.csv"), "a link that leads out of the folder, or nowhere"),
        (os.mkfifo, "a pipe, a socket or a device"),
        (Path.mkdir, "a folder"),
    ],
)
def test_a_manifest_that_may_not_be_opened_is_named(folder, tmp_path, place, reason):
    place(folder / "manifest.csv")
    with pytest.raises(ValueError, match=f"manifest.csv is {reason}; give a regular file"):
        ingest(str(folder), "", CONFIG, tmp_path / "set", workers=1)


def test_a_title_above_the_header_of_a_manifest_is_named(folder, tmp_path):
    (folder / "manifest.csv").write_text("\n".join(["Ours, of 2026", "file;patient_id;pathology", *LINES]))
    with pytest.raises(ValueError, match=r"manifest\.csv: the header stands in line 2; delete"):
        ingest(str(folder), "", CONFIG, tmp_path / "set", workers=1)


def test_an_image_of_one_bit_says_so(folder, made, dicom_bytes, rng):
    bits = rng.integers(0, 2, (64, 64), dtype=np.uint8)
    packed = np.packbits(bits, axis=None, bitorder="little").reshape(64, 8)
    content = dicom_bytes(packed, Rows=64, Columns=64, BitsAllocated=1, BitsStored=1, HighBit=0)
    (folder / "one.dcm").write_bytes(content)
    Image.fromarray(bits * 255).convert("1").save(folder / "two.png")
    _, rows = made(*LINES, "one.dcm,P90,BENIGN", "two.png,P91,BENIGN")
    assert {row["image_id"] for row in rows} == {"one", "two"}
    for row in rows:
        assert row["reason"] == "its pixels have two values alone, as those of a mask or of one bit a pixel"
