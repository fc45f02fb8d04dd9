"""Checks of the audit that were not made, or that too few images were given to: whether the version is promoted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from decision_simulations import earlier_rules
from decision_simulations.claims import Claim, Decision, mean_of
from decision_simulations.setting import Setting
from mammogan.audit import copies, judgement
from mammogan.audit.judgement import Sample, Subject
from mammogan.config import AuditCheck, AuditConfig
from mammogan.results import Audit, AuditCounts, AuditMeasure, Outcome, Verdict
from mammogan.selection import gates

CHECKS = tuple(AuditCheck)
MADE = (3, len(CHECKS) - 1, len(CHECKS))
COPYING = 0.02
"""Share of its images that a generator copies."""
IMAGES = (60, 240, 1000)
SETTINGS = AuditConfig()
SUBJECT = Subject(AuditCheck.MEMORISED_PIXEL, "memorised", "pixel", "share that copies")


def simulate(setting: Setting) -> Iterator[Claim]:
    """Audits of which some checks were made and passed, and audits of few images of a generator that copies."""
    rng = setting.rng(40)
    for made in MADE:
        drawn = [_verdicts(rng, made) for _ in range(setting.repetitions)]
        new = [_is_promoted(verdicts) for verdicts in drawn]
        old = [earlier_rules.audit_outcome(verdicts) is Outcome.PASSED for verdicts in drawn]
        whole = made == len(CHECKS)
        bounds = {"least": 1.0} if whole else {"most": 0.0}
        case = f"{made} of {len(CHECKS)} checks made, all of those passed: champion"
        yield Claim(Decision.REQUIRED, case, mean_of(new), mean_of(old), **bounds)
    for images in IMAGES:
        measures = [_memorised(int(hits), images) for hits in rng.binomial(images, COPYING, setting.repetitions)]
        new = [measure.outcome is Outcome.PASSED for measure in measures]
        old = [earlier_rules.check_outcome(measure) is Outcome.PASSED for measure in measures]
        case = f"{COPYING:.0%} of its images are copies, {images} looked at: passes for one that copies nothing"
        yield Claim(Decision.REQUIRED, case, mean_of(new), mean_of(old), most=0.05)


def _verdicts(rng: np.random.Generator, made: int) -> list[Verdict]:
    passed = set(rng.permutation(len(CHECKS))[:made].tolist())
    return [
        Verdict(str(check), Outcome.PASSED if number in passed else Outcome.NOT_CHECKED, "", check)
        for number, check in enumerate(CHECKS)
    ]


def _is_promoted(verdicts: Sequence[Verdict]) -> bool:
    """Whether the gate of the audit lets a version pass, with the settings of every preset but demo."""
    nothing = AuditCounts(0, 0, 0, 0, 0, 0, 0)
    audit = Audit(tuple(verdicts), (), (), (), nothing, (), SETTINGS.required)
    return gates.audited(audit.outcome, gates.audit_summary(audit)).outcome is Outcome.PASSED


def _memorised(hits: int, images: int) -> AuditMeasure:
    estimate = copies.clopper_pearson(hits, images, SETTINGS.confidence)
    sample = Sample(400, 100, images, 250, 60, SETTINGS.confidence)
    return judgement.share(SUBJECT, estimate, SETTINGS.max_memorised, sample)
