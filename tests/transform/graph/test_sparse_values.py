"""Dropping values from SparseTensors."""

from __future__ import annotations

import random

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from transform.graph.sparse_values import from_dense, with_values

ROWS = st.lists(st.lists(st.sampled_from("abc-"), max_size=4), max_size=5)


def rows_of(sparse: tf.SparseTensor, shape: tf.Tensor) -> list[list[str]]:
    """The values of each row of a SparseTensor of a shape; the columns must be 0, 1, 2 … in each."""
    assert sparse.dense_shape.numpy().tolist() == shape.numpy().tolist()
    found: list[list[str]] = [[] for _ in range(int(shape[0]))]
    for (row, column), value in zip(sparse.indices.numpy().tolist(), sparse.values.numpy(), strict=True):
        assert column == len(found[row])
        found[row].append(value.decode())
    return found


def sparse_of(rows: list[list[str]]) -> tf.SparseTensor:
    return tf.ragged.constant(rows, tf.string, ragged_rank=1).to_sparse()


def test_the_values_that_are_kept_start_at_the_first_column() -> None:
    raw = sparse_of([["a", "-", "b"], ["-"], [], ["-", "c"]])
    kept = with_values(raw, tf.strings.upper(raw.values), raw.values != "-")
    assert rows_of(kept, raw.dense_shape) == [["A", "B"], [], [], ["C"]]


def test_a_batch_without_rows_and_one_without_values() -> None:
    batches: list[list[list[str]]] = [[], [[]], [["-"], ["-"]]]
    for rows in batches:
        raw = sparse_of(rows)
        assert rows_of(with_values(raw, raw.values, raw.values != "-"), raw.dense_shape) == [[] for _ in rows]


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_any_rows_are_as_in_plain_python(rows: list[list[str]]) -> None:
    raw = sparse_of(rows)
    expected = [[value for value in row if value != "-"] for row in rows]
    assert rows_of(with_values(raw, raw.values, raw.values != "-"), raw.dense_shape) == expected


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_a_dense_tensor_loses_its_padding_wherever_it_is(rows: list[list[str]]) -> None:
    width = max(map(len, rows), default=0)
    padded = [random.sample(row + [""] * (width - len(row)), width) for row in rows]
    dense = tf.reshape(tf.constant([value for row in padded for value in row], tf.string), [len(rows), width])
    kept = from_dense(dense, dense != "")
    assert rows_of(kept, tf.shape(dense)) == [[value for value in row if value] for row in padded]
