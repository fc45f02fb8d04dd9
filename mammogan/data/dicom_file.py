"""The elements of a DICOM file in memory, with or without preamble and file meta, read and inflated within bounds."""

from __future__ import annotations

import io
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mammogan.data.quarantine import BadImageError, warnings_as

if TYPE_CHECKING:
    from pydicom import Dataset

FIX = "download the file again"
PREAMBLE_BYTES = 132
LARGEST_PIXELS = 50_000_000
"""Three times the largest mammogram of CBIS-DDSM; several such are decoded at once in the memory of a step."""
LARGEST_BYTES = 2 * LARGEST_PIXELS
"""Of the stored pixels of one image, all frames and samples together."""
LARGEST_HEADER = 1 << 24
LENT_BYTES = 1 << 20
"""Shorter elements are copied: texts and numbers are parsed, which wants bytes."""
MOST_READS = 200_000
"""Times that a file's reader may ask for bytes, a few an element: a header of millions of elements fills the memory."""
LARGEST_ELEMENT = 1 << 21
"""Bytes of an element of group 0028, lookup tables among them; pydicom takes apart a sequence as a whole."""
IMAGE_GROUP = 0x0028
META_GROUP, FIRST_GROUP, PATIENT_GROUP = 0x0002, 0x0008, 0x0010
TEXTS = frozenset((
    "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT",
))  # fmt: skip
"""Types whose value is text, numbers among them: NULs in the others are zeros."""
BLANK = b" \0\\"
"""What may stand in a text that holds no value; a backslash parts several."""


class _DeflatedError(Exception):
    """The elements behind the meta information are deflated."""


class _Lender:
    """A file of bytes in memory that lends its long stretches instead of copying them.

    pydicom keeps what ``read`` returns, so the pixels of an uncompressed file stay where they are: copying 25 MB takes
    as long as resizing them, most of it in page faults.
    """

    def __init__(self, content: bytes | memoryview) -> None:
        self._content = memoryview(content)
        self._at = 0
        self._reads = 0

    def read(self, count: int = -1) -> bytes | memoryview:
        if count < 0:  # pydicom asks for all the rest only to inflate it, without a bound
            raise _DeflatedError
        self._reads += 1
        if self._reads > MOST_READS:
            raise BadImageError(f"a header of more than {MOST_READS} elements or parts", "export the image again")
        stretch = self._content[self._at : self._at + count]
        self._at += len(stretch)
        return stretch if len(stretch) >= LENT_BYTES else bytes(stretch)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._content)}[whence]
        if start + offset < 0:
            raise ValueError(f"offset={offset}: it points before the file")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at


def is_dicom(content: bytes | memoryview) -> bool:
    """Whether the bytes are a DICOM file: ``DICM`` after a preamble of 128 bytes, or an element that files begin with.

    Without a preamble a file begins with its meta information (group 0002) or, without that, with group 0008.
    """
    head = bytes(content[:PREAMBLE_BYTES])
    if head[128:] == b"DICM":
        return True
    if len(head) < 8:
        return False
    return _begins_with(head, (META_GROUP, FIRST_GROUP))


def is_headless(content: bytes | memoryview) -> bool:
    """Whether bytes that are no DICOM file may be one that has lost its beginning.

    Its elements stand behind a preamble of zeros without ``DICM``, or begin with the patient's.
    """
    head = bytes(content[: PREAMBLE_BYTES + 8])
    if not any(head[: PREAMBLE_BYTES - 4]):
        return _begins_with(head[PREAMBLE_BYTES - 4 :], (META_GROUP, FIRST_GROUP))
    return len(head) >= 8 and _begins_with(head, (PATIENT_GROUP,))


def _begins_with(head: bytes, groups: tuple[int, ...]) -> bool:
    """Whether an element of one of these groups stands at the beginning."""
    little, big = (int.from_bytes(head[:2], order) for order in ("little", "big"))
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    if big in groups and big != META_GROUP:
        return head[2] == 0 and explicit
    return little in groups and head[3] == 0 and (explicit or head[6:8] == b"\0\0")


def read(content: bytes | memoryview, *, last: int | None = None) -> Dataset:
    """The file's elements, with ``file_meta.TransferSyntaxUID`` where the file names one.

    ``last`` is the tag of the last element that is wanted. Raises BadImageError for a deflated file that is too large
    and for a header that is too long, and whatever pydicom raises for broken bytes.
    """
    from pydicom import config
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset, read_partial
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    def is_behind(tag: int, _vr: str | None, _length: int) -> bool:
        return last is not None and tag > last

    config.settings.reading_validation_mode = config.IGNORE  # it warns, on the console, with the value that it doubts
    file: Any = _Lender(content)  # pydicom asks for bytes, and does with any buffer
    with warnings_as("ignore"):
        try:
            return _checked(read_partial(file, stop_when=is_behind, force=True))
        except _DeflatedError:
            meta = _meta(file, content)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            raise BadImageError("a deflated file whose meta information cannot be read", FIX)
    body: Any = _Lender(_inflated(content[file.tell() :], whole=last is None))  # other threads read meanwhile
    with warnings_as("ignore"):
        dataset = read_dataset(body, False, True, stop_when=is_behind)
        dataset.file_meta = FileMetaDataset(meta)
        dataset.set_original_encoding(False, True, None)
        return _checked(dataset)


def _meta(file: Any, content: bytes | memoryview) -> Dataset:  # noqa: ANN401  (what pydicom reads from)
    """Elements of group 0002; ``file`` then stands behind them."""
    from pydicom.filereader import read_dataset

    file.seek(PREAMBLE_BYTES if content[128:PREAMBLE_BYTES] == b"DICM" else 0)
    return read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != META_GROUP)


def _inflated(deflated: bytes | memoryview, *, whole: bool) -> bytes:
    """What ``deflated`` holds; of a part of a file, what that part tells."""
    most = LARGEST_BYTES + LARGEST_HEADER if whole else LARGEST_HEADER
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = stream.decompress(deflated, most)
    if whole and stream.unconsumed_tail:
        raise BadImageError(f"a deflated file of more than {most} bytes", "give it uncompressed, one image a file")
    if whole and not stream.eof:
        raise BadImageError("the deflated file is cut off", FIX)
    return inflated


def _checked(dataset: Dataset) -> Dataset:
    """The same elements. Raises BadImageError for one of the image group that is too long."""
    for tag in [tag for tag in dataset.keys() if tag.group == IMAGE_GROUP]:  # noqa: SIM118  (a Dataset yields elements)
        raw: Any = dataset.get_item(tag)
        if isinstance(raw.value, bytes | memoryview) and len(raw.value) > LARGEST_ELEMENT:
            raise BadImageError(f"element {tag} of {len(raw.value)} bytes", "export the image again")
    drop_blanks(dataset)
    return dataset


def drop_blanks(dataset: Dataset) -> None:
    """Remove the elements of blanks or NULs alone, as they were read: an empty one is the same as none."""
    for tag in list(dataset.keys()):
        raw: Any = dataset.get_item(tag)
        if isinstance(raw.value, bytes) and not raw.value.strip(BLANK) and _kind(raw) in TEXTS:
            del dataset[tag]


def _kind(raw: Any) -> str:  # noqa: ANN401  (pydicom's RawDataElement or DataElement)
    """Type of an element; implicit files, and unsure writers, leave it to the dictionary."""
    from pydicom.datadict import dictionary_VR

    if raw.VR not in (None, "UN"):
        return raw.VR
    with suppress(KeyError):  # a private one
        return dictionary_VR(raw.tag)
    return ""
