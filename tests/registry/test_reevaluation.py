"""A challenger and the champions before it, drawn and measured anew on the same patients: real generators."""

import pandas as pd
import pytest
import torch
from PIL import Image
from sample_run import write_result, write_trial
from typer.testing import CliRunner

from mammogan import registry, results, tracking
from mammogan.command_line import app
from mammogan.config import PRESETS, override
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.evaluation import incumbents, snapshots
from mammogan.features.extractor import extract, load_extractor
from mammogan.metrics.kid import kernel_difference
from mammogan.models.generator import Generator, load_generator, sample, save_snapshot
from mammogan.registry import notes, reevaluation
from mammogan.results import Outcome, TrialResult, TrialStatus
from mammogan.selection import ranking
from mammogan.statistics import numbered
from mammogan.steps import StepContext, promote
from mammogan.tracking import looks

SIDE = 28
NAME = "reevaluate_champion"
CONFIG = override(
    PRESETS["demo"],
    {
        "data.size": SIDE, "evaluate.extractor": "random", "evaluate.fakes": 24, "evaluate.pairs": 12,
        "select.min_diversity": 0, "select.model_name": NAME,
    },
)  # fmt: skip


@pytest.fixture
def client(database, little_code, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    tracking.ensure_experiment(tmp_path.name, str(tmp_path / "artifacts"))
    mlflow_client = tracking.client()
    yield mlflow_client
    mlflow_client.delete_registered_model(NAME)


def generator(path, seed, contrast, side=SIDE):
    """Snapshot of an untrained generator; ``contrast`` 1 draws nearly flat grey."""
    torch.manual_seed(seed)
    network = Generator(side, 8, 16)
    network.last.weight.data *= contrast
    save_snapshot(network, 1, path)
    return path


def dataset_of(snapshot, folder, seed, patients=10):
    """Data set of that generator's own images, so that it is the best model of them that there can be."""
    (folder / "images").mkdir(parents=True)
    blank = dict.fromkeys(manifest.COLUMNS, "x") | {"label": 1, "original_rows": 0, "original_cols": 0}
    rows = []
    for i, image in enumerate(sample(load_generator(snapshot), 40, seed)):
        Image.fromarray(image[0].numpy()).save(folder / "images" / f"{i:03d}.png")
        named = {
            "image_id": f"{i:03d}",
            "file": f"images/{i:03d}.png",
            "sha256": f"{i}",
            "source_sha256": f"{folder} {i}",
        }
        split = "train" if i < 20 else "test"
        rows.append(blank | named | {"split": split, "patient_id": f"P{split}{i % patients}"})
    manifest.write(pd.DataFrame(rows), folder)
    return folder


@pytest.fixture
def add(client, tmp_path):
    """Measure a snapshot on a data set and register it as a run of the graph would: ``add(snapshot, dataset)``."""

    def add(snapshot, dataset, lam):
        trial = tmp_path / f"trial-{lam}"
        trained = TrialResult(lam, 0, dataset.name, epochs=1, status=TrialStatus.FINISHED, train_s=lam)
        (trial / "snapshots").mkdir(parents=True)
        (trial / "snapshots" / "epoch_0001.pt").write_bytes(snapshot.read_bytes())
        write_trial(trial, trained)
        evaluation = snapshots.evaluate_trial(trial, dataset, CONFIG.evaluate, tmp_path / f"e-{lam}", lambda *_: None)
        parent = tracking.open_parent(tmp_path.name, f"run {lam}", CONFIG, {})
        tracking.log_manifest(parent, dataset / manifest.FILE)
        results.write(ranking.select([evaluation], CONFIG.select), tmp_path / "decision.json")
        measured = write_result(tmp_path, snapshot)
        version = registry.register(snapshot, tmp_path / "decision.json", measured, parent, CONFIG)
        notes.write_outcome(NAME, version, Outcome.PASSED, "passed")
        promote.run(StepContext(CONFIG, parent), version, dataset)
        return version, client.get_run(parent).data.tags[tracking.PROMOTION]

    return add


def champion(client):
    return str(client.get_model_version_by_alias(NAME, "champion").version)


def test_the_better_one_becomes_champion_whatever_it_was_registered_on(client, add, tmp_path):
    good, flat = generator(tmp_path / "good.pt", 0, 30), generator(tmp_path / "flat.pt", 1, 1)
    before, after = (dataset_of(good, tmp_path / name, seed) for seed, name in enumerate(("before", "after")))
    first, _ = add(flat, before, 1)
    assert champion(client) == first
    second, verdict = add(good, after, 2)
    assert champion(client) == second
    assert "random_vgg/kid_test" in verdict
    assert f"of champion version {first} on 20 held-out images of 10 patients: difference -" in verdict

    third, verdict = add(flat, before, 3)
    assert champion(client) == second
    assert third != first
    assert "refused: better than version 2: random_vgg/kid_test" in verdict
    _, verdict = add(good, after, 4)  # the champion once more: as good, and not better
    assert champion(client) == second
    assert "upper end" in verdict


def test_the_difference_is_that_of_both_drawn_anew_on_the_same_patients(client, add, tmp_path):
    good, other = generator(tmp_path / "good.pt", 0, 30), generator(tmp_path / "other.pt", 1, 30)
    before, after = (dataset_of(good, tmp_path / name, seed) for seed, name in enumerate(("before", "after")))
    first, _ = add(good, before, 1)
    second, _ = add(other, after, 2)
    assert champion(client) == first
    (found,) = registry.contests(second, after, CONFIG)
    assert (found.version, found.incumbent, found.images, found.patients, found.fakes) == (second, first, 20, 10, 24)
    extractor = load_extractor(CONFIG.evaluate, torch.device("cpu"))
    real = Dataset.read(after).test
    drawn = [
        sample(load_generator(path), 24, incumbents.latent_seed(CONFIG.evaluate.seed, role))
        for role, path in (("challenger", other), ("champion", good))
    ]
    one, two, reals = (extract(extractor, images, 8) for images in (*drawn, real.images()))
    by_hand = kernel_difference(one, two, reals, 0.975, numbered(real.patients))
    assert (found.difference, found.upper) == pytest.approx((by_hand.value, by_hand.upper))
    assert (found.value, found.incumbent_value) == pytest.approx((by_hand.one, by_hand.other))
    assert incumbents.latent_seed(0, "challenger") not in (CONFIG.evaluate.seed, incumbents.latent_seed(0, "champion"))
    digest = Dataset.read(after).held_out.source_digest
    assert looks.count(digest) == 1  # the run's, whatever it measured on them
    assert registry.contests(first, after, CONFIG) == ()  # the champion itself
    assert registry.contests_of_run(NAME, second, after) == (found,)  # by the settings that its run recorded
    assert looks.count(digest) == 2  # by hand is a look of its own
    with pytest.raises(ValueError, match="version='9': model reevaluate_champion has no such version"):
        registry.contests_of_run(NAME, "9", after)
    run = CliRunner().invoke(app, ["promote", second, "--model", NAME, "--dataset", str(after), "--why", "by hand"])
    assert run.exit_code == 1
    assert looks.count(digest) == 3
    assert f"better than version {first}: random_vgg/kid_test" in run.stderr
    (after / manifest.FILE).write_text("image_id\n000\n")
    with pytest.raises(ValueError, match="no column file, label"):
        registry.contests(second, after, CONFIG)


def test_patients_who_are_in_train_too_and_too_few_patients_tell_nothing(client, add, tmp_path):
    good, flat = generator(tmp_path / "good.pt", 0, 30), generator(tmp_path / "flat.pt", 1, 1)
    add(flat, dataset_of(good, tmp_path / "before", 0), 1)
    few, verdict = add(good, dataset_of(good, tmp_path / "few", 1, patients=3), 2)
    assert "not checked: 20 test images of 3 patients who have none in train" in verdict
    shared = tmp_path / "few"
    frame = manifest.read(shared)
    manifest.write(frame.assign(patient_id="P"), shared)
    (found,) = registry.contests(few, shared, CONFIG)
    assert found.upper is None
    assert found.reason.startswith("0 test images of 0 patients")
    assert champion(client) == "1"


@pytest.mark.parametrize(("by", "split"), [("source_sha256", "train"), ("patient_id", "validation")])
def test_what_it_learnt_from_is_no_test_set_for_it_under_another_split(client, add, tmp_path, by, split):
    """The other data set takes as test what the version was trained on or chosen by, whatever else it calls that."""
    good, flat = generator(tmp_path / "good.pt", 0, 30), generator(tmp_path / "flat.pt", 1, 1)
    first, _ = add(flat, dataset_of(flat, tmp_path / "before", 0), 1)
    own, other = (dataset_of(good, tmp_path / name, seed) for seed, name in enumerate(("own", "other")))
    frame = manifest.read(own)
    half = frame.index[frame["split"] == "train"][10:]
    frame.loc[half, ["split", "patient_id"]] = [split, "half"]
    manifest.write(frame, own)
    second, _ = add(flat, own, 2)
    frame, theirs = manifest.read(other), manifest.read(own)
    tested = frame.index[frame["split"] == "test"][:3]
    frame.loc[tested, by] = theirs.loc[theirs["split"] == split, by].to_numpy()[-3:]
    spelt = frame["patient_id"].where(frame["split"] == "test", "Q").str.upper()
    manifest.write(frame.assign(patient_id=spelt), other)
    before = looks.count(Dataset.read(other).held_out.source_digest)
    (found,) = registry.contests_of_run(NAME, second, other)
    assert found.upper is None
    assert found.reason == (
        "3 of these 20 test images are of patients by whom version 2 was trained or chosen; give the data set of its "
        "run, or one without them"
    )
    assert looks.count(Dataset.read(other).held_out.source_digest) == before == 0
    assert not registry.promote(NAME, second, "x", contests=(found,)).moved
    assert champion(client) == first


def test_a_whole_data_set_is_measured_on_the_class_that_the_run_synthesised(client, add, tmp_path):
    good = generator(tmp_path / "good.pt", 0, 30)
    data = dataset_of(good, tmp_path / "data", 0)
    add(good, data, 1)
    second, _ = add(generator(tmp_path / "flat.pt", 1, 1), data, 2)
    frame = manifest.read(data)
    manifest.write(frame.assign(label=(frame.index % 4 > 0).astype(int)), data)
    for minority, images in (("auto", 5), ("malignant", 15)):
        (found,) = registry.contests(second, data, override(CONFIG, {"data.minority": minority}))
        assert found.images == images


def test_a_machine_without_memory_is_no_verdict_on_the_champion(client, add, tmp_path, monkeypatch):
    good, flat = generator(tmp_path / "good.pt", 0, 30), generator(tmp_path / "flat.pt", 1, 1)
    data = dataset_of(good, tmp_path / "data", 0)
    add(flat, data, 1)
    load, loaded = Generator.load_state_dict, iter([False, True])

    def short(self, *given):
        if next(loaded, True):
            raise torch.OutOfMemoryError("no memory")
        return load(self, *given)

    second, _ = add(good, dataset_of(good, tmp_path / "few", 1, patients=3), 2)
    monkeypatch.setattr(Generator, "load_state_dict", short)
    with pytest.raises(torch.OutOfMemoryError, match="no memory"):
        registry.contests(second, data, CONFIG)


def test_another_image_size_cannot_be_compared(client, add, tmp_path):
    large, small = generator(tmp_path / "large.pt", 0, 30, side=56), generator(tmp_path / "small.pt", 0, 30)
    first, _ = add(large, dataset_of(large, tmp_path / "before", 0), 1)
    second, verdict = add(small, dataset_of(small, tmp_path / "after", 1), 2)
    assert champion(client) == first
    assert "not checked: champion version 1 draws 56 px, the images have 28" in verdict
    assert registry.contests(second, tmp_path / "after", CONFIG)[0].upper is None


@pytest.mark.parametrize("lost", ["files", "format"])
def test_a_champion_that_cannot_draw_again_leaves_the_challenger(client, add, tmp_path, monkeypatch, lost):
    good, flat = generator(tmp_path / "good.pt", 0, 30), generator(tmp_path / "flat.pt", 1, 1)
    dataset = dataset_of(good, tmp_path / "data", 0)
    first, _ = add(flat, dataset, 1)
    snapshot_of = reevaluation.snapshot_of

    def without(uri, *others):
        if uri.endswith(f"/{first}"):
            if lost == "files":
                raise FileNotFoundError(f"{uri}: its files are gone")
            others[0].mkdir()
            (others[0] / "old").write_bytes(b"an older snapshot")
            return others[0] / "old"
        return snapshot_of(uri, *others)

    monkeypatch.setattr(reevaluation, "snapshot_of", without)
    _, verdict = add(good, dataset, 2)
    assert champion(client) == first
    assert (
        f"refused: better than version {first}: not checked: champion version 1 cannot draw its images again: "
        in verdict
    )
