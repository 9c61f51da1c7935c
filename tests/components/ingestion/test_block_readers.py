"""Rows read in blocks are those that are read one by one: values, numbers, rejections, counts of lines and errors."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from components.ingestion import record_blocks, record_readers, text_blocks
from components.ingestion.block_readers import TypedReader, to_lists
from components.ingestion.readers import PLAIN_TEXT, TEXT_FORMATS, LineTally, read_rows
from components.ingestion.rows import Rejection, RowError, RowParser, kept_text
from tests.components.ingestion.random_csv import HEADER, any_log
from transform.config.config import Column
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText, LabelRule, Source
from transform.errors import InputError

LIMITS = Ingestion(max_row_bytes=300, max_record_lines=4, max_field_bytes=32, max_list_values=3)
NULLS = ("", "none ", "99", "-0.5")
COLUMNS = (
    Column("id", "string", True),
    Column("tags", "list", False),
    Column("tags", "string", False, trim=False),
    Column("price", "float", False),
    Column("clicked", "label", True),
    Column("weight", "weight", False),
    Column("time", "timestamp", True),
)
NAMES = ("id", "tags", "price", "clicked", "weight", "time")

Outcome = tuple[list[Any], list[Any], Any, str]


def settings_of(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def one_by_one(path: Path, source: Source, columns: tuple[Column, ...], limits: Ingestion) -> Outcome:
    """Returns the rows, the rejections, the counts of lines, and the error, from the row reader and the row parser."""
    parser = RowParser(columns, source.null_values, source.list_separator, limits)
    names = list(dict.fromkeys(name for c in columns for name in c.names))
    rows, rejections, tally, error = [], [], LineTally(), ""
    num_rows = num_lines = num_multi_line = 0
    try:
        for raw in read_rows(str(path), source.format, names, limits, tally, source.text):
            num_rows, num_lines = num_rows + 1, num_lines + raw.num_lines
            num_multi_line += raw.num_lines > 1
            reason, detail = raw.reason, raw.detail
            if raw.values is not None:
                try:
                    rows.append((raw.number, *parser.parse(raw.values)))
                    continue
                except RowError as found:
                    reason, detail = found.reason, found.detail
            text = raw.text if raw.values is None else repr(dict(raw.values))
            rejections.append(Rejection("log", str(path), raw.number, reason, kept_text(detail), kept_text(text)))
    except InputError as found:
        error = str(found)
    return rows, rejections, (num_rows, num_lines, num_multi_line, tally), error


def in_blocks(path: Path, source: Source, columns: tuple[Column, ...], limits: Ingestion) -> Outcome:
    """Returns the same from `TypedReader`."""
    rows: list[Any] = []
    rejections: list[Any] = []
    tally, error = LineTally(), ""
    num_rows = num_lines = num_multi_line = 0
    try:
        for block in TypedReader("log", source, columns, limits).read(str(path), tally):
            rows += zip(block.numbers.tolist(), *to_lists(block.values), strict=True)
            rejections += block.rejections
            num_rows += block.num_rows
            num_lines += block.num_lines
            num_multi_line += block.num_multi_line
    except InputError as found:
        error = str(found)
    return rows, rejections, (num_rows, num_lines, num_multi_line, tally), error


def assert_the_same(
    path: Path,
    file_format: Any,
    columns: tuple[Column, ...] = COLUMNS,
    limits: Ingestion = LIMITS,
    text: DelimitedText = PLAIN_TEXT,
) -> None:
    source = Source(path="x", format=file_format, null_values=NULLS, text=text)
    expected = one_by_one(path, source, columns, limits)
    assert in_blocks(path, source, columns, limits) == expected
    event(f"a row: {bool(expected[0])}")
    event(f"a rejection: {bool(expected[1])}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blocks")


@contextlib.contextmanager
def blocks_of(size: int) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_blocks, "BLOCK_BYTES", size)
        patch.setattr(record_readers, "PARQUET_BATCH_ROWS", size)
        patch.setattr(record_blocks, "RECORDS_AT_ONCE", size)
        yield


OF_LOG = tuple(Column(name, "string", name == "id") for name in ("id", "clicked", "app", "note"))


@settings_of(300)
@given(log=any_log, size=st.sampled_from([1, 5, 30, 10_000]), max_lines=st.integers(1, 4), form=st.sampled_from("ct"))
@example(log=b'i1,0,"a, b","c"\ni2,1,b,""\ni3,1,"c""d",e\n', size=10_000, max_lines=4, form="c")
@example(log=b'i1,0,a,"x\n\ni2",1\n\ni3,0,"a",b\r\n', size=5, max_lines=4, form="c")
@example(log=b"i1,0,a," + b"z" * 300 + b"\ni2,1,b,y", size=30, max_lines=1, form="c")
def test_text_of_any_content(folder: Path, log: bytes, size: int, max_lines: int, form: str) -> None:
    limits = Ingestion(max_row_bytes=100, max_record_lines=max_lines)
    content = HEADER + log
    path = folder / "a.csv"
    path.write_bytes(content if form == "c" else content.replace(b",", b"\t"))
    with blocks_of(size):
        assert_the_same(path, "csv" if form == "c" else "tsv", OF_LOG, limits)


texts = st.builds(
    DelimitedText,
    delimiter=st.sampled_from([None, ",", ";", "|", " ", "x"]),
    quoting=st.sampled_from([None, True, False]),
    columns=st.sampled_from([(), ("id", "clicked", "app", "note")]),
    encoding=st.sampled_from(["utf-8", "latin-1", "windows-1252"]),
    skip_lines=st.integers(0, 3),
)


@settings_of(300)
@given(
    log=any_log,
    text=texts,
    junk=st.sampled_from([b"", b"\xef\xbb\xbf", b"\n", b'"\n', b"a,b\n"]),
    size=st.sampled_from([1, 30, 10_000]),
    form=st.sampled_from(["csv", "tsv"]),
)
@example(
    log=b"i1|0|a|b\n", text=DelimitedText("|", columns=("id", "clicked", "app", "note")), junk=b"", size=9, form="csv"
)
def test_text_of_any_form(folder: Path, log: bytes, text: DelimitedText, junk: bytes, size: int, form: str) -> None:
    path = folder / "a.txt"
    delimiter = (text.delimiter or ("," if form == "csv" else "\t")).encode()
    path.write_bytes(junk + (HEADER + log).replace(b",", delimiter))
    with blocks_of(size):
        assert_the_same(path, form, OF_LOG, Ingestion(max_row_bytes=100, max_record_lines=3), text)


@settings_of(300)
@given(
    log=any_log, size=st.sampled_from([1, 30, 10_000]), kept=st.floats(0.3, 1), form=st.sampled_from(["csv", "jsonl"])
)
def test_a_compressed_file_that_is_cut_off(folder: Path, log: bytes, size: int, kept: float, form: str) -> None:
    path = folder / "a.gz"
    whole = gzip.compress((HEADER if form == "csv" else b"") + log, 0)
    path.write_bytes(whole[: math.ceil(len(whole) * kept)])
    with blocks_of(size):
        assert_the_same(path, form, OF_LOG, Ingestion(max_row_bytes=100, max_record_lines=3))


def test_the_most_lines_of_a_record_do_not_set_the_cost_of_reading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "a.csv"
    content = HEADER + b"".join(b'i%d,0,a,"two\nlines"\n' % number for number in range(500)) + b'i,0,a,"open\n'
    path.write_bytes(content)
    split = []

    class Counted(text_blocks._Split):
        def __init__(self, data: bytes, *more: Any):
            split.append(len(data))
            super().__init__(data, *more)

    monkeypatch.setattr(text_blocks, "_Split", Counted)
    with blocks_of(1000):
        source, limits = Source(path="x", format="csv"), Ingestion(max_record_lines=10_000)
        found = in_blocks(path, source, OF_LOG, limits)
    assert found == one_by_one(path, source, OF_LOG, limits)
    assert len(found[0]) == 500
    assert sum(split) < 2 * len(content)


#: Texts that some column's rule reads in a way of its own.
TEXTS = [
    "", " ", "none", " none ", "99", "99.0", "-0.5", "a", " a", "a|b", "a| |none|b ", "a|b|c|d", "é", "\xa0a", "x" * 33,
    "0", "1", " 1.0", "1.5", "-3", "1e3", "1E400", "1_0", ".5", "5.", "+5", "nan", "inf", "3.5e38", "0x1", "١", "true",
    "1700000000", "1700000000.25", "4102444800", "20260115", "2026-01-15", "2026-01-15T10:20:30",
    "2026-01-15 10:20:30Z", "2026-01-15T10:20:30.123", "2026-01-15T10:20:30.123456+00:00", "2026-02-29T10:20:30",
    "2024-02-29T10:20:30.999999", "2026-01-15T24:00:00", "2026-01-15T10:20:30+02:00", "1969-12-31T23:59:59",
    "12345678901234567890",
]  # fmt: skip
GOOD = {"id": "i1", "tags": "a|b", "price": "1.5", "clicked": "1", "weight": "2", "time": "1700000000"}


@st.composite
def mostly_good(draw: st.DrawFn, odd: st.SearchStrategy[Any], good: dict[str, Any]) -> dict[str, Any]:
    """Draws a row that is good but for some columns."""
    return {name: draw(odd) if draw(st.integers(0, 3)) == 0 else value for name, value in good.items()}


rules = st.sampled_from(
    [
        None,
        LabelRule(positive=(" 1 ", "a", "é")),
        LabelRule(positive=("1",), negative=("0", "a")),
        LabelRule(at_least=1),
    ]
)


def with_rule(rule: LabelRule | None) -> tuple[Column, ...]:
    return tuple(dataclasses.replace(c, label_rule=rule) if c.kind == "label" else c for c in COLUMNS)


@settings_of(150)
@given(
    rows=st.lists(mostly_good(st.sampled_from(TEXTS), GOOD), min_size=1, max_size=8),
    size=st.sampled_from([40, 10_000]),
    rule=rules,
)
def test_texts_of_every_kind(folder: Path, rows: list[dict[str, str]], size: int, rule: LabelRule | None) -> None:
    path = folder / "a.tsv"
    lines = ["\t".join(NAMES), *("\t".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with blocks_of(size):
        assert_the_same(path, "tsv", with_rule(rule))


JSON_VALUES = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from([None, True, False, 0, 1, 99, -0.5, 1.5, 2**53 + 1, 2**64, 10**400, math.nan, math.inf, "\ud800"]),
    st.sampled_from(
        [[], ["a"], [" a ", "none", None], ["a", 1], [1, 2], [True], ["x" * 33], ["a"] * 4, [["a"]], ["\ud800"]]
    ),
    st.just({"a": 1}),
)
JSON_LINES = st.sampled_from(
    [b"", b"  ", b"[1]", b"null", b'{"id": ', b"\xff", b'{"id": "i1", "id": "i2"}', b"\xc2\xa0"]
)


@settings_of(200)
@given(
    rows=st.lists(
        st.one_of(mostly_good(JSON_VALUES, GOOD), mostly_good(JSON_VALUES, GOOD), JSON_LINES), min_size=1, max_size=8
    ),
    size=st.sampled_from([1, 60, 10_000]),
    end=st.sampled_from([b"\n", b"\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    rule=rules,
)
def test_json_of_every_kind(
    folder: Path, rows: list[Any], size: int, end: bytes, mark: bytes, rule: LabelRule | None
) -> None:
    path = folder / "a.jsonl"
    path.write_bytes(mark + end.join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows))
    with blocks_of(size):
        assert_the_same(path, "jsonl", with_rule(rule))


FEATURES = st.one_of(
    st.lists(st.sampled_from([text.encode() for text in TEXTS] + [b"\xff"]), max_size=4),
    st.lists(st.sampled_from([0, 1, 99, 1_700_000_000]), max_size=2),
    st.lists(st.sampled_from([0.0, 1.0, 0.25, -0.5, math.nan, math.inf]), max_size=2),
    st.none(),
)
AS_FEATURES = {"id": [b"i1"], "tags": [b"a", b"b"], "price": [1.5], "clicked": [1], "weight": [2.0], "time": [17]}


@settings_of(150)
@given(
    rows=st.lists(st.one_of(mostly_good(FEATURES, AS_FEATURES), st.just(b"not an example")), min_size=1, max_size=6),
    size=st.sampled_from([1, 3, 100]),
    kept=st.sampled_from([1, 1, 0.9]),
)
def test_records_of_every_kind(folder: Path, rows: list[Any], size: int, kept: float) -> None:
    path = folder / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(row if isinstance(row, bytes) else _example(row))
    path.write_bytes(path.read_bytes()[: math.ceil(path.stat().st_size * kept)])
    with blocks_of(size):
        assert_the_same(path, "tfrecord")


def test_a_block_of_records_ends_at_its_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(10):
            writer.write(_example({"id": [b"x" * 1000]}))
    source, columns, limits = Source(path="x", format="tfrecord"), (COLUMNS[0],), Ingestion()
    monkeypatch.setattr(record_blocks, "BYTES_AT_ONCE", 3000)  # three records of some more than 1000 bytes
    blocks = list(TypedReader("log", source, columns, limits).read(str(path), LineTally()))
    assert [block.num_rows for block in blocks] == [3, 3, 3, 1]
    assert in_blocks(path, source, columns, limits) == one_by_one(path, source, columns, limits)


def _example(row: dict[str, Any]) -> bytes:
    result = tf.train.Example()
    for name, values in row.items():
        if values is None:
            continue
        feature = result.features.feature[name]
        for value in values:
            kinds = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
            kinds[type(value)].value.append(value)
    return bytes(result.SerializeToString())


OF_PARQUET: dict[str, list[pa.Array]] = {
    "id": [
        pa.array(["i1", None, " a ", "none", "é"]),
        pa.array(["i1", None, " a ", "none", "é"], pa.large_string()),
        pa.array(["i1", None, "i1", "none", "é"]).dictionary_encode(),
        pa.array([b"i1", b"\xff", None, b"none", b"x"], pa.binary()),
        pa.array([b"i1", b"\xff", None, b"none", b"x"], pa.binary()).view(pa.string()),
        pa.array([1, 99, None, 3, 4]),
        pa.array([1.5, None, 2.0, 3.0, 4.0]),
        pa.nulls(5),
    ],
    "tags": [
        pa.array(["a|b", None, " ", "none", "a| b|99"]),
        pa.array([["a", None], None, [], ["none", " b "], ["a"] * 4]),
        pa.array([["a", None], None, [], ["none", " b "], ["a"] * 4], pa.large_list(pa.large_string())),
        pa.array([["a"], None, [], ["a", "b"], ["b"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        pa.array([[b"a"], None, [], [b"\xff"], [b"b"]], pa.list_(pa.binary())),
        pa.array([[1, 99], None, [], [None], [2]]),
        pa.array([[1.5], None, [], [None], [2.0]]),
        pa.array([1, 2, 3, None, 5]),
    ],
    "price": [
        pa.array([1.5, None, -0.5, math.nan, 1e39]),
        pa.array([1.5, None, -0.5, math.nan, 0.1], pa.float32()),
        pa.array([1, None, 99, 2**60 + 1, -1]),
        pa.array(["1.5", None, " 99 ", "x", "1e3"]),
        pa.array([True, None, False, True, False]),
        pa.array([Decimal("1.5"), None, Decimal("-0.5"), Decimal(99), Decimal(1)], pa.decimal128(12, 3)),
    ],
    "clicked": [
        pa.array([0, 1, 2, None, 1]),
        pa.array([True, False, None, True, False]),
        pa.array([0.0, 1.0, 0.5, math.nan, 1.0]),
        pa.array(["0", "1", "yes", "", "1.0"]),
    ],
    "weight": [pa.array([0.5, None, -1.0, 1e7, math.nan]), pa.array([0, 1, -1, None, 5])],
    "time": [
        pa.array([1.5, None, -1.0, 4e9, math.nan]),
        pa.array([1_700_000_000_123_456, None, -1, 0, 2**62]).cast(pa.timestamp("us")),
        pa.array([1_700_000_000_123_456_789, None, -1, 0, 2**62]).cast(pa.timestamp("ns", "UTC")),
        pa.array([19_000, None, -1, 0, 5], pa.int32()).cast(pa.date32()),
        pa.array(["2026-01-15T10:20:30", None, "20260115", "5", "soon"]),
    ],
}


@settings_of(60)
@given(
    picked=st.fixed_dictionaries({name: st.sampled_from(arrays) for name, arrays in OF_PARQUET.items()}),
    good=st.fixed_dictionaries({name: st.booleans() for name in OF_PARQUET}),
    size=st.sampled_from([1, 2, 100]),
    rule=rules,
)
def test_parquet_of_every_type(
    folder: Path, picked: dict[str, pa.Array], good: dict[str, bool], size: int, rule: LabelRule | None
) -> None:
    fine = {
        "id": ["i"] * 5,
        "tags": [["a"]] * 5,
        "price": [1.5] * 5,
        "clicked": [1] * 5,
        "weight": [1.0] * 5,
        "time": [9] * 5,
    }
    path = folder / "a.parquet"
    pq.write_table(pa.table({name: fine[name] if good[name] else picked[name] for name in NAMES}), path)
    with blocks_of(size):
        assert_the_same(path, "parquet", with_rule(rule))


#: Two columns of kind `one_hot` that read the same columns, of which three may be set, one more than a list may have.
FLAGS = (
    Column("id", "string", False),
    Column("some", "one_hot", False, one_hot=("price", "clicked", "weight")),
    Column("any", "one_hot", True, one_hot=("weight", "price")),
)
ONES = {"id": "i1", "price": "1", "clicked": "0", "weight": "true"}
FLAG_TEXTS = [*TEXTS, "True", "FALSE", "false ", "0.0", "tru\u0435"]
OF_RECORDS = st.one_of(st.sampled_from([[0], [1], [1.0], [b"1"], [b"False"]]), FEATURES)


@settings_of(150)
@given(
    texts=st.lists(mostly_good(st.sampled_from(FLAG_TEXTS), ONES), min_size=1, max_size=8),
    values=st.lists(mostly_good(JSON_VALUES, {**ONES, "price": 1, "clicked": False}), min_size=1, max_size=8),
    features=st.lists(mostly_good(OF_RECORDS, {"id": [b"i"], "price": [1], "weight": [0.0]}), min_size=1, max_size=6),
    columns=st.fixed_dictionaries({name: st.sampled_from(OF_PARQUET[name]) for name in ("price", "clicked", "weight")}),
    size=st.sampled_from([1, 40, 10_000]),
)
def test_flags_of_every_form(
    folder: Path, texts: list[Any], values: list[Any], features: list[Any], columns: dict[str, pa.Array], size: int
) -> None:
    limits = dataclasses.replace(LIMITS, max_list_values=2)
    (folder / "f.csv").write_text("\n".join(["\t".join(ONES), *("\t".join(row.values()) for row in texts)]), "utf-8")
    (folder / "f.jsonl").write_text("\n".join(json.dumps(row) for row in values))
    pq.write_table(pa.table({"id": ["i"] * 5, **columns}), folder / "f.parquet")
    with tf.io.TFRecordWriter(str(folder / "f.tfrecord")) as writer:
        for row in features:
            writer.write(_example(row))
    with blocks_of(size):
        assert_the_same(folder / "f.csv", "csv", FLAGS, limits, DelimitedText("\t"))
        for file_format in ("jsonl", "parquet", "tfrecord"):
            assert_the_same(folder / f"f.{file_format}", file_format, FLAGS, limits)


def test_odd_rows_of_a_batch_are_taken_from_its_columns_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "a.parquet"
    prices = pa.array([Decimal(number) for number in range(20)], pa.decimal128(12, 2))
    pq.write_table(pa.table({"id": ["i"] * 20, "price": prices}), path)
    columns, source = (COLUMNS[0], COLUMNS[3]), Source(path="x", format="parquet")
    expected = one_by_one(path, source, columns, LIMITS)
    assert [row[2] for row in expected[0]] == [float(number) for number in range(20)]
    lengths = []

    def counted(column: pa.Array) -> list[Any]:
        lengths.append(len(column))
        return record_readers.to_python(column)

    monkeypatch.setattr(record_blocks, "to_python", counted)
    assert in_blocks(path, source, columns, LIMITS) == expected
    assert lengths == [20, 20]


def test_every_kind_of_text_file_is_tried() -> None:
    assert {"csv", "tsv", "jsonl"} == TEXT_FORMATS
