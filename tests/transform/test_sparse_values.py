"""Dropping values from SparseTensors."""

from __future__ import annotations

import random

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from transform.sparse_values import from_dense, with_values

ROWS = st.lists(st.lists(st.sampled_from("abc-"), max_size=4), max_size=5)


def rows_of(sparse: tf.SparseTensor) -> list[list[str]]:
    """The values of each row; the columns must be 0, 1, 2 … in each."""
    found: list[list[str]] = [[] for _ in range(int(sparse.dense_shape[0]))]
    for (row, column), value in zip(sparse.indices.numpy().tolist(), sparse.values.numpy(), strict=True):
        assert column == len(found[row])
        found[row].append(value.decode())
    assert all(len(row) <= int(sparse.dense_shape[1]) for row in found)
    return found


def sparse_of(rows: list[list[str]]) -> tf.SparseTensor:
    return tf.ragged.constant(rows, tf.string, ragged_rank=1).to_sparse()


def test_the_values_that_are_kept_start_at_the_first_column() -> None:
    raw = sparse_of([["a", "-", "b"], ["-"], [], ["-", "c"]])
    kept = with_values(raw, tf.strings.upper(raw.values), raw.values != "-")
    assert rows_of(kept) == [["A", "B"], [], [], ["C"]]


def test_a_batch_without_rows_and_one_without_values() -> None:
    batches: list[list[list[str]]] = [[], [[]], [["-"], ["-"]]]
    for rows in batches:
        raw = sparse_of(rows)
        assert rows_of(with_values(raw, raw.values, raw.values != "-")) == [[] for _ in rows]


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_any_rows_are_as_in_plain_python(rows: list[list[str]]) -> None:
    raw = sparse_of(rows)
    expected = [[value for value in row if value != "-"] for row in rows]
    assert rows_of(with_values(raw, raw.values, raw.values != "-")) == expected


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_a_dense_tensor_loses_its_padding_wherever_it_is(rows: list[list[str]]) -> None:
    width = max(map(len, rows), default=0)
    padded = [random.sample(row + [""] * (width - len(row)), width) for row in rows]
    dense = tf.reshape(tf.constant([value for row in padded for value in row], tf.string), [len(rows), width])
    assert rows_of(from_dense(dense, dense != "")) == [[value for value in row if value] for row in padded]
