"""The report of a run: one shape however the run ended; the reports of release 0.1 are read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import Finding
from pipeline.registry.progressive import ProgressiveValidation
from pipeline.report.run_report import RunReport, read_report
from tests.earlier_documents import text_of, with_keys_of
from tests.pipeline.report.run_results import run_result
from transform.errors import InputError

SKIPPED = RunReport.skipped(3, "row_gate", "too few rows")


def earlier(name: str) -> RunReport:
    return RunReport.from_json(text_of(name), "here")


def without_versions(value: Any) -> Any:
    """A JSON tree without its `schema_version`s."""
    if isinstance(value, dict):
        return {key: without_versions(of_key) for key, of_key in value.items() if key != "schema_version"}
    return [without_versions(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("name", "status", "span", "version"),
    [
        ("report_pushed", "pushed", 1, 1),
        ("report_refused", "refused", 4, None),
        ("report_forced", "pushed", 4, 4),
        ("report_skipped", "skipped", 3, None),
    ],
)
def test_a_report_of_an_earlier_release_is_read(name: str, status: str, span: int, version: int | None) -> None:
    report = earlier(name)
    assert (report.status, report.span, report.version, report.schema_version) == (status, span, version, 1)


@pytest.mark.parametrize("name", ["report_pushed", "report_refused", "report_forced", "report_skipped"])
def test_the_fields_of_an_earlier_release_keep_their_names_and_values(name: str) -> None:
    """So that what reads them goes on working."""
    old, new = json.loads(text_of(name)), json.loads(earlier(name).to_json())
    assert with_keys_of(old, without_versions(new)) == old


def test_the_parts_of_an_earlier_report_have_their_types() -> None:
    report = earlier("report_forced")
    assert report.counts.num_examples == {"eval": 637, "train": 2265}
    assert report.progress is not None
    assert report.progress.measured.changes["auc"] == Estimate(0.0015864848640768647, 0.0552290691041369)
    assert report.training is not None
    assert report.training.validation.auc == 0.5714990138067061
    assert report.infra is not None
    assert report.infra.num_catalog_items == 100
    assert report.forced == "the threshold is a typing error"
    skipped = earlier("report_skipped")
    assert skipped.skipped_by == "row_gate"
    assert skipped.reason.startswith("the eval split must have both labels")


def test_every_report_has_all_keys() -> None:
    """Also those by which release 0.1 looks for a span's report, so that a workspace can go back to it."""
    reports = [run_result(), SKIPPED, RunReport.failed(3, "trainer", "x"), earlier("report_refused")]
    plain = [json.loads(report.to_json()) for report in reports]
    assert len({tuple(report) for report in plain}) == 1
    assert [(report["span"], report["counts"]["span"]) for report in plain] == [(1, 1), (3, 3), (3, 3), (4, 4)]


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


def test_an_undefined_metric_is_null() -> None:
    """As a slice without a positive has no AUC; NaN is not JSON."""
    slices = {"country = US": EvaluationResult(20, {"auc": math.nan}, {}, {})}
    text = run_result(metrics={"auc": math.nan}, slices=slices).to_json()
    plain = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (plain["metrics"], plain["slices"]["country = US"]["metrics"]) == ({"auc": None}, {"auc": None})
    read = RunReport.from_json(text, "here")
    assert math.isnan(read.metrics["auc"])
    assert math.isnan(read.slices["country = US"].metrics["auc"])


def test_an_undefined_metric_of_an_earlier_release_is_read() -> None:
    """Release 0.1 wrote `NaN` for it, which Python's reader takes for a number."""
    text = text_of("report_pushed").replace('"auc": 0.4189080150618612', '"auc": NaN')
    assert math.isnan(RunReport.from_json(text, "here").metrics["auc"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (text_of("report_pushed")[:-50], r"must be JSON\. Received: EOF while parsing"),
        (text_of("report_pushed").replace('"span": 1,', ""), r"must follow its schema: `span`: .*\. Received: None"),
        (text_of("report_skipped").replace("3,", '"3",', 1), r"must follow its schema: `span`: .*\. Received: '3'"),
        ("{}", r"must follow its schema: `span`: .*\. Received: None"),
        (
            SKIPPED.to_json().replace('"skipped"', '"ended"'),
            r"must follow its schema: `status`: .*\. Received: 'ended'",
        ),
        (
            SKIPPED.to_json().replace('version": 1', 'version": 2'),
            r"must have `schema_version` 1, or none, .*\. Received: 2",
        ),
    ],
)
def test_a_damaged_report_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(InputError, match=rf"^a run's report {message}.* \({file}\)$"):
        read_report(file)
