"""An error in one line, and with its whole traceback."""

import pytest
from mlflow.exceptions import MlflowException

from mammogan import errors


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
