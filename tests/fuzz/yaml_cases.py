"""YAML: schedules with tags that would run code, aliases that unfold, keys that stand twice, values of other types."""

from __future__ import annotations

import random
from pathlib import Path

import yaml
from cases import Kind, LossError
from mutation import DEEP, changed, damaged

from mammogan.launch.schedule import entries

TEXT = (Path(__file__).resolve().parents[2] / "k8s/schedules.yaml").read_text()
LINES = (
    "!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system", "!!binary |\n   AAAA", "&a [*a]",
    "*a", "<<: *a", "{a: 1, a: 2}", "2026-01-01", "1_000", "0o17", ".nan", ".inf", "~", "!!set {a, b}", "!!omap [a: 1]",
    "\t- x",
    "? [a]\n: b", "? {a: 1}\n: b", "- - - -", "'", '"', "%YAML 9.9", "---", "...", "!!timestamp 2026-13-99", "!!int x",
    "!!float x", "=", "|", ">", "9" * 5000, "0x" + "f" * 5000, "-.inf", "12:30:45", "!<x> y", "!!merge x", "{<<: [1]}",
    "!!bool 3", "!!null 3",
)  # fmt: skip
KEYS = (
    "cron",
    "name",
    "settings",
    "pods",
    "store",
    "source",
    "labels",
    "enabled",
    "force",
    "experiment",
    "service_account",
)


def _write(rng: random.Random, folder: Path) -> None:
    step = rng.random()
    if step < 0.4:
        lines = TEXT.splitlines()
        for _ in range(rng.choice((1, 1, 2, 4))):
            at, spaces = rng.randrange(len(lines) + 1), " " * rng.choice((0, 2, 4, 6))
            key = f"{rng.choice(KEYS)}: " if rng.random() < 0.6 else ""
            lines.insert(at, f"{spaces}{key}{rng.choice(LINES)}")
        text = "\n".join(lines)
    elif step < 0.9:
        text = yaml.safe_dump(_yamlable(changed(rng, yaml.safe_load(TEXT))), allow_unicode=True)
    elif step < 0.95:
        text = "a: &a [x, x]\n" + "\n".join(
            f"b{n}: &b{n} [*{'a' if not n else f'b{n - 1}'}, *{'a' if not n else f'b{n - 1}'}]" for n in range(40)
        )
    else:
        text = rng.choice(("[", "{a: ", "- ", "? ")) * rng.choice((50, 1000, DEEP // 10))
    content = text.encode("utf-8", errors="replace")
    (folder / "schedules.yaml").write_bytes(damaged(rng, content) if rng.random() < 0.4 else content)


def _yamlable(tree: object) -> object:
    return "replaced" if isinstance(tree, bytes) else tree


def _read(folder: Path, _out: Path) -> None:
    file = entries.read(folder / "schedules.yaml")
    for schedule in file.schedules:
        if not schedule.arguments.parameters() or not schedule.name:
            raise LossError("a schedule without arguments")


KINDS = (Kind("yaml", _write, _read),)
