"""Moved copies are found whatever was done to them, images of nobody are not, and what is too little is said."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from mammogan.audit import alignment, moved_copies
from mammogan.audit.moved_copies import Matches

CPU = torch.device("cpu")


def textures(count, seed, side=56):
    """(count, 1, side, side) uint8: random fields with the spectrum of breast tissue, power 1 / frequency^3."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    spectrum = rng.normal(size=(count, side, side // 2 + 1)) + 1j * rng.normal(size=(count, side, side // 2 + 1))
    fields = np.fft.irfft2(spectrum / np.maximum(frequency, 1) ** 1.5, s=(side, side))
    fields = (fields - fields.mean((1, 2), keepdims=True)) / fields.std((1, 2), keepdims=True)
    return torch.from_numpy((128 + 40 * fields).clip(0, 255).astype(np.uint8))[:, None]


def as_bytes(images):
    return images.clamp(0, 255).round().to(torch.uint8)


def shifted(images, rows, columns):
    padded = functional.pad(images.float(), (7, 7, 7, 7), mode="replicate")
    return as_bytes(padded[..., 7 + rows : 63 + rows, 7 + columns : 63 + columns])


def turned(images, degrees, scale=1.0):
    radians = np.deg2rad(degrees)
    cos, sin = np.cos(radians) / scale, np.sin(radians) / scale
    matrix = torch.tensor([[[cos, -sin, 0], [sin, cos, 0]]], dtype=torch.float32).expand(len(images), 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return as_bytes(functional.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False))


def noisy(images, deviation, seed=0):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed)) * deviation
    return as_bytes(images + noise)


MOVES = {
    "shifted by an eighth": lambda images: shifted(images, 7, -7),
    "upside down": lambda images: images.flip(-2),
    "turned by 90 degrees": lambda images: images.transpose(-1, -2).flip(-1),
    "mirrored and turned": lambda images: turned(images.flip(-1), 5),
    "transposed and turned": lambda images: turned(images.transpose(-1, -2), 5),
    "brighter": lambda images: as_bytes(images.float() + 40),
    "half the contrast": lambda images: as_bytes(images.float() * 0.5 + 64),
    "cropped to 90%": lambda images: turned(shifted(images, 2, -2), 0, 1 / 0.9),
    "smaller": lambda images: turned(images, 0, 0.9),
    "noisy": lambda images: noisy(images, 20),
    "inverted": lambda images: as_bytes(255 - images.float()),
    "inverted, turned by 180 degrees and shifted": lambda images: shifted(255 - images.float().flip(-1, -2), 7, 7),
}


def test_masked_correlation_is_pearsons_over_what_both_show():
    """Oracle: numpy's coefficient of the pixels that overlap, shift by shift, without those that are masked."""
    rng = np.random.default_rng(0)
    query, moved = rng.normal(size=(2, 56, 56))
    mask = np.zeros((56, 56))
    mask[5:50, 3:] = 1
    given = [torch.from_numpy(item).float()[None, None] for item in (query, moved * mask, mask)]
    correlations = alignment._masked_correlation(*given)[0, 0]
    for rows, columns in ((0, 0), (3, -5), (-8, 8)):
        pixels = [
            (query[r + rows, c + columns], moved[r, c])
            for r in range(56) for c in range(56)
            if mask[r, c] and 0 <= r + rows < 56 and 0 <= c + columns < 56
        ]  # fmt: skip
        expected = np.corrcoef(np.array(pixels).T)[0, 1]
        assert float(correlations[8 + rows, 8 + columns]) == pytest.approx(expected, abs=1e-4)


def test_local_contrast_knows_neither_brightness_nor_contrast():
    images = textures(3, 0).float()
    detail = alignment.local_contrast(images)
    np.testing.assert_allclose(alignment.local_contrast(images * 0.9 + 30), detail, atol=0.01)


def test_a_flat_image_is_like_nothing():
    flat, others = (
        alignment.prepare(images, CPU) for images in (torch.full((1, 1, 56, 56), 7, dtype=torch.uint8), textures(3, 0))
    )
    coarse = moved_copies.coarse_correlations(flat, others)
    fine = moved_copies.fine_correlations(flat, others, np.zeros(3, int), np.arange(3))
    assert np.abs([coarse[0], fine]).max() < 0.01


class TestThreshold:
    @pytest.mark.parametrize(("real", "count"), [(30, 60), (30, 1000), (300, 1000)])
    def test_an_audit_of_images_of_nobody_raises_a_false_alarm_in_one_of_twenty(self, real, count):
        """4000 audits whose scores are largest values: each learns its threshold from so many real images.

        A threshold that took the two quantiles for known would raise 19, 26 and 7.5%.
        """
        rng = np.random.default_rng(count)
        alarms = 0
        for _ in range(4000):
            unrelated, largest = rng.gumbel(2.5, 0.5, real), rng.gumbel(2.5, 0.5, count).max()
            alarms += largest > moved_copies.threshold(unrelated, count, 0.05)
        assert 0.04 <= alarms / 4000 <= 0.06

    def test_a_picture_under_two_patients_hides_no_copies(self):
        unrelated = np.random.default_rng(0).gumbel(2.5, 0.5, 300)
        before = moved_copies.threshold(unrelated, 1000, 0.05)
        unrelated[:5] = 40.0
        assert moved_copies.threshold(unrelated, 1000, 0.05) < 1.2 * before


class TestSearch:
    @pytest.fixture(scope="class")
    @classmethod
    def found(cls):
        """One search: two copies of each move, then noise and images of nobody."""
        train, held = textures(40, 1), textures(10, 2)
        originals = {move: torch.tensor([2 * number, 2 * number + 1]) for number, move in enumerate(MOVES)}
        copied = torch.cat([MOVES[move](train[chosen]) for move, chosen in originals.items()])
        others = textures(12, 3)
        nobody = torch.cat([others, noisy(others[:6], 80), noisy(torch.full((4, 1, 56, 56), 128.0), 40)])
        patients = [f"t{number // 2}" for number in range(40)], [f"h{number}" for number in range(10)]
        steps = []
        result = moved_copies.search(
            train, held, torch.cat([copied, nobody]), *patients, 0.95, CPU, lambda count=1, note="": steps.append(count)
        )
        return originals, result, sum(steps)

    @pytest.mark.parametrize("move", MOVES)
    def test_a_copy_is_found_with_its_original(self, found, move):
        originals, result, _ = found
        place = [2 * list(MOVES).index(move) + number for number in (0, 1)]
        assert result.copied[place].all()
        assert result.matches.train[place].tolist() == originals[move].tolist()

    def test_images_of_nobody_and_noise_are_no_copies(self, found):
        _, result, _ = found
        assert not result.copied[2 * len(MOVES) :].any()
        assert not result.unrelated_copied.any()

    def test_the_progress_ends_where_it_was_said_to(self, found):
        _, result, steps = found
        assert steps == moved_copies.steps(40, 10, len(result.score)) == 50 + len(result.score)

    def test_images_of_one_patient_are_no_chance(self):
        """Every patient has the same image twice: against other patients' images alone nothing stands out."""
        train = textures(20, 4).repeat_interleave(2, dim=0)
        result = moved_copies.search(
            train, train[:0], textures(2, 5), [f"t{number // 2}" for number in range(40)], [], 0.95, CPU
        )
        assert not result.unrelated_copied.any()
        assert result.threshold < 20


def test_noise_is_measured_on_the_scale_of_images():
    usual = Matches(np.zeros(40, int), np.zeros(40), np.linspace(0.2, 0.3, 40), np.full(40, 0.1))
    noise = Matches(np.zeros(1, int), np.zeros(1), np.array([0.3]), np.array([0.01]))
    assert moved_copies.decide(usual, noise, 0.95).score == pytest.approx([6.0])


@pytest.mark.parametrize(
    ("train", "held", "usable"),
    [(["a"] * 40, [], 0), ([f"p{i}" for i in range(20)], [], 0), ([f"p{i}" for i in range(20)], ["h"] * 12, 12)],
)
def test_what_is_too_little_to_learn_chance_from_is_said(train, held, usable):
    why = "chance is learnt from at least 30 real images with 20 training images of other patients; there are"
    assert moved_copies.too_few(train, held) == f"{why} {usable}"
    assert moved_copies.too_few([f"p{i}" for i in range(21)], ["h"] * 9) == ""
