"""The study's arms, metrics and intervals against oracles, and its verdict on images that help, and that harm."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from mammogan import config, results
from mammogan.audit import membership
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.results import Direction, Finding, Utility, UtilityEffect
from mammogan.utility import classifier, study
from mammogan.utility.arms import Pool, arms
from mammogan.utility.classifier import draw, small_cnn, train_and_score
from mammogan.utility.comparison import Metric, Test, compare, estimate, metrics
from mammogan.utility.study import verdict

CPU = torch.device("cpu")
AUC = Metric("auc", "AUC", Direction.HIGHER, lambda s, y: membership.auc(s[y == 1].numpy(), s[y == 0].numpy()))


def settings(**utility):
    given = {"utility.seeds": 2, "utility.steps": 3, "utility.batch_size": 8, "utility.shares": "0.5,1"}
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
            "real": [9, 4], "oversampled": [9, 4], "augmented": [9, 4], "synthetic_0.5": [9, 7], "synthetic_1": [9, 10],
            "synthetic_augmented": [9, 10], "replaced": [9, 6],
        }  # fmt: skip
        assert set(known["replaced"].classes[1].unique().tolist()) == {30}
        assert [name for name, arm in known.items() if arm.augment] == ["augmented", "synthetic_augmented"]

    def test_only_the_synthetic_class_is_filled(self):
        other = {arm.name: arm for arm in arms(Pool((images(4, 10), images(9, 20)), images(6, 30), 0), (1.0,))}
        assert [len(part) for part in other["synthetic_1"].classes] == [10, 9]
        assert set(other["replaced"].classes[0].unique().tolist()) == {30}


class TestTraining:
    arm = arms(Pool((images(9, 60), images(4, 200)), images(6, 200), 1), (1.0,))[0]

    def test_the_same_seed_gives_the_same_scores_and_another_one_others(self):
        test = torch.cat([images(3, 60), images(3, 200)])
        scores = [train_and_score(self.arm, test, settings(), seed, CPU) for seed in (0, 0, 1)]
        assert torch.equal(scores[0], scores[1])
        assert not torch.equal(scores[0], scores[2])

    def test_it_learns_what_can_be_learned(self):
        test = torch.cat([images(3, 60), images(3, 200)])
        scores = train_and_score(self.arm, test, settings(steps=40, learning_rate=0.01), 0, CPU)
        assert scores[:3].max() < scores[3:].min()

    def test_an_oversampled_batch_is_half_malignant(self):
        rng = torch.Generator().manual_seed(0)
        chosen = torch.stack([draw([90, 4], 8, True, rng) for _ in range(50)])
        assert ((chosen >= 90).sum(dim=1) == 4).all()
        assert chosen.max() == 93
        plain = torch.cat([draw([90, 4], 8, False, rng) for _ in range(100)])
        assert (plain >= 90).float().mean() == pytest.approx(4 / 94, abs=0.02)

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

    def measured(self):
        return {m.name: m.measure(torch.from_numpy(self.scores), torch.from_numpy(self.labels)) for m in metrics(0.9)}

    def test_auc_and_sensitivity_are_scikit_learns(self):
        got = self.measured()
        false, true, _ = roc_curve(self.labels, self.scores, drop_intermediate=False)
        assert got["auc"] == pytest.approx(roc_auc_score(self.labels, self.scores))
        assert got["sensitivity"] == pytest.approx(true[1 - false >= 0.9].max())

    def test_calibration_error_is_the_mean_gap_of_ten_bins(self):
        bins = np.minimum((self.scores * 10).astype(int), 9)
        gaps = [
            (bins == b).mean() * abs(self.scores[bins == b].mean() - self.labels[bins == b].mean())
            for b in range(10) if (bins == b).any()
        ]  # fmt: skip
        assert self.measured()["calibration"] == pytest.approx(sum(gaps), abs=1e-5)


class TestIntervals:
    def test_every_remainder_keeps_both_classes_and_whole_patients(self):
        labels = np.array([1] * 4 + [0] * 60)
        patients = [f"p{index // 2}" for index in range(64)]
        for kept in Test(labels, patients).kept():
            assert set(labels[kept]) == {0, 1}
            gone = {patients[i] for i in set(range(64)) - set(kept.tolist())}
            assert gone.isdisjoint(patients[i] for i in kept)

    def test_what_patients_are_called_decides_nothing(self):
        labels = np.array([0, 1] * 30)
        kept = [
            [indices.tolist() for indices in Test(labels, [name(index) for index in range(60)]).kept()]
            for name in (lambda index: f"p{index:02d}", lambda index: f"p{(index * 37) % 60:02d}")
        ]
        assert kept[0] == kept[1]

    def test_paired_intervals_cover_as_often_as_they_say(self):
        """100 simulated studies: arm b scores cases higher by a known shift, noise shared by seeds and by patients."""
        from scipy.stats import norm

        rng, hits = np.random.default_rng(2), 0
        true = norm.cdf(1.4 / np.sqrt(2 * 1.25)) - norm.cdf(1.0 / np.sqrt(2 * 1.25))
        for _ in range(100):
            labels = np.repeat(rng.permutation([0] * 40 + [1] * 40), 1)
            patients = [f"p{i}" for i in range(80)]
            shared = rng.normal(size=80)
            scores = {
                name: 1 / (1 + np.exp(-(shared + shift * labels + 0.5 * rng.normal(size=(5, 80)))))
                for name, shift in (("real", 1.0), ("b", 1.4))
            }
            _, effects = compare(scores, Test(labels, patients), [AUC], 0.9)
            hits += effects[0].low <= true <= effects[0].high
        assert 0.83 <= hits / 100 <= 0.96

    def test_the_interval_of_a_share_stays_within_its_range(self):
        """Two patients and scores that rank nearly all right: what is added on either side leaves [0, 1]."""
        rng = np.random.default_rng(0)
        labels, patients = np.array([0, 1] * 4), [f"p{i // 2}" for i in range(8)]
        scores = {name: (labels + 1.0 * rng.normal(size=(2, 8))) for name in ("real", "b")}
        (measure, _), (effect,) = compare(scores, Test(labels, patients), [AUC], 0.95)
        assert 0 <= measure.low < measure.value < measure.high == 1
        assert effect.low < 0  # a difference may be negative

    def test_the_interval_holds_the_seeds_spread(self):
        """Oracle: where no patient matters, it is the t interval of the seeds' mean."""
        from scipy.stats import t

        whole = np.array([0.1, 0.3, 0.2, 0.5])
        test = Test(np.array([0, 1] * 10), [f"p{i}" for i in range(20)])
        got = estimate(whole, np.tile(whole[:, None], 20), test, 0.95)
        expected = t.interval(0.95, 3, whole.mean(), whole.std(ddof=1) / 2)
        np.testing.assert_allclose((got.low, got.high), expected)

    def test_an_effect_is_named_by_its_metrics_aim(self):
        labels = np.array([0, 1] * 30)
        test = Test(labels, [f"p{i}" for i in range(60)])
        rng = np.random.default_rng(0)
        good = np.clip(labels + rng.normal(size=(3, 60)) * 0.05, 0, 1)
        bad = rng.uniform(size=(3, 60))
        _, effects = compare({"real": bad, "b": good}, test, metrics(0.9), 0.95)
        assert {effect.metric: effect.finding for effect in effects} == dict.fromkeys(
            ("auc", "sensitivity", "calibration"), Finding.BETTER
        )
        _, effects = compare({"real": good, "b": bad}, test, metrics(0.9), 0.95)
        assert {effect.finding for effect in effects} == {Finding.WORSE}


class TestStudy:
    def test_it_leaves_records_figures_and_a_page(self, dataset, tmp_path):
        fakes = Dataset.read(dataset).train.of(1).images()
        result = study(dataset, settings(), tmp_path, fakes=fakes, label=1)
        assert results.read(Utility, tmp_path / "utility.json") == result
        assert len(result.measures) == 7 * 3
        assert len(result.effects) == 6 * 3
        assert result.counts.test == 16
        page = (tmp_path / "utility.html").read_text()
        assert result.verdict.replace("+", "&#43;") in page or result.verdict in page
        for arm in result.arms:
            assert arm.title in page
        for name in ("effects", "curve"):
            assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")

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

    @pytest.mark.parametrize(
        ("low", "high", "words"),
        [
            (0.02, 0.09, "The synthetic images help: AUC +0.050 (+0.020 to +0.090)"),
            (-0.09, -0.02, "The synthetic images harm: AUC +0.050 (-0.090 to -0.020)"),
            (-0.02, 0.09, "Adding synthetic images made no significant difference"),
        ],
    )
    def test_the_verdict_is_that_of_all_synthetic_images(self, low, high, words):
        finding = Finding.NO_DIFFERENCE if low < 0 < high else Finding.BETTER if low > 0 else Finding.WORSE
        known = arms(Pool((images(9, 10), images(4, 20)), images(6, 30), 1), (0.5, 1.0))
        effects = [
            UtilityEffect(arm, "auc", 0.05, low, high, 0.95, result)
            for arm, result in (
                ("synthetic_0.5", Finding.BETTER), ("synthetic_augmented", Finding.BETTER), ("synthetic_1", finding),
                ("replaced", finding),
            )
        ]  # fmt: skip
        named, sentence = verdict(effects, known)
        assert named is finding
        assert sentence.startswith(words)

    @pytest.mark.long
    @pytest.mark.parametrize(
        ("drawn_as", "rare", "seeds", "steps", "word"), [(1, 2, 8, 60, "help"), (0, 4, 4, 100, "harm")]
    )
    def test_a_true_benefit_and_a_true_harm_are_found(
        self, write_dataset, tmp_path, drawn_as, rare, seeds, steps, word
    ):
        """A class whose spot is anywhere: true draws of it help where two are real, draws of the other class harm."""
        folder = write_dataset(tmp_path / "set", {"train": (60, rare), "test": (60, 60)}, picture=draw_image)
        rng = np.random.default_rng(7)
        fakes = torch.stack([torch.from_numpy(draw_image(rng, drawn_as))[None] for _ in range(60 - rare)])
        chosen = settings(seeds=seeds, steps=steps, batch_size=16, shares="1")
        result = study(folder, chosen, tmp_path / "out", fakes=fakes, label=1)
        assert result.verdict.startswith(f"The synthetic images {word}"), result.verdict

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
        with pytest.raises(ValueError, match="1 malignant patients in test; the study needs 2"):
            study(folder, settings(), tmp_path / "out", fakes=images(4, 9), label=1)

    def test_a_set_without_synthetic_images_says_what_to_do(self, dataset, tmp_path):
        with pytest.raises(ValueError, match="fill it with synthesise"):
            study(dataset, settings(), tmp_path / "out")
