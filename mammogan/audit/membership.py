"""Membership inference: how well a score tells training images from held-out ones.

Two attackers. One has only the synthetic images and scores a real image by its nearness to the nearest of them (Chen et
al. 2020, GAN-Leaks, the full black-box attack). The other has the critic, whose output is higher for what it was
trained on (Hayes et al. 2019, LOGAN, the white-box attack). AUC is the chance that a training image scores above a
held-out one: 0.5 gives nothing away.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mammogan.statistics import Estimate, Floats, Ints, Variance, combine_within, jackknife


def auc(members: Floats, others: Floats) -> float:
    """Mann-Whitney: the chance that one of ``members`` (n,) scores above one of ``others`` (h,); ties count half."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([members, others]))[: len(members)]
    return float((ranks.sum() / len(members) - (len(members) + 1) / 2) / len(others))


def auc_estimate(
    members: Floats, others: Floats, member_blocks: Sequence[Ints], other_blocks: Sequence[Ints], confidence: float
) -> Estimate:
    """AUC with the jackknife over blocks of patients on either side; its interval stays in [0, 1]."""
    value = auc(members, others)
    parts: list[Variance] = []
    for blocks, member in ((member_blocks, True), (other_blocks, False)):
        without = [
            auc(np.delete(members, block), others) if member else auc(members, np.delete(others, block))
            for block in blocks
        ]
        parts.append(jackknife(value, np.array(without), np.array([len(block) for block in blocks])))
    return combine_within(value, parts, confidence, count=min(len(member_blocks), len(other_blocks)))
