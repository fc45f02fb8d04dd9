"""The data card of a phantom."""

from dataclasses import replace

import pytest
from PIL import Image

from mammogan.config import DataConfig
from mammogan.data import ingest, summary
from mammogan.data.minority import filter_minority
from mammogan.data.phantom import write_phantom
from mammogan.reporting.data_card import write_card


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    source, out = tmp_path_factory.mktemp("phantom"), tmp_path_factory.mktemp("sound") / "set"
    write_phantom(source, patients=8, seed=0)
    ingest.ingest(str(source), "", DataConfig(subset="mass-train", size=112), out)
    return out


def test_the_card_shows_the_counts_beside_the_papers(sound, tmp_path):
    page = write_card(sound, tmp_path).read_text()
    said = summary.read(sound)
    for number in (1227, 718, 509, said.images, said.splits.train.benign, said.data_digest):
        assert f"{number}" in page
    assert "data:image/png;base64," in page
    with Image.open(tmp_path / "card.png") as picture:
        assert picture.size[0] > 800


def test_a_minority_class_alone_has_no_card(sound, tmp_path):
    filter_minority(sound, "auto", tmp_path / "rare")
    with pytest.raises(ValueError, match="a minority class alone"):
        write_card(tmp_path / "rare", tmp_path)


@pytest.mark.parametrize(
    ("source", "of_people"),
    [("phantom", False), ("synthetic", False), ("phantom and synthetic", False), ("dicom", True),
     ("dicom and synthetic", True), ("manifest and synthetic and synthetic", True)],
)  # fmt: skip
def test_a_data_card_warns_of_images_of_people_alone(sound, source, of_people):
    of_source = replace(summary.read(sound).whole, source=source)
    assert of_source.has_patients is of_people
