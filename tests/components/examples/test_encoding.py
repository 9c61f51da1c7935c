"""Serialized examples, against Protocol Buffers' own deterministic serialization."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.examples import encoding

#: Of one byte and of ten; the largest number of each length of a varint, and the next one.
INTS = [0, 1, -1, 2**63 - 1, -(2**63), *(2**bits + more for bits in range(7, 63, 7) for more in (-1, 0))]


@pytest.mark.parametrize(
    "numbers",
    [INTS * 2000, [*INTS, *range(1000, 3000)]],
    ids=["each distinct number is serialized once", "each row is serialized"],
)
def test_numbers_are_serialized_as_by_protocol_buffers(numbers: list[int]) -> None:
    floats = [float(np.float32(number / 7)) for number in numbers]
    floats[:2] = [float("inf"), -0.0]
    found = encoding.examples(
        [
            encoding.int_entries("age", np.array(numbers)),
            encoding.float_entries("price", pa.array(np.array(floats, np.float32))),
        ]
    )
    for row, number, price in zip(found.to_pylist(), numbers, floats, strict=True):
        example = tf.train.Example()
        example.features.feature["age"].int64_list.value.append(number)
        example.features.feature["price"].float_list.value.append(price)
        assert row == example.SerializeToString(deterministic=True)


@pytest.mark.parametrize("lists", [[[5], [], INTS, [7, 7]], [[], []], [[1] * 200], []])
def test_lists_of_numbers_are_serialized_as_by_protocol_buffers(lists: list[list[int]]) -> None:
    lengths = np.array([len(numbers) for numbers in lists], np.int64)
    flat = np.array([number for numbers in lists for number in numbers], np.int64)
    found = encoding.examples([encoding.int_list_entries("ids", lengths, flat)])
    expected = []
    for numbers in lists:
        example = tf.train.Example()
        example.features.feature["ids"].int64_list.value.extend(numbers)
        example.features.feature["ids"].int64_list.SetInParent()  # an empty list is a list
        expected.append(example.SerializeToString(deterministic=True))
    assert found.to_pylist() == expected
