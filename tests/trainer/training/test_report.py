"""A training report of release 0.1 is read; `test_run_fn.py` reads those that a training writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.earlier_documents import text_of
from trainer.evaluation import Metrics
from trainer.training.report import TRAINING_REPORT_FILE, TrainingReport, read_training_report
from trainer.warm_start.warm_start import TableReport
from transform.errors import InputError


def test_the_report_of_an_earlier_release_is_read() -> None:
    report = TrainingReport.from_json(text_of("training_report"), "here")
    assert (report.schema_version, report.num_steps, report.num_withheld_examples) == (1, 82, 10)
    assert report.validation == Metrics(654, 0.6422915526363803, 0.2455018518194763)
    assert [epoch.loss for epoch in report.epochs] == [0.23657269915130652, 0.23345459904811836]
    assert report.warm_start.tables["wide/app_id"] == TableReport(103, 1, 0, 0.03541551924443258)
    assert report.warm_start.dense[0] == "bias"


def test_it_comes_back_as_it_was_written() -> None:
    report = TrainingReport.from_json(text_of("training_report"), "here")
    assert TrainingReport.from_json(report.to_json(), "here") == report
    assert json.loads(report.to_json()) == {
        **json.loads(text_of("training_report")),
        "schema_version": 1,
        "num_held_out_examples": 0,
    }


def test_a_missing_or_damaged_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a trained model must have a training report\. Received: no file "):
        read_training_report(str(tmp_path))
    file = tmp_path / TRAINING_REPORT_FILE
    file.write_text(text_of("training_report")[:-100])
    with pytest.raises(InputError, match=rf"^a training report must be JSON\. Received: .*{file}"):
        read_training_report(str(tmp_path))
