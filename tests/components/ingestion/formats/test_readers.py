"""Reads real text files, intact and damaged, and reports files of any format that cannot be used."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from components.ingestion.formats import files
from components.ingestion.formats.lines import LineTally
from components.ingestion.formats.raw_rows import MAX_KEPT_CHARACTERS, RawRow
from components.ingestion.formats.readers import read_header
from tests.components.ingestion.raw_rows import read_rows
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText
from transform.errors import InputError, UnreadableError
from transform.files.gzip_files import GZIP_ERRORS

LIMIT = 1_000_000


def read(path: Path, file_format: str, columns: list[str], limit: int = LIMIT) -> list[RawRow]:
    return list(read_rows(str(path), file_format, columns, Ingestion(max_row_bytes=limit)))


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read_csv(tmp_path: Path, content: bytes, columns: str = "ab", limit: int = LIMIT) -> list[RawRow]:
    return read(write(tmp_path / "a.csv", content), "csv", list(columns), limit)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("file_format", "content"),
    [
        ("csv", b'b,c,a\n2,x,1\n"4, ""four""",x,"3\nthree"\n'),
        ("csv", b'b,c,a\r\n2,x,1\r\n"4, ""four""",x,"3\nthree"\r\n'),
        ("jsonl", b'{"a": "1", "b": "2"}\n{"b": "4, \\"four\\"", "a": "3\\nthree", "z": 0}\n'),
    ],
    ids=["csv", "csv of Windows", "jsonl"],
)
def test_text_rows(tmp_path: Path, file_format: str, content: bytes, suffix: str) -> None:
    path = write(tmp_path / f"a.{file_format}{suffix}", content)
    first, num_lines = {"csv": (2, 2), "jsonl": (1, 1)}[file_format]
    assert read(path, file_format, ["a", "b"]) == [
        RawRow(first, {"a": "1", "b": "2"}),
        RawRow(first + 1, {"a": "3\nthree", "b": '4, "four"'}, num_lines=num_lines),
    ]


@pytest.mark.parametrize("limit", [100, 200_000])
def test_a_field_over_several_lines_is_no_longer_than_a_row_may_be(tmp_path: Path, limit: int) -> None:
    line = b"x" * (limit - 10)
    whole, rest = read_csv(tmp_path, b'a,b\n"%s\n%s",1\n2,3\n' % (line, line), limit=limit)[::2]
    rule = "a field must have at most as many characters as a row may have bytes (ingestion.max_row_bytes)"
    assert (whole.number, whole.reason, whole.detail) == (2, "malformed", rule)
    assert rest == RawRow(4, {"a": "2", "b": "3"})  # the line between them is read as a row of its own


def test_a_small_limit_of_rows_is_no_limit_of_other_readers_in_the_process(tmp_path: Path) -> None:
    read_csv(tmp_path, b"a,b\n1,2\n", limit=100)
    assert list(csv.reader(["x" * 1000])) == [["x" * 1000]]


def test_in_a_tsv_a_quote_is_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", b'a\tb\n1"\t"2\n\t\n')
    assert read(path, "tsv", ["a", "b"]) == [RawRow(2, {"a": '1"', "b": '"2'}), RawRow(3, {"a": "", "b": ""})]


def rows_of(path: Path, file_format: str, columns: list[str], text: DelimitedText) -> tuple[list[RawRow], LineTally]:
    tally = LineTally()
    rows = list(read_rows(str(path), file_format, columns, Ingestion(), tally, text))
    return rows, tally


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_without_a_header_with_a_line_to_skip(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.csv{suffix}", b"|1x3 Cross validator\n39, Private, <=50K.\n\n50, ?, >50K.\n")
    text = DelimitedText(columns=("age", "work", "income"), skip_lines=1)
    assert rows_of(path, "csv", ["age", "income"], text) == (
        [RawRow(2, {"age": "39", "income": " <=50K."}), RawRow(4, {"age": "50", "income": " >50K."})],
        LineTally(header=1, blank=1),
    )


def test_a_byte_order_mark_is_not_part_of_the_first_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"\xef\xbb\xbf1,2\n3,4\n")
    assert rows_of(path, "csv", ["a"], DelimitedText(columns=("a", "b"))) == (
        [RawRow(1, {"a": "1"}), RawRow(2, {"a": "3"})],
        LineTally(header=0, blank=0),
    )


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_latin_1_between_bars_without_quoting(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"u.item{suffix}", b'1|Toy "Story"|Les Mis\xe9rables\x80|\n')
    text = DelimitedText("|", quoting=False, columns=("id", "a", "b", "c"), encoding="latin-1")
    rows, _ = rows_of(path, "csv", ["id", "a", "b", "c"], text)
    assert rows == [RawRow(1, {"id": "1", "a": 'Toy "Story"', "b": "Les Mis\xe9rables\x80", "c": ""})]


def test_windows_1252_has_bytes_that_are_no_character(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"a;b\n\x80;\x81\n")
    rows, _ = rows_of(path, "csv", ["a", "b"], DelimitedText(";", encoding="windows-1252"))
    assert rows == [RawRow(2, {"a": "\u20ac", "b": "\udc81"})]


def test_more_lines_to_skip_than_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"a\nb")
    text = DelimitedText(columns=("a",), skip_lines=5)
    assert rows_of(path, "csv", ["a"], text) == ([], LineTally(header=2, blank=0))


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    assert read_csv(tmp_path, b"a,b\n\n1,2\n\r\n\n3,4") == [
        RawRow(3, {"a": "1", "b": "2"}),
        RawRow(6, {"a": "3", "b": "4"}),
    ]
    path = write(tmp_path / "a.jsonl", b'\n{"a": 1}\n  \n{"a": 2}')
    assert read(path, "jsonl", ["a"]) == [RawRow(2, {"a": 1}), RawRow(4, {"a": 2})]


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa,b\n1,2\n", b'\xef\xbb\xbf"a","b"\n"1","2"\n'])
def test_a_byte_order_mark_is_not_part_of_the_first_name(tmp_path: Path, content: bytes) -> None:
    assert read_csv(tmp_path, content) == [RawRow(2, {"a": "1", "b": "2"})]
    assert read_header(str(tmp_path / "a.csv"), "csv") == ["a", "b"]


def test_a_byte_order_mark_is_not_part_of_the_first_json_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a": 1}\n')
    assert read(path, "jsonl", ["a"]) == [RawRow(1, {"a": 1})]


def test_bytes_that_are_not_utf_8_stay_in_their_column(tmp_path: Path) -> None:
    assert read_csv(tmp_path, b"a,b,c\n1,caf\xe9,\xff\n") == [RawRow(2, {"a": "1", "b": "caf\udce9"})]


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (b"1", "a row must have 2 fields. Received: 1"),
        (
            b"1,2,3",
            "a row must have 2 fields. Received: 3; a field with ',' in it must stand in double quotes; if all rows "
            "have 3, name the columns in `text.columns`",
        ),
        (b'"1"x,2', "',' expected after '\"'"),
        (b"1,2\r3,4", "a line must end in \\n or \\r\\n, and a \\r within a field must stand in quotes"),
    ],
)
def test_a_malformed_row_is_one_row(tmp_path: Path, row: bytes, detail: str) -> None:
    first, second = read_csv(tmp_path, b"a,b\n" + row + b"\n5,6\n")
    assert first == RawRow(2, None, "malformed", first.detail, (row + b"\n").decode())
    assert first.detail.startswith(detail)
    assert second == RawRow(3, {"a": "5", "b": "6"})


def test_a_stray_quote_swallows_its_own_line_only(tmp_path: Path) -> None:
    rows = read_csv(tmp_path, b'a,b\n1,"x\n2,y\n3,z\n')
    assert [(r.number, r.reason) for r in rows] == [(2, "malformed"), (3, ""), (4, "")]
    assert rows[0].text == '1,"x\n'
    assert [r.values for r in rows[1:]] == [{"a": "2", "b": "y"}, {"a": "3", "b": "z"}]


def test_a_stray_quote_far_from_the_end_swallows_its_own_line_only(tmp_path: Path) -> None:
    good = b"".join(b"%d,%d\n" % (i, i) for i in range(5000))
    rows = read_csv(tmp_path, b'a,b\n0,"x\n' + good, limit=1000)
    assert [r.reason for r in rows] == ["malformed"] + [""] * 5000
    assert [r.number for r in rows] == list(range(2, 5003))
    assert rows[-1].values == {"a": "4999", "b": "4999"}


def test_several_stray_quotes_swallow_their_own_lines_only(tmp_path: Path) -> None:
    rows = read_csv(tmp_path, b'a,b\n1,"x\n2,y\n3,"w\n4,z\n5,v\n')
    # The second quote closes the first one's field and is followed by text: both lines are malformed.
    assert [(r.number, r.reason, r.values) for r in rows] == [
        (2, "malformed", None),
        (3, "", {"a": "2", "b": "y"}),
        (4, "malformed", None),
        (5, "", {"a": "4", "b": "z"}),
        (6, "", {"a": "5", "b": "v"}),
    ]


def test_a_stray_quote_before_a_line_that_is_too_long(tmp_path: Path) -> None:
    rows = read_csv(tmp_path, b'a,b\n1,"x\n2,y\n' + b"3," + b"z" * 200 + b"\n4,w\n", limit=100)
    assert [(r.number, r.reason, r.values) for r in rows] == [
        (2, "malformed", None),
        (3, "", {"a": "2", "b": "y"}),
        (4, "too_long", None),
        (5, "", {"a": "4", "b": "w"}),
    ]


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_a_field_of_ten_megabytes_is_one_row_that_is_too_long(tmp_path: Path, file_format: str) -> None:
    long = b"x" * 10_000_000
    content = {
        "csv": b'a,b\n1,"' + long + b'"\n3,4\n',
        "jsonl": b'{"a": "' + long + b'"}\n{"a": "3", "b": "4"}\n',
    }[file_format]
    first, second = read(write(tmp_path / "a", content), file_format, ["a", "b"])
    line = {"csv": 2, "jsonl": 1}[file_format]
    assert (first.number, first.values, first.reason) == (line, None, "too_long")
    assert first.detail == "a row must have at most 1000000 bytes"
    assert len(first.text) == MAX_KEPT_CHARACTERS
    assert second == RawRow(line + 1, {"a": "3", "b": "4"})


@pytest.mark.parametrize(
    ("file_format", "content", "sentence"),
    [
        ("csv", b"", "the file is empty; its first line must name the columns ({path})"),
        ("tsv", b"", "the file is empty; its first line must name the columns ({path})"),
        ("parquet", b"", "the file is empty ({path})"),
        ("csv", b"a,b,a\n1,2,3\n", "the file names columns twice: ['a'] ({path})"),
        ("csv", b"a,c\n1,2\n", "the columns ['b'] are missing. Received: ['a', 'c'] ({path})"),
        (
            "csv",
            b"a;b\n1;2\n",
            "the columns ['a', 'b'] are missing. Received: ['a;b']; is the delimiter right? ({path})",
        ),
        (
            "tsv",
            b"a,b\n1,2\n",
            "the columns ['a', 'b'] are missing. Received: ['a,b']; is the delimiter right? ({path})",
        ),
        ("csv", b'"a"x,b\n', "the header line cannot be read: ',' expected after '\"' ({path})"),
        # A quote opened in the header includes no row, although a later quote would close it.
        ("csv", b'a,b,"c\n1,2,3\n4,5,x"\n', "the header line cannot be read: a quoted field must be closed ({path})"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, file_format: str, content: bytes, sentence: str) -> None:
    path = write(tmp_path / "a", content)
    with pytest.raises(InputError) as caught:
        read(path, file_format, ["a", "b"])
    assert str(caught.value) == sentence.format(path=path)


@pytest.mark.parametrize("file_format", ["csv", "tsv", "jsonl", "parquet", "tfrecord"])
def test_a_file_that_is_missing_is_told(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "none"
    with pytest.raises(InputError, match=f"the file cannot be read: .*{path}"):
        read(path, file_format, ["a"])


@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.jsonl.gz", "a.parquet", "a.tfrecord", "a.tfrecord.gz"]
)
def test_an_error_of_the_disk_is_no_error_of_the_data(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.symlink_to("/proc/self/mem")  # it can be opened; reading its first byte fails
    with pytest.raises(UnreadableError) as caught:
        read(path, name.split(".")[1], ["a"])
    assert str(caught.value) == (
        "the file cannot be read now: Input/output error; once it can be, run the same command again to continue "
        f"({path})"
    )
    assert not isinstance(caught.value, InputError)


def test_a_second_header_is_a_row_like_any_other(tmp_path: Path) -> None:
    rows = read_csv(tmp_path, b"a,b\n1,2\na,b\n3,4\n")
    assert [r.values for r in rows] == [{"a": "1", "b": "2"}, {"a": "a", "b": "b"}, {"a": "3", "b": "4"}]


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_a_compressed_file_that_is_cut_off_is_told(tmp_path: Path, file_format: str) -> None:
    lines = {"csv": "a,b\n" + "1,2\n" * 500, "jsonl": '{"a": "1", "b": "2"}\n' * 500}[file_format]
    whole = gzip.compress(lines.encode())
    path = tmp_path / "a.gz"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="the file is damaged or cut off after line"):
            read(path, file_format, ["a", "b"])


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_a_compressed_file_with_another_byte_is_told(tmp_path: Path, file_format: str) -> None:
    lines = {"csv": "a,b\n" + "1,2\n" * 500, "jsonl": '{"a": "1", "b": "2"}\n' * 500}[file_format]
    whole = gzip.compress(lines.encode(), mtime=0)
    path = tmp_path / "a.gz"
    for place in [*range(3), *range(10, len(whole))]:  # between them are flags, the time, the level and the system
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(InputError, match="the file is damaged or cut off after line"):
            read(path, file_format, ["a", "b"])


def test_a_block_that_no_compressor_writes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"")[:10] + b"\x07" + bytes(20))  # RFC 1951: the last block, of the reserved kind
    with pytest.raises(InputError, match="damaged or cut off") as raised:
        read(path, "csv", ["a", "b"])
    assert isinstance(raised.value.__cause__, GZIP_ERRORS[-1])


def test_a_compressed_file_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"a,b\n"))
    raw = path.open("rb")
    monkeypatch.setattr(files, "open", lambda *_: raw, raising=False)
    with files.open_file(str(path)) as stream:
        assert stream.read() == b"a,b\n"
    assert raw.closed


def test_a_file_that_is_not_compressed_as_its_name_says_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(b"a,b\n1,2\n3,4\n")
    with pytest.raises(InputError, match="damaged or cut off after line 0; nothing of it is used: Not a gzipped file"):
        read(path, "csv", ["a", "b"])
    with pytest.raises(InputError, match="damaged or cut off"):
        read_header(str(path), "csv")


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (b"[1]", "a row must be a JSON object. Received: list"),
        (b"null", "a row must be a JSON object. Received: NoneType"),
        (b'"a"', "a row must be a JSON object. Received: str"),
        (b'{"a": 1', "a row must be a JSON object: Expecting ',' delimiter: line 2 column 1 (char 8)"),
        (b"{'a': 1}", "a row must be a JSON object: Expecting property name enclosed in double quotes: line 1 column"),
        (b"[" * 100_000, "a row must be a JSON object: maximum recursion depth exceeded"),
    ],
    ids=["list", "null", "string", "cut", "quotes", "deep"],
)
def test_a_json_row_that_is_no_object(tmp_path: Path, line: bytes, detail: str) -> None:
    rows = read(write(tmp_path / "a.jsonl", line + b'\n{"a": 1}\n'), "jsonl", ["a", "b"])
    assert (rows[0].number, rows[0].values, rows[0].reason) == (1, None, "malformed")
    assert rows[0].detail.startswith(detail)
    assert rows[0].text == line.decode() + "\n"
    assert rows[1:] == [RawRow(2, {"a": 1, "b": None})]


def test_json_values_keep_their_types(tmp_path: Path) -> None:
    row = {"a": 1.5, "b": ["x", None], "c": True, "d": None, "e": "été"}
    path = write(tmp_path / "a.jsonl", json.dumps(row).encode())
    assert read(path, "jsonl", [*row, "f"]) == [RawRow(1, {**row, "f": None})]


@pytest.mark.parametrize("file_format", ["jsonl", "tfrecord"])
def test_an_empty_part_has_no_rows(tmp_path: Path, file_format: str) -> None:
    # A distributed job leaves such parts; the row gate reports a source that is empty as a whole.
    assert read(write(tmp_path / "a", b""), file_format, ["a"]) == []
