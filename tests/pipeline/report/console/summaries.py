"""The lines of a summary."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

from rich.console import Console

from pipeline.report.console.summary import summary
from pipeline.report.run_report import RunResult
from tests.pipeline.report.run_results import TRAINING, run_result
from trainer.training.report import TrainingReport


def trained(**changes: Any) -> TrainingReport:
    return dataclasses.replace(TRAINING, **changes)


def lines_of(training: TrainingReport, **more: Any) -> list[str]:
    """Returns the lines, with single spaces, of the summary of a run; `more` are fields of its result."""
    return lines_of_outcome(run_result(training=training, **more))


def lines_of_outcome(found: RunResult) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    console.print(summary(found))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return [" ".join(line.split()) for line in text.splitlines()]
