"""An error in one line, and with its whole traceback."""

import json
import pickle

import pytest
from mlflow.exceptions import MlflowException

from mammogan import errors, storage
from mammogan.data import cells


@pytest.mark.parametrize(
    ("error", "alone", "typed"),
    [
        (ValueError("size=3: use 28\nmore"), "size=3: use 28", "ValueError: size=3: use 28"),
        (KeyError("x"), "KeyError: 'x'", "KeyError: 'x'"),
        (RuntimeError(), "RuntimeError", "RuntimeError"),
        (OSError("https://a:b@c: away"), "https://***@c: away", "OSError: https://***@c: away"),
        (MlflowException("gone\nmore"), "MlflowException: gone", "MlflowException: gone"),
    ],
)
def test_reason_is_one_line_without_passwords(error, alone, typed):
    assert errors.reason(error) == alone
    assert errors.typed_reason(error) == typed


def raised(cause, effect):
    try:
        try:
            raise cause
        except type(cause) as error:
            raise effect from error
    except type(effect) as error:
        return error


def test_traceback_has_the_causes_and_no_passwords():
    text = errors.traceback_text(raised(OSError("s3://key:secret@bucket: away"), ValueError("caf\udce9")))
    assert "OSError: s3://***@bucket: away" in text
    assert text.rstrip().endswith("ValueError: caf?")
    assert "raise effect from error" in text
    assert "secret" not in text


def test_a_traceback_of_any_length_fits_into_mlflow():
    text = errors.traceback_text(raised(OSError("first"), ValueError("x" * 10**6 + "last")))
    assert len(text) < errors.MOST_CHARACTERS + 100
    assert "OSError: first" in text
    assert text.rstrip().endswith("last")


def caught(call):
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("it raises nothing")


OURS = "uri='s3://': write it as s3://bucket/key"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: storage.read_bytes("s3://"), OURS),
        (lambda: storage.read_bytes("/nowhere/anna"), "FileNotFoundError (No such file or directory): what"),
        (lambda: cells.one_line(b"anna"), "AttributeError: what"),
        (lambda: json.loads("anna"), "JSONDecodeError: what"),
        (lambda: exec("raise ValueError('anna')", {"__name__": "pandas.core"}), "ValueError: what"),
    ],
    ids=["ours", "the system's", "Python's in our line", "a library's", "a library's raise"],
)
def test_where_names_may_be_quoted_only_our_own_words_are_told(call, said):
    error = caught(call)
    assert errors.anonymous_reason(error).startswith(said)
    outer = raised(error, RuntimeError("the cause above"))
    text = errors.anonymous_traceback(outer)
    assert said in text
    assert "anna" not in text.replace('"anna"', "").replace("/nowhere/anna", "").replace("('anna')", "")
    assert "which led to" in text


def test_a_file_s_kind_stands_for_its_name_whatever_others_are_called(monkeypatch):
    monkeypatch.setattr(errors, "_files", set())
    for file in ("csv", "deep/ANNA.csv", "1.csv"):
        errors.keep_private(file)
    error = caught(lambda: storage.read_bytes("s3:///deep/ANNA.csv and ANNA.csv, a1.csv"))
    assert errors.anonymous_reason(error).startswith("uri='s3:///*.csv and *.csv, a1.csv'")


def test_what_another_process_raised_is_told_where_it_is_none_of_the_system():
    away = pickle.loads(pickle.dumps(storage.AwayError("s3://images: the store is away")))
    assert errors.anonymous_reason(away) == "s3://images: the store is away"
    assert "anna" not in errors.anonymous_reason(pickle.loads(pickle.dumps(ValueError("anna"))))
