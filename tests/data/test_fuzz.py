"""Broken bytes of every kind: nothing may crash, hang, leave its folder or vanish without a row.

``FUZZ=50 pytest tests/data/test_fuzz.py`` runs fifty times as many cases.
"""

import csv
import io
import os
import shutil
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from mammogan.config import SUBSETS, DataConfig
from mammogan.data import cbis_ddsm, dicom, manifest, picture, worker
from mammogan.data.ingest import ingest
from mammogan.data.preprocess import square
from mammogan.data.quarantine import BadImageError

TIMES = int(os.environ.get("FUZZ", "1"))
CONFIG = DataConfig(size=28)
BREAST = DataConfig(size=28, region="breast", orientation="left", intensity="percentile", fit="pad", window="apply")
EXTREMES = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\xff\x7f\xff\x7f",
    b"\0\0\0\x80",
    b"99999999",
    b"../../x",
    b'"',
    b"\n",
    b",",
    b"%s",
]


def fuzz(cases):
    """Settings of a property: so many cases, two seconds each at most, no database of the machine's."""
    return settings(
        max_examples=cases * TIMES,
        deadline=None if TIMES > 1 else 5000,
        database=None,
        derandomize=TIMES == 1,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )


@st.composite
def mutations(draw):
    """A function that breaks bytes in one to four places."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["cut", "flip", "put", "insert", "delete", "repeat", "swap"]),
                st.floats(0, 1, exclude_max=True),
                st.integers(0, 255),
                st.sampled_from(EXTREMES),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def apply(content):
        for kind, where, byte, extreme in steps:
            at = int(where * len(content))
            content = {
                "cut": lambda c, at=at: c[:at],
                "flip": lambda c, at=at, byte=byte: c[:at] + bytes([byte]) + c[at + 1 :],
                "put": lambda c, at=at, extreme=extreme: c[:at] + extreme + c[at + len(extreme) :],
                "insert": lambda c, at=at, extreme=extreme: c[:at] + extreme + c[at:],
                "delete": lambda c, at=at, byte=byte: c[:at] + c[at + 1 + byte % 16 :],
                "repeat": lambda c, at=at: c[:at] + c[at : at + 200] * 3 + c[at + 200 :],
                "swap": lambda c, at=at: c[at:] + c[:at],
            }[kind](content)
        return content

    return apply


@pytest.fixture(scope="session")
def dicoms(dicom_bytes):
    pixels = np.random.default_rng(0).integers(0, 4000, (40, 36)).astype(np.uint16)
    made = [
        dicom_bytes(pixels, syntax)
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless)
    ]
    rescaled = dicom_bytes(pixels, RescaleSlope=2, RescaleIntercept=-5, WindowCenter=2000, WindowWidth=3000)
    inverted = dicom_bytes(pixels, PhotometricInterpretation="MONOCHROME1")
    padded = dicom_bytes(pixels, PixelPaddingValue=7, PixelPaddingRangeLimit=90, NumberOfFrames=1)
    deflated = dicom_bytes(pixels, DeflatedExplicitVRLittleEndian)
    table = np.arange(256, dtype="<u2").tobytes()
    palette = {
        f"{name}PaletteColorLookupTable{part}": value
        for name in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", table))
    }
    coloured = dicom_bytes((pixels >> 4).astype(np.uint8), PhotometricInterpretation="PALETTE COLOR", **palette)
    bare = inverted[132:]
    return [*made, rescaled, inverted, padded, deflated, coloured, bare, *compressed(dicom_bytes, pixels)]


def compressed(dicom_bytes, pixels):
    """A file in each compressed syntax."""
    streams = {
        JPEGLosslessSV1: imagecodecs.ljpeg_encode(pixels, bitspersample=12),
        JPEGLSLossless: imagecodecs.jpegls_encode(pixels),
        JPEG2000Lossless: imagecodecs.jpeg2k_encode(pixels, 0, codecformat="j2k", reversible=True),
        HTJ2KLossless: imagecodecs.htj2k_encode(pixels, reversible=True),
        JPEGExtended12Bit: imagecodecs.jpeg8_encode(pixels, bitspersample=12),
    }
    for uid, stream in streams.items():
        dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(pixels)))
        dataset.PixelData = encapsulate([stream])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.file_meta.TransferSyntaxUID = uid
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        yield buffer.getvalue()


@pytest.fixture(scope="session")
def pictures():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 36), dtype=np.uint8)
    made = []
    for kind, mode in [("PNG", "L"), ("PNG", "RGB"), ("JPEG", "L"), ("TIFF", "L"), ("BMP", "P"), ("PNG", "I;16")]:
        buffer = io.BytesIO()
        image = Image.fromarray(pixels.astype(np.uint16) * 200) if mode == "I;16" else Image.fromarray(pixels)
        (image if mode == "I;16" else image.convert(mode)).save(buffer, format=kind)
        made.append(buffer.getvalue())
    turned = Image.Exif()
    turned[274] = 6
    for options in ({"format": "JPEG", "exif": turned}, {"format": "TIFF", "tiffinfo": {262: 0}}):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, **options)
        made.append(buffer.getvalue())
    return made


def assert_square_or_reason(content, config):
    """An image comes out as it must be, or a reason does."""
    bad = made = None
    try:
        made = square(worker.decode(content, window=config.window == "apply"), config)
    except BadImageError as error:
        bad = error
    if made is not None:
        assert (made.shape, made.dtype) == ((28, 28), np.uint8)
    else:
        assert bad.reason
        assert bad.fix
        assert "\n" not in bad.reason


@fuzz(900)
@given(st.integers(0, 14), mutations(), st.booleans())
def test_broken_dicom(dicoms, which, mutate, breast):
    assert_square_or_reason(mutate(dicoms[which]), BREAST if breast else CONFIG)


@fuzz(300)
@given(st.integers(0, 14), mutations())
def test_broken_dicom_headers(dicoms, which, mutate):
    try:
        found = dicom.series_uid(mutate(dicoms[which])[:2048])
    except BadImageError as error:
        found = error.reason
    assert isinstance(found, str)


@fuzz(500)
@given(st.integers(0, 7), mutations(), st.booleans())
def test_broken_pictures(pictures, which, mutate, breast):
    assert_square_or_reason(mutate(pictures[which]), BREAST if breast else CONFIG)


@fuzz(100)
@given(st.binary(max_size=400))
def test_any_bytes(content):
    assert_square_or_reason(content, CONFIG)
    assert_square_or_reason(b"\0" * 128 + b"DICM" + content, CONFIG)


def case_csv():
    rows = [cbis_header()]
    for number in range(12):
        name = f"{'Calc' if number % 2 else 'Mass'}-{'Test' if number % 3 else 'Training'}_P_{number:05d}_LEFT_CC"
        crop = f"{name}_1/5.{number}/6.{number}"
        pathology = cbis_ddsm.PATHOLOGIES[number % 3]
        image = f"{name}/3.{number}/4.{number}/000000.dcm"
        rows.append(f'P_{number:05d},2,LEFT,CC,1,mass,{pathology},{image},"{crop}/000000.dcm\n",{crop}/000001.dcm')
    return "\n".join(rows).encode()


def cbis_header():
    return (
        "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,pathology,"
        "image file path,cropped image file path,ROI mask file path"
    )


@fuzz(400)
@given(mutations())
def test_broken_case_csvs(tmp_path_factory, mutate):
    folder = tmp_path_factory.mktemp("labels")
    content = mutate(case_csv())
    (folder / "cases.csv").write_bytes(content)
    try:
        found = cbis_ddsm.read_cases(str(folder), "+".join(SUBSETS))
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert "labels=" in message or "subset=" in message
        return
    for images in ("crop", "full"):
        wanted, bad = cbis_ddsm.wanted_images(found, images)
        for image in wanted:
            assert Path(image.image_id).name == image.image_id
            assert not any("/" in uid for uid in image.series_uids)
    accounted = {image.image_id for image in wanted} | {row.image_id for row in bad}  # of the full images
    lines = {int(row.source.rpartition(":")[2]) for row in bad}
    text = io.StringIO(content.decode("utf-8-sig", errors="replace").replace("\0", "�"), newline="")
    reader = csv.reader(text)
    header = [name.strip().lower().replace(" ", "_") for name in next(row for row in reader if True)]
    column = header.index("image_file_path") if "image_file_path" in header else None
    for row in reader:
        if any(field.strip() for field in row) and column is not None:
            name = row[column].strip().split("/")[0] if column < len(row) else ""
            assert name in accounted or reader.line_num in lines


@pytest.fixture
def small_source(tmp_path, dicom_bytes):
    """Twelve pictures and a manifest."""
    folder = tmp_path / "source"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,patient_id,pathology"]
    for number in range(12):
        pixels = rng.integers(0, 4000, (30, 24)).astype(np.uint16)
        name = f"{number}.dcm" if number % 2 else f"{number}.png"
        eight = (pixels >> 4).astype(np.uint8)
        (folder / name).write_bytes(dicom_bytes(pixels) if number % 2 else picture.encode_png(eight))
        lines.append(f"{name},P{number},{'MALIGNANT' if number < 6 else 'BENIGN'}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


@fuzz(120)
@given(mutations(), st.lists(st.tuples(st.integers(0, 11), mutations()), max_size=3))
def test_a_broken_folder_loses_nothing_silently(tmp_path_factory, small_source, mutate, broken):
    place = tmp_path_factory.mktemp("fuzz")
    source = shutil.copytree(small_source, place / "source")
    (place / "x").write_bytes((source / "0.png").read_bytes())
    (source / "manifest.csv").write_bytes(mutate((source / "manifest.csv").read_bytes()))
    for number, spoil in broken:
        path = source / (f"{number}.dcm" if number % 2 else f"{number}.png")
        path.write_bytes(spoil(path.read_bytes()))
    before = {path: path.read_bytes() for path in source.iterdir()}
    try:
        summary = ingest(str(source), "", DataConfig(subset="mass-train", size=28, max_bad=0.9), place / "out")
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert "\n" not in message
        assert not (place / "out").exists()
    else:
        frame = manifest.read(place / "out")
        with (place / "out/quarantine.csv").open(newline="") as file:
            quarantined = [row["source"] for row in csv.DictReader(file)]
        text = (source / "manifest.csv").read_bytes().decode("utf-8-sig", errors="replace").replace("\0", "\ufffd")
        for line in text.replace("\r", "\n").split("\n")[1:]:
            name = line.split(",")[0].strip().strip('"')
            known = name in set(frame["source"]) or name in quarantined
            assert known or name in ("", "file") or any(row.startswith("manifest.csv:") for row in quarantined)
        assert summary.images == len(frame)
    assert {path.name for path in place.iterdir()} <= {"source", "x", "out", ".out.work"}
    assert {path: path.read_bytes() for path in source.iterdir()} == before
