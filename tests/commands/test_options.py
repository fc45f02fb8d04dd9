"""Options are spelled once: no declaration is repeated, and a name has one meaning unless it is listed here."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from mammogan.command_line import app

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*(ROOT / "mammogan").rglob("*.py"), *(ROOT / "components").rglob("*.py"), ROOT / "pipeline.py"]
SEVERAL_MEANINGS = {
    "--out": "what each command writes",
    "--count": "images to draw for the metrics, to write, or to fill a data set up with",
    "--seed": "of a training or of latents",
    "--dataset": "one to fill up, or one to judge",
    "--fake": "evaluate draws from models too",
    "--model": "a registered name, an address, or an address or a file",
    "--store": "a cluster's is a bucket; train's may be a folder",
    "--tracking-uri": "MLflow to log to, or the store that is found by itself",
    "--experiment": "the one to log to, or the one to look through",
    "--force": "train unconditionally, or promote against the gate",
}


def declarations():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.Option", "typer.Argument"):
                yield path, node


def commands_with(option, group=None, path=()):
    for name, command in (group or get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands_with(option, command, (*path, name))
        elif any(option in parameter.opts for parameter in command.params):
            yield (*path, name)


def test_the_commands_with_a_seed_are_found():
    assert {" ".join(path) for path in commands_with("--seed")} == {
        *("train", "synthesise", "generate", "reader-study make")
    }


@pytest.mark.parametrize("value", ["-1", "4294967296", "99999999999999999999999"])
@pytest.mark.parametrize("path", list(commands_with("--seed")), ids=" ".join)
def test_every_option_that_is_a_seed_has_one_range(path, value):
    result = CliRunner().invoke(app, [*path, f"--seed={value}"])
    assert result.exit_code == 2
    assert f"error: --seed={value}: give a whole number from 0 to 4294967295" in result.stderr


def test_options_are_declared_by_commands_alone():
    assert {path.parent for path, _ in declarations()} == {ROOT / "mammogan" / "commands"}


def test_no_declaration_is_spelled_twice():
    texts = Counter(
        ast.unparse(word.value) for _, call in declarations() for word in call.keywords if word.arg == "help"
    )
    assert len(texts) > 60
    assert [text for text, times in texts.items() if times > 1] == []


def test_a_name_has_one_meaning_but_for_those_that_are_listed():
    meanings = defaultdict(set)
    for command in get_command(app).commands.values():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                meanings[parameter.opts[0]].add(parameter.help)
    assert {name for name, helps in meanings.items() if len(helps) > 1} == set(SEVERAL_MEANINGS)


def test_every_option_and_argument_has_a_sentence():
    lacking = [
        (name, parameter.name)
        for name, command in get_command(app).commands.items()
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert lacking == []
