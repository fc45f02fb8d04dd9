"""The filled data set is balanced, marked, sound, resumable and the same bytes every time."""

import errno
import hashlib
import json
import subprocess
import sys

import boto3
import numpy as np
import pytest
import servers
import torch
from PIL import Image

from mammogan import config, storage
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.data.minority import filter_minority
from mammogan.data.summary import Counts, read
from mammogan.data.verify import verify
from mammogan.models.generator import draw_latents, sample
from mammogan.synthesis import balance, draw_images, draws, plausibility, publication, sampling, stream
from mammogan.synthesis import fill as fill_dataset


def settings(**synthesise):
    given = {f"synthesise.{name}": value for name, value in synthesise.items()}
    return config.override(config.PRESETS["demo"], given | {"evaluate.extractor": "random"})


def content_of(folder):
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in storage.list_files(str(folder))}


def test_the_train_split_is_balanced_and_every_synthetic_row_is_marked(dataset, model, tmp_path):
    summary = fill_dataset(model, Dataset.read(dataset), 1, settings(seed=5), str(tmp_path / "filled"))
    frame = manifest.read(tmp_path / "filled")
    train = frame[frame["split"] == "train"]
    assert (train["label"] == 0).sum() == (train["label"] == 1).sum() == 30
    rows = frame[frame["source"] == "synthetic"]
    assert len(rows) == 18 == summary.synthetic.images
    assert list(rows["image_id"]) == [f"synthetic-mammogan-v3-s5-{i:08d}" for i in range(18)]
    assert list(rows["source_uid"]) == [f"mammogan-v3/seed=5/index={i}" for i in range(18)]
    assert set(rows["source_sha256"]) == {model.sha256}
    real = set(manifest.read(dataset)["patient_id"])
    assert not real & set(rows["patient_id"])
    assert len(set(rows["patient_id"])) == 18


def test_verify_accepts_it_and_the_summary_counts_what_is_there(dataset, model, tmp_path):
    summary = fill_dataset(model, Dataset.read(dataset), 1, settings(), str(tmp_path / "filled"))
    assert verify(tmp_path / "filled") == []
    frame = manifest.read(tmp_path / "filled")
    assert summary == read(tmp_path / "filled")
    assert summary.data_digest == manifest.data_digest(frame)
    assert (summary.images, summary.benign, summary.malignant) == (76, 40, 36)
    assert summary.splits.train == Counts(images=60, benign=30, malignant=30, patients=42)
    assert summary.splits.test == Counts(images=16, benign=10, malignant=6, patients=16)


def test_the_filled_set_serves_as_any_other(dataset, model, tmp_path):
    fill_dataset(model, Dataset.read(dataset), 1, settings(), str(tmp_path / "filled"))
    kept = filter_minority(tmp_path / "filled", "malignant", tmp_path / "rare")
    assert kept.train_counts == {"benign": 30, "malignant": 30}
    assert Dataset.read(tmp_path / "rare").train.images().shape == (30, 1, 28, 28)


def test_the_pixels_are_those_of_the_generator(dataset, model, tmp_path):
    fill_dataset(model, None, 1, settings(count=70, seed=3), str(tmp_path / "made"))
    images = Dataset.read(tmp_path / "made").images()
    assert torch.equal(images, sample(model.generator, 70, 3))


def test_latents_go_on_where_draw_latents_would(model):
    rows = sampling.latents(16, 9, 37)
    assert torch.equal(torch.stack([next(rows) for _ in range(5)]), draw_latents(42, 16, 9)[37:])


@pytest.mark.parametrize("after", [1, 2])
def test_an_interrupted_run_ends_with_the_same_bytes(model, tmp_path, monkeypatch, after):
    monkeypatch.setattr(stream, "CHUNK", 64)
    wanted = settings(count=250, seed=1, dicom=True)
    fill_dataset(model, None, 1, wanted, str(tmp_path / "whole"))
    real_encode, calls = stream.encode_png, []

    def dies(pixels):
        calls.append(1)
        if len(calls) > 64 * after + 20:
            raise OSError("the disk is full")
        return real_encode(pixels)

    monkeypatch.setattr(stream, "encode_png", dies)
    with pytest.raises(OSError, match="disk is full"):
        fill_dataset(model, None, 1, wanted, str(tmp_path / "broken"))
    assert not (tmp_path / "broken").exists()
    calls.clear()
    monkeypatch.setattr(stream, "encode_png", lambda pixels: (calls.append(1), real_encode(pixels))[1])
    fill_dataset(model, None, 1, wanted, str(tmp_path / "broken"))
    assert content_of(tmp_path / "broken") == content_of(tmp_path / "whole")
    assert 0 < len(calls) <= 250 - 64 * (after - 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "whole"]


def test_a_damaged_image_of_a_finished_chunk_is_made_again(model, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 64)
    wanted = settings(count=130)
    monkeypatch.setattr(balance.publication, "publish", lambda *_: pytest.fail("stopped here"))
    with pytest.raises(pytest.fail.Exception):
        fill_dataset(model, None, 1, wanted, str(tmp_path / "made"))
    monkeypatch.undo()
    monkeypatch.setattr(stream, "CHUNK", 64)
    damaged = next((tmp_path / ".made.work").rglob("*-00000003.png"))
    damaged.write_bytes(damaged.read_bytes()[:50])
    fill_dataset(model, None, 1, wanted, str(tmp_path / "made"))
    assert verify(tmp_path / "made") == []


def test_a_finished_set_is_left_as_it_is_and_other_settings_replace_it(dataset, model, tmp_path):
    out = tmp_path / "filled"
    first = fill_dataset(model, Dataset.read(dataset), 1, settings(), str(out))
    stamps = storage.list_stamps(str(out))
    assert fill_dataset(model, Dataset.read(dataset), 1, settings(), str(out)) == first
    assert storage.list_stamps(str(out)) == stamps
    fill_dataset(model, Dataset.read(dataset), 1, settings(seed=1), str(out))
    assert set(manifest.read(out).query("source == 'synthetic'")["image_id"].str[:27]) == {
        "synthetic-mammogan-v3-s1-00"
    }


def test_a_second_process_is_refused_while_the_first_writes_the_set(model, tmp_path, monkeypatch):
    out, real = str(tmp_path / "made"), balance.publication.publish

    def second(*given):
        for seed in (0, 1):
            with pytest.raises(RuntimeError, match=r"--out=.*/made: another process is writing it; wait for it or"):
                fill_dataset(model, None, 1, settings(count=5, seed=seed), out)
        return real(*given)

    monkeypatch.setattr(balance.publication, "publish", second)
    fill_dataset(model, None, 1, settings(count=5), out)
    assert verify(tmp_path / "made") == []
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_set_that_a_killed_process_was_about_to_put_in_place_is_not_made_again(model, tmp_path):
    first = fill_dataset(model, None, 1, settings(count=5), str(tmp_path / "made"))
    (tmp_path / ".made.abcdefgh" / "old").mkdir(parents=True)
    (tmp_path / "made").rename(tmp_path / ".made.abcdefgh" / "new")
    stamps = storage.list_stamps(str(tmp_path / ".made.abcdefgh" / "new"))
    assert fill_dataset(model, None, 1, settings(count=5), str(tmp_path / "made")) == first
    assert storage.list_stamps(str(tmp_path / "made")) == stamps


def test_what_a_killed_process_took_away_is_no_hindrance_to_other_settings(model, tmp_path):
    fill_dataset(model, None, 1, settings(count=5), str(tmp_path / "made"))
    (tmp_path / ".made.work" / "old").mkdir(parents=True)
    (tmp_path / ".made.work" / "old" / "x").touch()
    fill_dataset(model, None, 1, settings(count=6), str(tmp_path / "made"))
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_full_disk_says_where(model, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stream.Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/\.made\.work/\w+/new/images'$"):
        fill_dataset(model, None, 1, settings(count=5), str(tmp_path / "made"))


def test_a_filter_leaves_out_copies_and_counts_them(dataset, model, tmp_path):
    train = Dataset.read(dataset).train.of(1).images()
    fakes = sample(model.generator, 64, 0)
    chosen = settings(min_distance=0.2).synthesise
    judge = plausibility.Plausibility(lambda images: images.flatten(1).double().numpy(), train, chosen)
    mixed = torch.cat([fakes[:3], train[:2], fakes[3:4]])[:, 0].numpy()
    assert judge(mixed) == ["", "", "", "near a training image", "near a training image", ""]


def test_realism_is_the_papers_equation(dataset):
    """Oracle: equation 3 of Kynkäänniemi et al. 2019, written with loops."""
    train = Dataset.read(dataset).train.of(1).images()
    fakes = torch.from_numpy(np.stack([np.full((28, 28), 90, np.uint8), train[0, 0].numpy() // 2]))

    def features(images):
        return images.flatten(1).double().numpy()

    got, _ = plausibility.Plausibility(features, train, settings().synthesise).scores(fakes.numpy())
    real = features(train)
    radii = [sorted(np.linalg.norm(real - row, axis=1))[plausibility.K] for row in real]
    kept = [i for i, radius in enumerate(radii) if radius <= np.median(radii)]
    expected = [max(radii[i] / np.linalg.norm(real[i] - fake) for i in kept) for fake in features(fakes)]
    np.testing.assert_allclose(got, expected)


@pytest.mark.parametrize("filtered", [False, True])
def test_images_in_memory_are_those_of_a_set_filled_with_that_seed(dataset, model, tmp_path, monkeypatch, filtered):
    def every_third(images):
        return ["near a training image" if filtered and number % 3 == 0 else "" for number in range(len(images))]

    for module in (balance, draws):
        monkeypatch.setattr(module, "load_filter", lambda *_: every_third)
    fill_dataset(model, Dataset.read(dataset), 1, settings(seed=6, count=70), str(tmp_path / "filled"))
    filled = Dataset.read(tmp_path / "filled")
    drawn = draw_images(model, 70, 1, settings(), filled, 6)
    assert torch.equal(drawn, filled.synthetic.images())
    assert not torch.equal(drawn, draw_images(model, 70, 1, settings(), filled, 7))


def test_a_filter_that_passes_nothing_ends_the_drawing_in_memory_too(dataset, model, monkeypatch):
    monkeypatch.setattr(draws, "load_filter", lambda *_: lambda images: ["near a training image"] * len(images))
    with pytest.raises(ValueError, match=r"synthesise\.min_distance=0: only 0 of \d+ images pass; lower them"):
        draw_images(model, 3, 1, settings(), Dataset.read(dataset), 0)


def test_filtered_images_are_replaced_by_later_ones(dataset, model, tmp_path, monkeypatch):
    def every_third(images):
        return ["near a training image" if number % 3 == 0 else "" for number in range(len(images))]

    monkeypatch.setattr(balance, "load_filter", lambda *_: every_third)
    summary = fill_dataset(model, None, 1, settings(count=100), str(tmp_path / "made"))
    assert summary.synthetic.dropped == {"near a training image": 22 * 3}
    assert (summary.synthetic.images, summary.synthetic.drawn) == (100, 192)
    assert len(manifest.read(tmp_path / "made")) == 100


def test_a_filter_that_passes_nothing_ends_with_a_fix(model, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 64)
    monkeypatch.setattr(balance, "load_filter", lambda *_: lambda images: ["implausible"] * len(images))
    with pytest.raises(ValueError, match=r"only 0 of \d+ images pass; lower them"):
        fill_dataset(model, None, 1, settings(count=5), str(tmp_path / "made"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": 0}, "without a data set"),
        ({"count": 3, "min_realism": 0.5}, "synthesise.min_realism=0.5: a filter needs real images"),
    ],
)
def test_what_cannot_be_made_says_why(model, tmp_path, given, words):
    with pytest.raises(ValueError, match=words):
        fill_dataset(model, None, 1, settings(**given), str(tmp_path / "made"))


def test_a_balanced_set_is_not_filled_further(dataset, model, tmp_path):
    with pytest.raises(ValueError, match=r"synthesise.ratio=1: the train split already has 30 benign images"):
        fill_dataset(model, Dataset.read(dataset), 0, settings(), str(tmp_path / "filled"))
    fill_dataset(model, Dataset.read(dataset), 1, settings(), str(tmp_path / "filled"))
    with pytest.raises(ValueError, match="already holds its images"):
        fill_dataset(model, Dataset.read(tmp_path / "filled"), 1, settings(count=5), str(tmp_path / "again"))


@pytest.mark.slow
def test_a_bucket_gets_the_bytes_that_a_folder_gets_also_after_an_interruption(dataset, model, tmp_path, monkeypatch):
    fill_dataset(model, Dataset.read(dataset), 1, settings(dicom=True), str(tmp_path / "filled"))
    with servers.seaweedfs(tmp_path / "seaweedfs") as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="made")
        with monkeypatch.context() as patch:
            patch.setattr(publication, "_write_manifest", interrupted)
            with pytest.raises(KeyboardInterrupt):
                fill_dataset(model, Dataset.read(dataset), 1, settings(dicom=True), "s3://made/set")
        assert not {"manifest.csv", "summary.json"} & set(storage.list_files("s3://made/set"))
        fill_dataset(model, Dataset.read(dataset), 1, settings(dicom=True), "s3://made/set")
        remote = {
            name: hashlib.sha256(storage.read_bytes(f"s3://made/set/{name}")).hexdigest()
            for name in storage.list_files("s3://made/set")
        }
    local = content_of(tmp_path / "filled")
    assert remote == local
    assert sum(name.endswith(".dcm") for name in local) == 18


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_folder_of_something_else_is_not_replaced(model, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="something else than a data set"):
        fill_dataset(model, None, 1, settings(count=2), str(tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


PEAKS = """
import sys, tracemalloc
from pathlib import Path
from mammogan import config
from mammogan.synthesis import fill, load_model, stream

stream.CHUNK = 64
model, folder = load_model(Path(sys.argv[1]), "mammogan-v3"), sys.argv[2]

def peak(count):
    settings = config.override(config.PRESETS["demo"], {"synthesise.count": count, "evaluate.extractor": "random"})
    tracemalloc.start()
    fill(model, None, 1, settings, f"{folder}/made{count}")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most

peak(64)
print(peak(400), min(peak(3200), peak(3201)))  # libraries allocate some megabytes once, somewhere in between
"""


@pytest.mark.long
def test_memory_does_not_grow_with_the_count(snapshot, tmp_path):
    """Peak of Python's and numpy's allocations: eight times the images, nearly the same peak.

    In a process of its own: what threads of other tests allocate meanwhile would count.
    """
    command = [sys.executable, "-c", PEAKS, str(snapshot), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    few, many = map(int, done.stdout.split())
    assert many < 1.3 * few


def test_the_chunk_records_are_plain_json(model, tmp_path):
    place = stream.Stream(model, "malignant", settings().synthesise, str(tmp_path), str(tmp_path / "records"))
    list(place.chunks(10, plausibility.keep_all))
    record = json.loads((tmp_path / "records" / "00000000.json").read_text())
    assert (record["first"], record["drawn"], len(record["kept"])) == (0, 64, 10)
    with Image.open(tmp_path / "images" / f"{place.image_id(9)}.png") as image:
        assert image.mode == "L"
