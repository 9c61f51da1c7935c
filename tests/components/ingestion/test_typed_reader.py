"""Rows read in blocks are those that are read one by one: values, numbers, rejections, counts of lines and errors."""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from components.ingestion.formats import arrow_values, delimited, parquet, tfrecord
from components.ingestion.formats.lines import LineTally
from components.ingestion.formats.raw_rows import RawRow
from components.ingestion.formats.readers import TEXT_FORMATS
from components.ingestion.formats.split_lines import SplitLines
from components.ingestion.formats.tfrecord import example_row
from components.ingestion.typed_reader import TypedReader
from tests.components.ingestion.compared_readers import (
    COLUMNS,
    LIMITS,
    NAMES,
    assert_the_same,
    blocks_of,
    in_blocks,
    one_by_one,
    settings_of,
)
from tests.components.ingestion.odd_values import JSON_VALUES, OF_PARQUET, TEXTS
from tests.components.ingestion.random_csv import HEADER, any_log
from transform.config.columns import Column
from transform.config.settings import Ingestion
from transform.config.sources import DelimitedText, LabelRule, Source
from transform.raw_texts import BLANKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blocks")


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
    delimiter=st.sampled_from([None, ",", ";", "|", " ", "x", "::", ",,", BLANKS]),
    quoting=st.sampled_from([None, True, False]),
    columns=st.sampled_from([(), ("id", "clicked", "app", "note")]),
    encoding=st.sampled_from(["utf-8", "latin-1", "windows-1252"]),
    line_end=st.sampled_from(["lf", "cr"]),
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
    between = b" \t" if text.delimiter == BLANKS else delimiter
    path.write_bytes(junk + (HEADER + log).replace(b",", between))
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

    class Counted(SplitLines):
        def __init__(self, data: bytes, *more: Any):
            split.append(len(data))
            super().__init__(data, *more)

    monkeypatch.setattr(delimited, "SplitLines", Counted)
    with blocks_of(1000):
        source, limits = Source(path="x", format="csv"), Ingestion(max_record_lines=10_000)
        found = in_blocks(path, source, OF_LOG, limits)
    assert found == one_by_one(path, source, OF_LOG, limits)
    assert len(found[0]) == 500
    assert sum(split) < 2 * len(content)


#: Texts that some column's rule reads in a way of its own.
GOOD = {"id": "i1", "tags": "a|b", "price": "1.5", "clicked": "1", "weight": "2", "time": "1700000000"}


@st.composite
def mostly_good(draw: st.DrawFn, fallback: st.SearchStrategy[Any], good: dict[str, Any]) -> dict[str, Any]:
    """Draws a row that is good but for some columns."""
    return {name: draw(fallback) if draw(st.integers(0, 3)) == 0 else value for name, value in good.items()}


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
    monkeypatch.setattr(tfrecord, "BYTES_AT_ONCE", 3000)  # three records of some more than 1000 bytes
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


@settings_of(60)
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
        return arrow_values.to_python(column)

    monkeypatch.setattr(parquet, "to_python", counted)
    assert in_blocks(path, source, columns, LIMITS) == expected
    assert lengths == [20, 20]


#: The names of features as they are in a serialized example: the length, and the text.
PRICE, CLICKED = b"\x05price", b"\x07clicked"


def rows_in_python(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns a list that gets the numbers of the records that become rows in Python from now on."""
    numbers = []

    def counted(number: int, record: bytes, names: Sequence[str]) -> RawRow:
        numbers.append(number)
        return example_row(number, record, names)

    monkeypatch.setattr(tfrecord, "example_row", counted)
    return numbers


def test_only_unusual_records_become_rows_in_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One record is damaged, one has a text as the price; 98 of the block are decoded at once."""
    path = folder / "a.tfrecord"
    records = [_example({"id": [b"i%d" % number], "price": [float(number)]}) for number in range(100)]
    records[30], records[60] = b"damaged", _example({"id": [b"i60"], "price": [b"60"]})
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    columns, source = (COLUMNS[0], COLUMNS[3]), Source(path="x", format="tfrecord")
    expected = one_by_one(path, source, columns, LIMITS)
    assert [row[2] for row in expected[0]] == [float(number) for number in range(100) if number != 30]
    numbers = rows_in_python(monkeypatch)
    assert in_blocks(path, source, columns, LIMITS) == expected
    assert numbers == [31, 61]


def test_values_whose_names_are_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tfx-bsl reads both values as the feature ``; Protocol Buffers leave such entries out."""
    good = {"id": [b"h"], "price": [1.0], "clicked": [1]}
    records = [_example(good), *(_example(good).replace(b"\n" + name, b"\x1a" + name) for name in (PRICE, CLICKED))]
    with pytest.raises(RuntimeError, match='wrong type, expected float_list, found int64_list for feature ""'):
        tfrecord._decode(enumerate(records))
    path = folder / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    some, source = (COLUMNS[0], COLUMNS[3], COLUMNS[4]), Source(path="x", format="tfrecord")
    columns = tuple(dataclasses.replace(column, required=column.name == "id") for column in some)
    expected = one_by_one(path, source, columns, LIMITS)
    assert expected[0] == [(1, "h", 1.0, 1), (2, "h", None, 1), (3, "h", 1.0, None)]
    numbers = rows_in_python(monkeypatch)
    assert in_blocks(path, source, columns, LIMITS) == expected
    assert numbers == [3]


def test_every_kind_of_text_file_is_tried() -> None:
    assert {"csv", "tsv", "jsonl"} == TEXT_FORMATS
