import pytest

from mammogan.config import SUBSETS
from mammogan.data.cbis_ddsm import label_of, read_cases, subset_of, wanted_images

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


def test_an_image_with_a_spoilt_row_is_left_out_as_a_whole(labels):
    folder = labels(row("BENIGN", 1), row("UNSURE", 2), row(patient="P_00002", uid="1.2"))
    wanted, bad = wanted_images(read_cases(folder, "calc-train"), "full")
    assert [image.patient_id for image in wanted] == ["P_00002"]
    assert "UNSURE" in bad[0].reason
    assert bad[0].source == "cases.csv:5"  # the quoted newlines make each row two lines


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
    with pytest.raises(FileNotFoundError, match=r"found other\.csv"):
        read_cases(str(tmp_path), "calc-train")


def test_subset_of_a_folder_name():
    assert subset_of("Mass-Test_P_00016_LEFT_CC") == "mass-test"
    with pytest.raises(ValueError, match="starts with none"):
        subset_of("P_00016")


def test_labels_that_are_no_folder_or_hold_no_case_csv_say_so_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^labels='/nonexist': no such folder; give the folder of the case-"):
        read_cases("/nonexist", "calc-train")
    (tmp_path / "prices.csv").write_text("fruit,price\n")
    with pytest.raises(FileNotFoundError, match=r"found prices\.csv; give the folder of the four CSVs"):
        read_cases(str(tmp_path), "calc-train")
