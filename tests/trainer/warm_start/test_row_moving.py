"""Old rows in a variable, with blocks of one row, of two, and of all."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.warm_start import array_files
from trainer.warm_start.array_files import InMemory
from trainer.warm_start.row_matching import RowMatch, copied_rows, no_rows
from trainer.warm_start.row_moving import NewColumns, fill_rows, mean_row, move_rows

#: Row i is [10 i, 10 i + 1].
OLD = (10 * np.arange(5)[:, None] + np.arange(2)).astype(np.float32)

pytestmark = pytest.mark.parametrize("block_rows", [1, 2, 5])


@pytest.fixture(autouse=True)
def _blocks(block_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "_BLOCK_BYTES", block_rows * OLD.itemsize * 2)


def moved(values: np.ndarray, old: np.ndarray, match: RowMatch, new_columns: NewColumns = "zero") -> object:
    variable = tf.Variable(values.astype(np.float32))
    move_rows(variable, InMemory(old.astype(np.float32)), match, new_columns)
    return variable.numpy().tolist()


def test_rows_are_copied_wherever_they_were() -> None:
    match = copied_rows(np.array([3, 0, 2]), np.array([1, 4, 1]))  # the old row 1 twice
    assert moved(np.full((4, 2), -1), OLD, match) == [[40, 41], [-1, -1], [10, 11], [10, 11]]


def test_no_row_is_copied_if_none_matches() -> None:
    assert moved(np.full((2, 2), -1), OLD, no_rows("")) == [[-1, -1], [-1, -1]]
    assert moved(np.full((2, 2), -1), OLD[:0], no_rows("")) == [[-1, -1], [-1, -1]]


def test_groups_start_from_their_mean() -> None:
    """The old rows 0 and 2 have the mean [10, 11], 1 and 4 [25, 26]."""
    nothing = np.zeros(0, np.int64)
    match = RowMatch(nothing, nothing, np.array([[0, 2], [1, 4]]), np.array([[0, 2], [1, 3]]))
    expected = [[10, 11], [25, 26], [10, 11], [25, 26], [-1, -1]]
    assert moved(np.full((5, 2), -1), OLD, match) == expected
    assert moved(np.full(5, -1), OLD[:, 0], match) == [row[0] for row in expected]


def test_new_columns_are_zero_or_the_row_s_mean() -> None:
    match = copied_rows(np.array([0, 1]), np.array([3, 0]))
    assert moved(np.full((3, 3), -1), OLD, match) == [[30, 31, 0], [0, 1, 0], [-1, -1, -1]]
    assert moved(np.full((3, 4), -1), OLD, match, "mean") == [[30, 31, 30.5, 30.5], [0, 1, 0.5, 0.5], [-1, -1, -1, -1]]
    assert moved(np.full((2, 1), -1), OLD, match, "mean") == [[30], [0]]


def test_rows_are_filled_with_the_mean_of_others() -> None:
    variable = tf.Variable(OLD)
    mean = mean_row(variable, np.array([0, 3, 4]))
    assert mean.tolist() == [pytest.approx(70 / 3), pytest.approx(73 / 3)]
    fill_rows(variable, np.array([1, 4, 2]), np.array([5, 6], np.float32))
    assert variable.numpy().tolist() == [[0, 1], [5, 6], [5, 6], [30, 31], [5, 6]]


def test_a_scalar_is_a_row() -> None:
    assert moved(np.array(-1), np.array(7), copied_rows(np.arange(1), np.arange(1))) == 7
    assert moved(np.array(-1), np.array(7), no_rows("")) == -1
