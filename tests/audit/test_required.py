"""A required check that lacks its data is not made, says why, and keeps the version from becoming champion."""

import dataclasses

import numpy as np
import pytest
import torch
from test_audit import of_patients, pictures
from typer.testing import CliRunner

from mammogan import config
from mammogan.audit import Reals, copies, inspect, judgement
from mammogan.audit.critic_scores import CriticScores
from mammogan.audit.distances import Space, pixel_embedding
from mammogan.audit.judgement import Sample, Subject
from mammogan.command_line import app
from mammogan.config import AuditCheck, AuditConfig, SpaceKind
from mammogan.records import Findings
from mammogan.reporting import findings
from mammogan.results import Audit, AuditCounts, Outcome, Verdict, combined, unmade
from mammogan.selection import gates
from mammogan.statistics import Estimate

CPU = torch.device("cpu")
PIXEL = Space(SpaceKind.PIXEL, "pixel", "pixels", pixel_embedding)
RANDOM_LPIPS = Space(SpaceKind.LPIPS, "lpips_random", "random", pixel_embedding, judges=False)
RANDOM_FEATURES = Space(SpaceKind.FEATURES, "random_vgg", "random", pixel_embedding, judges=False)
SUBJECT = Subject(AuditCheck.MEMORISED_PIXEL, "memorised", "pixel", "share that copies", per_space=True)


def critic(train, held, *, constant=False):
    rng = np.random.default_rng(0)
    scores = [
        np.full(len(side.images), 0.5) if constant else rng.normal(size=len(side.images)) for side in (train, held)
    ]
    return CriticScores(scores[0], scores[1], train.patients, held.patients)


def audited(check, *, train=60, held=40, fakes=30, spaces=(PIXEL,), with_critic="fair", device=None):
    sides = of_patients(pictures(train, 0), "t"), of_patients(pictures(max(held, 1), 1)[:held], "h")
    scores = critic(*sides, constant=with_critic == "constant") if with_critic and held else None
    settings = AuditConfig(required=(AuditCheck.EXACT_COPIES, check))
    return inspect(*sides, pictures(fakes, 2), spaces, settings, critic=scores, device=device)


LACKS = {
    "no held-out patients, nearer": (AuditCheck.NEARER_PIXEL, {"held": 0}, "fewer than 5 held-out patients"),
    "no held-out patients, membership": (AuditCheck.MEMBERSHIP_PIXEL, {"held": 0}, "fewer than 5 held-out patients"),
    "four held-out patients": (AuditCheck.ATTACK_PIXEL, {"held": 8}, "fewer than 5 held-out patients"),
    "few held-out patients, AUC": (AuditCheck.MEMBERSHIP_PIXEL, {"held": 20}, "patients to show; there are 10"),
    "few held-out patients, nearer": (AuditCheck.NEARER_PIXEL, {"held": 20}, "patients to show; there are 10"),
    "few held-out patients, attack": (AuditCheck.ATTACK_PIXEL, {"held": 12}, "held-out patients to show; there are 6"),
    "no critic": (AuditCheck.MEMBERSHIP_CRITIC, {"with_critic": ""}, "no critic was given"),
    "no critic, attack": (AuditCheck.ATTACK_CRITIC, {"with_critic": ""}, "no critic was given"),
    "a critic that says nothing": (AuditCheck.ATTACK_CRITIC, {"with_critic": "constant"}, "scores are all the same"),
    "no LPIPS weights": (AuditCheck.MEMORISED_LPIPS, {"spaces": (PIXEL, RANDOM_LPIPS)}, "random network"),
    "no weights of the features": (AuditCheck.NEARER_FEATURES, {"spaces": (PIXEL, RANDOM_FEATURES)}, "random network"),
    "no LPIPS at all": (AuditCheck.REPEATED_LPIPS, {}, "it was not made"),
    "too few images for 0.5%": (AuditCheck.MEMORISED_PIXEL, {}, "at least 736 images to show; there are 30"),
    "too few images for 2%": (AuditCheck.REPEATED_PIXEL, {}, "at least 183 images to show; there are 30"),
    "too few training images": (AuditCheck.MOVED_COPIES, {"train": 18, "device": CPU}, "learnt from at least 30 real"),
    "too few images, moved": (AuditCheck.MOVED_COPIES, {"fakes": 4, "device": CPU}, "at least 736 images to show"),
    "no device for the search": (AuditCheck.MOVED_COPIES, {}, "no device was given"),
}  # fmt: skip


@pytest.mark.parametrize("lack", LACKS)
def test_a_required_check_without_its_data_is_not_made_and_nothing_is_promoted(lack):
    check, given, reason = LACKS[lack]
    audit = audited(check, **given)
    assert unmade(audit.verdicts, audit.required) == [check]
    assert audit.outcome is Outcome.NOT_CHECKED
    summary = gates.audit_summary(audit)
    assert summary.startswith(f"not checked: 1 of 2 required checks were not made: {check} (")
    assert reason in summary
    assert gates.audited(audit.outcome, summary).refuses


def test_every_check_can_be_made_and_a_generator_that_copies_nothing_passes_them_all(monkeypatch):
    """Independent patients of all three sets; the search for moved copies, which takes minutes, found nothing."""
    sides = of_patients(pictures(600, 0), "t"), of_patients(pictures(200, 1), "h")
    spaces = [dataclasses.replace(PIXEL, kind=kind, name=kind.value) for kind in SpaceKind]
    monkeypatch.setattr("mammogan.audit.answers.by_moves", None)
    monkeypatch.setattr("mammogan.audit.inspection.by_moves", lambda *_: answered(AuditCheck.MOVED_COPIES))
    audit = inspect(*sides, pictures(750, 2), spaces, AuditConfig(), critic=critic(*sides))
    assert [item.check for item in audit.verdicts if item.outcome is not Outcome.PASSED] == []
    assert {item.check for item in audit.verdicts} == set(AuditCheck)
    assert (audit.outcome, audit.for_release) == (Outcome.PASSED, True)
    assert gates.audit_summary(audit) == "passed 19 of 19 checks"


def answered(check):
    from mammogan.audit.answers import Answers

    return Answers((Verdict(str(check), Outcome.PASSED, "none", check),))


@pytest.mark.parametrize(
    ("hits", "count", "outcome"),
    [
        (0, 735, Outcome.NOT_CHECKED), (0, 736, Outcome.PASSED), (1, 736, Outcome.REFUSED), (1, 1000, Outcome.REFUSED),
        (1, 200, Outcome.NOT_CHECKED), (60, 240, Outcome.REFUSED), (3, 5000, Outcome.PASSED),
        (25, 5000, Outcome.REFUSED),
    ],
)  # fmt: skip
def test_a_share_passes_by_its_upper_end(hits, count, outcome):
    """0 of 736 end at 0.4999%; 1 of 1000 lies at 0.1%, and its interval ends at 0.556%."""
    estimate = copies.clopper_pearson(hits, count, 0.95)
    sample = Sample(100, 50, count, 100, 50, 0.95)
    assert judgement.share(SUBJECT, estimate, 0.005, sample).outcome is outcome


@pytest.mark.parametrize(
    ("patients", "estimate", "outcome", "needed"),
    [
        (100, (0.55, 0.5, 0.6), Outcome.PASSED, None),
        (100, (0.62, 0.55, 0.69), Outcome.NOT_CHECKED, 545),
        (100, (0.7, 0.6, 0.8), Outcome.REFUSED, None),
        (48, (0.3, 0.2, 0.4), Outcome.NOT_CHECKED, 49),
        (49, (0.3, 0.2, 0.4), Outcome.PASSED, None),
        (10, (0.9, 0.8, 1.0), Outcome.REFUSED, None),
    ],
)
def test_a_comparison_passes_by_its_upper_end_and_not_by_luck(patients, estimate, outcome, needed):
    """545 = 100 (0.07 / 0.03)^2; below 49 of 49 and 196 patients one harmless generator in ten would not pass."""
    sample = Sample(9, 9, 9, 4 * patients, patients, 0.95)
    measure = judgement.auc(SUBJECT, Estimate(*estimate), 0.65, sample)
    assert (measure.outcome, measure.needed) == (outcome, needed)


@pytest.mark.parametrize("left_out", AuditCheck)
def test_whatever_is_left_out_is_a_demo(left_out):
    verdicts = tuple(Verdict(str(check), Outcome.PASSED, "fine", check) for check in AuditCheck)
    required = tuple(check for check in AuditCheck if check is not left_out)
    audit = Audit(verdicts, (), (), (), AuditCounts(9, 9, 9, 9, 9, 0, 0), (), required)
    assert (audit.outcome, audit.for_release) == (Outcome.PASSED, False)
    demo = "demo, not for release: 1 of 19 checks are not required"
    assert gates.audit_summary(audit).endswith(demo)
    assert demo in "\n".join(findings.card_lines(Findings(audit=audit)))
    assert demo.capitalize() in findings.page("Audit", Findings(audit=audit)).decode()
    complete = dataclasses.replace(audit, required=tuple(AuditCheck))
    for words in (gates.audit_summary(complete), "\n".join(findings.card_lines(Findings(audit=complete)))):
        assert "demo" not in words


@pytest.mark.parametrize(
    ("name", "laxer", "stricter"),
    [
        ("max_memorised", 0.006, 0.004), ("max_duplicates", 1.0, 0.01), ("max_nearer", 1.0, 0.6),
        ("max_membership", 0.66, 0.6), ("max_attack", 1.0, 0.1), ("max_critic_membership", 1.0, 0.8),
        ("max_critic_attack", 1.0, 0.4), ("confidence", 0.5, 0.99),
    ],
)  # fmt: skip
def test_what_is_audited_more_laxly_is_a_demo(name, laxer, stricter):
    """All checks are required, and one of them lets pass what by default it would not."""
    sides = of_patients(pictures(6, 0), "t"), of_patients(pictures(4, 1), "h")
    lax, strict = (inspect(*sides, pictures(3, 2), [], AuditConfig(**{name: value})) for value in (laxer, stricter))
    assert (lax.for_release, strict.for_release) == (False, True)
    assert gates.audit_summary(lax).endswith(f"; demo, not for release: audit.{name} is laxer than by default")
    assert "demo" not in gates.audit_summary(strict)


@pytest.mark.parametrize("unmade_one", AuditCheck)
@pytest.mark.parametrize("how", ["absent", "not checked"])
def test_no_required_check_may_be_unmade(unmade_one, how):
    verdicts = [Verdict(str(check), Outcome.PASSED, "fine", check) for check in AuditCheck if check is not unmade_one]
    if how == "not checked":
        verdicts.append(Verdict("x", Outcome.NOT_CHECKED, "lacks", unmade_one))
    assert combined(verdicts, AuditCheck) is Outcome.NOT_CHECKED
    others = [check for check in AuditCheck if check is not unmade_one]
    assert combined(verdicts, others) is Outcome.PASSED


def test_a_check_that_is_not_required_refuses_all_the_same():
    verdicts = [Verdict("a", Outcome.PASSED, "", AuditCheck.EXACT_COPIES), Verdict("b", Outcome.REFUSED, "")]
    assert combined(verdicts, [AuditCheck.EXACT_COPIES]) is Outcome.REFUSED


@pytest.mark.parametrize(("outcome", "status"), [(Outcome.PASSED, 0), (Outcome.REFUSED, 1), (Outcome.NOT_CHECKED, 3)])
def test_the_command_ends_with_what_it_came_to(outcome, status, monkeypatch, tmp_path):
    verdict = Verdict("exact copies", outcome, "why", AuditCheck.EXACT_COPIES)
    audit = Audit((verdict,), (), (), (), AuditCounts(9, 9, 9, 9, 9, 0, 0), (), (AuditCheck.EXACT_COPIES,))
    monkeypatch.setattr("mammogan.audit.audit_dataset", lambda *_, **__: audit)
    run = CliRunner().invoke(app, ["audit", "--dataset", str(tmp_path)])
    assert (run.exit_code, run.output.splitlines()[-1]) == (status, gates.audit_summary(audit))


class TestSetting:
    def test_every_preset_but_the_demo_requires_all(self):
        required = {name: set(preset.audit.required) for name, preset in config.PRESETS.items()}
        assert required.pop("demo") == {AuditCheck.EXACT_COPIES}
        assert all(checks == set(AuditCheck) for checks in required.values())

    def test_it_is_read_as_text(self):
        given = {"audit.required": "exact_copies,memorised/lpips"}
        chosen = config.override(config.PRESETS["paper"], given).audit.required
        assert chosen == (AuditCheck.EXACT_COPIES, AuditCheck.MEMORISED_LPIPS)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("memorized/pixel", "audit.required='memorized/pixel': there is no such choice; use memorised/pixel"),
            ("exact_copies,exact_copies", "give each check once"),
            ("", "audit.required='': there is no such choice"),
        ],
    )
    def test_an_unknown_name_is_refused(self, text, message):
        with pytest.raises(ValueError, match=message):
            config.override(config.PRESETS["paper"], {"audit.required": text})

    def test_no_share_is_asked_for_that_nothing_can_show(self):
        for name in ("max_memorised", "max_duplicates", "max_attack"):
            with pytest.raises(ValueError, match=f"audit.{name}=0.0: give a share above 0"):
                config.override(config.PRESETS["paper"], {f"audit.{name}": 0.0})


def test_one_patients_images_are_one_member():
    """A patient with 60 images that were copied, among 40 who were not, is one of 41, not most of the train side."""
    train = Reals(torch.cat([pictures(60, 0), pictures(40, 1)]), ["many"] * 60 + [f"t{i}" for i in range(40)])
    held = Reals(pictures(40, 2), [f"h{i}" for i in range(40)])
    settings = AuditConfig(required=(AuditCheck.MEMBERSHIP_PIXEL,))
    audit = inspect(train, held, pictures(60, 0), [PIXEL], settings)
    by_name = {item.statistic: item for item in audit.measures}
    assert by_name["membership"].value < 0.65
    assert by_name["attack"].value < 0.15
