import csv
import re
import shutil

import pytest

from mammogan.config import SUBSETS, DataConfig
from mammogan.data import idc
from mammogan.data.cbis_ddsm import doubted_images, label_of, lost_images, read_cases, subset_of, wanted_images
from mammogan.data.sources import locate

HEADER = (
    "patient_id,breast density,left or right breast,image view,abnormality id,abnormality type,"
    "pathology,image file path,cropped image file path,ROI mask file path"
)


def row(pathology="BENIGN", number=1, patient="P_00001", uid="1.1", subset="Calc-Training"):
    name = f"{subset}_{patient}_LEFT_CC"
    crop = f"{name}_{number}/2.{number}/3.{number}"
    return (
        f'{patient},2,LEFT,CC,{number},calcification,{pathology},{name}/9/{uid}/000000.dcm,"{crop}/000001.dcm\n",'
        f"{crop}/000000.dcm"
    )


@pytest.fixture
def labels(tmp_path):
    def write(*rows, header=HEADER, name="cases.csv"):
        (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
        return str(tmp_path)

    return write


@pytest.mark.parametrize(
    ("subset", "images", "malignant", "patients", "mixed", "crops"),
    [
        ("calc-train", 1227, 509, 602, 7, 1546),
        ("calc-test", 284, 119, 151, 2, 326),
        ("mass-train", 1231, 602, 691, 6, 1318),
        ("mass-test", 361, 145, 201, 2, 378),
        ("+".join(SUBSETS), 3032, 1347, 1566, 33, 3568),
    ],
)
def test_counts_of_the_official_csvs(shared, subset, images, malignant, patients, mixed, crops):
    found = read_cases(str(shared / "data/cbis_ddsm/csv"), subset)
    full, bad = wanted_images(found, "full")
    assert (len(full), sum(image.label for image in full)) == (images, malignant)
    assert len({image.patient_id for image in full}) == patients
    assert sum(image.mixed for image in full) == mixed
    assert len(wanted_images(found, "crop")[0]) == crops
    assert not bad
    assert len({image.series_uids for image in full}) == images


def test_names_with_a_subset_suffix_are_case_files(shared):
    found = read_cases(str(shared / "data/cbis_ddsm/dicom_small"), "mass-test")
    assert len(wanted_images(found, "full")[0]) == 8


@pytest.mark.parametrize(
    ("pathologies", "label", "pathology", "mixed"),
    [
        (["BENIGN", "MALIGNANT"], 1, "MALIGNANT", True),
        (["BENIGN_WITHOUT_CALLBACK", "BENIGN"], 0, "BENIGN", False),
        (["BENIGN_WITHOUT_CALLBACK"], 0, "BENIGN_WITHOUT_CALLBACK", False),
    ],
)
def test_any_malignant_abnormality_makes_the_image_malignant(labels, pathologies, label, pathology, mixed):
    found = read_cases(labels(*(row(each, number) for number, each in enumerate(pathologies, 1))), "calc-train")
    (image,), _ = wanted_images(found, "full")
    assert (image.label, image.pathology, image.mixed) == (label, pathology, mixed)
    crops, _ = wanted_images(found, "crop")
    assert [crop.label for crop in crops] == [label_of(each) for each in pathologies]


def test_a_quoted_newline_is_no_part_of_a_path(labels):
    (crop,), _ = wanted_images(read_cases(labels(row()), "calc-train"), "crop")
    assert crop.series_uids == ("3.1",)
    assert crop.image_id == "Calc-Training_P_00001_LEFT_CC_1"


def test_both_spellings_of_breast_density(labels):
    folder = labels(row(), header=HEADER.replace("breast density", "breast_density"))
    assert len(read_cases(folder, "calc-train").cases) == 1


def test_overlapping_files_count_once(labels):
    labels(row(), row("MALIGNANT", 2))
    folder = labels(row(), name="again.csv")
    assert len(read_cases(folder, "calc-train").cases) == 2


def test_a_patient_is_one_in_capitals_and_in_small_letters(labels):
    """Else one of the two could be in train and the other in test."""
    folder = labels(row(patient="p_00001"), row(patient="P_00001", uid="1.2"), row(patient="P_00002", uid="1.3"))
    wanted, bad = wanted_images(read_cases(folder, "calc-train"), "full")
    assert [image.patient_id for image in wanted] == ["P_00001", "P_00002", "P_00001"]
    assert bad == []


def test_an_image_with_a_spoilt_row_is_left_out_as_a_whole(labels):
    folder = labels(row("BENIGN", 1), row("UNSURE", 2), row(patient="P_00002", uid="1.2"))
    wanted, bad = wanted_images(read_cases(folder, "calc-train"), "full")
    assert [image.patient_id for image in wanted] == ["P_00002"]
    assert "UNSURE" in bad[0].reason
    assert bad[0].source == "cases.csv:5"  # the quoted newlines make each row two lines


NAME = "Calc-Training_P_00001_LEFT_CC"


@pytest.mark.parametrize(
    "path",
    [
        "", f"/data/{NAME}/9/1.1/1.dcm", f"./{NAME}/9/1.1/1.dcm", f"C:\\d\\{NAME}\\9\\1.1\\1.dcm",
        f"CBIS-DDSM/{NAME}/9/1.1/1.dcm", "Cal-Training_P_00001_LEFT_CC/9/1.1/1.dcm", "9/1.1/1.dcm", "1.dcm", "?",
    ],
)  # fmt: skip
@pytest.mark.parametrize("patient", ["P_00001", "p_00001", ""])
def test_a_finding_whose_path_cannot_be_used_spoils_the_mammogram_that_it_names_otherwise(labels, path, patient):
    """By the crop's path, or by patient, side and view: its label may be the one that counts."""
    bad = re.sub(r"Calc-Training_P_00001_LEFT_CC/9/1\.1/\w+\.dcm", lambda _: path, row("MALIGNANT", 2), count=1)
    folder = labels(row(), bad.replace("P_00001,", f"{patient},", 1), row(patient="P_00002", uid="1.2"))
    found = read_cases(folder, "calc-train")
    wanted, rejected = wanted_images(found, "full")
    assert [image.patient_id for image in wanted] == ["P_00002"]
    assert {each.image_id for each in rejected} == {NAME}
    assert lost_images(rejected, "full") == 1


def test_an_image_of_an_absolute_path_alone_is_looked_for_to_be_known_again(labels):
    folder = labels(row().replace(f"{NAME}/9/", f"/x/{NAME}/9/"), row(patient="P_00002", uid="1.2"))
    (doubted,) = doubted_images(read_cases(folder, "calc-train"), "full")
    assert (doubted.image_id, doubted.series_uids) == (NAME, ("1.1",))


def test_a_row_without_paths_spoils_by_patient_side_and_view_alone(labels):
    bad = "P_00001,2,LEFT,CC,2,calcification,MALIGNANT,,,"
    found = read_cases(labels(row(), bad, row(patient="P_00002", uid="1.2")), "calc-train")
    assert [image.patient_id for image in wanted_images(found, "full")[0]] == ["P_00002"]


@pytest.mark.parametrize(
    "unusable",
    [row("UNSURE"), "P_00001,2,LEFT,CC,1,calcification,MALIGNANT,,,Calc-Training_P_00001_LEFT_CC_1/2.1/3.1/1.dcm"],
)
def test_an_unusable_row_of_a_crop_spoils_it(labels, unusable):
    folder = labels(row(), unusable, row(number=2), row(patient="P_00002", uid="1.2"))
    wanted, _ = wanted_images(read_cases(folder, "calc-train"), "crop")
    assert [image.image_id for image in wanted] == [f"{NAME}_2", "Calc-Training_P_00002_LEFT_CC_1"]


@pytest.mark.parametrize(
    ("unusable", "left"),
    [
        ("P_00001,2,LEFT,CC,1,calcification,MALIGNANT,,,", ["2"]),
        ("p_00001,2,left,CC,1.0,Calcification,UNSURE,,,", ["2"]),
        ("P_00001,2,LEFT,CC,3,calcification,MALIGNANT,,,", ["1", "2"]),
        ("P_00001,2,LEFT,CC,1,mass,MALIGNANT,,,", ["1", "2"]),
        ("P_00001,2,LEFT,CC,,calcification,MALIGNANT,,,", []),
        ("P_00001,2,LEFT,CC,2,,MALIGNANT,,,", []),
        ("P_00001,2,LEFT,MLO,1,calcification,MALIGNANT,,,", ["1", "2"]),
        (f"P_00001,2,LEFT,CC,2,,MALIGNANT,,{NAME}_1/2.1/3.1/1.dcm,", ["2"]),
    ],
)
def test_a_row_without_a_crop_spoils_the_abnormality_that_it_names(labels, unusable, left):
    """Or every crop of the mammogram, where it does not say which abnormality it means."""
    found = read_cases(labels(row(), unusable, row(number=2), row(patient="P_00002", uid="1.2")), "calc-train")
    wanted, rejected = wanted_images(found, "crop")
    names = [f"{NAME}_{number}" for number in left]
    assert [image.image_id for image in wanted] == [*names, "Calc-Training_P_00002_LEFT_CC_1"]
    assert len(rejected) == 1 + 2 - len(left)


@pytest.mark.parametrize("path", ["../../etc/1.2/x.dcm", "a//1.2/x.dcm", "x.dcm", "/etc/1.2/x.dcm"])
def test_a_path_that_leaves_its_root_is_a_bad_row(labels, path):
    folder = labels(row(), row(patient="P_00002").replace("Calc-Training_P_00002_LEFT_CC/9/1.1/000000.dcm", path))
    found = read_cases(folder, "calc-train")
    assert len(found.cases) == 1
    assert "image_file_path" in found.bad[0].reason


def test_a_cut_off_line_is_a_bad_row(labels):
    found = read_cases(labels(row(), "P_00002,2,LEFT,CC,1,calcification,BENI"), "calc-train")
    assert (len(found.cases), len(found.bad)) == (1, 1)


def test_a_missing_column_is_named(labels):
    with pytest.raises(ValueError, match="lacks the column pathology"):
        read_cases(labels(row(), header=HEADER.replace("pathology", "path")), "calc-train")


def test_a_subset_without_rows_says_what_there_is(labels):
    with pytest.raises(ValueError, match=r"no row of mass-test .* hold calc-train"):
        read_cases(labels(row()), "mass-test")


def test_a_folder_without_case_csvs(labels, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FileNotFoundError, match=r"found 1 \*\.csv; .*; read as other\.csv"):
        read_cases(str(tmp_path), "calc-train")


def test_subset_of_a_folder_name():
    assert subset_of("Mass-Test_P_00016_LEFT_CC") == "mass-test"
    with pytest.raises(ValueError, match="starts with none"):
        subset_of("P_00016")


def test_labels_that_are_no_folder_or_hold_no_case_csv_say_so_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^labels='/nonexist': no such folder; give the folder of the case-"):
        read_cases("/nonexist", "calc-train")
    (tmp_path / "prices.csv").write_text("fruit,price\n")
    with pytest.raises(FileNotFoundError, match=r"found 1 \*\.csv; give the folder of the four CSVs"):
        read_cases(str(tmp_path), "calc-train")


@pytest.mark.parametrize("images", ["full", "crop"])
def test_what_is_left_out_for_its_rows_is_still_looked_for_to_be_known_again(labels, images):
    """By its series, so that its picture is known under another name; never beside a wanted image of its name."""
    labels(row("MALIGNANT", 1), row(number=2, patient="P_00002", uid="1.2"))
    folder = labels(row("BENIGN", 1), name="more.csv")
    found = read_cases(folder, "calc-train")
    (wanted,), _ = wanted_images(found, images)
    (doubted,) = doubted_images(found, images)
    assert (wanted.patient_id, wanted.doubt) == ("P_00002", "")
    assert (doubted.patient_id, doubted.doubt) == ("P_00001", "rows contradict each other")
    assert doubted.series_uids
    assert not set(doubted.series_uids) & set(wanted.series_uids)


def test_a_spoilt_mammogram_is_looked_for_too(labels):
    folder = labels(row(number=1), row("UNSURE", 2), row(patient="P_00002", uid="1.2"))
    found = read_cases(folder, "calc-train")
    (doubted,) = doubted_images(found, "full")
    assert doubted.doubt.startswith("another row of its image cannot be used")
    (crop,) = doubted_images(found, "crop")
    assert (crop.image_id, crop.doubt) == ("Calc-Training_P_00001_LEFT_CC_2", "its row cannot be used")


@pytest.mark.parametrize("images", ["full", "crop"])
@pytest.mark.parametrize(
    ("written", "instead"),
    [
        (",BENIGN,", ",UNSURE,"), (",BENIGN,", ",,"), ("P_00001,2", ",2"), (",LEFT,", ",,"), (",CC,1,", ",,1,"),
        (",1,calc", ",,calc"), ("$", ",z"),
    ],
)  # fmt: skip
def test_so_is_one_of_which_no_row_can_be_used(labels, images, written, instead):
    folder = labels(re.sub(written, instead, row(), count=1), row(patient="P_00002", uid="1.2"))
    found = read_cases(folder, "calc-train")
    assert [image.patient_id for image in wanted_images(found, images)[0]] == ["P_00002"]
    (doubted,) = doubted_images(found, images)
    assert doubted.doubt == "its row cannot be used"
    assert doubted.series_uids == {"full": ("1.1",), "crop": ("3.1",)}[images]


@pytest.mark.parametrize("images", ["full", "crop"])
def test_a_path_that_cannot_be_used_leaves_the_other_one(labels, images):
    bad = {"full": '"Calc-Training_P_00001_LEFT_CC_1/2.1/3.1/000001.dcm', "crop": "Calc-Training_P_00001_LEFT_CC/9/1.1"}
    folder = labels(
        row().replace(bad[images], bad[images].replace("Calc-", "../"), 1), row(patient="P_00002", uid="1.2")
    )
    (doubted,) = doubted_images(read_cases(folder, "calc-train"), images)
    assert doubted.series_uids == {"full": ("1.1",), "crop": ("3.1",)}[images]


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("b.csv", "a.csv")])
def test_one_abnormality_with_two_labels_is_out_with_both_lines_named(labels, names):
    labels(row("MALIGNANT", 1), row("BENIGN", 2), row(patient="P_00002", uid="1.2"), name=names[0])
    folder = labels(row("BENIGN", 1), name=names[1])
    found = read_cases(folder, "calc-train")
    wanted, bad = wanted_images(found, "full")
    assert [image.patient_id for image in wanted] == ["P_00002"]
    lines = [f"{names[0]}:3", f"{names[1]}:3"]
    contradicted = [each for each in bad if "contradict" in each.reason]
    assert sorted(each.source for each in contradicted) == sorted(lines)
    assert all(line in each.reason for each in contradicted for line in lines)
    assert [each.source for each in bad if each not in contradicted] == [f"{names[0]}:5"]
    assert lost_images(bad, "full") == 1
    crops, _ = wanted_images(found, "crop")
    assert [crop.image_id[-17:] for crop in crops] == ["P_00001_LEFT_CC_2", "P_00002_LEFT_CC_1"]


def test_one_crop_with_two_labels_is_out_whatever_its_abnormality_is_called(labels):
    labels(row("MALIGNANT"), row(patient="P_00002", uid="1.2"))
    folder = labels(row("BENIGN").replace("calcification", "mass"), name="other.csv")
    assert [image.patient_id for image in wanted_images(read_cases(folder, "calc-train"), "full")[0]] == ["P_00002"]


def test_one_abnormality_with_two_labels_is_out_whatever_its_crop_is_called(labels):
    labels(row("MALIGNANT"), row(patient="P_00002", uid="1.2"))
    folder = labels(row("BENIGN").replace("_LEFT_CC_1/", "_LEFT_CC_01/"), name="other.csv")
    assert [image.patient_id for image in wanted_images(read_cases(folder, "calc-train"), "full")[0]] == ["P_00002"]


@pytest.mark.parametrize("kind", ["Calcification,", "CALCIFICATION ,", "calcification,"])
def test_one_abnormality_with_two_labels_is_out_in_any_spelling(labels, kind):
    labels(row("MALIGNANT"), row(patient="P_00002", uid="1.2"))
    other = row("BENIGN").replace("_LEFT_CC_1/", "_LEFT_CC_01/").replace("CC,1,calcification,", f"CC,1.0,{kind}")
    folder = labels(other, name="other.csv")
    assert [image.patient_id for image in wanted_images(read_cases(folder, "calc-train"), "full")[0]] == ["P_00002"]


def test_two_patients_of_one_image_contradict_each_other(labels):
    found = read_cases(labels(row(), row(number=2).replace("P_00001,2", "P_00007,2")), "calc-train")
    assert wanted_images(found, "full")[0] == []
    assert all("P_00007 LEFT CC" in each.reason for each in found.bad)


@pytest.mark.parametrize("images", ["full", "crop"])
def test_one_crop_in_the_rows_of_two_mammograms_is_nobody_s(labels, images):
    """It was the patient's whose row came first in the order of the images' names."""
    other = row(patient="P_00007", uid="1.7")
    crop = row().partition("dcm,")[2]
    folder = labels(row(), other.partition("dcm,")[0] + "dcm," + crop, row(patient="P_00002", uid="1.2"))
    wanted, bad = wanted_images(read_cases(folder, "calc-train"), images)
    assert [image.patient_id for image in wanted] == ["P_00002"]
    assert len(bad) == 2
    assert all("P_00001 LEFT CC" in each.reason and "P_00007 LEFT CC" in each.reason for each in bad)


@pytest.mark.parametrize(("calc", "mass", "label"), [("BENIGN", "MALIGNANT", 1), ("BENIGN", "BENIGN", 0)])
def test_a_mammogram_of_two_subsets_is_one_image_by_the_rule(labels, calc, mass, label):
    folder = labels(row(calc), row(mass, subset="Mass-Test", uid="8.8"), row(subset="Mass-Test", patient="P_00002"))
    both, _ = wanted_images(read_cases(folder, "calc-train+mass-test"), "full")
    image = next(each for each in both if each.patient_id == "P_00001")
    assert len(both) == 2
    assert (image.label, image.mixed, image.subset) == (label, bool(label), "mass-test")  # never trained on
    assert (image.series_uids, image.twins) == (("8.8",), ("1.1",))
    (alone,), _ = wanted_images(read_cases(folder, "calc-train"), "full")
    assert (alone.label, alone.subset, alone.twins) == (0, "calc-train", ())


def test_an_unusable_row_of_one_subset_takes_the_mammogram_out_of_the_union(labels):
    folder = labels(row(), row("UNSURE", subset="Mass-Test", uid="8.8"), row(subset="Mass-Test", patient="P_00002"))
    wanted, bad = wanted_images(read_cases(folder, "calc-train+mass-test"), "full")
    assert [image.patient_id for image in wanted] == ["P_00002"]
    assert [each.source for each in bad] == ["cases.csv:5", "cases.csv:3"]


def test_the_71_mammograms_of_two_subsets(shared):
    folder = str(shared / "data/cbis_ddsm/csv")
    images, _ = wanted_images(read_cases(folder, "+".join(SUBSETS)), "full")
    twins = [image for image in images if image.twins]
    assert len(twins) == 71
    assert sum(image.subset.endswith("-test") for image in twins) == 33
    alone = {}
    for subset in SUBSETS:
        for image in wanted_images(read_cases(folder, subset), "full")[0]:
            alone.setdefault((image.patient_id, image.laterality, image.view), set()).add(image.label)
    labels = {(each.patient_id, each.laterality, each.view): each.label for each in twins}
    assert sum(alone[key] == {0, 1} for key in labels) == 16
    assert all(label == max(alone[key]) for key, label in labels.items())


def test_a_twin_serves_where_the_first_is_not_there(phantom, tmp_path):
    """As a source that holds the calcifications alone."""
    folder = shutil.copytree(phantom, tmp_path / "source")
    (table,) = folder.glob("*.csv")
    text = table.read_text()
    table.write_text(text.replace("Mass-Training", "Calc-Training"))
    header, first, *_ = csv.reader(text.splitlines(keepends=True))
    with (folder / "twin.csv").open("w", newline="") as file:
        twin = [cell.replace("Mass-Training", "Mass-Test").replace("/1.", "/9.") for cell in first]
        csv.writer(file).writerows([header, twin])
    located = locate(str(folder), "", DataConfig(subset="calc-train+mass-test"))
    (job,) = [job for job in located.jobs if job.spec.twins]
    assert job.spec.subset == "mass-test"
    assert job.series == job.spec.twins
    assert not located.bad


def test_a_case_csv_that_is_not_whole_is_refused_with_its_line(labels):
    folder = labels(row(), row(patient="P_00002").replace("LEFT", '"LEFT', 1), row(patient="P_00003"))
    with pytest.raises(ValueError, match=r"^labels='.*': cases\.csv:4: a quote that opens here"):
        read_cases(folder, "calc-train")


def test_what_was_found_is_told(tmp_path):
    (tmp_path / "mass_case_description_train_set.csv").write_bytes("patient id;pfad\nP;x\n".encode("utf-16"))
    with pytest.raises(
        FileNotFoundError,
        match=r"read as mass_\w+\.csv \(utf-16-le, separator ';', columns patient_id and 1 others\)$",
    ):
        read_cases(str(tmp_path), "mass-train")


def test_backslashes_and_any_case_are_read(labels):
    folder = labels(row("Malignant").replace("/", "\\"))
    (image,), _ = wanted_images(read_cases(folder, "calc-train"), "full")
    assert (image.image_id, image.pathology, image.series_uids) == (
        "Calc-Training_P_00001_LEFT_CC",
        "MALIGNANT",
        ("1.1",),
    )


def test_an_index_with_two_places_of_a_series_is_refused(tmp_path):
    lines = ["SeriesInstanceUID,series_aws_url,series_size_MB", "1.2,s3://b/x/*,1", "1.2,s3://b/y/*,1"]
    (tmp_path / "index.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"one series is at 's3://b/x' and at 's3://b/y'; keep one"):
        idc.read_index(str(tmp_path))
