"""The campaign of many days, in its short form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.many_days import problems, run_days

pytestmark = pytest.mark.slow

KEEP_RUNS = 1


def test_two_days_the_second_from_the_first_and_cleaned_up_after(tmp_path: Path) -> None:
    days = run_days(tmp_path, range(1, 3), [], KEEP_RUNS)
    assert problems(days, KEEP_RUNS) == []
    # The examples of a day that a version was made from stay, its evaluation goes.
    examples = tmp_path / "workspace" / "artifacts" / "example_gen" / "examples"
    assert len(list(examples.iterdir())) == 2
    evaluations = tmp_path / "workspace" / "artifacts" / "evaluator" / "evaluation"
    assert len(list(evaluations.iterdir())) == KEEP_RUNS
