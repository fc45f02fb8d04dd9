"""CSVs: manifests and case descriptions in broken dialects; a row is an image, or quarantined, or all is refused."""

from __future__ import annotations

import csv
import io
import random
import re
from pathlib import Path

from cases import Kind, LossError
from mutation import damaged

from mammogan.config import SUBSETS
from mammogan.data import cbis_ddsm, idc, manifest, picture_list, tables
from mammogan.data.listing import Listing

FILES = ("a.png", "a.bmp", "sub/b.png", "sub__b.png", "ä.png", "D.png", "d.png", "IM0001")
WORDS = (
    "", "=1+1", "'=1", '"', '""', "a,b", "a;b", "\r", "\n", "a\nb", "\0", "\t", "\N{NO-BREAK SPACE}",
    "\N{ZERO WIDTH SPACE}", "../../x", "x" * 3000, "\ufeff", "NFD: a\u0308", "1e5", "sep=;", "nan",
)  # fmt: skip
COLUMNS = ("file", "patient_id", "pathology", "laterality", "view", "subset", "abnormality", "split", "notes")
ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252")


def _written(rng: random.Random, rows: list[list[str]]) -> bytes:
    separator, end = rng.choice(",,,;\t|"), rng.choice(("\n", "\n", "\r\n", "\r", "\n\n"))
    text = io.StringIO()
    csv.writer(
        text, delimiter=separator, lineterminator=end, quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    ).writerows(rows)
    lines = text.getvalue()
    if rng.random() < 0.5:
        lines = _respelled(rng, lines)
    content = lines.encode(rng.choice(ENCODINGS), errors="replace")
    return damaged(rng, content) if rng.random() < 0.5 else content


def _respelled(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(WORDS) + text[at + rng.choice((0, 0, 1, 20)) :]
    return text


def _write_manifest(rng: random.Random, folder: Path) -> None:
    columns = [column for column in COLUMNS if column in COLUMNS[:3] or rng.random() < 0.5]
    rng.shuffle(columns)
    values = {
        "file": (*FILES, "gone.png", "./a.png", "sub\\b.png"), "patient_id": ("P1", "P2", "Müller"),
        "pathology": ("MALIGNANT", "BENIGN", "benign without callback", "UNSURE"), "laterality": ("LEFT", "RIGHT", ""),
        "view": ("CC", "MLO", ""), "subset": ("mass", "", "Mass-Test"), "abnormality": ("1", "2", ""),
        "split": ("train", "test", "val", ""), "notes": ("", "a note"),
    }  # fmt: skip
    rows = [[rng.choice(WORDS) if rng.random() < 0.03 else rng.choice(values[name]) for name in columns]
            for _ in range(rng.randint(1, 12))]  # fmt: skip
    (folder / "manifest.csv").write_bytes(_written(rng, [columns, *rows]))


def _read_manifest(folder: Path, _out: Path) -> None:
    content = (folder / "manifest.csv").read_bytes()
    table = tables.read(str(folder), "manifest.csv")
    files = Listing("", dict.fromkeys(FILES, "1-1"), ())
    listing = picture_list.read(table, files, by_patient=len(content) % 2 == 0)
    count = len(listing.images) + len(listing.bad)
    if len({row.source for row in listing.bad}) != len(listing.bad):
        raise LossError("two rows of quarantine are of one line")
    expected = _plain_rows(content)
    if expected is not None and count != expected:
        raise LossError(
            f"{expected} rows in, {len(listing.images)} images and {len(listing.bad)} rows of quarantine out"
        )


def _plain_rows(content: bytes) -> int | None:
    """Rows below the header, counted as lines; None where a quote may span them, or for text of another encoding."""
    if b'"' in content or b"\0" in content or content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return None
    text = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    blank = "\N{NO-BREAK SPACE} \t\v\f\x1c\x1d\x1e\x85\u2028\u2029"
    header = next((line for line in text.split("\n") if line.strip(blank)), "")
    blank += "".join(separator for separator in ",;|\t" if separator in header)  # another one is a cell's text
    lines = [line for line in text.split("\n") if line.strip(blank)]
    return len(lines) - 1 - bool(re.fullmatch(r"sep=\W[,;|\t\s]*", lines[0], re.IGNORECASE)) if lines else None


def _write_cases(rng: random.Random, folder: Path) -> None:
    rows = [[*cbis_ddsm.REQUIRED, "abnormality type"]]
    for number in range(rng.randint(4, 14)):
        kind = ("Calc-Training", "Mass-Training", "Calc-Test", "Mass-Test")[number % 4]
        name = f"{kind}_P_{rng.randrange(6):05d}_LEFT_CC"
        uid, part = f"1.{number}", rng.choice("12")
        patient = "P_00001" if rng.random() < 0.05 else name.split("_LEFT")[0].partition("_")[2]
        rows.append([patient, "LEFT", "CC", part,
                     rng.choice((*cbis_ddsm.PATHOLOGIES, "")), f"{name}/4.{uid}/5.{uid}/0.dcm",
                     f"{name}_{part}/2.{uid}/3.{uid}/1.dcm", f"{name}_{part}/2.{uid}/3.{uid}/0.dcm",
                     "mass"])  # fmt: skip
    (folder / "cases.csv").write_bytes(_written(rng, rows))
    index = [[*idc.COLUMNS], *([f"5.1.{number}", f"s3://b/{number}/*", "1.5"] for number in range(5))]
    (folder / "index.csv").write_bytes(_written(rng, index))


def _read_cases(folder: Path, _out: Path) -> None:
    try:
        idc.read_index(str(folder))
    except ValueError as error:
        if len(str(error).splitlines()) != 1:
            raise
    cases = cbis_ddsm.read_cases(str(folder), "+".join(SUBSETS))
    for images in ("full", "crop"):
        wanted, bad = cbis_ddsm.wanted_images(cases, images)
        for image in wanted:
            if Path(image.image_id).name != image.image_id or len(image.image_id) > 200:
                raise LossError(f"the image is called {image.image_id!r}")
        known = {image.patient_id for image in wanted} | {row.image_id.partition("_")[2][:7] for row in bad}
        if not cases.bad and not {case.patient_id for case in cases.cases} <= known:
            raise LossError("a patient went missing")


def _write_data_set(rng: random.Random, folder: Path) -> None:
    rows = [list(manifest.COLUMNS)]
    for number in range(rng.randint(1, 5)):
        (folder / "images").mkdir(exist_ok=True)
        (folder / f"images/{number}.png").write_bytes(b"")
        cells = dict.fromkeys(manifest.COLUMNS, "") | {
            "image_id": str(number), "file": f"images/{number}.png", "label": str(number % 2), "split": "train",
            "pathology": "BENIGN", "patient_id": f"P{number}", "original_rows": "3", "original_cols": "4",
        }  # fmt: skip
        rows.append([rng.choice(WORDS) if rng.random() < 0.02 else cell for cell in cells.values()])
    (folder / "manifest.csv").write_bytes(_written(rng, rows))


def _read_data_set(folder: Path, _out: Path) -> None:
    frame = manifest.read(folder)
    expected = _plain_rows((folder / "manifest.csv").read_bytes())
    if expected is not None and len(frame) != expected:
        raise LossError(f"{expected} rows in the manifest, {len(frame)} images in the data set")


KINDS = (
    Kind("manifests", _write_manifest, _read_manifest),
    Kind("cases", _write_cases, _read_cases),
    Kind("data-sets", _write_data_set, _read_data_set),
)
