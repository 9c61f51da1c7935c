"""Means of served orders beside the first version's, with their interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.simulated_loop.figures import figures


def test_the_docstrings_example() -> None:
    """Differences 1 and 3 of one user and -1 of another: the mean is 1, the users' sums of deviations 2 and -2."""
    found = figures([np.array([2.0, 5.0, 0.0])], [np.array([1.0, 2.0, 1.0])], [np.array([7, 7, 9])])
    half = 1.959964 * math.sqrt(8) / 3
    assert [found.served, found.first] == pytest.approx([7 / 3, 4 / 3])
    assert [found.low, found.high] == pytest.approx([1 - half, 1 + half])


def test_users_of_two_stores_are_not_the_same() -> None:
    """The same number in another store is another user: two users with deviations -1 and 1, not one with 0."""
    found = figures([np.array([1.0]), np.array([3.0])], [np.array([0.0]), np.array([0.0])], [np.array([4])] * 2)
    half = 1.959964 * math.sqrt(2) / 2
    assert [found.low, found.high] == pytest.approx([2 - half, 2 + half])


def test_equal_orders_have_no_interval() -> None:
    values, users = np.array([0.5, 0.25]), np.array([1, 2])
    found = figures([values], [values], [users])
    assert [found.low, found.high] == [0, 0]
