"""Looks for planted words in everything that a run leaves: plain, as URL, as base64, packed, and in pictures' texts."""

import base64
import contextlib
import gzip
import io
import json
import re
import sqlite3
import urllib.parse
import zipfile

from PIL import Image

BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
MOST_DEPTH = 3
LEAST_CODE = 8
"""Fewer characters of base64 are found in anything."""


def spellings(word):
    """Bytes by which a word may stand in a file."""
    plain = word.encode()
    variants = {plain, urllib.parse.quote(word, safe="").encode(), json.dumps(word)[1:-1].encode()}
    variants |= {plain.hex().encode(), word.encode("utf-16-le")}
    for shift in range(3):  # base64 of a text in which the word begins at any place; its ends depend on the neighbours
        code = base64.b64encode(bytes(shift) + plain)
        code = code[(0, 2, 3)[shift] : len(code) - (0 if (shift + len(plain)) % 3 == 0 else 4)]
        variants |= {code} if len(code) >= LEAST_CODE else set()
    return variants


def contents(data, depth=0):
    """The bytes, and those that are packed in them."""
    yield data
    if depth >= MOST_DEPTH:
        return
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from contents(archive.read(name), depth + 1)
    if data.startswith(b"\x1f\x8b"):
        yield from contents(gzip.decompress(data), depth + 1)
    if data.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        with Image.open(io.BytesIO(data)) as picture:
            yield repr(picture.info).encode()
        return
    for code in BASE64.findall(data):
        with contextlib.suppress(ValueError):
            yield from contents(base64.b64decode(code + b"=" * (-len(code) % 4)), depth + 1)


def texts_of(database):
    """All that a SQLite file says, however its pages cut it."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return "\n".join(connection.iterdump()).encode()


def occurrences(words, files, more=()):
    """The words that stand in a file, its path included, or in the texts ``more``: (word, where)."""
    wanted = [(word, spelling.lower()) for word in words for spelling in spellings(word)]
    hits = set()
    for path in files:
        data = path.read_bytes()
        packed = [*contents(data), str(path).encode()]
        if data.startswith(b"SQLite format 3"):
            packed.append(texts_of(path))
        hits |= {(word, str(path)) for text in packed for word, spelling in wanted if spelling in text.lower()}
    hits |= {(word, "text") for text in more for word, spelling in wanted if spelling in text.encode().lower()}
    return sorted(hits)
