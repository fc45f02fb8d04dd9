"""The winner's figures on test images: by its own latents, on patients who took no part, against an independent sum."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from filled_dataset import write_dataset
from sample_run import measured

from mammogan.config import SEEDS, EvaluateConfig
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.evaluation import image_sources, incumbents, snapshots, winner
from mammogan.features.extractor import extract, load_extractor
from mammogan.metrics import kid
from mammogan.models.generator import Generator, draw_latents, load_generator, sample, save_snapshot
from mammogan.results import Candidate, HeldOutSet, Outcome, SubgroupFidelity, Unmeasured
from mammogan.selection import gates
from mammogan.statistics import numbered

SIZE = 28
CONFIG = EvaluateConfig(fakes=12, pairs=20, extractor="random", device="cpu")


@pytest.fixture
def real(tmp_path):
    """Real images of one class; of 9 test ones two are of train patients, one of a validation patient."""
    rows = {"train": 9, "validation": 5, "test": 9}
    folder = write_dataset(tmp_path / "data", {split: (0, count) for split, count in rows.items()})
    frame = manifest.read(folder)
    frame["source_sha256"] = [f"{number:064x}" for number in range(len(frame))]
    places = {split: frame.index[frame["split"] == split] for split in rows}
    frame["patient_id"] = [f"P{number}" for number in range(len(frame))]
    for index, other in zip(places["test"][:3], (*places["train"][:2], places["validation"][0]), strict=True):
        frame.loc[index, "patient_id"] = frame.loc[other, "patient_id"]
    manifest.write(frame, folder)
    return Dataset.read(folder).real


@pytest.fixture
def snapshot(tmp_path):
    torch.manual_seed(3)
    save_snapshot(Generator(SIZE, 6, 8), 4, tmp_path / "winner.pt")
    return tmp_path / "winner.pt"


@pytest.fixture
def candidate():
    figures = (measured(4, "kid", 0.1), measured(4, "fid", 90.0))
    return Candidate(3.0, 1, 4, tuple(item.quantity for item in figures), "d" * 64, figures)


def test_it_is_measured_on_patients_who_took_no_part_by_latents_of_its_own(real, snapshot, candidate):
    test_set = winner.held_out_set(real)
    assert (test_set.images, test_set.patients, test_set.looks) == (6, 6, 0)
    result = winner.measure_winner(snapshot, candidate, real, test_set, CONFIG)
    assert (result.trial.name, result.epoch, result.unmeasured) == ("lambda=3,seed=1", 4, None)
    assert result.selected_by == candidate.measurements
    kid_test, fid_test = result.figures()
    assert (kid_test.quantity.metric, fid_test.quantity.metric, kid_test.n_real, kid_test.n_fake) == (
        "kid", "fid", 6, 12,
    )  # fmt: skip
    device = torch.device("cpu")
    extractor, generator = load_extractor(CONFIG, device), load_generator(snapshot)
    held_out = real.frame[(real.frame["split"] == "test")].iloc[3:]
    images = Dataset(real.root, held_out).images()
    fakes = sample(generator, 12, result.latent_seed)
    x, y, train = (extract(extractor, given, 6) for given in (images, fakes, real.train.images()))
    by_hand = kid.kernel_estimate(x, y, 0.95, np.arange(6))
    assert (kid_test.value, kid_test.low, kid_test.high) == pytest.approx(tuple(by_hand))
    assert kid_test.reference == pytest.approx(kid.kernel_distance(train, x))
    pairs = {item.quantity.metric: item.n_real for item in result.measurements if item.quantity.pairing == "real_real"}
    assert pairs == {"lpips": 6, "ms_ssim": 6}
    assert {item.key for item in result.omitted} == {
        *(f"random_vgg/{share}_test" for share in ("precision", "recall", "density", "coverage")), "frd/frd_test",
    }  # fmt: skip
    assert gates.judged(result).verdict.gate == "not memorised"
    assert {item.reason for item in result.subgroups.omitted} == {"not done: 6 patients, 10 are needed"}


def test_subgroups_are_measured_of_the_same_test_images_and_draw(real, snapshot, candidate, monkeypatch):
    given = []

    def watched(dataset, reals, fakes, networks):
        given.append((dataset.image_ids, reals, fakes))
        return SubgroupFidelity(n_fake=len(fakes))

    monkeypatch.setattr(winner, "measure_subgroups", watched)
    result = winner.measure_winner(snapshot, candidate, real, winner.held_out_set(real), CONFIG)
    assert result.subgroups == SubgroupFidelity(n_fake=12)
    ((names, reals, fakes),) = given
    assert names == real.held_out.image_ids
    extractor = load_extractor(CONFIG, torch.device("cpu"))
    assert reals.features == pytest.approx(extract(extractor, real.held_out.images(), 6), rel=1e-5)
    drawn = sample(load_generator(snapshot), 12, result.latent_seed)
    assert fakes == pytest.approx(extract(extractor, drawn, 6), rel=1e-5)


def test_no_two_draws_share_their_latents():
    """A user's seeds are small; each role of an evaluation has one of its own, whatever evaluate.seed is.

    Compared by what is drawn: of a seed beyond 32 bits PyTorch uses the last 32 alone.
    """
    roles = (snapshots.RANKING, winner.ROLE, "challenger", "champion")
    seeds = [incumbents.latent_seed(seed, role) for seed in range(50) for role in roles]
    firsts = {draw_latents(1, 2, seed).numpy().tobytes() for seed in seeds}
    assert len(firsts) == len(seeds)
    assert not firsts & {draw_latents(1, 2, seed).numpy().tobytes() for seed in range(10_000)}
    assert max(seeds) < SEEDS


@pytest.mark.parametrize(
    ("kept", "kind", "reason"),
    [
        (0, Unmeasured.NO_IMAGES, "0 test images of 0 patients"),
        (3, Unmeasured.TOO_FEW_PATIENTS, "3 test images of 3 patients"),
    ],
)
def test_too_few_test_images_are_said_and_not_measured(real, snapshot, candidate, monkeypatch, kept, kind, reason):
    monkeypatch.setattr(winner, "load_networks", lambda _: pytest.fail("nothing is to be measured"))
    held_out = real.held_out.frame.index
    few = dataclasses.replace(real, frame=real.frame.drop(held_out[kept:]))
    test_set = winner.held_out_set(few)
    result = winner.measure_winner(snapshot, candidate, few, test_set, CONFIG)
    assert (result.unmeasured, result.figures(), result.outcome) == (kind, [], Outcome.NOT_CHECKED)
    assert result.reason.startswith(reason)
    assert gates.judged(result) == result


def test_a_figure_that_is_not_finite_is_no_figure(real, snapshot, candidate, monkeypatch):
    monkeypatch.setattr(winner, "FEWEST_FOR_INTERVAL", 1)
    one = dataclasses.replace(real, frame=real.frame.drop(real.held_out.frame.index[1:]))
    result = winner.measure_winner(snapshot, candidate, one, winner.held_out_set(one), CONFIG)
    assert result.unmeasured is Unmeasured.FAILED
    assert "random_vgg/kid_test: 1 real images: at least 2 are needed" in result.reason


def test_the_test_set_is_the_files_whatever_was_made_of_them(real):
    digest = real.held_out.source_digest
    names = [f"x{number}" for number in range(len(real))]
    renamed = real.frame.assign(image_id=names, sha256="other pixels", patient_id="another name")
    assert manifest.source_digest(renamed.loc[real.held_out.frame.index].iloc[::-1]) == digest
    assert manifest.source_digest(real.held_out.frame.iloc[1:]) != digest
    unknown = pd.DataFrame({"source_sha256": ["", ""], "sha256": ["a", "b"]})
    assert manifest.source_digest(unknown) != manifest.source_digest(unknown.iloc[:1])
    assert winner.held_out_set(real.train) == HeldOutSet("", 0, 0, 0)


def test_snapshots_are_ranked_by_train_and_by_validation_patients_of_their_own_never_by_test(real):
    found = image_sources.ranking_reals(Dataset.read(real.root))
    assert {pairing: len(images) for pairing, images in found.items()} == {"train": 9, "validation": 5}
    frame = manifest.read(real.root)
    shared = frame["split"] == "validation"
    frame.loc[shared, "patient_id"] = frame.loc[frame["split"] == "train", "patient_id"].iloc[0]
    manifest.write(frame, real.root)
    assert set(image_sources.ranking_reals(Dataset.read(real.root))) == {"train"}
    assert numbered(real.train.patients).max() == 8
