"""The comparison of expected and received scores."""

from __future__ import annotations

import numpy as np
import pytest

from components.infra_validation.skew import compare_rows, compare_sorted
from tests.components.saved_models import example

ROWS = [example(x) for x in (1.0, 2.0, 3.0)]


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_scores_that_agree_are_no_problem() -> None:
    comparison = compare_rows(ROWS, scores(0.1, 0.2, 0.3), scores(0.1, 0.200009, 0.3))
    assert (comparison.num_rows, comparison.num_different, comparison.problem) == (3, 0, "")
    assert comparison.largest_difference == pytest.approx(9e-6, abs=1e-7)


def test_the_row_that_differs_most_is_shown() -> None:
    comparison = compare_rows(ROWS, scores(0.1, 0.2, 0.3), scores(0.15, 0.7, 0.3))
    assert comparison.problem == (
        "the exported model must score logged rows as the trainer does, to 1e-05. Received: 2 of 3 differ, by up to "
        "0.5; such as 0.700000 in place of 0.200000 for x [2.0]"
    )


def test_a_score_that_is_not_finite_differs() -> None:
    comparison = compare_rows(ROWS, scores(0.1, 0.2, 0.3), scores(0.1, 0.2, np.nan))
    assert (comparison.num_different, comparison.largest_difference) == (1, 1.0)
    assert "nan in place of 0.300000 for x [3.0]" in comparison.problem
    assert compare_sorted(scores(0.1, 0.2), scores(np.nan, 0.1)).num_different == 1


def test_sorted_scores_need_no_order() -> None:
    assert compare_sorted(scores(0.1, 0.2, 0.3), scores(0.3, 0.1, 0.2)).problem == ""
    assert compare_sorted(scores(), scores()).problem == ""


def test_sorted_scores_that_differ() -> None:
    comparison = compare_sorted(scores(0.1, 0.2, 0.3), scores(0.3, 0.1, 0.25))
    assert comparison.num_different == 1
    assert comparison.problem == (
        "the exported model must score the logged examples as the trainer scored the transformed ones, to 1e-05: its "
        "transform graph or a vocabulary is not the one that made them. Received: 1 of 3 sorted scores differ, by up "
        "to 0.05"
    )


def test_another_number_of_examples_is_told() -> None:
    assert compare_sorted(scores(0.1), scores(0.1, 0.1)).problem == (
        "the trainer must have evaluated on as many examples as were logged. Received: 1 for 2"
    )
