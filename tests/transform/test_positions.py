"""Buckets of positions, and their names."""

from __future__ import annotations

import numpy as np

from transform.positions import bucket_names, buckets_of


def test_a_bucket_has_its_lowest_value_and_not_its_upper_boundary() -> None:
    found = buckets_of(np.array([0.0, 1.0, 1.999, 2.0, 2.5, 3.0, 9.0, 10.0, 1e9, np.nan]), [2, 3, 10])
    assert found.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_a_boundary_is_compared_as_a_32_bit_number() -> None:
    assert buckets_of(np.array([np.float32(0.1)], np.float64), [0.1]).tolist() == [1]
    assert buckets_of(np.array([0.1]), [0.1]).tolist() == [1]


def test_a_bucket_of_one_whole_number_is_named_by_it() -> None:
    assert bucket_names([2, 3, 10]) == ["below 2", "2", "3 to 10", "10 or more"]
    assert bucket_names([1.5, 2.5]) == ["below 1.5", "1.5 to 2.5", "2.5 or more"]
    assert bucket_names([4]) == ["below 4", "4 or more"]
