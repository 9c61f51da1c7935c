"""Iterating over the records of a dataset."""

from __future__ import annotations

import pytest
import tensorflow as tf

from transform.files.record_datasets import iterate_records


@pytest.mark.parametrize("number", [0, 1, 1024, 2500])
def test_all_records_come_in_their_order(number: int) -> None:
    records = [f"record {i}".encode() for i in range(number)]
    dataset = tf.data.Dataset.from_tensor_slices(tf.constant(records, tf.string))
    assert list(iterate_records(dataset)) == records
