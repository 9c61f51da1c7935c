"""Reads real Parquet and TFRecord files, intact and damaged."""

from __future__ import annotations

import datetime
import errno
import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.ingestion.formats.parquet import parquet_batches
from components.ingestion.formats.raw_rows import MAX_KEPT_CHARACTERS, RawRow
from components.ingestion.formats.readers import read_header
from tests.components.ingestion.raw_rows import read_rows
from transform.config.settings import Ingestion
from transform.errors import InputError, UnreadableError


def read(path: Path, file_format: str, columns: list[str], limit: int = 1_000_000) -> list[RawRow]:
    return list(read_rows(str(path), file_format, columns, Ingestion(max_row_bytes=limit)))


def example(**values: Any) -> bytes:
    result = tf.train.Example()
    for name, value in values.items():
        feature = result.features.feature[name]
        for item in value:
            if isinstance(item, bytes):
                feature.bytes_list.value.append(item)
            elif isinstance(item, int):
                feature.int64_list.value.append(item)
            else:
                feature.float_list.value.append(item)
    return bytes(result.SerializeToString())


def write_tfrecord(path: Path, records: list[bytes]) -> Path:
    with tf.io.TFRecordWriter(str(path), "GZIP" if path.suffix == ".gz" else "") as writer:
        for record in records:
            writer.write(record)
    return path


def test_parquet_columns_of_every_type(tmp_path: Path) -> None:
    moment = datetime.datetime(2023, 11, 14, 22, 13, 20, 250_000)
    invalid = pa.array([b"ok", b"caf\xe9", None], pa.binary())
    nested = pa.array([[b"x", b"\xff"], None, []], pa.list_(pa.binary()))
    table = pa.table(
        {
            "text": pa.array(["a", None, "été"]),
            "large": pa.array(["a", None, "été"], pa.large_string()),
            "coded": pa.array(["a", None, "a"]).dictionary_encode(),
            "invalid": invalid.view(pa.string()),
            "lists": _as_strings(nested),
            "coded_lists": pa.array([["a"], [], None], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
            "large_lists": pa.array([["a", None], [], None], pa.large_list(pa.large_string())),
            "number": pa.array([1.5, None, float("nan")]),
            "count": pa.array([1, 2, None]),
            "flag": pa.array([True, False, None]),
            "day": pa.array([datetime.date(2023, 11, 14), None, None]),
            **{
                f"time_{unit}": pa.array([moment.replace(microsecond=0) if unit == "s" else moment, None, None]).cast(
                    pa.timestamp(unit)
                )
                for unit in ("s", "ms", "us", "ns")
            },
            "time_zone": pa.array([moment, None, None], pa.timestamp("ns", "Europe/Zurich")),
            "finest": pa.array([1_700_000_000_123_456_789, None, None]).cast(pa.timestamp("ns")),
            "far": pa.array([2**62, None, None]).cast(pa.timestamp("us")),
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    rows = read(path, "parquet", table.column_names)
    assert [r.number for r in rows] == [1, 2, 3]
    first, second, third = (dict(r.values or {}) for r in rows)
    seconds = 1_700_000_000
    assert first.pop("finest") == pytest.approx(seconds + 0.123456789, abs=1e-6)
    assert first == {
        **dict.fromkeys(("text", "large", "coded"), b"a"),
        "invalid": b"ok",
        "lists": [b"x", b"\xff"],
        "coded_lists": [b"a"],
        "large_lists": [b"a", None],
        "number": 1.5,
        "count": 1,
        "flag": True,
        "day": datetime.date(2023, 11, 14),
        "time_s": seconds,
        **dict.fromkeys(("time_ms", "time_us", "time_ns", "time_zone"), seconds + 0.25),
        "far": 2.0**62 / 1e6,
    }
    assert (second["text"], second["invalid"], second["lists"], second["number"]) == (None, b"caf\xe9", None, None)
    assert (third["text"], third["lists"], third["coded_lists"]) == ("été".encode(), [], None)


def _as_strings(lists: pa.ListArray) -> pa.ListArray:
    """Returns the same bytes with the type string, like those of a writer that does not validate UTF-8."""
    values = lists.values.view(pa.string())
    return pa.ListArray.from_arrays(lists.offsets, values, mask=lists.is_null())


def test_parquet_batches_join_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.ingestion.formats.parquet.PARQUET_BATCH_ROWS", 3)
    lists = [[str(i)] * (i % 3) for i in range(10)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [str(i) for i in range(10)], "b": lists}), path, row_group_size=7)
    assert read(path, "parquet", ["b", "a"]) == [
        RawRow(i + 1, {"b": [str(i).encode()] * (i % 3), "a": str(i).encode()}) for i in range(10)
    ]
    assert read_header(str(path), "parquet") == ["a", "b"]


def test_a_parquet_file_that_is_cut_off_or_lacks_a_column_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(InputError, match=r"the columns \['b'\] are missing\. Received: \['a'\]"):
        read(path, "parquet", ["a", "b"])
    path.write_bytes(path.read_bytes()[:-10])
    for action in (lambda: read(path, "parquet", ["a"]), lambda: read_header(str(path), "parquet")):
        with pytest.raises(InputError, match="the file is damaged or cut off after row 0"):
            action()


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_a_parquet_file_with_a_changed_byte_is_told(tmp_path: Path, compression: str) -> None:
    """pyarrow raises most of these errors as OSError."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": ["abc", "def"] * 9}), path, compression=compression)
    whole = path.read_bytes()
    num_told = 0
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read(path, "parquet", ["a"])
        except InputError as error:
            num_told += "the file is damaged or cut off after row 0" in str(error)
    assert num_told > len(whole) / 7 / 2


class FailingFile(io.FileIO):
    """A file whose disk goes away after its first byte was read."""

    def read(self, size: int | None = -1, /) -> Any:
        if size != 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


def test_an_error_of_a_parquet_file_s_disk_is_no_error_of_the_data(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    monkeypatch.setattr("components.ingestion.formats.parquet.open_file", FailingFile)
    for action in (lambda: read(path, "parquet", ["a"]), lambda: read_header(str(path), "parquet")):
        with pytest.raises(UnreadableError, match=r"the file cannot be read now: Input/output error; .*a.parquet"):
            action()


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
def test_tfrecord_rows(tmp_path: Path, name: str) -> None:
    records = [
        example(a=[b"x"], b=[b"y", b"z"], c=[1], d=[0.5], unused=[b"u"]),
        b"not an example",
        example(a=[b"\xff"], b=[]),
        example(a=[b"x" * 2000]),
    ]
    rows = read(write_tfrecord(tmp_path / name, records), "tfrecord", list("abcd"), limit=1000)
    assert rows[0] == RawRow(1, {"a": (b"x",), "b": (b"y", b"z"), "c": (1,), "d": (0.5,)})
    assert (rows[1].number, rows[1].values, rows[1].reason) == (2, None, "undecodable")
    assert rows[1].text == "b'not an example'"
    assert rows[2] == RawRow(3, {"a": (b"\xff",), "b": None, "c": None, "d": None})
    assert (rows[3].number, rows[3].values, rows[3].reason) == (4, None, "too_long")
    assert len(rows) == 4


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
def test_a_tfrecord_file_that_is_cut_off_is_told(tmp_path: Path, name: str) -> None:
    path = write_tfrecord(tmp_path / name, [example(a=[b"abc"]), example(a=[b"def"])])
    whole = path.read_bytes()
    record = len(example(a=[b"abc"])) + 16  # length and two checksums
    # An uncompressed file cut between two records does not show that anything is missing.
    ends = () if name.endswith(".gz") else (record,)
    for length in range(1, len(whole)):
        if length not in ends:
            path.write_bytes(whole[:length])
            with pytest.raises(InputError):
                read(path, "tfrecord", ["a"])


def test_a_tfrecord_file_with_a_changed_byte_is_told(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "a.tfrecord", [example(a=[b"abc"]), example(a=[b"def"])])
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(InputError, match=r"the file is damaged or cut off after row [01];"):
            read(path, "tfrecord", ["a"])


def test_a_tfrecord_of_ten_megabytes_is_one_row_that_is_too_long(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "a.tfrecord", [example(a=[b"x" * 10_000_000]), example(a=[b"y"])])
    first, second = read(path, "tfrecord", ["a"])
    assert (first.number, first.values, first.reason) == (1, None, "too_long")
    assert len(first.text) < 4 * MAX_KEPT_CHARACTERS + 10
    assert second == RawRow(2, {"a": (b"y",)})


def test_long_rows_of_parquet_are_read_in_batches_of_fewer_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row has 8 bytes of `number` and 4 + 100 of `items.text`, and in the second row group 4 + 50."""
    texts = [[{"text": f"{number:0{100 if number < 500 else 50}}"}] for number in range(1_000)]
    table = pa.table({"number": range(1_000), "items": texts})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=500, use_dictionary=False, write_statistics=False)
    whole = [row.values for row in read(path, "parquet", ["number"])]
    monkeypatch.setattr("components.ingestion.formats.parquet.PARQUET_BATCH_BYTES", 1_100)

    def lengths(*columns: str) -> set[int]:
        return {len(batch) for batch in parquet_batches(str(path), columns)}

    assert lengths("number") == {136, 1_000 % 136}  # 8 bytes, and the 0.06 of a page's head
    assert lengths("number", "items") == {9, 1_000 % 9}
    assert [row.values for row in read(path, "parquet", ["number"])] == whole
