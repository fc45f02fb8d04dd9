"""What the model card says by subgroup: each figure beside its reference, who is served worse, what is not done."""

from dataclasses import replace

from sample_run import measured, winner_result

from mammogan.reporting import subgroups, winner
from mammogan.results import (
    Attribute,
    Candidate,
    Direction,
    Finding,
    Quantity,
    Subgroup,
    SubgroupAuc,
    SubgroupEffect,
    SubgroupFidelity,
    SubgroupMeasure,
    SubgroupOmission,
    SubgroupUtility,
    Unknown,
)

DENSE = Subgroup(Attribute.DENSITY, "4", 30, 15)
BOTH = Subgroup(Attribute.ABNORMALITY, "calcification+mass", 3, 2)
COVERAGE = SubgroupMeasure(
    DENSE, Quantity("coverage", "random_vgg", "test"), Direction.HIGHER, 0.5, 0.3, 0.7, 0.9, -0.4, -0.6, -0.2, 0.004,
    Finding.WORSE,
)  # fmt: skip
KID = replace(
    COVERAGE, quantity=Quantity("kid", "random_vgg", "test"), direction=Direction.LOWER, value=0.2, low=0.1, high=0.3,
    reference=0.05, difference=0.15, difference_low=0.1, difference_high=0.2, worse=None, finding=None,
)  # fmt: skip
FIDELITY = SubgroupFidelity(
    (COVERAGE, KID), (SubgroupOmission(BOTH, "not done: 2 patients, 10 are needed"),), (Unknown(Attribute.SIDE, 7),)
)


def test_each_figure_stands_beside_its_reference_and_what_it_means():
    lines = list(subgroups.fidelity_lines(FIDELITY))
    assert lines[2].startswith(
        "Covered worse than the other test images: density 4 (of 1 subgroups, Holm's correction)"
    )
    rows = [line for line in lines if line.startswith("| density 4")]
    assert rows == [
        "| density 4 | 30 / 15 | random_vgg/coverage_test | 0.50 (0.30 to 0.70) | 0.90 | -0.40 (-0.60 to -0.20) "
        "| 0.004, worse |",
        "| density 4 | 30 / 15 | random_vgg/kid_test | 0.20 (0.10 to 0.30) | 0.05 | 0.150 (0.100 to 0.200) |  |",
    ]
    columns = {line.count("|") for line in lines if line.startswith("|")}
    assert columns == {8}
    assert lines[-2:] == [
        "- abnormality calcification and mass: not done: 2 patients, 10 are needed", "- side: not known of 7 images",
    ]  # fmt: skip


def test_no_finding_and_no_figure_are_different_sentences():
    same = replace(COVERAGE, worse=0.4, finding=Finding.NO_DIFFERENCE)
    assert subgroups.fidelity_sentence(SubgroupFidelity((same,))).startswith(
        "none of 1 subgroups of the test images is"
    )
    assert "enough patients" in subgroups.fidelity_sentence(replace(FIDELITY, measures=()))
    assert not [line for line in subgroups.fidelity_lines(replace(FIDELITY, measures=())) if line.startswith("|")]


def test_utility_has_a_row_an_arm_and_one_a_difference():
    found = SubgroupUtility(
        (SubgroupAuc(DENSE, "synthetic", 0.81, 0.7, 0.9, 12, 14),),
        (SubgroupEffect(DENSE, "synthetic", "oversampled", 0.02, -0.05, 0.09),),
        (SubgroupOmission(BOTH, "not done: 1 patients"),),
    )
    lines = list(subgroups.utility_lines(found))
    assert "| density 4 | 12 / 14 | synthetic | 0.81 (0.70 to 0.90) |" in lines
    assert "| density 4 | synthetic | oversampled | 0.020 (-0.050 to 0.090) |" in lines
    assert lines[-1] == "- abnormality calcification and mass: not done: 1 patients"


def test_the_card_of_a_measured_winner_has_them_and_that_of_an_earlier_version_has_not():
    figures = (measured(4, "kid", 0.1), measured(4, "fid", 90.0))
    candidate = Candidate(3.0, 1, 4, tuple(item.quantity for item in figures), "d" * 64, figures)
    card = list(winner.card_lines(winner_result(None, candidate, subgroups=FIDELITY)))
    assert card[-len(list(subgroups.fidelity_lines(FIDELITY))) :] == list(subgroups.fidelity_lines(FIDELITY))
    assert "### By subgroup" not in list(winner.card_lines(winner_result(None, candidate)))
