"""Whatever the order of rows, their repetition and the dialect: the same data set, or a refusal; and no row is lost.

``FUZZ=50 pytest tests/data/test_label_properties.py`` runs fifty times as many cases.
"""

import codecs
import csv
import io
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz import fuzz

from mammogan.config import SUBSETS, DataConfig
from mammogan.data import cbis_ddsm, manifest, picture, picture_list, tables
from mammogan.data.ingest import ingest
from mammogan.data.listing import Listing

FILES = ("a.png", "a.bmp", "sub/b.png", "sub__b.png", "ä.png", "D.png", "d.png", "IM0001")
HEADER = ("file", "patient_id", "pathology", "laterality", "abnormality_id", "subset", "notes")
PATHOLOGIES = (*cbis_ddsm.PATHOLOGIES, "malignant", "UNSURE", "")
ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32": b"",
}


@st.composite
def dialects(draw):
    """A function that writes rows as the bytes of a CSV."""
    separator = draw(st.sampled_from(",;\t|"))
    encoding = draw(st.sampled_from(sorted(ENCODINGS)))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    form = draw(st.sampled_from(["NFC", "NFD"]))
    named = draw(st.booleans())
    slash = draw(st.sampled_from("/\\"))

    def write(rows):
        text = io.StringIO()
        table = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end)
        table.writerows([cell.replace("/", slash) for cell in row] for row in rows)
        content = unicodedata.normalize(form, (f"sep={separator}{end}" if named else "") + text.getvalue())
        return ENCODINGS[encoding] + content.encode(encoding)

    return write


def findings():
    """Rows of a manifest: good ones, ones that contradict each other, and ones that cannot be used."""
    usual = st.tuples(
        st.sampled_from([*FILES, "gone.png", "../x.png", "notes.txt", ""]),
        st.sampled_from(["P1", "P1", "P1", "Müller", ""]),
        st.sampled_from(PATHOLOGIES),
        st.sampled_from(["", "LEFT", "LEFT", "RIGHT"]),
        st.sampled_from(["", "1", "2"]),
        st.sampled_from(["", "mass", "Mass-Test"]),
        st.sampled_from(["", "a note, with; all| separators", 'a "quoted" word', "=1+1"]),
    )
    return st.lists(usual.filter(any), min_size=1, max_size=14)


def listed(folder, content, *, by_patient=False):
    (folder / "manifest.csv").write_bytes(content)
    table = tables.read(str(folder), "manifest.csv")
    return picture_list.read(table, Listing("", dict.fromkeys(FILES, "1-1"), ()), by_patient=by_patient)


def plain(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


@fuzz(150)
@given(findings(), dialects(), st.randoms(use_true_random=False))
def test_a_manifest_in_any_order_repetition_and_dialect_is_the_same_images(tmp_path_factory, rows, write, random):
    folder = tmp_path_factory.mktemp("source")
    expected = listed(folder, plain([HEADER, *rows]))
    assert len(rows) == len(expected.images) + len(expected.bad)
    shuffled = [*rows, *random.choices(rows, k=random.randrange(5))]
    random.shuffle(shuffled)
    found = listed(folder, write([HEADER, *shuffled]))
    assert found.images == expected.images
    assert len(shuffled) == len(found.images) + len(found.bad)
    assert len({row.source for row in found.bad}) == len(found.bad)


@fuzz(150)
@given(findings())
def test_the_label_is_the_rules_and_nothing_else(tmp_path_factory, rows):
    """An independent reading of the rule, file by file."""
    found = listed(tmp_path_factory.mktemp("source"), plain([HEADER, *rows]))
    labels = {}
    for file in {row[0] for row in rows} - {"", "../x.png", "notes.txt"}:
        mine = [row for row in rows if row[0] == file]
        usable = all(row[1] and row[2] not in ("", "UNSURE") for row in mine)
        one_patient = len({row[1] for row in mine}) == 1
        agreed = all(len({row[k] for row in mine} - {""}) < 2 for k in (3, 5))
        sure = Counter(row[4] for row in {(*row[:2], row[2].upper() == "MALIGNANT", *row[3:4], row[4]) for row in mine})
        of_one = {(row[4], row[2].upper() == "MALIGNANT") for row in mine if row[4]}
        if usable and one_patient and agreed and sure and len(of_one) == len({number for number, _ in of_one}):
            labels[file] = int(any(row[2].upper() == "MALIGNANT" for row in mine))
    assert {image.file: image.spec.label for image in found.images} == labels


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of eight pictures, without a manifest."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(picture.encode_png(rng.integers(0, 255, (32, 32), dtype=np.uint8)))
    return folder


@fuzz(25)
@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=4), dialects())
def test_a_data_set_in_any_order_repetition_and_dialect_is_the_same(tmp_path_factory, pictures, order, again, write):
    rows = [(name, f"P{n}", "MALIGNANT" if n % 2 else "BENIGN", "", "", "", "") for n, name in enumerate(FILES)]
    out = tmp_path_factory.mktemp("out")
    digests = []
    for content in (plain([HEADER, *rows]), write([HEADER, *(rows[n] for n in [*order, *again])])):
        (pictures / "manifest.csv").write_bytes(content)
        made = ingest(str(pictures), "", DataConfig(size=28), out / "set", workers=1)
        digests.append(made.data_digest)
        assert made.images == len(manifest.read(out / "set")) == len(FILES)
    assert digests[0] == digests[1]
    assert made.quarantined == len(again)


WORDS = {"train": "train", " Training": "train", "TEST": "test", "val": "validation", "Valid ": "validation"}


def splits():
    """Rows of a manifest with a column ``split``, some of which say nothing or what cannot be."""
    usual = st.tuples(
        st.sampled_from(FILES[:5]),
        st.sampled_from(["Müller", "Maier"]),
        st.sampled_from(["MALIGNANT", "BENIGN"]),
        st.sampled_from([*WORDS, *WORDS, *WORDS, "", "fold1"]),
    )
    return st.lists(usual, min_size=1, max_size=10)


def roles_of(rows):
    """An independent reading of the rule: the role of each file that is an image."""
    given, roles = any(row[3] in WORDS for row in rows), {}
    for file in {row[0] for row in rows}:
        mine = [row for row in rows if row[0] == file]
        said = {WORDS.get(row[3], row[3]) for row in mine} - {""}
        usable = "fold1" not in said and len({row[1] for row in mine}) == 1
        if usable and len(said) == (1 if given else 0):
            roles[file] = "".join(said)
    return roles


@fuzz(150)
@given(splits(), dialects(), st.randoms(use_true_random=False))
def test_what_an_image_is_for_is_as_its_rows_say_in_any_order(tmp_path_factory, rows, write, random):
    folder, header = tmp_path_factory.mktemp("source"), [*HEADER[:3], "split"]
    roles = roles_of(rows)
    shuffled = [*rows, *random.choices(rows, k=random.randrange(5))]
    random.shuffle(shuffled)
    content = write([header, *shuffled])
    found = listed(folder, content)
    assert {image.file: image.spec.split for image in found.images} == roles
    assert len(shuffled) == len(found.images) + len(found.bad)
    sides = {(row[1], roles[row[0]]) for row in rows if row[0] in roles}
    leaking = [who for who, side in sides if side == "train" and (who, "test") in sides]
    if not leaking:
        assert listed(folder, content, by_patient=True) == found
        return
    with pytest.raises(ValueError, match=r"split='train' in line .* and split='test' in line ") as refused:
        listed(folder, content, by_patient=True)
    assert not any(name in str(refused.value) for name in ("Müller", "Maier"))
    assert ("1 more patients" in str(refused.value)) == (len(leaking) == 2)


CASE_HEADER = (*cbis_ddsm.REQUIRED, "abnormality_type")


@st.composite
def cases(draw):
    """Rows of case CSVs: several subsets, mammograms that stand in two, contradictions, unusable rows."""
    rows = []
    for _ in range(draw(st.integers(1, 10))):
        kind = draw(st.sampled_from(["Calc-Training", "Mass-Training", "Calc-Test", "Mass-Test"]))
        patient, side = draw(st.sampled_from(["P_00001", "P_00002"])), draw(st.sampled_from(["LEFT", "RIGHT"]))
        number = draw(st.sampled_from("12"))
        name = f"{kind}_{patient}_{side}_CC"
        uid = f"1.{SUBSETS.index(cbis_ddsm.subset_of(name))}.{patient[-1]}.{len(side)}"
        crop = f"{name}_{number}/2.{uid}.{number}/3.{uid}.{number}"
        pathology = draw(st.sampled_from(PATHOLOGIES))
        row = [
            patient,
            side,
            "CC",
            number,
            pathology,
            f"{name}/4.{uid}/5.{uid}/0.dcm",
            f"{crop}/1.dcm",
            f"{crop}/0.dcm",
        ]
        rows.append((*row, kind.split("-")[0].lower()))
    return rows


def cases_of(folder, *contents):
    for number, content in enumerate(contents):
        (folder / f"{number}.csv").write_bytes(content)
    return cbis_ddsm.read_cases(str(folder), "+".join(SUBSETS))


@fuzz(150)
@given(cases(), dialects(), st.randoms(use_true_random=False))
def test_case_csvs_in_any_order_repetition_and_dialect_are_the_same_images(tmp_path_factory, rows, write, random):
    complete = [*rows, *(padding(subset) for subset in ("Calc-Training", "Mass-Training", "Calc-Test", "Mass-Test"))]
    expected = cases_of(tmp_path_factory.mktemp("labels"), plain([CASE_HEADER, *complete]))
    shuffled = [*complete, *random.choices(complete, k=random.randrange(5))]
    random.shuffle(shuffled)
    cut = random.randrange(len(shuffled) + 1)
    parts = shuffled[:cut], shuffled[cut:]
    found = cases_of(tmp_path_factory.mktemp("labels"), *(write([CASE_HEADER, *part]) for part in parts))
    for images in ("full", "crop"):
        wanted, bad = cbis_ddsm.wanted_images(found, images)
        assert wanted == cbis_ddsm.wanted_images(expected, images)[0]
        accounted = {row.image_id for row in bad}
        if images == "full":
            made = {(image.patient_id, image.laterality, image.view) for image in wanted}
            for row in shuffled:
                assert row[:3] in made or row[5].split("/")[0] in accounted
        else:
            made = {image.image_id for image in wanted}
            for row in shuffled:
                assert row[6].split("/")[0] in made or row[5].split("/")[0] in accounted


def padding(kind):
    """A row that makes sure that a subset has one."""
    name = f"{kind}_P_00009_LEFT_CC"
    paths = (f"{name}/1/6.{kind}/0.dcm", f"{name}_1/1/7.{kind}/1.dcm", f"{name}_1/1/7.{kind}/0.dcm")
    return ("P_00009", "LEFT", "CC", "1", "BENIGN", *paths, kind.split("-")[0].lower())
