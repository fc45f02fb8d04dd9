"""Pictures: chunks, segments, tags and headers that say something else than the pixels, with right checksums too."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from cases import Kind
from dicom_cases import make_squares
from mutation import NUMBERS, damaged
from PIL import Image

MODES = {
    "PNG": ("1", "L", "L", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16"),
    "JPEG": ("L", "L", "L", "RGB", "CMYK"),
    "TIFF": ("1", "L", "L", "L", "P", "RGB", "RGBA", "I;16", "I;16", "I", "F", "LAB", "CMYK"),
    "BMP": ("1", "L", "L", "P", "RGB"),
    "GIF": ("L", "P"),
    "PPM": ("L", "RGB"),
    "ICO": ("L",),
}
COMPRESSIONS = (None, "tiff_lzw", "tiff_deflate", "packbits", "tiff_adobe_deflate", "group4")
BOMB = zlib.compress(b"\0" * (1 << 26), 9)
LONGEST_SCAN = 64 << 20
"""Bytes beyond which a scan is not repeated once more: the fuzz itself has to hold them."""


def _write(rng: random.Random, folder: Path) -> None:
    others = [_picture(rng)[1] for _ in range(2)]
    form, content = _picture(rng)
    step = rng.random()
    if step < 0.45:
        content = {"PNG": _rechunked, "TIFF": _retagged, "BMP": _reheaded, "JPEG": _resegmented}.get(form, damaged)(
            rng, content
        )
    if step > 0.65:
        content = damaged(rng, content, others)
    (folder / f"a{rng.choice(('.png', '.jpg', '.tif', '.bmp'))}").write_bytes(content)


def _picture(rng: random.Random) -> tuple[str, bytes]:
    while True:
        form = rng.choice(("PNG", "PNG", "JPEG", "JPEG", "TIFF", "TIFF", "BMP", *MODES))
        mode = rng.choice(MODES[form])
        try:
            return form, _saved(rng, form, mode)
        except (OSError, ValueError, KeyError, SystemError, RuntimeError):
            continue


def _saved(rng: random.Random, form: str, mode: str) -> bytes:
    shape = rng.choice(((40, 36), (1, 1), (2, 300), (64, 64)))
    grey = np.random.default_rng(rng.randrange(50)).integers(0, 255, shape, dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 200)
    elif mode in ("I", "F"):
        image = Image.fromarray(grey.astype(np.int32 if mode == "I" else np.float32) * rng.choice((1, 1000)))
    else:
        image = Image.fromarray(grey).convert(mode)
    options: dict[str, object] = {}
    if form in ("JPEG", "PNG", "TIFF") and rng.random() < 0.3:
        exif = Image.Exif()
        exif[274] = rng.choice((1, 3, 6, 8, 9))
        options["exif"] = exif
    if form == "JPEG":
        options |= {"progressive": rng.random() < 0.5, "quality": rng.choice((1, 50, 95))}
    if form == "TIFF":
        options |= {"compression": rng.choice(COMPRESSIONS)}
        if rng.random() < 0.2:
            options |= {"save_all": True, "append_images": [image] * rng.choice((1, 30))}
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _rechunked(rng: random.Random, content: bytes) -> bytes:
    """Chunks of a PNG changed, doubled, moved, dropped or new, their checksums right."""
    chunks, at = [], 8
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(chunks))
        name, body = chunks[place]
        step = rng.random()
        if step < 0.4 and name == b"IHDR" and len(body) == 13:
            width, height, *rest = struct.unpack(">IIBBBBB", body)
            width, height = (rng.choice((side, rng.choice(NUMBERS) % (1 << 32))) for side in (width, height))
            rest = [rng.choice((chunk, rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255)))) for chunk in rest]
            chunks[place] = name, struct.pack(">IIBBBBB", width, height, *rest)
        elif step < 0.6:
            chunks[place] = name, damaged(rng, body)
        elif step < 0.7:
            chunks.insert(rng.randrange(len(chunks) + 1), (name, body))
        elif step < 0.75 and len(chunks) > 1:
            del chunks[place]
        elif step < 0.85:
            chunks[place] = b"IDAT", BOMB
        else:
            new = rng.choice(((b"zTXt", b"k\0\0" + BOMB), (b"iCCP", b"k\0\0" + BOMB), (b"iTXt", b"k\0\1\0\0\0" + BOMB),
                              (b"tRNS", b"\0\0"), (b"acTL", struct.pack(">II", 1 << 31, 0)),
                              (b"eXIf", b"MM\0*\0\0\0\x08"), (b"PLTE", b"\0" * 768), (b"gAMA", b"\0" * 4),
                              (b"cHRM", b"x")))  # fmt: skip
            chunks.insert(rng.randrange(len(chunks) + 1), new)
    written = content[:8]
    for name, body in chunks:
        written += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return written


def _retagged(rng: random.Random, content: bytes) -> bytes:
    """Entries of a TIFF's first directory changed: tag, type, count or value; or the next directory is this one."""
    order = "<" if content[:2] == b"II" else ">"
    first = struct.unpack(order + "I", content[4:8])[0]
    count = struct.unpack(order + "H", content[first : first + 2])[0]
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = first + 2 + 12 * rng.randrange(max(1, count))
        step, number = rng.random(), rng.choice((*NUMBERS, first)) % (1 << 32)
        if step < 0.2:
            tags = (256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 347)
            struct.pack_into(order + "H", changed, at, rng.choice(tags))
        elif step < 0.35:
            struct.pack_into(order + "H", changed, at + 2, rng.choice((0, 1, 2, 3, 4, 5, 12, 13, 16, 255)))
        elif step < 0.55:
            struct.pack_into(order + "I", changed, at + 4, number)
        elif step < 0.9:
            struct.pack_into(order + "I", changed, at + 8, number)
        else:
            struct.pack_into(order + "I", changed, first + 2 + 12 * count, rng.choice((first, number)))
    return bytes(changed)


def _reheaded(rng: random.Random, content: bytes) -> bytes:
    """A BMP whose header has other offsets, sizes, depths, compressions or colours."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at, number = rng.choice((2, 10, 14, 18, 22, 34, 46)), rng.choice(NUMBERS) % (1 << 32)
        if rng.random() < 0.3:
            struct.pack_into("<H", changed, rng.choice((26, 28)), rng.choice((0, 1, 2, 4, 8, 16, 24, 32, 64, 65535)))
        elif rng.random() < 0.3:
            struct.pack_into("<I", changed, 30, rng.choice((0, 1, 2, 3, 4, 5, 6, 1 << 31)))
        else:
            struct.pack_into("<I", changed, at, number)
    return bytes(changed)


def _resegmented(rng: random.Random, content: bytes) -> bytes:
    """Segments of a JPEG changed, doubled or dropped, among them its size; a scan that stands there very often."""
    segments, at = [], 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        segments.append(content[at : at + 2 + length])
        at += 2 + length
    scan = content[at:]
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(segments))
        segment, step = segments[place], rng.random()
        if step < 0.4 and 0xC0 <= segment[1] <= 0xCF:
            size = struct.pack(">HH", *(rng.choice(NUMBERS) % 65536 for _ in range(2)))
            segments[place] = segment[:5] + size + segment[9:]
        elif step < 0.6:
            segments[place] = segment[:2] + damaged(rng, segment[2:])
        elif step < 0.7:
            segments.insert(place, segment)
        elif step < 0.8 and len(segments) > 1:
            del segments[place]
        elif step < 0.9:
            segments.insert(
                place,
                b"\xff" + bytes([rng.choice((0xE1, 0xE2, 0xEE, 0xDD, 0xC4))]) + struct.pack(">H", 40) + b"\0" * 38,
            )
        else:
            times = rng.choice((2, 500))
            scan = scan[:-2] * (times if len(scan) * times < LONGEST_SCAN else 2) + scan[-2:]
    return content[:2] + b"".join(segments) + scan


def _read(folder: Path, _out: Path) -> None:
    (path,) = folder.iterdir()
    make_squares(path.read_bytes())


KINDS = (Kind("pictures", _write, _read),)
