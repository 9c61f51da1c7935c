"""A training report that is missing or damaged is named; `test_run_fn.py` reads those that a training writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.report.run_results import TRAINING
from trainer.training.report import TRAINING_REPORT_FILE, read_training_report
from transform.errors import InputError


def test_a_missing_or_damaged_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a trained model must have a training report\. Received: no file "):
        read_training_report(str(tmp_path))
    file = tmp_path / TRAINING_REPORT_FILE
    file.write_text(TRAINING.to_json())
    assert read_training_report(str(tmp_path)) == TRAINING
    file.write_text(TRAINING.to_json()[:-100])
    with pytest.raises(InputError, match=rf"^a training report must be JSON\. Received: .*{file}"):
        read_training_report(str(tmp_path))
