"""TFRecord files are those that TensorFlow writes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import tensorflow as tf

from components.ingestion.records import framed

RECORDS = pa.array([b"", b"a", b"b" * 1000, b"\x00\xff", b"a", b"c" * 300_000], pa.large_binary())


@pytest.mark.parametrize("records", [RECORDS, RECORDS[2:5], RECORDS[:1], RECORDS[:0]], ids=len)
def test_framed_records_are_the_bytes_that_tensorflow_writes(tmp_path: Path, records: pa.Array) -> None:
    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records.to_pylist():
            writer.write(record)
    assert framed(records) == path.read_bytes()
