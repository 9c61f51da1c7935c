"""Records of a dataset, and the rows of a table's snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from transform.errors import InputError
from transform.example_keys import TABLE_KEY
from transform.files.records import iterate_records, table_rows


@pytest.mark.parametrize("number", [0, 1, 1024, 2500])
def test_all_records_come_in_their_order(number: int) -> None:
    records = [f"record {i}".encode() for i in range(number)]
    dataset = tf.data.Dataset.from_tensor_slices(tf.constant(records, tf.string))
    assert list(iterate_records(dataset)) == records


def test_the_rows_of_all_files_are_read_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "[eu]" / "apps"
    folder.mkdir(parents=True)
    for app in (b"b", b"a"):
        example = tf.train.Example()
        example.features.feature[TABLE_KEY].bytes_list.value.append(app)
        example.features.feature["price"].float_list.value.append(2.5)
        with tf.io.TFRecordWriter(str(folder / f"{app.decode()}.gz"), "GZIP") as writer:
            writer.write(example.SerializeToString())
    rows = list(table_rows(str(folder)))
    assert [key for key, _ in rows] == [b"a", b"b"]
    assert [dict(row.features.feature)["price"].float_list.value[:] for _, row in rows] == [[2.5]] * 2
    assert [list(row.features.feature) for _, row in rows] == [["price"]] * 2


def test_a_file_without_a_byte_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.gz").touch()
    with pytest.raises(InputError, match=r"must have bytes. Received: none in .*/data\.gz$"):
        next(table_rows(str(tmp_path)))


def test_a_table_without_a_folder_has_no_rows(tmp_path: Path) -> None:
    assert list(table_rows(str(tmp_path / "apps"))) == []
