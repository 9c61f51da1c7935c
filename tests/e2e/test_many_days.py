"""The campaign of many days, in its short form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.many_days import problems, run_day

pytestmark = pytest.mark.slow

KEEP_RUNS = 2


def test_four_days_each_from_the_one_before_and_cleaned_up_after(tmp_path: Path) -> None:
    days = [run_day(tmp_path, span, KEEP_RUNS) for span in range(1, 5)]
    assert problems(days, KEEP_RUNS) == []
    # Examples of the days that a version was made from stay, and the window is of two days.
    examples = tmp_path / "workspace" / "artifacts" / "example_gen" / "examples"
    assert len(list(examples.iterdir())) == 4
    evaluations = tmp_path / "workspace" / "artifacts" / "evaluator" / "evaluation"
    assert len(list(evaluations.iterdir())) == KEEP_RUNS
