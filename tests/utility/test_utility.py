"""The study's arms, training, metrics and intervals against oracles, and its finding on images that help, and harm."""

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, roc_curve

from mammogan import config, results
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.errors import NotEnoughDataError
from mammogan.results import Benefit, Role, Utility
from mammogan.utility import classifier, study
from mammogan.utility.arms import DECIDING, Pool, arms
from mammogan.utility.classifier import draw, small_cnn, train_and_score
from mammogan.utility.comparison import compare, estimate, metrics
from mammogan.utility.held_out import HeldOut, validation_images

CPU = torch.device("cpu")


def settings(**utility):
    given = {
        "utility.seeds": 2, "utility.steps": 3, "utility.batch_size": 8, "utility.shares": "0.5", "utility.patience": 2,
        "utility.check_every": 2,
    }  # fmt: skip
    given |= {f"utility.{name}": value for name, value in utility.items()}
    return config.override(config.PRESETS["demo"], given)


def images(count, value):
    return torch.full((count, 1, 28, 28), value, dtype=torch.uint8)


def draw_image(rng, label):
    """(28, 28) uint8: noise, with a bright spot anywhere where the label is 1."""
    y, x = np.mgrid[:28, :28]
    spot = label * 35 * np.exp(-((x - rng.uniform(6, 22)) ** 2 + (y - rng.uniform(6, 22)) ** 2) / 12)
    return (100 + rng.normal(0, 20, (28, 28)) + spot).clip(0, 255).astype(np.uint8)


class TestArms:
    def test_they_are_what_they_say(self):
        pool = Pool((images(9, 10), images(4, 20)), images(6, 30), 1)
        known = {arm.name: arm for arm in arms(pool, (1.0, 0.5))}
        sizes = {name: [len(part) for part in arm.classes] for name, arm in known.items()}
        assert sizes == {
            "real": [9, 4], "oversampled": [9, 4], "augmented": [9, 4], "synthetic_0.5": [9, 7], "synthetic": [9, 10],
            "synthetic_augmented": [9, 10], "replaced": [9, 6],
        }  # fmt: skip
        assert set(known["replaced"].classes[1].unique().tolist()) == {30}
        assert [name for name, arm in known.items() if arm.augment] == ["augmented", "synthetic_augmented"]
        assert [name for name, arm in known.items() if arm.natural] == ["real"]

    def test_the_arms_that_decide_differ_from_their_controls_in_the_synthetic_images_alone(self):
        known = {arm.name: arm for arm in arms(Pool((images(9, 10), images(4, 20)), images(6, 30), 1), ())}
        for name, control in DECIDING:
            arm, other = known[name], known[control]
            assert (arm.natural, arm.augment, arm.control) == (other.natural, other.augment, control)
            assert len(arm.classes[1]) - len(other.classes[1]) == arm.synthetic == 6
            assert torch.equal(arm.classes[0], other.classes[0])

    def test_only_the_synthetic_class_is_filled(self):
        other = {arm.name: arm for arm in arms(Pool((images(4, 10), images(9, 20)), images(6, 30), 0), (1.0,))}
        assert [len(part) for part in other["synthetic"].classes] == [10, 9]
        assert set(other["replaced"].classes[0].unique().tolist()) == {30}


class TestTraining:
    known = arms(Pool((images(9, 60), images(4, 200)), images(6, 200), 1), (1.0,))
    validation = (images(3, 60), images(2, 200))
    test = torch.cat([images(3, 60), images(3, 200)])

    def fit(self, number=1, seed=0, validation=None, **changed):
        return train_and_score(
            self.known[number], validation or self.validation, self.test, 4 / 13, settings(**changed), seed, CPU
        )

    def test_the_same_seed_gives_the_same_scores_and_another_one_others(self):
        first, again, other = (self.fit(seed=seed) for seed in (0, 0, 1))
        assert first == again
        assert first.scores != other.scores

    def test_it_learns_what_can_be_learned_in_every_arm(self):
        for number in (0, 1, 2):
            scores = self.fit(number, steps=40, learning_rate=0.01, patience=20).scores
            assert max(scores[:3]) < min(scores[3:])

    def test_a_batch_is_half_malignant_whatever_the_classes_sizes(self):
        rng = torch.Generator().manual_seed(0)
        chosen = torch.stack([draw([90, 4], 8, rng) for _ in range(50)])
        assert ((chosen >= 90).sum(dim=1) == 4).all()
        assert chosen.max() == 93
        assert (draw([90, 4], 7, rng) >= 90).sum() == 3

    def test_it_ends_at_the_plateau_of_the_validation_loss_with_the_best_weights(self, monkeypatch):
        losses = iter([0.6, 0.4, 0.5, 0.41, 0.3])
        monkeypatch.setattr(classifier, "_balanced_loss", lambda *_: next(losses))
        fit = self.fit(steps=100)  # looks at 2, 4, 6 and 8 steps
        assert (fit.steps, fit.plateau) == (4, True)
        assert next(losses) == 0.3
        losses = iter([0.6, 0.4])
        same = self.fit(steps=4)
        assert (same.steps, same.plateau) == (4, False)
        assert same.scores == fit.scores

    def test_what_stops_it_is_the_validation_images(self):
        upside_down = (self.validation[1], self.validation[0])
        assert self.fit(steps=60, learning_rate=0.01).steps > 20
        assert self.fit(steps=60, learning_rate=0.01, validation=upside_down).steps < 10

    @pytest.mark.parametrize(("number", "natural"), [(0, True), (1, False)])
    def test_probabilities_are_those_of_the_real_share_where_nothing_can_be_learned(self, number, natural):
        """The same image in both classes: its probability is the share, 0.1, whether the loss weighs it or not."""
        same = arms(Pool((images(18, 90), images(2, 90)), images(6, 90), 1), (1.0,))[number]
        assert same.natural is natural
        chosen = settings(steps=100, learning_rate=0.03, check_every=50, patience=6)
        fit = train_and_score(same, (images(9, 90), images(1, 90)), images(1, 90), 0.1, chosen, 0, CPU)
        assert fit.scores[0] == pytest.approx(0.1, abs=0.03)

    def test_a_training_that_diverges_says_so(self):
        with pytest.raises(
            ValueError, match=r"^utility\.learning_rate=1e\+30: a classifier diverged; give a lower one"
        ):
            self.fit(learning_rate=1e30)

    def test_no_image_depends_on_its_batch(self):
        network = small_cnn().eval()
        x = torch.randn(6, 1, 28, 28)
        torch.testing.assert_close(network(x)[2:3], network(x[2:3]))

    def test_densenet_starts_from_the_weights_given(self, tmp_path):
        from torchvision.models import densenet121

        torch.manual_seed(3)
        source = densenet121(weights=None)
        torch.save({f"backbone.0.{k}": v for k, v in source.features.state_dict().items()}, tmp_path / "w.pt")
        chosen = config.override(settings(classifier="densenet121"), {"model.frozen_weights": str(tmp_path / "w.pt")})
        network = classifier.new_classifier(chosen, 0)
        assert torch.equal(network.network.features.conv0.weight, source.features.conv0.weight)
        assert network(torch.zeros(2, 1, 56, 56)).shape == (2, 1)


class TestMetrics:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    scores = np.clip(0.3 * labels + rng.uniform(size=80) * 0.7, 0, 1).astype(np.float32)

    def test_they_are_scikit_learns(self):
        got = {m.name: m.measure(torch.from_numpy(self.scores), torch.from_numpy(self.labels)) for m in metrics(0.9)}
        false, true, _ = roc_curve(self.labels, self.scores, drop_intermediate=False)
        assert got["sensitivity"] == pytest.approx(true[1 - false >= 0.9].max())
        assert got["brier"] == pytest.approx(brier_score_loss(self.labels, self.scores))


class TestHeldOut:
    def test_every_remainder_keeps_both_classes_and_whole_patients(self):
        labels = np.array([1] * 4 + [0] * 60)
        patients = [f"p{index // 2}" for index in range(64)]
        for kept in HeldOut(labels, patients).kept():
            assert set(labels[kept]) == {0, 1}
            gone = {patients[i] for i in set(range(64)) - set(kept.tolist())}
            assert gone.isdisjoint(patients[i] for i in kept)

    def test_what_patients_are_called_decides_nothing(self):
        labels = np.array([0, 1] * 30)
        names = [
            [name(index) for index in range(60)] for name in (lambda i: f"p{i:02d}", lambda i: f"p{i * 37 % 60:02d}")
        ]
        kept = [[indices.tolist() for indices in HeldOut(labels, patients).kept()] for patients in names]
        assert kept[0] == kept[1]
        watched = [validation_images(labels, patients, 0.2, 0) for patients in names]
        assert watched[0].tolist() == watched[1].tolist()

    def test_validation_takes_whole_patients_of_both_kinds_and_leaves_some(self):
        patients = [f"p{index // 3}" for index in range(60)]
        labels = np.array([index // 3 % 4 == 0 and index % 3 == 0 for index in range(60)], dtype=np.int64)
        watched = validation_images(labels, patients, 0.2, 0)
        sides = [{patient for patient, side in zip(patients, watched, strict=True) if side is given}
                 for given in (np.True_, np.False_)]  # fmt: skip
        assert watched.sum() == 3 * 4  # of 5 malignant patients one, of 15 benign ones three
        assert not sides[0] & sides[1]
        assert labels[watched].sum() == 1
        assert not np.array_equal(watched, validation_images(labels, patients, 0.2, 1))

    def test_two_patients_of_a_kind_are_one_on_each_side(self):
        labels = np.array([0] * 9 + [1] * 2)
        for fraction in (0.01, 0.99):
            watched = validation_images(labels, [str(index) for index in range(11)], fraction, 0)
            assert labels[watched].sum() == 1
            assert {0, 1} == set(labels[watched]) == set(labels[~watched])


class TestIntervals:
    def test_the_interval_of_a_share_stays_within_its_range(self):
        """Two patients and scores that rank nearly all right: what is added on either side leaves [0, 1]."""
        rng = np.random.default_rng(0)
        labels, patients = np.array([0, 1] * 4), [f"p{i // 2}" for i in range(8)]
        known = arms(Pool((images(1, 1), images(1, 1)), images(1, 1), 1), (1.0,))[:2]
        scores = {arm.name: labels + 1.0 * rng.normal(size=(2, 8)) for arm in known}
        measures, effects = compare(scores, known, HeldOut(labels, patients), metrics(0.9), 0.95)
        for measure in measures:
            assert 0 <= measure.low <= measure.value <= measure.high <= 1
        assert {(effect.arm, effect.control) for effect in effects} == {("oversampled", "real")}
        assert effects[0].low < 0  # a difference may be negative

    def test_the_interval_holds_the_seeds_spread(self):
        """Oracle: where no patient matters, it is the t interval of the seeds' mean."""
        from scipy.stats import t

        whole = np.array([0.1, 0.3, 0.2, 0.5])
        test = HeldOut(np.array([0, 1] * 10), [f"p{i}" for i in range(20)])
        got = estimate(whole, np.tile(whole[:, None], 20), test, 0.95)
        expected = t.interval(0.95, 3, whole.mean(), whole.std(ddof=1) / 2)
        np.testing.assert_allclose((got.low, got.high), expected)


class TestStudy:
    def test_it_leaves_records_figures_and_a_page(self, dataset, tmp_path):
        fakes = Dataset.read(dataset).train.of(1).images()
        result = study(dataset, settings(), tmp_path, fakes=fakes, label=1)
        assert results.read(Utility, tmp_path / "utility.json") == result
        assert len(result.measures) == 7 * 3
        assert len(result.effects) == 6 * 3
        assert [(test.arm, test.control) for test in result.tests] == list(DECIDING)
        assert {item.arm for item in result.calibrations} == {arm.name for arm in result.arms}
        assert sum(group.count for group in result.calibrations[0].bins) == 2 * 16
        page = (tmp_path / "utility.html").read_text()
        assert result.verdict.replace("+", "&#43;") in page or result.verdict in page
        for arm in result.arms:
            assert arm.title in page
        for name in ("effects", "curve", "calibration"):
            assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    def test_its_result_and_its_sentence_say_what_it_rests_on(self, dataset, tmp_path):
        fakes = Dataset.read(dataset).train.of(1).images()
        result = study(dataset, settings(), tmp_path, fakes=fakes, label=1)
        counts = result.counts
        assert (counts.test, counts.benign, counts.benign_patients) == (16, 10, 10)
        assert (counts.malignant, counts.malignant_patients, counts.synthetic, counts.synthetic_sets) == (6, 6, 12, 1)
        assert "tested on 16 images, 10 benign of 10 and 6 malignant of 6 patients; a small test set" in result.verdict
        assert "one set of synthetic images" in result.verdict
        assert {arm.unfinished for arm in result.arms} == {2}
        assert result.verdict.endswith("14 of 14 trainings used up their steps before a plateau")

    def test_each_block_has_its_own_images_validation_patients_and_weights(self, dataset, tmp_path, monkeypatch):
        fakes = Dataset.read(dataset).train.of(1).images()
        asked, trained = [], []

        def drawn(count, block):
            asked.append((count, block))
            return images(count, 10 * block)

        def watches(arm, validation, test, share, chosen, seed, device):
            trained.append((arm, validation, seed))
            return train_and_score(arm, validation, test, share, chosen, seed, device)

        monkeypatch.setattr(__import__("sys").modules["mammogan.utility.study"], "train_and_score", watches)
        result = study(dataset, settings(seeds=3), tmp_path, fakes=fakes, label=1, draw=drawn)
        assert asked == [(12, 1), (12, 2)]
        assert result.counts.synthetic_sets == 3
        assert "one set" not in result.verdict
        synthetic = {seed: arm.classes[1][-12:] for arm, _, seed in trained if arm.name == "synthetic"}
        assert torch.equal(synthetic[0], fakes)
        assert [set(synthetic[seed].unique().tolist()) for seed in (1, 2)] == [{10}, {20}]
        watched = {seed: validation for _, validation, seed in trained}
        assert [len(part) for part in watched[0]] == [6, 2]
        assert not torch.equal(watched[0][0], watched[1][0])
        for arm, validation, seed in trained:
            assert validation is watched[seed]
            for learnt, judged in zip(arm.classes, validation, strict=True):
                assert not {bytes(image.numpy()) for image in learnt} & {bytes(image.numpy()) for image in judged} or (
                    arm.synthetic and seed == 0  # here the "generator" hands over the training images
                )

    @pytest.mark.parametrize("shared", [False, True])
    def test_the_data_sets_validation_patients_end_its_trainings(self, write_dataset, tmp_path, monkeypatch, shared):
        """All of them in each block, and all of train is learnt; without them, or where all are elsewhere, a part."""
        folder = write_dataset(tmp_path / "set", {"train": (12, 6), "test": (4, 4), "validation": (5, 3)})
        if shared:
            frame = manifest.read(folder)
            of_train = frame.loc[frame["split"] == "train", "patient_id"].iloc[0]
            frame.loc[frame["split"] == "validation", "patient_id"] = of_train
            manifest.write(frame, folder)
        fakes, trained = Dataset.read(folder).train.of(1).images(), []

        def watches(arm, validation, *rest):
            trained.append((arm, validation))
            return train_and_score(arm, validation, *rest)

        monkeypatch.setattr(__import__("sys").modules["mammogan.utility.study"], "train_and_score", watches)
        counts = study(folder, settings(), tmp_path / "out", fakes=fakes, label=1).counts
        known = Dataset.read(folder).validation
        real = {len(arm.classes[0]) for arm, _ in trained}
        page = (tmp_path / "out" / "utility.html").read_text()
        if shared:
            assert (counts.validation_role, counts.validation) == (Role.TRAIN, 3)
            assert real == {10}
            assert "patients set aside from train had reached its plateau" in page
        else:
            assert (counts.validation_role, counts.validation) == (Role.VALIDATION, 8)
            assert real == {12}
            for _, validation in trained:
                assert all(torch.equal(part, known.of(label).images()) for label, part in enumerate(validation))
            assert "the validation patients had reached its plateau" in page

    def test_validation_of_one_class_is_too_little(self, write_dataset, tmp_path):
        folder = write_dataset(tmp_path / "set", {"train": (6, 6), "test": (4, 4), "validation": (5, 0)})
        with pytest.raises(
            NotEnoughDataError, match="no malignant validation image is of a patient who is not in train"
        ):
            study(folder, settings(), tmp_path / "out", fakes=images(4, 1), label=1)
        assert not (tmp_path / "out").exists()

    def test_it_goes_on_where_it_was_stopped(self, dataset, tmp_path, monkeypatch):
        fakes = Dataset.read(dataset).train.of(1).images()
        whole = study(dataset, settings(), tmp_path / "whole", fakes=fakes, label=1)
        trained = []

        def dies(arm, *rest):
            trained.append(arm.name)
            if len(trained) == 5:
                raise KeyboardInterrupt
            return train_and_score(arm, *rest)

        module = __import__("sys").modules["mammogan.utility.study"]
        monkeypatch.setattr(module, "train_and_score", dies)
        with pytest.raises(KeyboardInterrupt):
            study(dataset, settings(), tmp_path / "cut", fakes=fakes, label=1)
        assert study(dataset, settings(), tmp_path / "cut", fakes=fakes, label=1) == whole
        assert len(trained) == 5 + 14 - 4

    @pytest.mark.long
    @pytest.mark.parametrize(("drawn_as", "rare", "finding"), [(1, 4, Benefit.HELPS), (0, 20, Benefit.HARMS)])
    def test_a_true_benefit_and_a_true_harm_are_found(self, write_dataset, tmp_path, drawn_as, rare, finding):
        """A class whose spot is anywhere: true draws of it help where few are real, draws of the other class harm."""
        folder = write_dataset(tmp_path / "set", {"train": (60, rare), "test": (60, 60)}, picture=draw_image)
        rng = np.random.default_rng(7)

        def drawn(count, _):
            return torch.stack([torch.from_numpy(draw_image(rng, drawn_as))[None] for _ in range(count)])

        chosen = settings(seeds=5, steps=200, batch_size=16, shares="1", check_every=10, patience=5, learning_rate=3e-3)
        result = study(folder, chosen, tmp_path / "out", fakes=drawn(60 - rare, 0), label=1, draw=drawn)
        assert result.finding is finding, result.verdict

    def test_patients_of_train_are_no_test(self, dataset, tmp_path):
        import shutil

        shutil.copytree(dataset, tmp_path / "leaky")
        frame = manifest.read(dataset)
        frame.loc[frame["image_id"] == "P_test_1_000", "patient_id"] = "patient P_train_1_000"
        manifest.write(frame, tmp_path / "leaky")
        fakes = Dataset.read(dataset).train.of(1).images()
        counts = study(tmp_path / "leaky", settings(), tmp_path / "out", fakes=fakes, label=1).counts
        assert (counts.test, counts.test_images_of_train_patients) == (15, 1)

    def test_a_test_split_without_a_class_says_so(self, write_dataset, tmp_path):
        folder = write_dataset(tmp_path / "set", {"train": (6, 4), "test": (4, 1)})
        with pytest.raises(NotEnoughDataError, match="1 malignant patients in test; the study needs 2"):
            study(folder, settings(), tmp_path / "out", fakes=images(4, 9), label=1)

    def test_a_train_split_that_cannot_be_watched_says_so(self, write_dataset, tmp_path):
        folder = write_dataset(tmp_path / "set", {"train": (6, 1), "test": (4, 4)})
        with pytest.raises(NotEnoughDataError, match="1 malignant patients in train; the study needs 2"):
            study(folder, settings(), tmp_path / "out", fakes=images(4, 9), label=1)
        folder = write_dataset(tmp_path / "mixed", {"train": (2, 2), "test": (4, 4)})
        frame = manifest.read(folder)
        of_train = frame["split"] == "train"
        frame.loc[of_train, "patient_id"] = ["a", "b", "a", "b"]  # each has both classes
        frame.loc[of_train, "label"] = [0, 0, 1, 1]
        manifest.write(frame, folder)
        result = study(folder, settings(), tmp_path / "both", fakes=images(4, 9), label=1)
        assert result.arms[0].benign == result.arms[0].malignant == 1

    def test_a_set_without_synthetic_images_says_what_to_do(self, dataset, tmp_path):
        with pytest.raises(ValueError, match="fill it with synthesise"):
            study(dataset, settings(), tmp_path / "out")
