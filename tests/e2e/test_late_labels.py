"""Two days with late labels: the second run completes the first day's tail and trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tensorflow as tf

from components.model_store.manifest import read_manifest
from tests.e2e import store
from tests.e2e.bad_store import ok_in_process

pytestmark = pytest.mark.slow


class TwoDays(NamedTuple):
    """The config, the workspace after two days, and the outputs and the reports of both runs."""

    config: Path
    workspace: Path
    outputs: tuple[str, str]
    reports: tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def two_days(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TwoDays:
    folder = tmp_path_factory.mktemp("late")
    config, workspace = store.with_late_labels(folder / "late.yaml"), folder / "workspace"
    outputs, reports = [], []
    for span in (1, 2):
        outputs.append(ok_in_process(*store.run_arguments(data, workspace, span, config)))
        reports.append(store.last_report(workspace))
    return TwoDays(config, workspace, (outputs[0], outputs[1]), (reports[0], reports[1]))


def num_rows(folder: Path, split: str) -> int:
    files = [str(path) for path in folder.glob(f"Split-{split}/*")]
    return sum(1 for _ in tf.data.TFRecordDataset(files, "GZIP"))


def newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: int(path.name))


def test_the_first_day_has_no_tail_to_complete(two_days: TwoDays) -> None:
    report = two_days.reports[0]
    assert report["late"] == dict.fromkeys(report["late"], 0) | {"not_ingested": 1}
    assert (report["spans"], report["late_spans"]) == ([1], [])
    assert "no impression of span 0 is completed: this config and code did not ingest the span" in two_days.outputs[0]


def test_the_second_run_completes_what_the_first_left_out(two_days: TwoDays) -> None:
    first, second = two_days.reports
    late = second["late"]
    assert (late["span"], late["waiting"]) == (1, first["counts"]["unknown_labels"])
    assert late["completed"] == late["waiting"] > 0 == late["still_open"]
    assert late["positives"] >= late["found_late"] > 0
    assert late["rows_read"] > 0
    completed = newest(two_days.workspace / "artifacts" / "late_labels" / "completed")
    assert sum(num_rows(completed, split) for split in ("train", "eval")) == late["completed"]


def test_the_second_model_is_trained_on_the_completed_rows(two_days: TwoDays) -> None:
    first, second = two_days.reports
    assert (second["spans"], second["late_spans"]) == ([2, 1], [1])
    training = second["training"]
    of_first_day = sum(sum(labels.values()) for labels in first["counts"]["labels"].values())
    of_second_day = sum(second["counts"]["labels"]["train"].values())
    expected = of_first_day + of_second_day + second["late"]["completed"]
    assert training["num_examples"] + training["num_withheld_examples"] == expected
    # Evaluation is of the second day's own rows.
    assert second["num_eval_examples"] == sum(second["counts"]["labels"]["eval"].values())
    assert read_manifest(str(two_days.workspace / "serving" / store.NAME / "2")).spans == (1, 2)


def test_the_summary_says_so(two_days: TwoDays) -> None:
    late = two_days.reports[1]["late"]
    (line,) = [line for line in two_days.outputs[1].splitlines() if "that span 1 left out are completed" in line]
    assert f"{late['completed']:,} of {late['waiting']:,} impressions" in line
    assert "trained on those of span 1" in " ".join(two_days.outputs[1].split())
    # A version's provenance has the ingestions, not the completed tail.
    shown = ok_in_process("models", "show", "--workspace", two_days.workspace)
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("span ")] == ["2", "1"]


def test_a_window_of_one_span_has_the_tail_that_it_completed(two_days: TwoDays, data: Path) -> None:
    """This changes the workspace; it is the last test."""
    arguments = store.run_arguments(data, two_days.workspace, 2, two_days.config)
    output = ok_in_process(*arguments, "--rolling-window", "1")
    assert {"example_gen", "late_labels"} <= store.cached(output)
    report = store.last_report(two_days.workspace)
    assert (report["spans"], report["late_spans"]) == ([2], [1])
    training = report["training"]
    expected = sum(report["counts"]["labels"]["train"].values()) + report["late"]["completed"]
    assert training["num_examples"] + training["num_withheld_examples"] == expected
