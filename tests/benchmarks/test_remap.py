"""The benchmark of large tables in a short form: its own checks of rows and scores hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.remap import measure, read_tokens


def test_tokens_differ() -> None:
    tokens = read_tokens(np.arange(5_000))
    assert (tokens.shape, tokens[0].tobytes()) == ((5_000, 17), b"u0000000000000000")
    assert len({token.tobytes() for token in tokens}) == 5_000


@pytest.mark.slow
def test_the_rows_and_the_scores_are_as_they_must_be(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    list(measure(tmp_path, 3_000, 8, "adam", ["remap", "export", "trainer"]))  # a part that finds an error exits
    printed = capfd.readouterr().out
    assert printed.count("rows are as they must be") == 1
    assert "scores of the SavedModel are the model's" in printed
