"""The largest relative difference between a model's scores and the baseline's."""

from __future__ import annotations

import numpy as np
import pytest

from components.infra_validation.baseline import largest_change


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0.1, 0.2], [0.1, 0.2], 0.0),
        ([0.0, 0.2], [0.0, 0.2], 0.0),
        ([0.1, 0.2], [0.1, 0.16], 0.2),
        ([1e-5, 0.5], [2e-5, 0.5], 1.0),  # small scores count like large ones
    ],
)
def test_the_change_is_relative_to_the_serving_model_s_score(
    before: list[float], after: list[float], expected: float
) -> None:
    found = largest_change(np.array(before, np.float32), np.array(after, np.float32))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_score_that_was_zero_has_changed_more_than_any_bound() -> None:
    assert largest_change(np.zeros(1, np.float32), np.full(1, 1e-9, np.float32)) > 1e6
