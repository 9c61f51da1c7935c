"""Reads text files whose delimiter has several characters or is blanks, and whose lines end in carriage returns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from components.ingestion.formats.lines import LineTally
from components.ingestion.formats.readers import read_blocks, read_contents
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText


@pytest.mark.parametrize(
    ("content", "text", "expected"),
    [
        (b"1::Heat (1995)::A|B\n::c:::\n", DelimitedText("::"), [("1", "Heat (1995)", "A|B"), ("", "c", ":")]),
        (b'1::"a::b"::\n"x"::":::"::z\n', DelimitedText("::"), [("1", "a::b", ""), ("x", ":::", "z")]),
        (b'1::"a::\n', DelimitedText("::", quoting=False), [("1", '"a', "")]),
        (
            b' 18.0   8\t"a  car" \n  9   10  "x"\r\n \n',
            DelimitedText(r"\s+"),
            [("18.0", "8", "a  car"), ("9", "10", "x")],
        ),
        (b"1,2,3\r4,5,6\r", DelimitedText(line_end="cr"), [("1", "2", "3"), ("4", "5", "6")]),
    ],
    ids=["colons", "quoted colons", "colons and quotes", "blanks", "carriage returns"],
)
def test_delimiters_of_several_characters_and_other_line_ends(
    tmp_path: Path, content: bytes, text: DelimitedText, expected: list[tuple[str, ...]]
) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(content)
    columns = ["a", "b", "c"]
    found: list[tuple[str, ...]] = []
    tally = LineTally()
    form = dataclasses.replace(text, columns=tuple(columns))
    for block in read_blocks(str(path), "csv", columns, Ingestion(), tally, form):
        assert [row.detail for row in block.all_rows() if row.values is None] == []
        found += [tuple((row.values or {})[name] for name in columns) for row in block.all_rows()]
    assert found == expected
    contents = read_contents(str(path), "csv", form)
    assert contents.num_lines == len(expected) + tally.blank


@pytest.mark.parametrize(
    ("content", "text", "detail"),
    [
        (
            b"1::2::3\n",
            DelimitedText("::", quoting=False),
            "a row must have 2 fields. Received: 3; a field with '::' in it must stand in double quotes, with "
            "`text.quoting: true`; if all rows have 3, name the columns in `text.columns`",
        ),
        (b'1::"2"3\n', DelimitedText("::"), "'::' expected after '\"'"),
        (
            b'1 "2\n3"\n',
            DelimitedText(r"\s+"),
            "a quoted field must be closed on its line where blanks part the fields",
        ),
        (
            b"1,2\r3,4\r",
            DelimitedText(),
            "a line must end in \\n or \\r\\n, and a \\r within a field must stand in quotes; `text.line_end: cr` "
            "reads files whose lines end in \\r alone",
        ),
    ],
)
def test_the_rule_that_a_line_of_such_a_form_breaks(
    tmp_path: Path, content: bytes, text: DelimitedText, detail: str
) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(content)
    form = dataclasses.replace(text, columns=("a", "b"))
    (row,) = next(iter(read_blocks(str(path), "csv", ["a"], Ingestion(), text=form))).first(1).all_rows()
    assert (row.detail, row.text.rstrip("\n")) == (detail, content.decode().split("\n")[0])
