"""TFRecord files are those that TensorFlow writes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import tensorflow as tf

from components.examples.writing import framed, masked_checksums
from transform.files.tfrecords import masked_checksum

RECORDS = pa.array([b"", b"a", b"b" * 1000, b"\x00\xff", b"a", b"c" * 300_000], pa.large_binary())


@pytest.mark.parametrize("records", [RECORDS, RECORDS[2:5], RECORDS[:1], RECORDS[:0]], ids=len)
def test_framed_records_are_the_bytes_that_tensorflow_writes(tmp_path: Path, records: pa.Array) -> None:
    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records.to_pylist():
            writer.write(record)
    assert framed(records) == path.read_bytes()


@pytest.mark.parametrize(
    "records", [[], [b""], RECORDS.to_pylist(), [b"e" * 255], [bytes([i]) for i in range(256)]], ids=len
)
def test_checksums_of_many_records_are_those_of_each(records: list[bytes]) -> None:
    checksums = masked_checksums(records)
    assert checksums.shape == (len(records), 4)
    assert checksums.tobytes() == b"".join(map(masked_checksum, records))
