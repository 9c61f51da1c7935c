"""The benchmark of large tables in a short form: its own checks of rows and scores hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.remap import measure, tokens_of


def test_tokens_differ() -> None:
    tokens = tokens_of(np.arange(5_000))
    assert (tokens.shape, tokens[0].tobytes()) == ((5_000, 17), b"u0000000000000000")
    assert len({token.tobytes() for token in tokens}) == 5_000


@pytest.mark.slow
def test_the_rows_and_the_scores_are_as_they_must_be(tmp_path: Path) -> None:
    costs = dict(measure(tmp_path, 3_000, 8, "adam", ["remap", "export", "trainer"]))
    assert list(costs) == ["remap", "export", "trainer"]
    assert all(cost["memory"] > 0 for cost in costs.values())
