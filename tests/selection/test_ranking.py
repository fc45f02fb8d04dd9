"""The winner, the verdict, and everything that must keep a snapshot from winning."""

import dataclasses
import math

import pytest
from sample_run import evaluation, measured, training, write_trial

from mammogan import results
from mammogan.config import SelectConfig, Trial
from mammogan.reporting.tables import paper_tables
from mammogan.results import Decision, FailedTrial, LambdaStrength, Quantity, TrialResult, TrialStatus
from mammogan.selection.ranking import decide, select


def paper(**fields):
    return [evaluation(Trial(gp_lambda, 0), rows, **fields) for gp_lambda, rows in paper_tables().items()]


def simple(gp_lambda, kid, fid=100.0, spread=0.05, epoch=1, seed=0, lpips=0.3):
    trial = Trial(gp_lambda, seed)
    measurements = (
        measured(epoch, "kid", kid, spread),
        measured(epoch, "fid", fid),
        measured(epoch, "lpips_fake_fake", lpips),
    )
    return dataclasses.replace(evaluation(trial, []), measurements=measurements)


KID = Quantity("kid", "inception", "train")


def test_papers_numbers_give_the_papers_winner_and_no_lambda_that_is_better():
    decision = select(paper(), SelectConfig())
    assert decision.accepted
    assert (decision.winner.trial.name, decision.winner.epoch) == ("lambda=3,seed=0", 1000)
    assert decision.winner.find(KID).value == 0.1765
    assert decision.verdict == (
        "lambda=3,seed=0 at epoch 1000 has the lowest inception/kid_train: 0.1765 (0.1677 to 0.1853); "
        "one seed is not enough to tell lambda=3 from lambda=0.5 and lambda=5"
    )
    assert decision.lambdas[0] == LambdaStrength(3.0, 0.1765, 0.1765 * 0.95, 0.1765 * 1.05)
    assert len(decision.candidates) == 30
    values = [candidate.find(KID).value for candidate in decision.candidates]
    assert values == sorted(values)


def test_separate_intervals_of_one_seed_are_no_difference_between_lambdas():
    decision = select([simple(0.5, 0.1), simple(3, 0.2)], SelectConfig())
    assert decision.verdict.endswith("; one seed is not enough to tell lambda=0.5 from lambda=3")
    alone = select([simple(0.5, 0.1), simple(0.5, 0.2, seed=1)], SelectConfig())
    assert alone.verdict.endswith("there is no other lambda to compare with")


def test_the_second_metric_breaks_a_tie():
    decision = select([simple(0.5, 0.1, fid=50), simple(3, 0.1, fid=40)], SelectConfig())
    assert decision.winner.trial.name == "lambda=3,seed=0"
    swapped = select([simple(0.5, 0.1, fid=50), simple(3, 0.2, fid=40)], SelectConfig(metrics="fid,kid"))
    assert swapped.winner.trial.name == "lambda=3,seed=0"


def test_order_of_the_input_does_not_matter():
    tied = [simple(5, 0.1), simple(3, 0.1, seed=1), simple(3, 0.1), simple(0.5, 0.1, epoch=2)]
    one, other = select(tied, SelectConfig()), select(tied[::-1], SelectConfig())
    assert dataclasses.replace(one, reasons=()) == dataclasses.replace(other, reasons=())
    assert select(tied, SelectConfig()).winner.trial.name == "lambda=3,seed=0"


def test_a_metric_that_is_missing_never_wins():
    good, poor = simple(3, 0.2), simple(0.5, 0.1)
    poor = dataclasses.replace(poor, measurements=poor.measurements[1:])
    decision = select([good, poor], SelectConfig())
    assert decision.winner.trial.name == "lambda=3,seed=0"
    assert decision.reasons == ("lambda=0.5,seed=0 epoch 1: no kid against train",)
    alone = select([poor], SelectConfig())
    assert (alone.accepted, alone.winner) == (False, None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_no_measurement(bad):
    good = measured(1, "kid", 0.1)
    for name in ("value", "low", "high", "reference"):
        with pytest.raises(ValueError, match=f"inception/kid_train: {name}=.* is not finite"):
            dataclasses.replace(good, **{name: bad})


def test_snapshots_of_a_lost_trial_never_win():
    why = "epoch 2: train/penalty is nan"
    diverged = dataclasses.replace(simple(0.5, 0.01), status=TrialStatus.DIVERGED, reason=why)
    decision = select([diverged, simple(3, 0.2)], SelectConfig())
    assert decision.winner.trial.name == "lambda=3,seed=0"
    assert decision.failed == (FailedTrial(0.5, 0, TrialStatus.DIVERGED, why),)
    alone = select([diverged], SelectConfig())
    assert not alone.accepted
    assert "train/penalty is nan" in alone.reasons[0]


def test_no_trial_at_all_is_a_reason():
    assert select([], SelectConfig()).reasons == ("no trial was evaluated",)


def test_different_extractors_are_not_compared():
    other = simple(0.5, 0.1)
    quantities = [dataclasses.replace(item.quantity, extractor="random_vgg") for item in other.measurements]
    pairs = zip(other.measurements, quantities, strict=True)
    other = dataclasses.replace(
        other, measurements=tuple(dataclasses.replace(item, quantity=quantity) for item, quantity in pairs)
    )
    decision = select([simple(3, 0.2), other], SelectConfig())
    assert not decision.accepted
    assert "measured differently" in decision.reasons[0]


def test_a_collapsed_snapshot_never_wins():
    decision = select([simple(0.5, 0.01, lpips=0.02), simple(3, 0.2)], SelectConfig())
    assert decision.winner.trial.name == "lambda=3,seed=0"
    assert decision.reasons == (
        "lambda=0.5,seed=0 epoch 1 refused: diverse: sample_pairs/lpips_fake_fake is 0.07 of real images'; "
        "at least 0.4",
    )
    assert [gate.gate for gate in decision.gates] == ["measured", "diverse", "not memorised"]


def test_several_seeds_are_compared_in_blocks():
    """Narrow intervals of single snapshots do not hide that seeds of one lambda differ more than the lambdas do."""
    noisy = [simple(0.5, kid, spread=0.001, seed=seed) for seed, kid in enumerate((0.10, 0.20, 0.30))]
    noisy += [simple(3, kid, spread=0.001, seed=seed) for seed, kid in enumerate((0.12, 0.22, 0.29))]
    decision = select(noisy, SelectConfig())
    assert "; no significant difference between lambda=0.5 and lambda=3 (difference -0.010 (" in decision.verdict
    (strength,) = (item for item in decision.lambdas if item.gp_lambda == 0.5)
    assert strength.value == pytest.approx(0.2)
    assert strength.high - 0.2 == pytest.approx(4.302653 * 0.1 / 3**0.5)  # t(0.975, 2) of a printed table

    steady = [simple(0.5, kid, seed=seed) for seed, kid in enumerate((0.10, 0.20, 0.30))]
    steady += [simple(3, kid + 0.1, seed=seed) for seed, kid in enumerate((0.101, 0.2, 0.299))]
    verdict = select(steady, SelectConfig()).verdict
    assert "; lambda=0.5 is better than lambda=3 (difference -0.1000 (-0.1025 to -0.0975) over 3 seeds, " in verdict


def test_the_interval_of_a_lambda_s_fid_stays_above_zero():
    trials = [simple(3, 0.1, fid, seed=seed) for seed, fid in enumerate((20.0, 90.0))]
    (strength,) = select(trials, SelectConfig(metrics="fid")).lambdas
    assert 0 < strength.low < strength.value == 55 < strength.high
    assert strength.value / strength.low == pytest.approx(strength.high / strength.value)


def test_a_lucky_seed_does_not_make_its_lambda_the_best():
    lucky = [simple(0.5, kid, seed=seed) for seed, kid in enumerate((0.09, 0.40, 0.41, 0.40, 0.41, 0.40))]
    steady = [simple(3, kid, seed=seed) for seed, kid in enumerate((0.10, 0.11, 0.10, 0.11, 0.10, 0.11))]
    decision = select([*lucky, *steady], SelectConfig())
    assert decision.winner.trial.name == "lambda=0.5,seed=0"
    assert "; lambda=0.5 is worse than lambda=3 (difference 0.25 (" in decision.verdict


@pytest.mark.parametrize("change", [{"n_fake": 500}, {"n_real": 20}])
def test_other_numbers_of_images_are_not_compared(change):
    other = simple(0.5, 0.1)
    first, second, third = other.measurements
    other = dataclasses.replace(other, measurements=(first, dataclasses.replace(second, **change), third))
    decision = select([simple(3, 0.2), other], SelectConfig())
    assert (decision.accepted, decision.comparisons, decision.lambdas) == (False, (), ())
    assert "measured differently: inception/fid_train of" in decision.reasons[0]


def test_decide_hands_on_the_winning_snapshot(tmp_path):
    evaluations = []
    for item in (simple(0.5, 0.2, epoch=3), simple(3, 0.1, epoch=7)):
        folder, trial = tmp_path / f"e{item.gp_lambda}", tmp_path / "store" / "trials" / f"k{item.gp_lambda}"
        item = dataclasses.replace(item, key=trial.name, data_digest="d")
        folder.mkdir()
        (trial / "snapshots").mkdir(parents=True)
        (trial / "snapshots" / f"epoch_{item.measurements[0].epoch:04d}.pt").write_text(item.trial.name)
        (trial / "critic.pt").write_text(f"critic of {item.trial.name}")
        write_trial(trial, training(item.trial))
        item = dataclasses.replace(item, files=results.read(TrialResult, trial / "trial.json").files)
        results.write(item, folder / "evaluation.json")
        evaluations.append(folder)
    files = [tmp_path / name for name in ("decision.json", "winner.pt", "critic.pt")]
    choice = decide(evaluations, str(tmp_path / "store"), SelectConfig(), *files)
    assert results.read(Decision, tmp_path / "decision.json") == choice
    assert (tmp_path / "winner.pt").read_text() == "lambda=3,seed=0"
    assert (tmp_path / "critic.pt").read_text() == "critic of lambda=3,seed=0"
    assert choice.winner.data_digest == "d"
    for name, changed in (("critic.pt", b"another"), ("snapshots/epoch_0007.pt", b"another")):
        path = trial / name
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=f"{name} has the sha256 .*, but its training wrote .*; remove the folder"):
            decide(evaluations, str(tmp_path / "store"), SelectConfig(), *files)


def test_decide_writes_no_snapshot_when_none_wins(tmp_path):
    decision, winner, critic = (tmp_path / name for name in ("decision.json", "winner.pt", "critic.pt"))
    choice = decide([], "", SelectConfig(), decision, winner, critic)
    assert not choice.accepted
    assert decision.exists()
    assert not winner.exists()
    assert not critic.exists()
