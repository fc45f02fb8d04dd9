"""Answers are held against the key: what is another study's, double or damaged is refused by name."""

import json
import re

import pytest
from typer.testing import CliRunner

from mammogan.command_line import app
from mammogan.reader_study import read_answers, read_key, score, table
from mammogan.reader_study.key import Case, Key
from mammogan.reader_study.kind import Kind


def refused(key, *paths):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read_answers(paths, key)
    assert caught.value.__cause__ is not caught.value  # whoever follows the causes would never end
    (line,) = str(caught.value).splitlines()
    return line


def test_answers_to_another_study_are_refused_by_name(key, sheet):
    path = sheet("Ada", change=lambda content: content.update(study="0123456789abcdef"))
    assert refused(key, path) == (
        f"{path}: answers to study '0123456789abcdef', the key is that of {key.study}; give one study's"
    )


def change_answer(**fields):
    return lambda content: content["answers"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_answer(case="f" * 16), "case 'ffffffffffffffff' is none of study"),
        (change_answer(answer="maybe"), "answer='maybe': give one of real, synthetic"),
        (change_answer(confidence=6), "confidence=6: give a number from 1 to 5"),
        (change_answer(confidence=True), "confidence=True: give a int"),
        (change_answer(seconds=-1), "seconds=-1.0: give a number from 0"),
        (change_answer(note="x"), "unknown field 'note'"),
        (lambda content: content["answers"].append(content["answers"][0]), "is answered twice"),
        (lambda content: content.update(answers=[]), "'Ada' has answered nothing; leave the file out"),
        (lambda content: content.update(reader=" "), "reader=' ': give a name of printable letters"),
        (lambda content: content.update(reader="A\x1b[2Jda"), "give a name of printable letters"),
        (lambda content: content.update(format=2), "it has format 2 of another version"),
        (lambda content: content.pop("answers"), "the field 'answers' is missing"),
    ],
)
def test_what_is_damaged_is_refused_with_its_file(key, sheet, change, reason):
    path = sheet("Ada", change=change)
    line = refused(key, path)
    assert line.startswith(f"{path}")
    assert reason in line


def test_the_key_is_no_answer_and_an_answer_no_key(key, study, sheet):
    assert "missing" in refused(key, study.key) or "unknown field" in refused(key, study.key)
    with pytest.raises(ValueError, match="unknown field"):
        read_key(sheet("Ada"))


@pytest.mark.parametrize("again", ["Ada", "ada ", "ADA"])
def test_a_reader_counts_once(key, sheet, tmp_path, again):
    first, second = sheet("Ada"), sheet("Bea", seed=1, change=lambda content: content.update(reader=again))
    assert refused(key, first, second) == f"{second}: {again!r} is the reader of {first} too; give one file a reader"


def test_the_same_answers_under_two_names_count_once(key, sheet):
    first, second = sheet("Ada", seed=1), sheet("Bea", seed=1)
    assert refused(key, first, second) == f"{second}: the answers of 'Bea' are those of 'Ada' in {first}; leave one out"


def test_missing_answers_are_counted(key, sheet):
    gone = {key.first[0].case, key.first[1].case, key.repeated[0].case}

    def drop(content):
        content["answers"] = [item for item in content["answers"] if item["case"] not in gone]

    (reader,) = score(key, read_answers([sheet("Ada", change=drop)], key)).readers
    assert (reader.answered, reader.missing, reader.missing_repeats) == (14, 2, 1)


def test_a_key_that_contradicts_itself_is_refused():
    case = Case("a", Kind.REAL, "x")
    for wrong in (Case("a", Kind.REAL, "y"), Case("b", Kind.SYNTHETIC, "x", "a"), Case("b", Kind.REAL, "x", "c")):
        with pytest.raises(ValueError, match="take the"):
            Key("s", "00", "malignant", 0, "", "", (case, wrong))


def test_the_secret_is_in_no_representation(key):
    assert key.secret not in repr(key)


def test_the_commands(reals, fakes, tmp_path):
    out = tmp_path / "study"
    arguments = ["--real", str(reals), "--synthetic", str(fakes), "--out", str(out)]
    made = CliRunner().invoke(
        app, ["reader-study", "make", *arguments, "--images", "8", "--repeats", "3", "--seed", "0"]
    )
    assert made.exit_code == 0
    assert f"{out}/reader_study.html: 16 images in 22 showings" in made.stdout
    assert "this page holds images of real patients" in made.stdout
    key = read_key(out / "key.json")
    paths = []
    for number, reader in enumerate(("Ada [bold]", "Überlang " * 8)):
        answers = [
            {"case": item.case, "answer": ("real", "synthetic")[(place + number) % 2], "confidence": 3, "seconds": 1.5}
            for place, item in enumerate(key.cases)
        ]
        content = {"format": 1, "study": key.study, "reader": reader, "experience": "", "started": "", "saved": ""}
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps({**content, "answers": answers}))
    done = CliRunner().invoke(app, ["reader-study", "score", str(out / "key.json"), *map(str, paths)])
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "Ada [bold]" in done.stdout
    assert "the same answer to 0% of 16" in re.sub(r"\s+", " ", done.stdout)
    done = CliRunner().invoke(app, ["reader-study", "score", str(out / "key.json"), *map(str, paths), "--json"])
    assert json.loads(done.stdout)["pooled"]["agreement"]["observed"] == 0
    wrong = CliRunner().invoke(app, ["reader-study", "score", str(out / "key.json"), str(tmp_path / "none.json")])
    assert wrong.exit_code == 1
    assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("rights", "sentence"),
    [((1.0, 1.0), "The mean is better than guessing."), ((0.0, 0.0), "The mean is worse than guessing."),
     ((0.5, 0.5), "The mean does not differ significantly from guessing, which does not show that it is guessing.")],
)  # fmt: skip
def test_what_the_mean_shows_is_in_words(key, sheet, rights, sentence):
    sheets = [sheet(name, right, seed) for seed, (name, right) in enumerate(zip(("Ada", "Bea"), rights, strict=True))]
    *_, note = table.notes(score(key, read_answers(sheets, key)))
    assert sentence in note


def test_one_reader_has_no_mean(key, sheet):
    result = score(key, read_answers([sheet("Ada")], key))
    assert result.pooled is None
    assert [item.key for item in result.omitted] == ["pooled"]
    *_, note = table.notes(result)
    assert note.startswith("Not done: pooled: one reader")
