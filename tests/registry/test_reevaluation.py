"""A champion that was registered on other data, measured again on the challenger's: real generators, real figures."""

import pandas as pd
import pytest
import torch
from PIL import Image
from sample_run import write_trial

from mammogan import registry, results, tracking
from mammogan.config import PRESETS, override
from mammogan.data import manifest
from mammogan.evaluation import snapshots
from mammogan.models.generator import Generator, load_generator, sample, save_snapshot
from mammogan.registry import notes
from mammogan.results import Evaluation, Outcome, TrialResult, TrialStatus
from mammogan.selection import ranking
from mammogan.steps import StepContext, promote

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
def client(database, tmp_path, monkeypatch):
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


def dataset_of(snapshot, folder, seed):
    """Data set of that generator's own images, so that it is the best model of them that there can be."""
    (folder / "images").mkdir(parents=True)
    blank = dict.fromkeys(manifest.COLUMNS, "x") | {"label": 1, "original_rows": 0, "original_cols": 0}
    rows = []
    for i, image in enumerate(sample(load_generator(snapshot), 30, seed)):
        Image.fromarray(image[0].numpy()).save(folder / "images" / f"{i:03d}.png")
        split = "train" if i < 20 else "test"
        rows.append(blank | {"image_id": f"{i:03d}", "file": f"images/{i:03d}.png", "split": split, "sha256": f"{i}"})
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
        results.write(ranking.select([evaluation], CONFIG.select), tmp_path / "decision.json")
        version = registry.register(snapshot, tmp_path / "decision.json", parent, CONFIG)
        notes.write_outcome(NAME, version, Outcome.PASSED, "passed")
        promote.run(StepContext(CONFIG, parent), version, dataset)
        return version, client.get_run(parent).data.tags[tracking.PROMOTION]

    return add


def champion(client):
    return str(client.get_model_version_by_alias(NAME, "champion").version)


def test_on_new_data_the_better_one_becomes_champion(client, add, tmp_path):
    good, flat = generator(tmp_path / "good.pt", 0, 30), generator(tmp_path / "flat.pt", 1, 1)
    before, after = (dataset_of(good, tmp_path / name, seed) for seed, name in enumerate(("before", "after")))
    first, _ = add(flat, before, 1)
    assert champion(client) == first
    second, verdict = add(good, after, 2)
    assert champion(client) == second
    key = f"kid/random_vgg/{CONFIG.select.against}"
    measured = results.read(Evaluation, tmp_path / "e-2" / "evaluation.json").measurements
    alone = next(item for item in measured if item.key == key)
    assert f"{key} {alone.value:.4g} against the champion's" in verdict

    third, verdict = add(
        flat, before, 3
    )  # the data of the first run once more: the champion was never measured on them
    assert champion(client) == second
    assert third != first
    assert "refused: better than the champion" in verdict


def test_the_champion_s_new_figure_is_what_evaluating_it_there_gives(client, add, tmp_path):
    good, other = generator(tmp_path / "good.pt", 0, 30), generator(tmp_path / "other.pt", 1, 30)
    before, after = (dataset_of(good, tmp_path / name, seed) for seed, name in enumerate(("before", "after")))
    first, _ = add(good, before, 1)
    second, _ = add(other, after, 2)
    assert champion(client) == first
    incumbent = registry.reevaluate_champion(second, after, CONFIG)
    assert incumbent.version == first
    folder = tmp_path / "by hand"
    (folder / "snapshots").mkdir(parents=True)
    (folder / "snapshots" / "epoch_0001.pt").write_bytes(good.read_bytes())
    write_trial(folder, TrialResult(0.0, 0, "x", epochs=1, status=TrialStatus.FINISHED))
    evaluation = snapshots.evaluate_trial(folder, after, CONFIG.evaluate, tmp_path / "hand", lambda *_: None)
    assert incumbent.candidate.measurements == evaluation.measurements
    assert incumbent.candidate.data_digest == "after"
    assert registry.reevaluate_champion(first, after, CONFIG) is None  # the champion itself
    (after / manifest.FILE).write_text("image_id\n000\n")
    with pytest.raises(ValueError, match="no column file, label"):  # only another image size leaves it unmeasured
        registry.reevaluate_champion(second, after, CONFIG)


def test_another_image_size_cannot_be_compared(client, add, tmp_path):
    large, small = generator(tmp_path / "large.pt", 0, 30, side=56), generator(tmp_path / "small.pt", 0, 30)
    first, _ = add(large, dataset_of(large, tmp_path / "before", 0), 1)
    second, verdict = add(small, dataset_of(small, tmp_path / "after", 1), 2)
    assert champion(client) == first
    assert "not comparable: data_digest after against before" in verdict
    assert registry.reevaluate_champion(second, tmp_path / "after", CONFIG) is None
