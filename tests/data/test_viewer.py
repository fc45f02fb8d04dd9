"""DICOM files shown as an independent reader shows them: DCMTK's dcm2pnm, which decodes nothing with our libraries.

The oracle shows the plain file, uncompressed and without padding; ours is compressed and padded. ``pytest -m long``
tries all combinations, the ordinary run a few dozen.
"""

import io
import itertools
import shutil
import subprocess
from dataclasses import dataclass

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from mammogan.config import DataConfig
from mammogan.data import worker
from mammogan.data.preprocess import square

pytestmark = pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="DCMTK is not installed (Debian's package dcmtk)")

SIDE = 56
WHOLE = DataConfig(size=SIDE)
BY_DCMTK = {JPEGLossless: ["dcmcjpeg", "+el"], JPEGLosslessSV1: ["dcmcjpeg", "+e1"], JPEGLSLossless: ["dcmcjpls"]}
BY_US = {
    JPEG2000Lossless: lambda cells, bits: imagecodecs.jpeg2k_encode(
        cells, level=0, codecformat="j2k", bitspersample=bits, reversible=True
    ),
    HTJ2KLossless: lambda cells, bits: imagecodecs.htj2k_encode(cells, reversible=True),
}
SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    *BY_DCMTK,
    *BY_US,
]
BITS = [(8, 8, 7), (16, 12, 11), (16, 16, 15), (16, 10, 11), (8, 6, 5)]
"""Bits allocated and stored, and the high bit."""
PADDINGS = ["none", "value", "range"]
RESCALES = ["none", "rise", "fall", "fraction", "table"]
VOIS = ["none", "window", "sigmoid", "table"]


@dataclass(frozen=True)
class Kind:
    photometric: str
    signed: bool
    bits: tuple
    padding: str
    rescale: str
    voi: str

    @property
    def lowest(self):
        return -(1 << self.bits[1] - 1) if self.signed else 0

    def image(self, rng):
        """Stored values (SIDE, SIDE), the least two of which are kept for padding."""
        y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1)
        wave = (0.6 * x + 0.3 * y + 0.1 * np.sin(9 * x * y) ** 2) * rng.uniform(0.7, 1)
        top = (1 << self.bits[1]) - 1
        return np.clip(np.rint(2 + wave * (top - 2)), 2, top).astype(np.int64) + self.lowest

    def elements(self):
        """What the header says of how the values are shown, beyond padding."""
        span = 1 << self.bits[1]
        made = {"PhotometricInterpretation": self.photometric, "PixelRepresentation": int(self.signed)}
        low, high = self.lowest, self.lowest + span - 1
        if self.rescale in ("rise", "fall", "fraction"):  # DCMTK rounds what a rescale gives
            slope, intercept = {"rise": (2, -5000), "fall": (-1, 100), "fraction": (37.25, 7.5)}[self.rescale]
            made |= {"RescaleSlope": slope, "RescaleIntercept": intercept}
            low, high = sorted((slope * low + intercept, slope * high + intercept))
        if self.rescale == "table":
            count = min(span, 4096)
            entries = np.rint(65535 * (np.arange(count) / (count - 1)) ** 2).astype(int).tolist()
            made["ModalityLUTSequence"] = [table(entries, self.lowest, self.signed)]
            low, high = 0, 65535
        width = (high - low) / 2
        if self.voi in ("window", "sigmoid"):  # DCMTK takes LINEAR_EXACT for LINEAR
            made |= {"WindowCenter": round((low + high) / 2), "WindowWidth": round(width)}
            made["VOILUTFunction"] = {"window": "LINEAR", "sigmoid": "SIGMOID"}[self.voi]
        if self.voi == "table":
            count = min(1 << 10, int(high - low))
            first = int(low + (high - low - count) // 2)
            entries = np.rint(4095 * np.sin(np.arange(count) / (count - 1) * np.pi / 2) ** 2).astype(int).tolist()
            made["VOILUTSequence"] = [table(entries, first, low < 0, bits=12)]
        return made


def table(entries, first, signed, bits=16):
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries) % 65536, first, bits], entries
    item["LUTDescriptor"].VR, item["LUTData"].VR, item.ModalityLUTType = "SS" if signed else "US", "US", "US"
    return item


def cells(stored, kind):
    """The values as they stand in cells of unsigned type."""
    allocated, bits, high = kind.bits
    moved = (stored & ((1 << bits) - 1)) << (high + 1 - bits)
    return moved.astype(f"u{allocated // 8}")


def padded(stored, kind):
    """The image with its first rows padded, and the elements that say so."""
    if kind.padding == "none":
        return stored, {}
    image = stored.copy()
    image[:9], image[5:9] = kind.lowest, kind.lowest + (kind.padding == "range")
    made = {"PixelPaddingValue": padding_cell(kind.lowest, kind)}
    if kind.padding == "range":
        made["PixelPaddingRangeLimit"] = padding_cell(kind.lowest + 1, kind)
    return image, made


def padding_cell(value, kind):
    return value << (kind.bits[2] + 1 - kind.bits[1])


def encoded(dicom_bytes, stored, kind, syntax, folder, **elements):
    """Bytes of a file in ``syntax``; DCMTK compresses to JPEG and JPEG-LS."""
    raw = cells(stored, kind)
    said = {"BitsStored": kind.bits[1], "HighBit": kind.bits[2], **kind.elements(), **elements}
    if syntax not in BY_DCMTK and syntax not in BY_US:
        return dicom_bytes(raw, syntax, **said)
    plain = dicom_bytes(raw, **said)
    if syntax in BY_DCMTK:
        (folder / "plain.dcm").write_bytes(plain)
        command = [*BY_DCMTK[syntax], "plain.dcm", "small.dcm"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (folder / "small.dcm").read_bytes()
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(plain))
    dataset.file_meta.TransferSyntaxUID = syntax
    if kind.signed:  # as JPEG 2000 has to say it
        empty = 8 * raw.itemsize - 1 - kind.bits[2]
        raw = (raw << empty).view(f"i{raw.itemsize}") >> empty
    dataset.PixelData = encapsulate([BY_US[syntax](raw, kind.bits[2] + 1)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def shown(content, kind, folder):
    """(SIDE, SIDE) uint16: what dcm2pnm shows, by the file's own window or from the least to the greatest value."""
    (folder / "seen.dcm").write_bytes(content)
    window = {"none": ["+Wm"], "table": ["+Wl", "1"]}.get(kind.voi, ["+Wi", "1"])
    command = ["dcm2pnm", "-O", *window, "--write-16-bit-pnm", "seen.dcm", "seen.pgm"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    with Image.open(folder / "seen.pgm") as image:
        return np.asarray(image).astype(np.uint16)


def compare(dicom_bytes, kind, syntax, folder, rng):
    """Greatest difference in grey levels of 256 between what is shown and what DCMTK shows."""
    stored = kind.image(rng)
    oracle = shown(encoded(dicom_bytes, stored, kind, ExplicitVRLittleEndian, folder), kind, folder) / 257
    image, elements = padded(stored, kind)
    content = encoded(dicom_bytes, image, kind, syntax, folder, **elements)
    outside = np.zeros(stored.shape, bool)
    outside[:9] = kind.padding != "none"
    if kind.voi == "none":
        ours = square(worker.decode(content), WHOLE).astype(float)
        visible = oracle[~outside]
        oracle = (oracle - visible.min()) / np.ptp(visible) * 255
    else:
        ours = np.ma.getdata(worker.decode(content, window=True)) / 257
    assert (ours[outside] == ours[~outside].min(initial=255)).all()
    return np.abs(ours - oracle)[~outside].max()


def is_possible(kind):
    """Whether its VOI table's first value fits 16 bits."""
    if kind.voi != "table" or kind.rescale in ("none", "table"):
        return True
    return kind.bits[1] < (12 if kind.rescale == "fraction" else 16)


AXES = (["MONOCHROME1", "MONOCHROME2"], [False, True], BITS, PADDINGS, RESCALES, VOIS)
KINDS = [kind for kind in itertools.starmap(Kind, itertools.product(*AXES)) if is_possible(kind)]
NUMBERED = list(enumerate(KINDS))


def assert_as_shown(dicom_bytes, chosen, folder):
    """The syntaxes are dealt out in turn; a stride without common factors with the other axes meets all of them."""
    wrong = {}
    for number, kind in chosen:
        syntax = SYNTAXES[(number + number // len(SYNTAXES)) % len(SYNTAXES)]
        difference = compare(dicom_bytes, kind, syntax, folder, np.random.default_rng(number))
        if difference > 1:
            wrong[kind, syntax.name] = difference
    assert not wrong


def test_some_files_are_shown_as_dcmtk_shows_them(dicom_bytes, tmp_path):
    assert_as_shown(dicom_bytes, NUMBERED[::37], tmp_path)


@pytest.mark.long
def test_all_files_are_shown_as_dcmtk_shows_them(dicom_bytes, tmp_path):
    assert_as_shown(dicom_bytes, NUMBERED, tmp_path)
