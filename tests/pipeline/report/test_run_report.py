"""The report of a run: one shape however the run ended."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import Finding
from pipeline.registry.progressive import ProgressiveValidation
from pipeline.report.run_report import RunReport, read_report
from tests.pipeline.report.run_results import run_result
from transform.errors import InputError

SKIPPED = RunReport.skipped(3, "row_gate", "too few rows")


def test_every_report_has_all_keys() -> None:
    reports = [run_result(), SKIPPED, RunReport.failed(3, "trainer", "x")]
    plain = [json.loads(report.to_json()) for report in reports]
    assert len({tuple(report) for report in plain}) == 1
    assert [(report["span"], report["counts"]["span"]) for report in plain] == [(1, 1), (3, 3), (3, 3)]


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    measured = EvaluationResult(20, {"auc": 0.7}, {"auc": 0.69}, {"auc": Estimate(0.01, 0.02)}, num_positives=3)
    finding = Finding("quality", "evaluation.thresholds.auc.min", "refuse", "auc", 0.7, 0.8, 20, "auc is low")
    result = run_result(
        status="refused",
        version=None,
        baseline={"auc": 0.69},
        changes={"auc": (-0.0292, 0.0492)},
        slices={"country = US": measured},
        progress=ProgressiveValidation(3, 2, "models/7", measured),
        findings=(finding,),
        data_findings=(finding,),
        refusals=("auc is low",),
        places={"model": "models/8"},
    )
    for report in (result, SKIPPED):
        (tmp_path / "a.json").write_text(report.to_json())
        read = read_report(tmp_path / "a.json")
        assert {field: getattr(read, field) for field in RunReport.__dataclass_fields__} == {
            field: getattr(report, field) for field in RunReport.__dataclass_fields__
        }


def test_an_undefined_metric_is_null(tmp_path: Path) -> None:
    """As a slice without a positive has no AUC; NaN is not JSON."""
    slices = {"country = US": EvaluationResult(20, {"auc": math.nan}, {}, {})}
    text = run_result(metrics={"auc": math.nan}, slices=slices).to_json()
    plain = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (plain["metrics"], plain["slices"]["country = US"]["metrics"]) == ({"auc": None}, {"auc": None})
    (tmp_path / "a.json").write_text(text)
    read = read_report(tmp_path / "a.json")
    assert math.isnan(read.metrics["auc"])
    assert math.isnan(read.slices["country = US"].metrics["auc"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (run_result().to_json()[:-50], r"must be JSON\. Received: EOF while parsing"),
        (run_result().to_json().replace('"span": 1,', "", 1), r"must have the key `span`\. Received: none"),
        (SKIPPED.to_json().replace("3,", '"3",', 1), r"must follow its schema: `span`: .*\. Received: '3'"),
        ("{}", r"must have `schema_version` 1\. Received: none"),
        (
            SKIPPED.to_json().replace('"skipped"', '"ended"'),
            r"must follow its schema: `status`: .*\. Received: 'ended'",
        ),
        (
            SKIPPED.to_json().replace('version": 1', 'version": 2'),
            r"must have `schema_version` 1\. Received: 2",
        ),
    ],
)
def test_a_damaged_report_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(InputError, match=rf"^a run's report {message}.* \({file}\)$"):
        read_report(file)
