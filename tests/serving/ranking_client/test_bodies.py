"""Tests of the HTTP service's bodies: a body of millions of mistakes must not make as many errors."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from serving.rank_service.bodies import RankRequest

#: As many as a body of 4 MB has, at a few bytes each.
NUMBER = 100_000

#: The most features of an object, and the most errors of a feature: one or two for each type that it may have.
MAX_FEATURES, ERRORS_OF_A_FEATURE = 1_000, 10


def num_errors(body: dict[str, Any]) -> int:
    with pytest.raises(ValidationError) as refused:
        RankRequest.model_validate({"context": {}, "candidates": ["a"], **body})
    return refused.value.error_count()


@pytest.mark.parametrize(
    ("body", "most"),
    [
        pytest.param({"candidates": [0] * NUMBER}, 2, id="candidates, each neither a text nor an object"),
        pytest.param({"candidates": [{}] * NUMBER}, 2, id="candidates without an id"),
        pytest.param({"candidates": ["a"] * (NUMBER + 1)}, 1, id="too many candidates"),
        pytest.param({f"x{i}": 0 for i in range(NUMBER)}, 1, id="unknown keys"),
        pytest.param({"context": {f"x{i}": True for i in range(NUMBER)}}, 1, id="too many features"),
        pytest.param({"context": {"x": [True] * 10_000}}, ERRORS_OF_A_FEATURE, id="wrong values"),
        pytest.param(
            {"context": {f"x{i}": [True] * 100 for i in range(MAX_FEATURES)}},
            MAX_FEATURES * ERRORS_OF_A_FEATURE,
            id="wrong values of each feature",
        ),
        pytest.param(
            {"candidates": [{"id": "a", "features": dict.fromkeys(map(str, range(MAX_FEATURES)), True)}] * 100},
            MAX_FEATURES * ERRORS_OF_A_FEATURE,
            id="wrong features of each candidate",
        ),
        pytest.param(
            {"candidates": [{"id": "a", **dict.fromkeys(map(str, range(NUMBER)), 0)}]}, 2, id="a candidate's keys"
        ),
    ],
)
def test_the_number_of_errors_is_bounded(body: dict[str, Any], most: int) -> None:
    assert 1 <= num_errors(body) <= most


def test_a_body_at_its_bounds_is_valid() -> None:
    features = dict.fromkeys(map(str, range(MAX_FEATURES)), 1.0)
    body = RankRequest.model_validate({"context": features, "candidates": ["a"] * NUMBER})
    assert (len(body.context), len(body.candidates)) == (MAX_FEATURES, NUMBER)
