"""The decoder gives tfx-bsl's record batches, whatever the examples have."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.examples import encoding
from components.statistics.computing import _joined
from components.statistics.decoding import Decoder
from tests.components.statistics.statistics_runs import Row, computed, example
from transform.errors import InputError

USUAL: Row = {"a": [b"x"], "count": [3], "price": [1.5]}


def unpacked(value: float) -> bytes:
    """An example whose one float is not packed, as an earlier version of Protocol Buffers writes it."""
    number = struct.pack("<f", value)
    in_list = b"\x12\x05\x0d" + number
    entry = b"\x0a\x05price\x12" + bytes([len(in_list)]) + in_list
    features = b"\x0a" + bytes([len(entry)]) + entry
    return b"\x0a" + bytes([len(features)]) + features


def ingested(row: Row) -> bytes:
    """Returns a row as ingestion serializes it, in the order of the names; `example` puts `ab` before `a`."""
    entries = b"".join(
        tf.train.Example.FromString(example({name: row[name]})).features.SerializeToString() for name in sorted(row)
    )
    return encoding.FEATURES + encoding.varint(len(entries)) + entries


def same(one: pa.RecordBatch, other: pa.RecordBatch) -> bool:
    """Whether two batches are equal; NaN equals NaN."""
    return one.schema == other.schema and repr(one.to_pylist()) == repr(other.to_pylist())


#: Rows, and whether they are decoded without tfx-bsl once their features are known.
BATCHES: dict[str, tuple[list[Row], bool]] = {
    "as before": ([USUAL, USUAL], True),
    "several texts": ([{"a": [b"x", b"", b"y" * 300], "count": [3]}, USUAL, {}, {"a": [b"z"] * 2}], True),
    "numbers of one byte and of eight": ([{"count": [n]} for n in (0, 127, 128, 2**35 + 5, 2**56 - 1)], True),
    "large numbers": ([{"count": [-1]}, {"count": [2**63 - 1]}, {"count": [2**56]}, {"count": [-(2**63)]}], False),
    "several integers": ([USUAL, {"count": [1, 2]}], False),
    "several floats": ([USUAL, {"price": [0.0] * 40}], False),
    "nothing": ([{}, {}], False),
    "a feature less": ([{"a": [b"x"]}, {"a": [b"\xff"]}], True),
    "a new feature": ([USUAL, {**USUAL, "new": [b"z"]}], True),
    "a list without a value": ([USUAL, {**USUAL, "a": []}], False),
    "an entry without a list": ([USUAL, {**USUAL, "a": None}], False),
    "a new feature without a value": ([USUAL, {**USUAL, "new": None}], False),
    "long records": ([{"a": [b"y" * 20_000]}, {"a": [b"y" * 100, b"z" * 100]}, {"a": [b"y" * 3_000_000]}], True),
    "a name that another begins with": ([{"a": [b"x"], "ab": [b"y"]}, {"ab": [b"y"]}], True),
    "names of 111 bytes": ([{"m" * 111: [2**56 - 1]}, {"n" * 111: [b""], "o" * 111: [2.5]}, {"n" * 111: [b"x"]}], True),
    "a name of 112 bytes": ([USUAL, {"n" * 112: [b"x"]}], False),
    "a thousand texts": ([USUAL, {"a": [b"y", b"z"] * 500}], True),
    "more than a thousand texts": ([USUAL, {"a": [b"y", b"z"] * 500 + [b"x"]}], False),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_a_batch_is_decoded_as_by_tfx_bsl(kind: str) -> None:
    rows, is_fast = BATCHES[kind]
    decoder, serialized = Decoder(), [ingested(row) for row in rows]
    decoder.decode([ingested(USUAL)])
    expected = ExamplesToRecordBatchDecoder().DecodeBatch(serialized)
    assert decoder.decode(serialized).equals(expected)
    num_slow = decoder.num_slow
    assert decoder.decode(serialized).equals(expected)
    assert (decoder.num_slow == num_slow) == is_fast


@pytest.mark.parametrize(
    "record", [unpacked(2.5), example({"price": [2.5]}) + example({"price": [3.5]})], ids=["unpacked", "twice"]
)
def test_a_record_that_is_serialized_in_another_way_is_decoded_as_by_tfx_bsl(record: bytes) -> None:
    decoder = Decoder()
    decoder.decode([example(USUAL)])
    assert tf.train.Example.FromString(record).features.feature["price"].float_list.value
    found = decoder.decode([example(USUAL), record])
    assert found.equals(ExamplesToRecordBatchDecoder().DecodeBatch([example(USUAL), record]))


VALUES = {
    "a": st.lists(st.binary(max_size=200), min_size=1, max_size=5),
    "ab": st.lists(st.binary(max_size=3), min_size=1, max_size=40),
    "count": st.integers(0, 2**56 - 1).map(lambda number: [number]),
    "label": st.integers(0, 1).map(lambda label: [label]),
    "price": st.floats(width=32).map(lambda price: [price]),
}
ROWS = st.lists(st.fixed_dictionaries({}, optional=VALUES), min_size=1, max_size=6)


def knowing_all_features() -> Decoder:
    decoder = Decoder()
    decoder.decode([ingested({"a": [b"x"], "ab": [b"x"], "count": [3], "label": [1], "price": [1.5]})])
    return decoder


@given(rows=ROWS.filter(any))
def test_random_rows_are_decoded_as_by_tfx_bsl(rows: list[Row]) -> None:
    decoder, serialized = knowing_all_features(), [ingested(row) for row in rows]
    assert same(decoder.decode(serialized), ExamplesToRecordBatchDecoder().DecodeBatch(serialized))
    assert decoder.num_slow == 1  # for the features


def decoded(decode: Callable[[list[bytes]], pa.RecordBatch], records: list[bytes]) -> pa.RecordBatch | None:
    """Returns the batch, or None if the records are an error."""
    try:
        return decode(records)
    except RuntimeError:
        return None


@settings(max_examples=500)
@given(rows=ROWS, data=st.data())
def test_a_changed_byte_is_decoded_as_by_tfx_bsl_or_an_error_as_there(rows: list[Row], data: st.DataObject) -> None:
    serialized = [ingested(row) for row in rows]
    number = data.draw(st.integers(0, len(rows) - 1), label="row")
    changed = bytearray(serialized[number])
    place = data.draw(st.integers(0, len(changed) - 1), label="place")
    byte = st.sampled_from([0x00, 0x0A, 0x12, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
    changed[place] = data.draw(byte, label="byte")
    serialized[number] = bytes(changed)
    expected = decoded(ExamplesToRecordBatchDecoder().DecodeBatch, serialized)
    found = decoded(knowing_all_features().decode, serialized)
    assert found is None if expected is None else found is not None and same(expected, found)


def test_of_a_large_first_batch_tfx_bsl_decodes_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder()
    slow_batch, sizes = decoder._slow_batch, []

    def counted(records: list[bytes]) -> pa.RecordBatch:
        sizes.append(len(records))
        return slow_batch(records)

    monkeypatch.setattr(decoder, "_slow_batch", counted)
    serialized = [example(USUAL)] * 1000
    assert decoder.decode(serialized).equals(ExamplesToRecordBatchDecoder().DecodeBatch(serialized))
    assert sizes == [250]  # each fourth, since there may be 256


def test_successive_batches_of_the_same_columns_are_joined() -> None:
    one, two = {"a": [b"x"]}, {"a": [b"x"], "count": [3]}
    decode = ExamplesToRecordBatchDecoder().DecodeBatch
    sizes: list[tuple[Row, int]] = [(one, 2), (one, 3), (one, 1), (two, 9), ({}, 1), ({}, 1)]
    batches = [decode([example(row)] * number) for row, number in sizes]
    joined = list(_joined(batches, 5 * batches[0].nbytes // 2))
    assert [(batch.num_rows, batch.num_columns) for batch in joined] == [(5, 1), (1, 1), (9, 2), (1, 0), (1, 0)]
    assert joined[0].equals(decode([example(one)] * 5))


@pytest.mark.parametrize(
    "records",
    [
        [example(USUAL), b"\x0a\xffno example"],
        [example(USUAL), example({**USUAL, "price": [b"2"]})],
        [example({"price": [b"2"]})],
    ],
    ids=["no example", "another type in a batch", "another type in another batch"],
)
def test_what_is_no_column_is_an_error_with_the_file(records: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "examples.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in [example(USUAL)] * 2 + records:
            writer.write(record)
    with pytest.raises(
        InputError, match=r"examples must be tf\.Examples, and a feature of one type in all: .+examples\.gz"
    ):
        computed([path], tmp_path / "states", batch_size=2)


def test_a_damaged_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "examples.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        writer.write(example(USUAL))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match=r"examples\.gz"):
        computed([path], tmp_path / "states")
