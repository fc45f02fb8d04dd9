"""DICOM files: elements of other types and sizes, fragments, tables, code streams, bytes that do not belong there."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from cases import Kind, LossError
from mutation import NUMBERS, damaged
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from mammogan.config import DataConfig
from mammogan.data import dicom, shutter, worker
from mammogan.data.preprocess import square
from mammogan.data.quarantine import BadImageError

pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
ENCODERS = {
    JPEGLosslessSV1: lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=12),
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(pixels, 0, codecformat="j2k", reversible=True),
    HTJ2KLossless: lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True),
    JPEGExtended12Bit: lambda pixels: imagecodecs.jpeg8_encode(pixels, bitspersample=12),
    JPEGBaseline8Bit: lambda pixels: imagecodecs.jpeg8_encode((pixels >> 4).astype(np.uint8)),
}
SHORTS = (
    "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PlanarConfiguration", "PixelPaddingValue", "PixelPaddingRangeLimit",
)  # fmt: skip
TEXTS = (
    "NumberOfFrames", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PhotometricInterpretation",
    "VOILUTFunction", "PixelPresentation", "PresentationLUTShape", "SpecificCharacterSet", "SeriesInstanceUID",
)  # fmt: skip
WORDS = (
    "", "0", "-1", "1e308", "-1e308", "1e-308", "nan", "inf", "1\\2\\3", "2147483648", "MONOCHROME1", "MONOCHROME2",
    "RGB", "PALETTE COLOR", "YBR_FULL_422", "SIGMOID", "LINEAR_EXACT", "COLOR", "INVERSE", "ISO_IR 192",
    "ISO 2022 IR 87", "x" * 300,
)  # fmt: skip
NUMERALS = ("", "0", "-1", "1", "2", "1e308", "-1e308", "1e-308", "1\\2\\3", "2147483648")
NEAR = (0, 1, 5, 20, 30, 40, 64, -1, 10**6)
"""Places in, at the edge of and far from an image."""
OPEN_SEQUENCE = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
"""A sequence and its first item, both without an end."""
BOMB = zlib.compress(b"\0" * (300 << 20), 9)[2:]
SETTINGS = (
    DataConfig(size=28),
    DataConfig(size=28, region="breast", orientation="left", intensity="percentile", fit="pad", window="apply"),
)


def _write(rng: random.Random, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while True:
            try:
                content = _file(rng)
                break
            except Exception:
                continue
    if rng.random() < 0.35:
        content = damaged(rng, content)
    elif rng.random() < 0.3:
        content = _relengthened(rng, content)
    elif rng.random() < 0.05:
        at = max(0, content.find(b"\x20\0\x0e\0"))
        content = content[:at] + OPEN_SEQUENCE * rng.choice((100, 5000, 100_000)) + content[at:]
    (folder / "a.dcm").write_bytes(content)


def _file(rng: random.Random) -> bytes:
    rows, columns = rng.choice(((40, 36), (1, 1), (3, 200), (64, 65)))
    pixels = np.random.default_rng(rng.randrange(100)).integers(0, 4000, (rows, columns)).astype(np.uint16)
    dataset, syntax = _dataset(pixels), rng.choice((*NATIVE, RLELossless, *ENCODERS))
    if syntax is JPEGBaseline8Bit:
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit = 7
    if syntax is RLELossless:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless)
    elif syntax in ENCODERS:
        stream = ENCODERS[syntax](pixels)
        if rng.random() < 0.3:
            stream = damaged(rng, stream)
        dataset.PixelData = encapsulate(_fragments(rng, stream), has_bot=rng.random() < 0.5)
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    elif rng.random() < 0.1:
        dataset.PixelData = rng.choice((b"", b"\0" * 3, dataset.PixelData * 3, b"\0" * (1 << 22)))
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        _set_element(rng, dataset)
    if syntax is not RLELossless:
        dataset.file_meta.TransferSyntaxUID = syntax
    if rng.random() < 0.05:
        dataset.file_meta.TransferSyntaxUID = UID(
            rng.choice(("1.2.840.10008.1.2.4.100", "1.2.3", "", "1.2.840.10008.1.2.1.98"))
        )
    buffer = io.BytesIO()
    dataset.save_as(
        buffer, implicit_vr=syntax is ImplicitVRLittleEndian, little_endian=syntax is not ExplicitVRBigEndian
    )
    content = buffer.getvalue()
    if rng.random() < 0.03:  # a bomb: a deflated body that is far larger than its file
        head = content[: content.find(b"\x08\0\x16\0")]
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = deflate.compress(content[len(head) :]) + deflate.flush(zlib.Z_FULL_FLUSH)
        content = head.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"[:20]) + body + BOMB
    return content[132:] if rng.random() < 0.1 else content


def _dataset(pixels: np.ndarray) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2", "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _fragments(rng: random.Random, stream: bytes) -> list[bytes]:
    step = rng.random()
    if step < 0.1:
        return [stream] * rng.choice((2, 50))
    return [b""] if step < 0.13 else [stream]


def _set_element(rng: random.Random, dataset: Dataset) -> None:
    step = rng.random()
    if step < 0.35:
        name = rng.choice(SHORTS)
        values = (*(number % 65536 for number in NUMBERS), 8, 12, 16, 32, 64)
        setattr(dataset, name, rng.choice((rng.choice(values), [1, 2], None)))
    elif step < 0.7:
        setattr(dataset, rng.choice(TEXTS), rng.choice(WORDS))
    elif step < 0.8:
        name = rng.choice((*SHORTS, "PhotometricInterpretation", "PixelData", "SeriesInstanceUID"))
        if name in dataset:
            delattr(dataset, name)
    elif step < 0.9:
        table = Dataset()
        count, first, bits = (rng.choice((0, 1, 2, 8, 16, 256, 4096, 65535)) for _ in range(3))
        table.LUTDescriptor = rng.choice(([count, first, bits], [count], []))
        table.LUTData = rng.choice((b"", b"\0\1" * count, b"\0\1" * 7))
        table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
        setattr(
            dataset,
            rng.choice(("ModalityLUTSequence", "VOILUTSequence")),
            Sequence([table] * rng.choice((1, 1, 2, 300))),
        )
    elif step < 0.95:
        dataset.PhotometricInterpretation = "PALETTE COLOR"
        for colour in ("Red", "Green", "Blue"):
            count = rng.choice((0, 1, 16, 256, 4096))
            setattr(
                dataset,
                f"{colour}PaletteColorLookupTableDescriptor",
                [count, rng.choice((0, 1, 65535)), rng.choice((8, 16))],
            )
            setattr(dataset, f"{colour}PaletteColorLookupTableData", bytes(range(256)) * (2 * count // 256) or b"\0\0")
    elif step < 0.965:
        depth, count = rng.choice(((2, 500), (20, 1), (200, 1)))
        dataset.ReferencedImageSequence = Sequence([dataset_of_depth(depth)] * count)
    elif step < 0.985:
        _set_shutter(rng, dataset)
    else:
        _set_functional_groups(rng, dataset)


def _set_shutter(rng: random.Random, dataset: Dataset) -> None:
    """A display shutter, often of several shapes, whose places lie in, at the edge of, or far from the image."""
    shapes = ("RECTANGULAR", "CIRCULAR", "POLYGONAL", "BITMAP", "", "x" * 300)
    dataset.ShutterShape = "\\".join(rng.choice(shapes[: rng.choice((3, 6))]) for _ in range(rng.choice((1, 1, 2, 3))))
    for keyword in shutter.KEYWORDS[1:]:
        count = {shutter.CENTRE: 2, shutter.VERTICES: rng.choice((0, 5, 6, 8, 512, 514, 20_000))}.get(keyword, 1)
        if rng.random() < 0.9:
            places = (str(rng.choice(NEAR if rng.random() < 0.9 else NUMBERS)) for _ in range(count))
            setattr(dataset, keyword, "\\".join(places) if rng.random() < 0.95 else rng.choice(NUMERALS))


def _set_functional_groups(rng: random.Random, dataset: Dataset) -> None:
    """What an enhanced object says of its frame, in groups that all frames share and in those of each."""
    dataset.SOPClassUID = rng.choice(
        ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.13.1.3")
    )
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        frame = Dataset()
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            item = Dataset()
            for keyword in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction"):
                if rng.random() < 0.5:
                    setattr(item, keyword, rng.choice(WORDS if keyword == "VOILUTFunction" else NUMERALS))
            if rng.random() < 0.7:
                setattr(frame, name, Sequence([item] * rng.choice((0, 1, 2))))
        if rng.random() < 0.8:
            setattr(dataset, groups, Sequence([frame] * rng.choice((0, 1, 1, 3, 500))))


def dataset_of_depth(depth: int) -> Dataset:
    """Sequences within sequences."""
    inner = Dataset()
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedImageSequence = Sequence([inner])
        inner = outer
    return inner


def _relengthened(rng: random.Random, content: bytes) -> bytes:
    """The length of one element, wherever its header stands, says something else."""
    starts = [
        at
        for at in range(min(len(content), 4096) - 12)  # a header's
        if content[at + 1 : at + 2] == b"\0" and content[at : at + 1] in b"\x02\x08\x20\x28\xe0\xfe"
    ]
    if not starts:
        return content
    at, number = rng.choice(starts), rng.choice((*NUMBERS, 0xFFFFFFFE, 0xFFFFFFFF)) % (1 << 32)
    where = at + rng.choice((4, 6, 8))
    return content[:where] + struct.pack(rng.choice("<>") + "I", number) + content[where + 4 :]


def _read(folder: Path, _out: Path) -> None:
    content = (folder / "a.dcm").read_bytes()
    with suppress(BadImageError):
        uid = dicom.series_uid(content[: 1 << 14])
        if not isinstance(uid, str) or not uid:
            raise LossError(f"series_uid gives {uid!r}")
    make_squares(content)


def make_squares(content: bytes) -> None:
    """Make the square of an image by either settings. Raises BadImageError where both refuse it."""
    refusals = [error for settings in SETTINGS if (error := _make(content, settings))]
    if len(refusals) == len(SETTINGS):
        raise refusals[0]


def _make(content: bytes, settings: DataConfig) -> BadImageError | None:
    """The refusal; one that hides that memory ran out is none."""
    try:
        pixels = worker.decode(content, window=settings.window == "apply")
        image = square(pixels, settings)
    except BadImageError as error:
        if "MemoryError" in error.reason or "\n" in error.reason or not error.reason or not error.fix:
            raise LossError(f"refused for {error.reason!r}") from error
        return error
    if pixels.ndim != 2 or (image.shape, image.dtype) != ((28, 28), np.uint8):
        raise LossError(f"{image.dtype} {image.shape} of {pixels.shape}")
    return None


KINDS = (Kind("dicom", _write, _read),)
