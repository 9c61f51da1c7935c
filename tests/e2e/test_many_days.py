"""The short form of the many-days campaign."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.many_days import problems, run_days

pytestmark = pytest.mark.slow

KEEP_RUNS = 1


def test_two_days_the_second_from_the_first_and_cleaned_up_after(tmp_path: Path) -> None:
    days = run_days(tmp_path, range(1, 3), [], KEEP_RUNS)
    assert problems(days, KEEP_RUNS) == []
    # The examples of a day from which a version was made are kept; its evaluation is removed.
    examples = tmp_path / "workspace" / "artifacts" / "example_gen" / "examples"
    assert len(list(examples.iterdir())) == 2
    evaluations = tmp_path / "workspace" / "artifacts" / "evaluator" / "evaluation"
    assert len(list(evaluations.iterdir())) == KEEP_RUNS
