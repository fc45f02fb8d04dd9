import hashlib
import io
import os
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mammogan.commands.data import app
from mammogan.config import DataConfig
from mammogan.data import ingest, manifest, summary
from mammogan.data.dataset import Dataset
from mammogan.data.minority import filter_minority
from mammogan.data.picture import encode_png
from mammogan.data.verify import NEAR_BITS, difference_hash, verify


@pytest.fixture(scope="session")
def sound(phantom, tmp_path_factory):
    out = tmp_path_factory.mktemp("sound") / "set"
    ingest.ingest(str(phantom), "", DataConfig(subset="mass-train", size=112), out)
    return out


@pytest.fixture
def dataset(sound, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(sound, tmp_path / "set")


def rewrite(dataset, **changes):
    """Change the manifest, and the digest with it."""
    frame = manifest.read(dataset).assign(**changes)
    manifest.write(frame, dataset)
    summary.write(replace(summary.read(dataset), data_digest=manifest.data_digest(frame)), str(dataset))


def replace_image(dataset, image_id, content):
    """Put another picture in an image's place and own up to it in the manifest."""
    (dataset / f"images/{image_id}.png").write_bytes(content)
    frame = manifest.read(dataset)
    sha256 = hashlib.sha256(content).hexdigest()
    rewrite(dataset, sha256=frame["sha256"].where(frame["image_id"] != image_id, sha256))


def jpeg_again(path, quality=80):
    buffer = io.BytesIO()
    Image.open(path).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def test_what_ingest_makes_is_sound(sound, tmp_path):
    assert verify(sound) == []
    filter_minority(sound, "auto", tmp_path / "rare")
    assert verify(tmp_path / "rare") == []


def test_a_changed_pixel_is_found(dataset):
    path = dataset / manifest.read(dataset)["file"][0]
    pixels = np.asarray(Image.open(path)).copy()
    pixels[50, 50] ^= 1
    path.write_bytes(encode_png(pixels))
    (finding,) = verify(dataset)
    assert finding.what == manifest.read(dataset)["image_id"][0]
    assert "sha256 differs" in finding.problem


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [
        (np.zeros((112, 112), np.uint8), "constant image"),
        (np.arange(100 * 112, dtype=np.uint8).reshape(100, 112), "not an 8-bit grey square"),
        (np.arange(56 * 56, dtype=np.uint8).reshape(56, 56), "images of 2 sizes"),
        (np.random.default_rng(0).integers(0, 255, (112, 112, 3), dtype=np.uint8), "RGB 112x112"),
    ],
)
def test_an_image_of_the_wrong_kind_is_found(dataset, pixels, problem):
    replace_image(dataset, manifest.read(dataset)["image_id"][1], encode_png(pixels))
    assert any(problem in finding.problem for finding in verify(dataset))


def test_an_unreadable_image_is_found(dataset):
    replace_image(dataset, manifest.read(dataset)["image_id"][1], b"no picture")
    assert any("unreadable" in finding.problem for finding in verify(dataset))


def test_wrong_labels_and_digests_are_found(dataset):
    frame = manifest.read(dataset)
    manifest.write(frame.assign(label=1 - frame["label"]), dataset)
    found = Counter(finding.problem.split(" ")[0] for finding in verify(dataset))
    assert found == {"label": len(frame), "its": 1}


def test_a_leak_is_found_where_the_split_promised_none(dataset):
    frame = manifest.read(dataset)
    rewrite(dataset, split=np.where(np.arange(len(frame)) % 2, "train", "test"))
    assert any("patients are in train and in test" in finding.problem for finding in verify(dataset))
    before = summary.read(dataset)
    summary.write(replace(before, settings=replace(before.settings, split="image")), str(dataset))
    assert not any("patients" in finding.problem for finding in verify(dataset))


def test_a_stray_file_is_found(dataset):
    shutil.copyfile(dataset / manifest.read(dataset)["file"][0], dataset / "images/other.png")
    assert [finding.what for finding in verify(dataset)] == ["images/other.png"]


def test_a_near_duplicate_across_the_split_is_found(dataset):
    frame = manifest.read(dataset)
    train, test = (frame.loc[frame["split"] == side, "image_id"].iloc[0] for side in ("train", "test"))
    replace_image(dataset, test, encode_png(jpeg_again(dataset / f"images/{train}.png")))
    (finding,) = verify(dataset)
    assert (finding.what, finding.problem) == (test, f"looks like the train image {train}")


@pytest.mark.parametrize(("side", "other"), [("validation", "train"), ("test", "validation")])
def test_so_is_one_of_a_validation_image(dataset, side, other):
    frame = manifest.read(dataset)
    roles = frame["split"].to_numpy(copy=True)
    roles[np.flatnonzero(roles == "train")[1::2]] = "validation"
    rewrite(dataset, split=roles)
    image, known = (manifest.read(dataset)["image_id"][np.flatnonzero(roles == role)[0]] for role in (side, other))
    replace_image(dataset, image, encode_png(jpeg_again(dataset / f"images/{known}.png")))
    found = [finding for finding in verify(dataset) if "looks like" in finding.problem]
    assert [(finding.what, finding.problem) for finding in found] == [(image, f"looks like the {other} image {known}")]


def bits(first, second):
    return int((difference_hash(first) != difference_hash(second)).sum())


def test_the_hash_survives_compression_scale_and_contrast(sound):
    for path in sorted((sound / "images").iterdir()):
        pixels = np.asarray(Image.open(path))
        half = np.asarray(Image.open(path).resize((56, 56), Image.Resampling.BICUBIC))
        assert bits(pixels, jpeg_again(path)) <= NEAR_BITS / 2
        assert bits(pixels, half) <= NEAR_BITS / 2
        assert bits(pixels, (pixels * 0.9 + 8).astype(np.uint8)) <= NEAR_BITS / 2


@pytest.mark.parametrize("source", ["mass_crops_256", "dicom_small"])
def test_no_two_real_images_are_near_duplicates(shared, tmp_path, source):
    folder = str(shared / "data/cbis_ddsm" / source)
    ingest.ingest(
        folder,
        folder,
        DataConfig(subset="mass-test", size=112, max_bad=1.0, split="image", test_fraction=0.3),
        tmp_path / "set",
    )
    hashes = np.stack([difference_hash(image) for image in Dataset.read(tmp_path / "set").images()[:, 0].numpy()])
    signs = 2.0 * hashes - 1
    distance = (hashes.shape[1] - signs @ signs.T) / 2
    assert distance[np.triu_indices(len(distance), 1)].min() > 2 * NEAR_BITS
    assert verify(tmp_path / "set") == []


def test_the_command_exits_1_with_a_list(dataset):
    assert CliRunner().invoke(app, ["verify", str(dataset)]).exit_code == 0
    (dataset / "images/stray.png").write_bytes(b"x")
    result = CliRunner().invoke(app, ["verify", str(dataset)])
    assert result.exit_code == 1
    assert "images/stray.png: the manifest does not know this file" in result.stdout
    assert '"sound": false' in CliRunner().invoke(app, ["verify", str(dataset), "--json"]).stdout


def test_a_stray_file_whose_name_is_no_text_is_named_all_the_same(dataset):
    (dataset / "images" / os.fsdecode(b"M\xfcller.png")).write_bytes(b"")
    strays = [finding.what for finding in verify(dataset) if "does not know" in finding.problem]
    assert strays == [r"images/M\udcfcller.png"]


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        (os.mkfifo, "a pipe, a socket or a device"),
        (lambda path: path.symlink_to("/etc/hostname"), "a link"),
        (lambda path: path.symlink_to("nothing"), "a link"),
        (lambda path: path.symlink_to("/etc"), "a link"),
    ],
)
def test_what_is_no_regular_file_among_the_images(dataset, place, kind):
    (dataset / "images/deeper").mkdir()
    for name in ("stranger.png", "deeper/stranger"):
        place(dataset / "images" / name)
    found = {each.what: each.problem for each in verify(dataset)}
    for name in ("stranger.png", "deeper/stranger"):
        assert found[f"images/{name}"] == f"{kind}, no regular file"


def test_a_link_that_the_manifest_knows(dataset):
    picture = min((dataset / "images").glob("*.png"))
    picture.rename(picture.with_suffix(".real"))
    picture.symlink_to(picture.with_suffix(".real").name)
    found = {each.what: each.problem for each in verify(dataset)}
    assert found[f"images/{picture.name}"] == "a link, no regular file"


def test_an_image_or_manifest_that_is_a_pipe_says_so(dataset):
    picture = min((dataset / "images").glob("*.png"))
    picture.unlink()
    os.mkfifo(picture)
    with pytest.raises(FileNotFoundError, match=r"image images/.*\.png is a pipe, a socket or a device"):
        verify(dataset)
    (dataset / "manifest.csv").unlink()
    os.mkfifo(dataset / "manifest.csv")
    with pytest.raises(FileNotFoundError, match=r"manifest\.csv is a pipe, a socket or a device"):
        verify(dataset)
