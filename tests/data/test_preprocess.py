import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mammogan.config import DataConfig
from mammogan.data import dicom
from mammogan.data.preprocess import breast, chest_wall_left, otsu, square, value_range
from mammogan.data.quarantine import BadImageError
from mammogan.data.resample import resize

SMALL = DataConfig(size=28)


def smooth(rng, rows=300, columns=190):
    y, x = np.mgrid[0:rows, 0:columns]
    waves = sum(np.sin(rng.uniform(0, 0.1) * y + rng.uniform(0, 0.1) * x + rng.uniform(0, 6)) for _ in range(6))
    return ((waves - waves.min()) / np.ptp(waves) * 60000).astype(np.uint16)


def keys_bicubic(t):
    """Keys' cubic kernel with a = -0.5 (IEEE Trans. ASSP 29(6), 1981), the one that Pillow uses."""
    t = np.abs(t)
    return np.where(t < 1, 1.5 * t**3 - 2.5 * t**2 + 1, np.where(t < 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0))


def resampling_matrix(source, target):
    """Antialiased bicubic as a matrix: the kernel stretched by the reduction, each row summing to one."""
    scale = max(source / target, 1)
    centre = (np.arange(target)[:, None] + 0.5) * source / target
    weights = keys_bicubic((np.arange(source) + 0.5 - centre) / scale)
    return weights / weights.sum(axis=1, keepdims=True)


def test_resize_is_antialiased_bicubic(rng):
    pixels = smooth(rng)
    expected = resampling_matrix(300, 56) @ pixels.astype(float) @ resampling_matrix(190, 56).T
    np.testing.assert_allclose(resize(pixels, 56, 56), expected, rtol=0, atol=0.05)


def test_nothing_is_quantised_before_the_end(rng):
    pixels = smooth(rng)
    exact = resampling_matrix(300, 28) @ pixels.astype(float) @ resampling_matrix(190, 28).T
    expected = np.clip(np.rint((exact - pixels.min()) * 255 / np.ptp(pixels)), 0, 255)
    assert np.abs(square(pixels, SMALL) - expected).max() <= 1
    assert np.mean(square(pixels, SMALL) != expected) < 0.01


def test_eight_bit_input_agrees_with_pillows_own_resize(rng):
    pixels = (smooth(rng) >> 8).astype(np.uint8)
    pixels[0, 0], pixels[0, 1] = 0, 255
    direct = np.asarray(Image.fromarray(pixels).resize((28, 28), Image.Resampling.BICUBIC))
    assert np.abs(square(pixels, SMALL).astype(int) - direct).max() <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 15), st.integers(0, 1000))
def test_gain_and_offset_do_not_matter(gain, offset):
    pixels = smooth(np.random.default_rng(1), 60, 50) // 16
    moved = (pixels * gain + offset).astype(np.float32)
    assert np.abs(square(pixels, SMALL).astype(int) - square(moved, SMALL)).max() <= 1


def test_percentiles_ignore_a_bright_label(rng):
    pixels = smooth(rng) // 4
    labelled = pixels.copy()
    labelled[:5, :20] = 65535
    by_percentile = DataConfig(size=28, intensity="percentile")
    inner = np.s_[4:, :]
    plain, marked = (square(each, by_percentile)[inner].astype(int) for each in (pixels, labelled))
    assert np.abs(plain - marked).max() <= 5
    assert np.abs(square(pixels, SMALL)[inner].astype(int) - square(labelled, SMALL)[inner]).max() > 100


def test_value_range_of_percentiles_is_numpys(rng):
    pixels = rng.integers(0, 65535, (200, 100)).astype(np.uint16)
    assert value_range(pixels, "percentile") == pytest.approx(tuple(np.percentile(pixels, (0.5, 99.5))))


@pytest.mark.parametrize(("rows", "columns"), [(300, 190), (190, 300)])
def test_pad_keeps_the_aspect_and_centres(rows, columns):
    pixels = np.full((rows, columns), 1000, np.uint16)
    pixels[rows // 2, columns // 2] = 0
    padded = square(pixels, DataConfig(size=112, fit="pad"))
    bright = padded > 200
    height, width = bright.any(axis=1).sum(), bright.any(axis=0).sum()
    assert max(height, width) == 112
    assert height / width == pytest.approx(rows / columns, rel=0.02)
    first, last = np.argwhere(bright).min(axis=0), 111 - np.argwhere(bright).max(axis=0)
    assert np.abs(first - last).max() <= 1
    assert set(padded[~bright]) <= {0}


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((50, 50), 7, np.uint16), "constant"),
        (np.full((50, 50), np.nan, np.float32), "NaN"),
        (np.array([[1.0, np.inf] * 20] * 40, np.float32), "NaN or infinite"),
        (np.arange(150, dtype=np.uint16).reshape(10, 15), "only 10x15"),
    ],
)
@pytest.mark.parametrize("intensity", ["minmax", "percentile"])
def test_unusable_images_say_why(pixels, reason, intensity):
    with pytest.raises(BadImageError, match=reason):
        square(pixels, DataConfig(size=28, intensity=intensity))


def test_scikit_image_agrees(rng):
    transform = pytest.importorskip("skimage.transform", reason="scikit-image is not installed")
    pixels = smooth(rng)
    expected = transform.resize(pixels.astype(float), (112, 112), order=3, anti_aliasing=True, mode="edge")
    assert np.abs(resize(pixels, 112, 112) - expected).mean() < 0.01 * np.ptp(pixels)


def labelled_breast():
    """A half disc at the left edge, a bright label apart from it, a border, and the disc alone."""
    y, x = np.mgrid[0:600, 0:400]
    disc = np.where((y - 300) ** 2 + x**2 < 200**2, 20000 + 40 * x, 0).astype(np.uint16)
    image = disc + 300
    image[20:60, 300:380] = 65535
    image[:, -3:] = 60000
    return image, disc


def test_the_breast_is_cut_out_without_label_and_border():
    image, disc = labelled_breast()
    cut = breast(image)
    assert np.abs(np.array(cut.shape) - (400, 200)).max() <= 10
    assert cut.max() <= disc.max() + 300
    assert cut.astype(int).sum() == pytest.approx((disc + 300 * (disc > 0)).astype(int).sum(), rel=0.03)


def test_real_labels_and_borders_go_and_the_breast_stays(shared):
    for path in sorted((shared / "data/cbis_ddsm/dicom_small").glob("Mass-Test*.dcm")):
        whole = dicom.decode(path.read_bytes())
        cut = breast(whole)
        assert 0.2 < cut.size / whole.size < 0.95
        kept = cut[cut > 0.2 * whole.max()].astype(float).sum() / whole[whole > 0.2 * whole.max()].astype(float).sum()
        assert 0.75 < kept < 1


def test_an_image_without_a_breast_says_so():
    noise = np.zeros((300, 200), np.uint16)
    noise[::7, ::5] = 60000
    with pytest.raises(BadImageError, match="no breast"):
        breast(noise)


def test_otsu_separates_two_groups(rng):
    values = np.concatenate([rng.normal(10, 1, 5000), rng.normal(30, 2, 3000)])
    assert 13 < otsu(values) < 25


def test_the_chest_wall_comes_to_the_left_once():
    image, _ = labelled_breast()
    image[:, -3:] = 0
    np.testing.assert_array_equal(chest_wall_left(image), image)
    np.testing.assert_array_equal(chest_wall_left(image[:, ::-1]), image)
    turned = DataConfig(size=28, orientation="left")
    np.testing.assert_array_equal(square(image[:, ::-1], turned), square(image, SMALL))
