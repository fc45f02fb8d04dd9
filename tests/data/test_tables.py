"""CSV dialects that programs write: read as what they mean, or refused with what was found."""

import codecs
import unicodedata

import pytest

from mammogan.data import tables
from mammogan.data.cells import shielded, unshielded

PLAIN = 'file,patient_id,pathology\na.png,"Doe, Jane",BENIGN\nb.png,Müller,MALIGNANT\n'
ROWS = [("a.png", "Doe, Jane", "BENIGN"), ("b.png", "Müller", "MALIGNANT")]


def with_separator(separator):
    return "\n".join(
        separator.join(f'"{cell}"' for cell in row) for row in [("file", "patient_id", "pathology"), *ROWS]
    )


DIALECTS = {
    "as Python writes it": PLAIN.encode(),
    "byte-order mark": codecs.BOM_UTF8 + PLAIN.encode(),
    "UTF-16 as Excel saves it": PLAIN.encode("utf-16"),
    "UTF-16, big end first": codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
    "UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "UTF-16, big end first, without a mark": PLAIN.encode("utf-16-be"),
    "UTF-32": PLAIN.encode("utf-32"),
    "semicolon": with_separator(";").encode(),
    "tab": with_separator("\t").encode(),
    "bar": with_separator("|").encode(),
    "sep=": b"sep=;\r\n" + with_separator(";").encode(),
    "sep= saved again": b"sep=;;;\r\n" + with_separator(";").encode(),
    "sep= with a mark": codecs.BOM_UTF8 + b'"sep=^"\n' + with_separator("^").encode(),
    "sep=tab": b"sep=\t\n" + with_separator("\t").encode(),
    "UTF-16 with tabs": with_separator("\t").encode("utf-16"),
    "CRLF": PLAIN.replace("\n", "\r\n").encode(),
    "CR": PLAIN.replace("\n", "\r").encode(),
    "empty lines": b"\n \n,,\n" + PLAIN.replace("\n", "\n\n").encode(),
    "filled up": PLAIN.replace("\n", ",,\n").encode(),
    "spaces": PLAIN.replace(",p", " , P").replace(',"', ', "').encode(),
    "decomposed": unicodedata.normalize("NFD", PLAIN).encode(),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_the_same_table(dialect):
    table = tables.parse("m.csv", DIALECTS[dialect])
    columns = ("file", "patient_id", "pathology")
    rows = table.checked_rows(columns, columns)
    assert [tuple(row[column] for column in columns) for row in rows] == ROWS
    for row in rows:
        row.check(columns, columns)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('file,view\na,CC\nb,"CC\nc,CC\nd,CC\n', 3),  # never closed
        ('file,view\na,CC\nb,"CC\nc,CC\nd,CC"\ne,CC\n', 3),  # closed by another stray one
        ('"file","view"\n"a","CC"\n"b","CC\n"c","CC"\n', 3),  # closed by the next field's own
        ('file,view\na,"CC"x\nb,CC\n', 2),
        ('file,view\na,CC\nb,"CC\r\nc,CC\r\n', 3),
        ('file,view\n\na,CC\nb,"' + "C" * 140_000 + "\nc,CC\n", 4),
        ('sep=,\nfile,view\na,CC\nb,"CC\nc,CC\n', 4),
        ('file,view,note\na,CC,"x\nb,CC\nc,CC"\n', 2),  # rows that leave the last column out
        ('file,view,note,x,y\na,CC,"\n",b,CC\n', 2),  # two stray quotes round the end of a row
        ('file,view,note,x,y\na,CC," \r\n ",b,CC\n', 2),
    ],
)
def test_a_quote_that_is_not_closed_is_refused_with_its_line(text, line):
    table = tables.parse("m.csv", text.encode())
    with pytest.raises(ValueError, match=rf"^m\.csv:{line}: a quote that opens here ") as caught:
        table.checked_rows(("file",), ("file",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header", ["file,view,note,x", "file,view,note,x,y,z"])
def test_a_row_over_several_lines_has_all_its_fields(header):
    """Two rows in one are five fields, whatever stands between the quotes."""
    table = tables.parse("m.csv", f'{header}\na,CC,"x\ny",b,CC\n'.encode())
    fields = header.count(",") + 1
    with pytest.raises(ValueError, match=rf"^m\.csv:2: a row to line 3 of 5 fields where the header has {fields}: "):
        table.checked_rows(("file",), ("file",))


def test_a_field_that_begins_with_a_line_break_may_hold_the_next_row():
    table = tables.parse("m.csv", b'file,view,note\na,CC,"\nb",MLO,\nc,CC,\n')
    with pytest.raises(ValueError, match=r"^m\.csv:2: a row to line 3 of "):
        table.checked_rows(("file",), ("file",))


@pytest.mark.parametrize(
    "text",
    [
        'file,view,note\na,CC,"two\nlines",\nb,CC,x,\n',  # as a spreadsheet with an empty column more
        'file,view,note,reader\na,CC,"two\nlines"\nb,CC,,me\n',  # and one that leaves empty ones out
        'file,view,note\na,CC,"\n"\nb,CC,"two\r\nlines"\n',
    ],
)
def test_notes_of_several_lines_are_read_as_spreadsheets_write_them(text):
    table = tables.parse("m.csv", text.encode())
    assert [row["file"] for row in table.checked_rows(("file",), ("file",))] == ["a", "b"]
    assert not any(row.fault for row in table.rows)


def test_line_breaks_at_the_ends_of_a_field_and_in_a_note_are_none_of_that():
    table = tables.parse("m.csv", b'file,note\n"a\n","two\nlines"\nb,\n')
    assert [row["file"] for row in table.checked_rows(("file",), ("file",))] == ["a", "b"]
    assert [row.line for row in table.rows] == [4, 5]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,P,BENIGN,x", "4 fields where the header has 3"),
        ("a,P", "pathology=''"),
        ("a,P\u200b1,BENIGN", "control character"),
        ("a,P\x071,BENIGN", "control character"),
        ('a,"P\n1",BENIGN', "line break"),
        (b"a,M\xfcller,BENIGN", "no utf-8"),
    ],
)
def test_a_row_that_cannot_be_used_says_why_and_leaves_the_others(row, reason):
    content = b"file,patient_id,pathology\n" + (row if isinstance(row, bytes) else row.encode()) + b"\nb,P,BENIGN\n"
    bad, good = tables.parse("m.csv", content).checked_rows((), ())
    with pytest.raises(ValueError, match=reason):
        bad.check(("file", "patient_id", "pathology"), ("file", "patient_id", "pathology"))
    good.check(("file", "patient_id", "pathology"), ("file", "patient_id", "pathology"))


def test_a_column_that_stands_there_twice_is_refused_where_it_is_used():
    table = tables.parse("m.csv", b"file,Patient ID,patient_id,note,note\na,1,2,x,y\n")
    with pytest.raises(ValueError, match=r"^m\.csv has the column patient_id twice"):
        table.checked_rows(("file",), ("file", "patient_id"))
    assert len(table.checked_rows(("file",), ("file",))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@x",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "'\uff20x",
        "\tx",
        "\r",
        "'=x",
        "''-x",
        "'",
        "'x",
        "",
        "P 1",
        "a=b",
    ],
)
def test_cells_are_safe_in_a_spreadsheet_and_come_back(text):
    assert not shielded(text).startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r"))
    assert unshielded(shielded(text)) == text
    assert shielded("P_00001") == "P_00001"


def rows_of(text):
    return tables.parse("m.csv", text.encode()).checked_rows(("a", "b"), ("a", "b"))


def test_a_nul_is_named():
    (row,) = rows_of("a,b\n1,x\0y\n")
    assert row.fault == "a NUL character stands in it: write the row again"


def test_a_very_long_field_is_read():
    (row, other) = rows_of(f"a,b\n1,{'x' * 140_000}\n2,y\n")
    assert (len(row["b"]), other["b"]) == (140_000, "y")


@pytest.mark.parametrize("line", ['1,"x"y"', '1,"x "y" z"', '1,"x'])
def test_a_stray_quote_in_a_quoted_field_is_named(line):
    with pytest.raises(ValueError, match=r"m\.csv:2: .* is not closed, or one in its field not doubled"):
        rows_of(f"a,b\n{line}\n2,y\n")


def test_a_stray_quote_in_a_plain_field_is_a_character():
    assert [row["b"] for row in rows_of('a,b\n1,x"y\n2,y"\n')] == ['x"y', 'y"']


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("title", ["My data of 2026", "My data,,", '"Mine, of 2026"', "one\ntwo"])
def test_a_title_above_the_header_is_named(title, separator):
    with pytest.raises(ValueError, match=rf"m\.csv: the header stands in line {2 + title.count(chr(10))}; delete"):
        rows_of(f"{title}\nA{separator} b{separator}c\n1{separator}2{separator}3\n")


@pytest.mark.parametrize(
    ("text", "number"), [("01", "1"), ("1", "1"), ("000", "0"), ("", ""), ("1a", "1a"), ("0a", "0a")]
)
def test_a_number_is_one_however_it_is_filled_up(text, number):
    assert tables.plain_number(text) == number
