import contextlib
import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from filled_dataset import write_summary
from PIL import Image
from sample_run import write_trial
from typer.testing import CliRunner

from mammogan import console, results
from mammogan.commands.evaluate import app
from mammogan.config import EvaluateConfig
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.evaluation import snapshots
from mammogan.graph import Step
from mammogan.models.generator import Generator, save_snapshot
from mammogan.results import PAIRS, Direction, Evaluation, TrialFile, TrialResult, TrialStatus

SIZE = 28
CONFIG = EvaluateConfig(fakes=9, pairs=6, extractor="random", batch_size=4, device="cpu")
SHARES = ("precision", "recall", "density", "coverage")


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MAMMOGAN_CACHE", str(tmp_path / "cache"))


def write_images(folder, images):
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return folder


def noise(count, seed, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size), dtype=np.uint8)


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path / "dataset", train=14, validation=5)


def make_dataset(folder, train, validation):
    counts = {"train": train, "validation": validation, "test": 3}
    return write_rows(folder, [{"split": split} for split, count in counts.items() for _ in range(count)])


def write_rows(folder, rows):
    """Data set of noise whose rows differ from one another as told, malignant ones of a scanner unless told."""
    write_images(folder / "images", noise(len(rows), 0))
    blank = dict.fromkeys(manifest.COLUMNS, "x") | {"label": 1, "original_rows": SIZE, "original_cols": SIZE}
    named = [
        blank | {"image_id": f"{i:03d}", "file": f"images/{i:03d}.png", "patient_id": f"P{i}"} | row
        for i, row in enumerate(rows)
    ]
    manifest.write(pd.DataFrame(named), folder)
    return folder


@pytest.fixture
def filled(tmp_path):
    """Both classes, the malignant one rarer among the real images of train, and filled up past the benign one."""
    kinds = {
        ("train", 0, "x"): 8, ("train", 1, "x"): 5, ("test", 0, "x"): 4, ("test", 1, "x"): 3,
        ("train", 1, "synthetic"): 9, ("train", 0, "synthetic"): 2,
    }  # fmt: skip
    rows = [
        {"split": split, "label": label, "source": source}
        for (split, label, source), count in kinds.items()
        for _ in range(count)
    ]
    return write_rows(tmp_path / "filled", rows)


FINISHED = TrialResult(0.5, 0, "d" * 64, 4, TrialStatus.FINISHED, key="k")


@pytest.fixture
def trial(tmp_path):
    folder = tmp_path / "trial"
    for epoch in (1, 4):
        torch.manual_seed(epoch)
        save_snapshot(Generator(SIZE, 6, 8), epoch, folder / f"snapshots/epoch_{epoch:04d}.pt")
    write_trial(folder, FINISHED)
    return folder


def test_a_record_with_no_name_of_a_snapshot_is_refused_by_its_folder(trial, dataset, tmp_path):
    foreign = TrialFile("snapshots/epoch_x.pt", "0" * 64)
    results.write(dataclasses.replace(FINISHED, files=(foreign,)), trial / "trial.json")
    with pytest.raises(ValueError, match=r"trial: 'snapshots/epoch_x\.pt' is no name of a snapshot; train"):
        evaluate(trial, dataset, tmp_path / "out")


class Reports(list):
    def __call__(self, step, metrics):
        self.append((step, dict(metrics)))


def evaluate(trial, dataset, out, config=CONFIG):
    reports = Reports()
    return snapshots.evaluate_trial(trial, dataset, config, out, reports), reports


def test_every_snapshot_gets_the_six_metrics_with_references_and_intervals(trial, dataset, tmp_path):
    result, reports = evaluate(trial, dataset, tmp_path / "out")
    assert results.read(Evaluation, tmp_path / "out/evaluation.json") == result
    assert result.trial.name == "lambda=0.5,seed=0"
    assert result.omitted == ()
    keys = [item.key for item in result.measurements if item.epoch == 4]
    assert keys == [
        *(f"random_vgg/{metric}_{split}" for metric in ("kid", "fid") for split in ("train", "validation")),
        *(
            f"{PAIRS}/{metric}_{pair}"
            for metric in ("lpips_random", "ms_ssim")
            for pair in ("real_fake", "fake_fake", "real_real")
        ),
        *(f"random_vgg/{share}_train" for share in SHARES),
    ]
    for item in result.measurements:
        assert item.low <= item.value <= item.high
        assert item.reference is not None
        directions = {"kid": Direction.LOWER, "fid": Direction.LOWER, **dict.fromkeys(SHARES, Direction.HIGHER)}
        assert item.direction is directions.get(item.quantity.metric, Direction.MATCH_REFERENCE)
        sides = [side for side in (64, 224) if f"enlarged from 28 to {side} px" in item.implementation]
        assert sides == {"lpips": [64], "ms_ssim": [224]}.get(item.quantity.metric, [])
    assert [step for step, _ in reports] == [1, 4]
    assert set(reports[1][1]) == {key for key in keys if not key.endswith("real_real")}


def test_every_interval_is_over_the_patients_of_the_manifest(trial, tmp_path):
    """Two images of each patient, or one patient a role: who is whose changes intervals, references and KID's pairs."""
    rows = [{"split": "train"}] * 16 + [{"split": "validation"}] * 8
    whose = {"own": range(24), "pairs": np.arange(24) // 2, "one": [0] * 16 + [1] * 8}
    found = {}
    for name, patients in whose.items():
        named = [row | {"patient_id": f"P{patient}"} for row, patient in zip(rows, patients, strict=True)]
        evaluated, _ = evaluate(trial, write_rows(tmp_path / name, named), tmp_path / f"{name} out")
        found[name] = {item.key: item for item in evaluated.measurements if item.epoch == 4}
    for key, own in found["own"].items():
        paired, one = found["pairs"][key], found["one"][key]
        assert one.value == pytest.approx(own.value, rel=1e-6)
        if own.quantity.metric == "kid":
            assert paired.value != pytest.approx(own.value, rel=1e-6)
        else:
            assert paired.value == pytest.approx(own.value, rel=1e-6)
        if own.n_real:
            assert (own.low, own.high) != (paired.low, paired.high)
            assert own.quantity.metric in SHARES or one.low is None
        else:
            assert (own.low, own.high) == (paired.low, paired.high) == (one.low, one.high)
    assert found["one"]["random_vgg/kid_train"].reference is None


@pytest.mark.parametrize("finished", [False, True])
def test_progress_reaches_its_end_within_a_snapshot_and_over_broken_ones(
    finished, trial, dataset, tmp_path, monkeypatch
):
    (trial / "snapshots/epoch_0009.pt").write_bytes(b"no snapshot")
    write_trial(trial, FINISHED)
    if finished:
        evaluate(trial, dataset, tmp_path / "out")
        (trial / "snapshots/epoch_0012.pt").write_bytes((trial / "snapshots/epoch_0004.pt").read_bytes() + b"x")
        write_trial(trial, FINISHED)
    steps, totals = [], []

    @contextlib.contextmanager
    def progress(_, total, done=0, *, unit):
        totals.append((total, done))
        yield lambda count=1, note="": steps.append(count)

    monkeypatch.setattr(console, "progress", progress)
    evaluate(trial, dataset, tmp_path / "out")
    ((total, done),) = totals
    assert done + sum(steps) == total
    assert done == finished * 3 * 2 * CONFIG.fakes
    assert len(steps) > 8


def test_counts_say_who_took_part(trial, dataset, tmp_path):
    result, _ = evaluate(trial, dataset, tmp_path / "out")
    counts = {(item.quantity.metric, item.quantity.pairing): (item.n_real, item.n_fake) for item in result.measurements}
    assert counts["kid", "train"] == (14, 9)
    assert counts["fid", "validation"] == (5, 9)
    assert counts["lpips", "fake_fake"] == (0, 9)
    assert counts["ms_ssim", "real_real"] == (14, 0)


def test_running_again_measures_only_new_snapshots_and_reports_all(trial, dataset, tmp_path, monkeypatch):
    first, reports = evaluate(trial, dataset, tmp_path / "out")
    measured = []
    original = snapshots.compare
    monkeypatch.setattr(snapshots, "compare", lambda *args: measured.append(1) or original(*args))
    again, reports_again = evaluate(trial, dataset, tmp_path / "out")
    assert (again, reports_again, measured) == (first, reports, [])
    save_snapshot(Generator(SIZE, 6, 8), 8, trial / "snapshots/epoch_0008.pt")
    write_trial(trial, FINISHED)
    more, _ = evaluate(trial, dataset, tmp_path / "out")
    assert len(measured) == 1
    assert {item.epoch for item in more.measurements} == {1, 4, 8}
    evaluate(trial, dataset, tmp_path / "out", EvaluateConfig(**{**vars(CONFIG), "seed": 1}))
    assert len(measured) == 4


def test_the_batch_size_changes_nothing(trial, dataset, tmp_path):
    one, _ = evaluate(trial, dataset, tmp_path / "one")
    other, _ = evaluate(trial, dataset, tmp_path / "other", EvaluateConfig(**{**vars(CONFIG), "batch_size": 7}))
    for a, b in zip(one.measurements, other.measurements, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-4, abs=1e-7)


def test_a_single_validation_image_leaves_out_its_measurements_with_a_reason(trial, tmp_path):
    result, reports = evaluate(trial, make_dataset(tmp_path / "tiny", train=3, validation=1), tmp_path / "out")
    omitted = {(item.epoch, item.key): item.reason for item in result.omitted}
    assert omitted[1, "random_vgg/fid_validation"] == "1 real images: at least 2 are needed"
    few = {f"random_vgg/{metric}_validation" for metric in ("kid", "fid")} | {f"random_vgg/{s}_train" for s in SHARES}
    assert set(omitted) == {(epoch, key) for epoch in (1, 4) for key in few}
    assert not any("validation" in key for _, metrics in reports for key in metrics)
    kid = next(item for item in result.measurements if item.quantity.metric == "kid")
    assert kid.reference is None


def test_a_data_set_without_validation_images_is_measured_against_train(trial, tmp_path):
    result, _ = evaluate(trial, make_dataset(tmp_path / "tiny", train=5, validation=0), tmp_path / "out")
    assert {item.quantity.pairing for item in result.measurements if item.quantity.metric == "kid"} == {"train"}


def test_one_train_image_still_gives_what_can_be_measured(trial, tmp_path):
    result, _ = evaluate(trial, make_dataset(tmp_path / "tiny", train=1, validation=1), tmp_path / "out")
    assert {item.key for item in result.measurements} == {
        "sample_pairs/lpips_random_real_fake", "sample_pairs/lpips_random_fake_fake",
        "sample_pairs/ms_ssim_real_fake", "sample_pairs/ms_ssim_fake_fake",
    }  # fmt: skip


def test_a_failed_trial_keeps_its_status_and_broken_snapshots_are_omitted(trial, dataset, tmp_path):
    (trial / "snapshots/epoch_0001.pt").write_bytes(b"torn")
    broken = Generator(SIZE, 6, 8)
    torch.nn.init.constant_(broken.last.weight, float("nan"))
    save_snapshot(broken, 4, trial / "snapshots/epoch_0004.pt")
    write_trial(trial, TrialResult(5.0, 0, "d" * 64, 4, TrialStatus.DIVERGED, "loss is NaN"))
    result, reports = evaluate(trial, dataset, tmp_path / "out")
    assert (result.status, result.reason, result.measurements) == (TrialStatus.DIVERGED, "loss is NaN", ())
    assert [item.key for item in result.omitted] == ["*", "*"]
    assert "not finite" in result.omitted[1].reason
    assert reports == [(1, {}), (4, {})]


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(b"another"), lambda path: path.unlink()])
def test_a_snapshot_that_the_training_did_not_write_fails_the_trial(change, trial, dataset, tmp_path):
    change(trial / "snapshots/epoch_0004.pt")
    result = snapshots.evaluate_or_fail(trial, dataset, CONFIG, tmp_path / "out", Reports())
    assert (result.status, result.failed_in, result.measurements) == (TrialStatus.FAILED, Step.EVALUATE, ())
    assert "snapshots/epoch_0004.pt" in result.reason


def test_a_snapshot_beside_the_recorded_ones_is_not_measured(trial, dataset, tmp_path):
    save_snapshot(Generator(SIZE, 6, 8), 8, trial / "snapshots/epoch_0008.pt")
    assert [epoch for epoch, _ in evaluate(trial, dataset, tmp_path / "out")[1]] == [1, 4]


def test_snapshots_of_another_size_are_refused(trial, dataset, tmp_path):
    save_snapshot(Generator(56, 6, 8), 8, trial / "snapshots/epoch_0008.pt")
    write_trial(trial, FINISHED)
    with pytest.raises(ValueError, match="real is 28x28, fake is 56x56"):
        evaluate(trial, dataset, tmp_path / "out")


@pytest.fixture
def folders(tmp_path):
    """6 and 7 images: one fewer than precision and the like need."""
    return write_images(tmp_path / "real", noise(6, 1)), write_images(tmp_path / "fake", noise(7, 2) // 2)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_prints_one_json_object(folders):
    real, fake = folders
    done = run("--real", real, "--fake", fake, "--extractor", "random", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert {item["quantity"]["metric"] for item in result["measurements"]} == {"kid", "fid", "lpips", "ms_ssim"}
    assert {item["key"] for item in result["measurements"]} >= {"random_vgg/kid", "sample_pairs/lpips_random_real_real"}
    assert result["extractor"]["name"] == "random_vgg"


def test_the_command_draws_from_a_snapshot_and_splits_a_data_set(trial, dataset):
    snapshot = trial / "snapshots/epoch_0004.pt"
    done = run("--real", dataset, "--fake", snapshot, "--count", 11, "--extractor", "random", "--json")
    by_key = {item["key"]: item for item in json.loads(done.stdout)["measurements"]}
    assert (by_key["random_vgg/kid_test"]["n_real"], by_key["random_vgg/kid_test"]["n_fake"]) == (3, 11)
    assert by_key["random_vgg/kid_train"]["subsets"]["size"] == 11
    assert by_key["random_vgg/coverage_train"]["value"] >= 0


def compared(*arguments):
    """Classes, and numbers of real images of train and test and of fakes, that the command says it compared."""
    done = run(*arguments, "--extractor", "random", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    counts = {item["key"]: (item["n_real"], item["n_fake"]) for item in result["measurements"]}
    train, fakes = counts.get("random_vgg/kid_train") or counts["random_vgg/kid"]
    return result["classes"], (train, counts.get("random_vgg/kid_test", (0, 0))[0], fakes)


BOTH = ["benign", "malignant"]


@pytest.mark.parametrize(
    ("asked", "classes", "counts"),
    [
        ([], BOTH, (13, 7, 11)),
        (["--class", "malignant"], ["malignant"], (5, 3, 9)),
        (["--class", "benign"], ["benign"], (8, 4, 2)),
    ],
)
def test_of_a_filled_data_set_real_takes_the_real_images_and_fake_the_synthetic(filled, asked, classes, counts):
    assert compared("--real", filled, "--fake", filled, *asked) == ({"real": classes, "fake": classes}, counts)


@pytest.mark.parametrize(
    ("asked", "name", "counts"),
    [([], "malignant", (5, 3, 11)), (["--class", "benign"], "benign", (8, 4, 11))],
)
def test_a_snapshot_is_compared_with_the_rare_class_of_the_real_images(filled, trial, asked, name, counts):
    snapshot = trial / "snapshots/epoch_0004.pt"
    comparison = compared("--real", filled, "--fake", snapshot, "--count", 11, *asked)
    assert comparison == ({"real": [name], "fake": None}, counts)


def test_by_hand_a_snapshot_gets_the_numbers_of_the_graph_but_for_its_draw(filled, trial, tmp_path, monkeypatch):
    from mammogan.data.minority import filter_minority

    monkeypatch.setattr(snapshots, "latent_seed", lambda seed, _: seed)  # its own latents rank, so that no seed repeats
    rows = Dataset.read(filled).real.frame
    both = write_rows(tmp_path / "both", rows[["split", "label"]].to_dict("records"))
    write_summary(manifest.read(both), both)
    filter_minority(both, "auto", tmp_path / "rare")
    graph, _ = evaluate(trial, tmp_path / "rare", tmp_path / "out")
    done = run("--real", both, "--fake", trial / "snapshots/epoch_0004.pt", "--count", CONFIG.fakes, "--json",
               "--extractor", "random", "--set", f"evaluate.pairs={CONFIG.pairs}")  # fmt: skip
    by_hand = {item["key"]: item["value"] for item in json.loads(done.stdout)["measurements"]}
    of_the_graph = {item.key: item.value for item in graph.measurements if item.epoch == 4}
    assert set(by_hand) - set(of_the_graph) == {"random_vgg/kid_test", "random_vgg/fid_test"}
    assert {key: by_hand[key] for key in of_the_graph} == pytest.approx(of_the_graph, rel=1e-4)


def test_the_graph_takes_no_synthetic_image_for_a_real_one(filled, trial, tmp_path):
    result, _ = evaluate(trial, filled, tmp_path / "out")
    assert {item.n_real for item in result.measurements if item.quantity.metric == "kid"} == {13}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda ours, filled, folder: (ours, ours), r"error: fake='.*': the data set holds no synthetic image; fill"),
        (
            lambda ours, filled, folder: (ours, filled, "--class", "benign"),
            r"error: real='.*': its train split holds no real benign image; give",
        ),
        (
            lambda ours, filled, folder: (filled, ours, "--class", "benign"),
            r"error: fake='.*': the data set holds no synthetic benign image; fill",
        ),
        (lambda ours, filled, folder: (filled, filled, "--class", "both"), "error: --class='both': choose one of"),
        (lambda ours, filled, folder: (folder, folder, "--class", "benign"), "error: --class='benign': neither --real"),
    ],
)
def test_what_a_data_set_does_not_hold_is_refused_in_one_line(make, message, dataset, filled, folders, capsys):
    from mammogan.command_line import app as whole

    real, fake, *rest = (str(part) for part in make(dataset, filled, folders[0]))
    done = CliRunner().invoke(whole, ["evaluate", "--real", real, "--fake", fake, *rest, "--extractor", "random"])
    (line,) = done.stderr.splitlines()
    assert done.exit_code == 2
    assert re.match(message, line)


def test_a_data_set_of_synthetic_images_alone_has_no_reals(trial, tmp_path):
    folder = write_rows(tmp_path / "made", [{"split": "train", "source": "synthetic"}] * 4)
    done = run("--real", folder, "--fake", trial / "snapshots/epoch_0004.pt", "--extractor", "random")
    assert "its train split holds no real image" in str(done.exception)


def test_the_table_names_the_classes(filled, trial):
    done = run("--real", filled, "--fake", filled, "--extractor", "random")
    assert done.stdout.startswith("real: benign and malignant\nfake: benign and malignant\n")


def test_the_command_prints_a_table(folders, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    real, fake = folders
    done = run("--real", real, "--fake", fake, "--extractor", "random")
    assert "sample_pairs/ms_ssim_fake_fake" in done.stdout
    assert "best as real against real: " in done.stdout


CLEAR = r"a\.png: a picture that is transparent"


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda real: (real / "a.png").write_bytes(b"torn"), r"a\.png: unreadable picture"),
        (lambda real: Image.new("L", (9, 9)).save(real / "a.png"), r"a\.png is 9x9|000\.png is 28x28"),
        (lambda real: Image.new("RGB", (SIZE, SIZE), "red").save(real / "a.png"), r"a\.png: a picture in colour"),
        (lambda real: Image.new("I;16", (SIZE, SIZE)).save(real / "a.png"), r"a\.png has more than 8 bits"),
        (
            lambda real: Image.new("RGBA", (SIZE, SIZE), (9, 9, 9, 254)).save(real / "a.png"),
            CLEAR,
        ),
        (
            lambda real: Image.new("LA", (SIZE, SIZE), (9, 0)).save(real / "a.png"),
            CLEAR,
        ),
        (
            lambda real: Image.new("P", (SIZE, SIZE)).save(real / "a.png", transparency=0),
            CLEAR,
        ),
        (
            lambda real: Image.new("L", (SIZE, SIZE), 9).save(real / "a.png", transparency=9),
            CLEAR,
        ),
        (lambda real: [path.unlink() for path in real.iterdir()], "it holds no images"),
    ],
)
def test_folders_that_cannot_be_compared_say_why(folders, break_it, message):
    real, fake = folders
    break_it(real)
    with pytest.raises(ValueError, match=message):
        snapshots.evaluate_folders(real, fake, CONFIG)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_saved_as_colour_is_grey(mode, folders):
    real, fake = folders
    plain = snapshots.evaluate_folders(real, fake, CONFIG).measurements
    for path in real.iterdir():
        Image.open(path).convert(mode).save(path)
    assert snapshots.evaluate_folders(real, fake, CONFIG).measurements == plain


def test_floats_and_colour_tensors_are_refused():
    from mammogan.image_tensors import checked_images

    for wrong, message in (
        (torch.zeros(2, 1, 9, 9), "float32: give uint8"),
        (torch.zeros(2, 3, 9, 9, dtype=torch.uint8), r"shape \(2, 3, 9, 9\)"),
        (torch.zeros(0, 1, 9, 9, dtype=torch.uint8), r"shape \(0, 1, 9, 9\)"),
    ):
        with pytest.raises(ValueError, match=message):
            checked_images("fake", wrong)


def test_a_machine_without_memory_fails_and_leaves_nothing_in_the_store(trial, dataset, tmp_path, monkeypatch):
    """What it could not load it measures the next time."""
    store, faults = str(tmp_path / "store"), []

    def short(*_):
        raise torch.OutOfMemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(Generator, "load_state_dict", short)
        failed = snapshots.evaluate_or_fail(
            trial, dataset, CONFIG, tmp_path / "one", Reports(), store, report_error=faults.append
        )
    assert (failed.status, failed.reason) == (TrialStatus.FAILED, "OutOfMemoryError: no memory")
    assert [type(fault) for fault in faults] == [torch.OutOfMemoryError]
    again = snapshots.evaluate_or_fail(trial, dataset, CONFIG, tmp_path / "two", Reports(), store)
    assert again.status is TrialStatus.FINISHED
    assert {item.epoch for item in again.measurements} == {1, 4}


def test_with_a_store_another_run_measures_nothing_again(trial, dataset, tmp_path, monkeypatch):
    store = str(tmp_path / "store")
    first = snapshots.evaluate_trial(trial, dataset, CONFIG, tmp_path / "one", Reports(), store)
    assert len(list((tmp_path / "store" / "evaluations").iterdir())) == 2
    monkeypatch.setattr(snapshots, "_compared", None)
    reports = Reports()
    assert snapshots.evaluate_trial(trial, dataset, CONFIG, tmp_path / "two", reports, store) == first
    assert [epoch for epoch, _ in reports] == [1, 4], "the new run's tracker is told all the same"


def test_a_fault_of_the_evaluation_fails_one_trial_and_raises_nothing(trial, dataset, tmp_path, monkeypatch):
    def no_memory(*_):
        raise MemoryError("out of memory: 1.99 GiB in use of its limit of 2.00 GiB")

    monkeypatch.setattr(snapshots, "_compared", no_memory)
    faults = []
    result = snapshots.evaluate_or_fail(trial, dataset, CONFIG, tmp_path / "out", Reports(), report_error=faults.append)
    assert [type(fault) for fault in faults] == [MemoryError]
    assert results.read(Evaluation, tmp_path / "out/evaluation.json") == result
    assert (result.status, result.failed_in) == (TrialStatus.FAILED, Step.EVALUATE)
    assert result.reason == "MemoryError: out of memory: 1.99 GiB in use of its limit of 2.00 GiB"
    monkeypatch.setattr(snapshots, "_compared", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        snapshots.evaluate_or_fail(trial, dataset, CONFIG, tmp_path / "other", Reports())
