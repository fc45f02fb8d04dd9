"""The page is blind: nothing in it, in its order or its bytes tells which images are real."""

import base64
import json
import re
import shutil
import stat
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from filled_dataset import draw
from PIL import Image

from mammogan.data import manifest
from mammogan.reader_study import Design, make, read_key
from mammogan.reader_study.kind import Kind
from mammogan.reader_study.order import random_order

DESIGN = Design(images=8, repeats=3, practice=2)


def content_of(page):
    """The JSON that a page carries."""
    return json.loads(re.search(r'<script type="application/json" id="study">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def page(study):
    return study.page.read_text()


@pytest.fixture(scope="module")
def shown(page):
    return content_of(page)


def test_both_kinds_alike_one_image_a_patient_and_repeats_of_both(key, reals):
    assert Counter(item.kind for item in key.first) == {Kind.REAL: 8, Kind.SYNTHETIC: 8}
    assert Counter(item.kind for item in key.repeated) == {Kind.REAL: 3, Kind.SYNTHETIC: 3}
    frame = manifest.read(reals)
    patient = dict(zip(frame["sha256"].map(manifest.name_of), frame["patient_id"], strict=True))
    label = dict(zip(frame["sha256"].map(manifest.name_of), frame["label"], strict=True))
    images = [item.image for item in key.first if item.kind is Kind.REAL]
    assert len({patient[image] for image in images}) == 8
    assert {label[image] for image in images} == {1}


def test_every_image_has_the_same_number_of_bytes_and_nothing_but_pixels(key, shown, reals, fakes):
    pixels = {item["case"]: base64.b64decode(item["pixels"]) for item in shown["cases"] + shown["practice"]}
    assert {len(content) for content in pixels.values()} == {28 * 28}
    assert {len(item["pixels"]) for item in shown["cases"] + shown["practice"]} == {1048}
    frame = manifest.read(reals)
    files = dict(zip(frame["sha256"].map(manifest.name_of), frame["file"], strict=True))
    for item in key.cases:
        path = reals / files[item.image] if item.kind is Kind.REAL else fakes / item.image
        assert np.array_equal(np.frombuffer(pixels[item.case], np.uint8).reshape(28, 28), np.asarray(Image.open(path)))


def test_the_page_knows_neither_truth_nor_secret_nor_where_an_image_comes_from(page, shown, key):
    assert set(shown) == {"format", "study", "rows", "columns", "cases", "practice", "orders", "kinds", "confidence"}
    assert all(set(item) == {"case", "pixels"} for item in shown["cases"] + shown["practice"])
    without_pixels = re.sub(r'"pixels": "[^"]*"', "", page)
    for item in key.cases:
        assert item.image not in without_pixels
    for word in (key.secret, key.data_digest, "fake", "patient_id", "repeats", "truth"):
        assert word not in without_pixels, word


def test_names_are_in_an_order_that_says_nothing_and_no_two_studies_share_one(reals, fakes, tmp_path, key, shown):
    names = [item["case"] for item in shown["cases"]]
    assert names == sorted(names)
    other = read_key(make(reals, fakes, 1, tmp_path / "other", DESIGN, seed=3).key)
    assert {item.image for item in other.cases} == {item.image for item in key.cases}  # the seed chooses them
    assert not {item.case for item in other.cases} & set(names)
    assert other.secret != key.secret
    orders = content_of((tmp_path / "other" / "reader_study.html").read_text())["orders"]
    truth = {item.case: item.kind for item in (*key.cases, *other.cases)}
    assert orders != shown["orders"]
    first = [truth[names[number]] for number in shown["orders"][0]]
    again = [truth[sorted(item.case for item in other.cases)[number]] for number in orders[0]]
    assert first != again


def test_orders_too_come_from_the_secret(reals, fakes, tmp_path):
    """Without repeats nothing else would make those of two studies differ."""
    studies = [make(reals, fakes, 1, tmp_path / name, Design(5, 0, 0), seed=3) for name in ("one", "other")]
    one, other = (content_of(study.page.read_text())["orders"] for study in studies)
    assert not {tuple(order) for order in one} & {tuple(order) for order in other}


def test_orders_are_whole_differ_and_keep_repeats_apart(key, shown):
    names = [item["case"] for item in shown["cases"]]
    place = {name: number for number, name in enumerate(names)}
    pairs = [(place[item.repeats], place[item.case]) for item in key.repeated]
    assert len({tuple(order) for order in shown["orders"]}) == len(shown["orders"]) == 24
    for order in shown["orders"]:
        assert sorted(order) == list(range(len(names)))
        assert all(order.index(second) - order.index(first) > len(names) / 5 for first, second in pairs)


def test_an_order_tells_nothing_of_the_kind(rng):
    """Over many orders every case is equally often early, whatever it is, but for the repeated ones."""
    orders = np.array([random_order(20, np.array([0, 1]), np.array([18, 19]), rng) for _ in range(2000)])
    places = np.argsort(orders, axis=1).mean(0)
    assert np.abs(places[2:18] - 9.5).max() < 0.6
    assert np.abs(places[:2] - 3.5).max() < 0.3
    assert np.abs(places[18:] - 15.5).max() < 0.3


class Resources(HTMLParser):
    """Every attribute that could load something, and every handler."""

    def __init__(self):
        super().__init__()
        self.found, self.policy = [], ""

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.found += [(tag, name) for name in given if name in ("src", "href", "style") or name.startswith("on")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]


def test_nothing_is_loaded_and_nothing_but_its_own_script_may_run(page):
    parser = Resources()
    parser.feed(re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.DOTALL))
    assert parser.found == []
    assert parser.policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in parser.policy
    for word in ("fetch(", "XMLHttpRequest", "WebSocket", "import(", "http://", "https://", "url("):
        assert word not in page, word


def test_it_says_first_that_it_holds_real_images(page):
    body = page[page.index("<body>") :]
    assert "This page holds images of real patients." in body[: body.index("<h1>")]


def test_only_the_owner_may_read_what_was_written(study):
    assert [stat.S_IMODE(path.stat().st_mode) for path in (study.page.parent, study.page, study.key)] == [
        0o700, 0o600, 0o600
    ]  # fmt: skip
    assert sorted(path.name for path in study.page.parent.iterdir()) == ["key.json", "reader_study.html"]
    assert [path.name for path in study.page.parent.parent.iterdir()] == ["study"]


def test_a_study_takes_no_other_ones_place(reals, fakes, study):
    before = study.key.read_bytes()
    with pytest.raises(ValueError, match="it is not empty; give a new folder, so that no study's key is lost"):
        make(reals, fakes, 1, study.page.parent, DESIGN)
    assert study.key.read_bytes() == before


@pytest.mark.parametrize("address", ["s3://bucket/study", "https://example.org/x"])
def test_real_images_go_to_no_address(reals, fakes, tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"real patients' images; give a folder of this machine"):
        make(reals, fakes, 1, type(tmp_path)(address), DESIGN)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_nothing(reals, fakes, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("mammogan.reader_study.assembly.write_key", fail)
    with pytest.raises(OSError, match="the disk is full"):
        make(reals, fakes, 1, tmp_path / "study", DESIGN)
    assert not list(tmp_path.iterdir())


def test_too_few_patients_and_too_few_different_images_are_counted(reals, fakes, tmp_path):
    with pytest.raises(ValueError, match="--real: 12 patients with such an image, the study needs 13, practice incl"):
        make(reals, fakes, 1, tmp_path / "study", Design(images=11, repeats=0, practice=2))
    twice = tmp_path / "twice"
    shutil.copytree(fakes, twice)
    for number in range(1, 8):
        shutil.copy(twice / "fake00.png", twice / f"fake{number:02d}.png")
    with pytest.raises(ValueError, match="--synthetic: 5 different images, the study needs 10"):
        make(reals, twice, 1, tmp_path / "study", DESIGN)


def test_a_size_or_a_copy_that_would_tell_is_refused(reals, fakes, tmp_path, rng):
    larger = tmp_path / "larger"
    larger.mkdir()
    for path in fakes.iterdir():
        Image.open(path).resize((32, 32)).save(larger / path.name)
    with pytest.raises(ValueError, match=r"fake\d\d.png is 32x32, image-[0-9a-f]{16} is 28x28: a size tells the kind"):
        make(reals, larger, 1, tmp_path / "study", DESIGN)
    frame = manifest.read(reals)
    copies = tmp_path / "copies"
    copies.mkdir()
    for file in frame.loc[frame["label"] == 1, "file"]:
        shutil.copy(reals / file, copies / f"copy-{file.replace('/', '-')}")
    with pytest.raises(ValueError, match=r"copy-\S+ has the very pixels of the real image-\S+; the generator copies"):
        make(reals, copies, 1, tmp_path / "study", DESIGN)


def test_a_folder_without_patients_is_no_source_of_real_images(fakes, tmp_path):
    with pytest.raises(ValueError, match="no data set, so nobody knows whose its images are"):
        make(fakes, fakes, 1, tmp_path / "study", DESIGN)


def test_synthetic_images_of_a_filled_data_set(reals, tmp_path, rng):
    filled = tmp_path / "filled"
    shutil.copytree(reals, filled)
    frame = manifest.read(filled)
    malignant = frame.index[frame["label"] == 1]
    for number in malignant[:12]:
        Image.fromarray(draw(rng, 1)).save(filled / frame.loc[number, "file"])
    frame.loc[malignant[:12], "source"] = manifest.SYNTHETIC
    manifest.write(frame, filled)
    key = read_key(make(filled, filled, 1, tmp_path / "study", Design(images=5, repeats=0, practice=1)).key)
    synthetic = {file.rpartition("/")[2] for file in frame.loc[malignant[:12], "file"]}
    assert {item.image for item in key.cases if item.kind is Kind.SYNTHETIC} <= synthetic
    assert all(item.image.startswith("image-") for item in key.cases if item.kind is Kind.REAL)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"images": 2}, "--images=2: give a whole number from 3"),
        ({"repeats": -1}, "--repeats=-1: give a whole number from 0"),
        ({"images": 9, "repeats": 5}, "--repeats=5: give at most 4, half of --images"),
    ],
)
def test_a_design_that_cannot_be(design, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Design(**design)


@pytest.mark.parametrize("images", range(3, 12))
def test_every_design_has_orders(images, rng):
    repeats = 2 * (images // 2)
    order = random_order(2 * images + repeats, np.arange(repeats), np.arange(2 * images, 2 * images + repeats), rng)
    assert sorted(order) == list(range(2 * images + repeats))
