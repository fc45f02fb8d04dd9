"""Every document that a step or an earlier run leaves behind, and settings; read as what it was, or refused."""

from __future__ import annotations

import dataclasses
import json
import random
import shlex
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

from cases import Kind, LossError
from mutation import DEEP, changed, damaged

from mammogan import codec, config, results
from mammogan.data import summary
from mammogan.data.cbis_ddsm import ImageSpec
from mammogan.data.finished import Finished
from mammogan.data.sources import Job
from mammogan.graph import Step
from mammogan.ledger import Entry, State, Task
from mammogan.reader_study import key as keys
from mammogan.reader_study import read_answers
from mammogan.reader_study.key import Case, Key
from mammogan.reader_study.kind import Kind as ImageKind
from mammogan.training import checkpoint, trial_folder


def sample(kind: object) -> object:
    """JSON of a value of a type: every field is there, each list has two elements."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {field.name.removesuffix("_"): sample(hints[field.name]) for field in dataclasses.fields(kind)}
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return sample(next(part for part in parts if part is not type(None)))
    if origin is typing.Literal:
        return parts[0]
    if origin is tuple:
        return [sample(parts[0])] * 2 if parts[-1] is Ellipsis else [sample(part) for part in parts]
    if origin is not None and issubclass(origin, Mapping):
        return {"one": sample(parts[1]), "two": sample(parts[1])}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind)).value
    return {str: "text", int: 3, float: 0.25, bool: True}[kind]


def _twice(kind: type, document: bytes, version: int) -> None:
    """Read it; what was read is written and read again as the same."""
    value = codec.loads(kind, document, version, "document")
    if codec.loads(kind, codec.dumps(value, version), version, "document") != value:
        raise LossError(f"{kind.__name__} is another when it is written and read again")


def _result(kind: type) -> tuple[object, int, Callable[[Path], None]]:
    version = results._FORMATS[kind]
    return sample(kind), version, lambda path: _twice(kind, path.read_bytes(), version)


def _summary(kind: type) -> tuple[object, int, Callable[[Path], None]]:
    tree = sample(kind)
    assert isinstance(tree, dict)
    for whole in (tree, tree.get("whole", {})):
        whole.pop("settings", None)

    def read(path: Path) -> None:
        summary.read(path.parent)

    return tree, summary.FORMAT, read


def _read_entry(path: Path) -> None:
    entry = Entry.from_json(path.read_text(errors="surrogateescape"))
    str(entry.task)
    kept = entry.reason[:1000].encode(errors="replace").decode()  # a tag holds UTF-8
    if Entry.from_json(entry.to_json()) != dataclasses.replace(entry, reason=kept):
        raise LossError("an entry is another when it is written and read again")


def _read_history(path: Path) -> None:
    trial_folder.TrialFolder(path.parent, "").read_history()


def _read_settings(path: Path) -> None:
    settings = config.resolve("demo", path.read_text(errors="surrogateescape"))
    flat = {key: value for key, value in settings.flat().items() if key != "preset"}
    again = config.resolve("demo", config.overrides_text(flat))
    if again != settings:
        raise LossError("settings are others when they are written and read again")


def _read_record(path: Path) -> None:
    """A record of a finished image: another's is no record, never an error."""
    job = Job(ImageSpec("a", 0, "BENIGN", "P", "", "", "", "", (), "full"), "root", ("a.png",), "1")
    (path.parent / "a.png").write_bytes(b"")
    (path.parent / "a.json").write_bytes(path.read_bytes())
    if Finished(path.parent).image(job) is not None:
        raise LossError("a record of another image was taken")


def _read_answers(path: Path) -> None:
    """Whatever is taken is an answer to a case of the key, each once."""
    (sheet,) = read_answers([path], KEY)
    if len({item.case for item in sheet.answers} & {item.case for item in KEY.cases}) != len(sheet.answers):
        raise LossError("an answer to no case, or two to one, was taken")


KEY = Key(
    "study", "00", "malignant", 0, "", "0.1.0",
    (Case("a", ImageKind.REAL, "x"), Case("b", ImageKind.SYNTHETIC, "y"), Case("c", ImageKind.REAL, "x", "a")),
)  # fmt: skip
ANSWERS = {
    "study": "study", "reader": "Ada", "experience": "", "started": "", "saved": "",
    "answers": [{"case": name, "answer": "real", "confidence": 3, "seconds": 1.5} for name in "abc"],
}  # fmt: skip
ENTRY = json.loads(Entry(Task(Step.TRAIN, "lambda=3,seed=0"), State.RUNNING, 1).to_json())
SETTINGS = {key: value for key, value in config.PRESETS["demo"].flat().items() if key != "preset"}
DOCUMENTS: dict[str, tuple[object, int | None, Callable[[Path], None]]] = {
    **{f"{kind.__name__}.json": _result(kind) for kind in results._FORMATS},
    "summary.json": _summary(summary.Summary),
    "minority/summary.json": _summary(summary.MinoritySummary),
    "progress.json": (sample(checkpoint.Progress), checkpoint.FORMAT,
                      lambda path: _twice(checkpoint.Progress, path.read_bytes(), checkpoint.FORMAT)),
    "entry.json": (ENTRY, None, _read_entry),
    "history.jsonl": (sample(trial_folder.EpochMetrics), None, _read_history),
    "settings.txt": (SETTINGS, None, _read_settings),
    "key.json": (codec.encode(KEY), keys.FORMAT, lambda path: _twice(Key, path.read_bytes(), keys.FORMAT)),
    "answers.json": (ANSWERS, 1, _read_answers),
    "record.json": ({"address": "x", "stamp": "1", "row": {}}, None, _read_record),
}  # fmt: skip


def _write(rng: random.Random, folder: Path) -> None:
    name = rng.choice(sorted(DOCUMENTS))
    tree, version, _ = DOCUMENTS[name]
    assert isinstance(tree, dict)
    tree = tree if version is None else {"format": version, **tree}
    if name == "settings.txt":
        tree = {key: tree[key] for key in rng.sample(sorted(tree), 4)}
    if rng.random() < 0.8:
        tree = changed(rng, tree)
    text = json.dumps(tree)
    if name == "settings.txt":
        text = shlex.join(f"{key}={value}" for key, value in tree.items()) if isinstance(tree, dict) else str(tree)
    content = text.encode("utf-8", errors="surrogatepass")
    if rng.random() < 0.4:
        content = damaged(rng, content)
    if rng.random() < 0.02:
        content = rng.choice((b"[", b'{"a":')) * DEEP
    if rng.random() < 0.02:
        content = b'{"format": ' + b"9" * 5000 + b"}"
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def _read(folder: Path, _out: Path) -> None:
    (path,) = (file for file in folder.rglob("*") if file.is_file())
    DOCUMENTS[path.relative_to(folder).as_posix()][2](path)


KINDS = (Kind("documents", _write, _read),)
