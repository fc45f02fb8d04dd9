"""What a file says of itself stays within the one line of a reason."""

import csv
import io

import pytest

from mammogan.data.quarantine import BadImageError, RejectedImage, table

TEXTS = ["1.2.840\n.1.2.4.70", "a\r\nb", "a\x1b[2Jb", "a\x00b", "a\u2028b", "a\x85b", "a\tb"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_reason_that_quotes_a_file_is_one_line(text):
    error = BadImageError(f"transfer syntax {text} is not read", f"export {text}")
    row = RejectedImage("id", "file.dcm", f"transfer syntax {text} is not read", f"export {text}")
    for words in (str(error), error.reason, error.fix, row.reason, row.fix):
        assert words.isprintable()
        assert words.splitlines() == [words]
    (_, cells) = csv.reader(io.StringIO(table([row]).decode()))
    assert cells == ["id", "file.dcm", row.reason, row.fix]


def test_other_words_stay():
    assert (
        BadImageError("Größe 3\N{MULTIPLICATION SIGN}4 ist 'µ'", "fix").reason
        == "Größe 3\N{MULTIPLICATION SIGN}4 ist 'µ'"
    )
