"""The end of a run at the terminal."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

from rich.console import Console

from components.evaluation.metrics.paired import PairedDifference
from components.gate_records import Finding
from components.infra_validation.verdict import Comparison, Latency, Measurements, Verdict
from components.ingestion.counts import Counts
from components.late_labels.counts import LateCounts
from components.quality_gate.inputs import ReferenceResult
from pipeline.report.console.headline import headline
from tests.documented_outputs import shape_of
from tests.pages import FENCE, ROOT, text_of
from tests.pipeline.report.console.summaries import trained
from tests.pipeline.report.run_results import run_result
from trainer.training.position import Epoch, Metrics
from trainer.warm_start.report import NO_FILES, WarmStartReport

_COST = Measurements(
    load_seconds=1.0,
    size_mb=2.0,
    peak_memory_mb=3.0,
    memory_mb=4.0,
    latency=(Latency(200, 1, 6.0, 7.7, 7.84), Latency(50, 4, 8.4, 9.9, 10.5)),
    signature="rank",
)
_METRICS = {"accuracy": 0.9, "auc": 0.75, "calibration": 1.01, "logloss": 0.5, "ndcg@3": 0.6}


def lines(serving: int | None, width: int = 200, **more: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(headline(run_result(**more), serving, 211.6, Path("w/reports/1.json"), "wdr try my.yaml --suggest"))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return [" ".join(line.split()) for line in text.splitlines()]


def verdict(**more: Any) -> Verdict:
    return dataclasses.replace(run_result().infra, **more)


def test_a_push_says_the_verdict_first_and_then_five_numbers() -> None:
    infra = verdict(
        candidate=_COST,
        baseline=dataclasses.replace(_COST, latency=(Latency(200, 1, 5.0, 6.0, 7.5),)),
        row_skew=Comparison(1000, 0, 2e-8, ""),
        eval_skew=Comparison(234, 0, 6e-8, ""),
    )
    found = lines(
        3,
        version=3,
        metrics=_METRICS,
        baseline={"auc": 0.74},
        changes={"auc": (0.001, 0.02)},
        intervals={"auc": (0.72, 0.78), "logloss": (0.4, 0.6), "calibration": (0.9, 1.1)},
        infra=infra,
        held_against="version 2",
        findings=(),
    )
    assert found == [
        "verdict pushed as version 3",
        "serves version 3, this run's",
        "reason all gates passed; held against: version 2",
        "metrics of 20 evaluation examples of span 1 that were kept out of the training; intervals are of 95 %",
        "auc 0.7500, 0.7200 to 0.7800 (baseline 0.7400, change +0.0010 to +0.0200)",
        "logloss 0.5000, 0.4000 to 0.6000 (no baseline)",
        "calibration 1.0100, 0.9000 to 1.1000 (no baseline)",
        "latency p95 7.7 ms for 200 candidates (baseline 6.0 ms)",
        "skew scores differ from the trainer's by at most 6.0e-08 on 1,234 rows",
        "time 212 s",
        "report w/reports/1.json",
    ]


def test_a_refusal_says_what_serves_and_why() -> None:
    found = lines(2, version=None, refusals=("auc is [worse]", "too slow"), held_against="")
    assert found[:3] == [
        "verdict refused: nothing is pushed",
        "serves version 2, as before",
        "reason auc is [worse]; too slow",
    ]
    assert lines(None, version=None, refusals=("x",))[1] == "serves no version"


def test_a_forced_push_says_who_refused() -> None:
    found = lines(1, version=1, forced="a holiday", refusals=("too slow",), held_against="")
    assert found[0] == "verdict pushed as version 1, although it was refused"
    assert found[2] == "reason forced: a holiday; refused: too slow"


def test_a_reference_model_with_as_good_an_auc_is_the_first_line() -> None:
    differences = {"auc": PairedDifference(-0.01, 0.01 / 1.959964)}
    references = {"logistic_regression": ReferenceResult(900, {"auc": 0.71, "logloss": 0.2}, differences)}
    found = lines(1, width=300, references=references, suggestions=("model: {parts: wide}", "scale: log of age"))
    assert found[:4] == [
        "verdict not better than the logistic regression: auc 0.7000 against 0.7100, difference -0.0100 "
        "(95 % interval -0.0200 to +0.0000)",
        "`wdr try my.yaml --suggest` tries what is most likely to help: model: {parts: wide}; scale: log of age",
        "pushed as version 1",
        "serves version 1, this run's",
    ]
    assert not any(line.startswith("warning not better") for line in found)


def test_a_window_that_lacks_spans_is_a_warning() -> None:
    assert "warning the window (ingestion.window_spans) lacks spans 4, 2; the run's log says why" in lines(
        1, spans=(5, 3, 1), missing_spans=(4, 2)
    )
    assert not any("window" in line for line in lines(1, spans=(5, 4)))


def test_rows_long_after_the_end_of_the_logs_are_a_warning() -> None:
    counts = Counts(span=1, read={"impressions": 400, "installs": 20}, after_end={"impressions": 2})
    (warning,) = [line for line in lines(1, counts=counts, width=1000) if line.startswith("warning")]
    assert warning.startswith("warning 2 of 400 rows of `impressions` have a time after the end of the logs by more ")


def test_impressions_that_no_run_trains_on_are_a_warning_once() -> None:
    """With the first model; later ones start warm."""
    counts, sentence = Counts(span=1, unknown_labels=1204), "no run trains on the 1,204 impressions of the span's last "

    def warned(**more: Any) -> bool:
        return any(line.startswith(f"warning {sentence}") for line in lines(1, width=1000, **more))

    assert warned(counts=counts)
    assert not warned(counts=counts, late=LateCounts(span=0, not_ingested=1))
    assert not warned(counts=Counts(span=1))
    assert not warned(counts=counts, training=dataclasses.replace(run_result().training, warm_started_from="models/2"))


def test_no_warning_is_cut_or_left_out() -> None:
    def finding(number: int, severity: str) -> Finding:
        sentence = f"{number} " + "long " * 40 + f"[end] {number}"
        return Finding("quality", f"rule.{number}", severity, "it", 0.2, 0.1, 9, sentence)  # type: ignore[arg-type]

    cold = WarmStartReport(None, not_carried=(f"{NO_FILES}: models/2",))
    found = lines(
        1,
        width=60,
        findings=(*(finding(number, "warn") for number in range(15)), finding(99, "refuse")),
        data_findings=(finding(20, "cannot_judge"),),
        accepted=("row count; accepted by ann: a holiday",),
        references={"item_mean": ReferenceResult(900, {"logloss": 0.26}, {"logloss": PairedDifference(0.01, 0.0)})},
        push_note="removed since",
        training=dataclasses.replace(run_result().training, warm_start=cold),
    )
    warnings = [line for line in found if line.startswith("warning")]
    assert [line.split()[1] for line in warnings] == ["20", "row", *map(str, range(15)), "the", "worse", "version"]
    text = " ".join(found)
    assert "worse than the item mean: logloss 0.2700 against 0.2600, difference +0.0100 (95 % interval" in text
    assert all(f"[end] {number}" in text for number in (*range(15), 20))
    assert "the training started cold: the previous model has no warm-start files: models/2" in text
    assert "99" not in text


def test_slices_with_too_few_examples_are_one_warning() -> None:
    rule = "evaluation.min_slice_positives"
    found = tuple(
        Finding("quality", rule, "cannot_judge", f"city = {n}", 9.0, 50.0, 90, f"the slice city = {n} is small")
        for n in range(30)
    )
    (warning,) = [line for line in lines(1, width=1000, findings=found) if line.startswith("warning")]
    assert warning == f"warning {rule} cannot judge city = 0, city = 1, city = 2 and 27 more: see the report"


def test_the_result_is_one_block_and_the_warnings_stand_apart_below_it() -> None:
    """With a calibration that is not good, whose line is part of the result."""
    found = lines(
        1, metrics={"calibration": 0.5}, intervals={"calibration": (0.4, 0.6)}, push_note="removed since", width=1000
    )
    labels = [line.split(" ")[0] for line in found]
    result = ["verdict", "serves", "reason", "metrics", "calibration", "Calibration", "time", "report"]
    assert labels == [*result, "", "warning"]
    assert lines(1)[-1].startswith("report ")


def test_the_page_is_shown_and_what_it_lacks_is_a_warning() -> None:
    assert lines(1, places={"report": "w/reports/1.html"})[-1] == "report w/reports/1.html"
    for words in ("not written: OSError: no space", "w/reports/1.html (incomplete: Quality: no file x)"):
        found = lines(1, places={"report": words})
        assert found[-3:] == ["report w/reports/1.json", "", f"warning the run's page: {words}"]


def test_a_tracker_that_did_not_get_the_run_is_a_warning() -> None:
    places = {"report": "w/reports/1.html", "MLflow": "not sent: MlflowException: no answer"}
    assert "warning MLflow did not get the run: MlflowException: no answer" in lines(1, places=places)


def test_earlier_tries_of_the_dry_run_are_warnings() -> None:
    verdict = Verdict((), tries=("the model must load; its process was killed by SIGKILL",), may_change=True)
    found = lines(1, infra=verdict)
    assert "warning the dry run was tried again: the model must load; its process was killed by SIGKILL" in found, found
    assert (
        "warning the cache does not keep this refusal: the same command, on a quieter machine, runs the dry run again"
        in found
    )


def test_the_page_on_refusals_shows_what_is_printed() -> None:
    page = text_of(ROOT / "docs" / "how_to" / "debug_a_failed_run.md")
    (block,) = [found[3] for found in FENCE.findall(page) if found[3].startswith("verdict ")]
    first = "lost labels cannot be detected: there is no earlier span that was let through"
    console = Console(file=io.StringIO(), width=1000)
    result = run_result(
        version=None,
        refusals=(
            "calibration, the mean score ÷ the share of label 1, must be 1 ± 0.15 (evaluation.max_miscalibration). "
            "Received: 1.4, … on 5 examples, 3 of them positive",
        ),
        held_against="none, as no model served before",
        metrics={},
        infra=verdict(row_skew=Comparison(1000, 0, 2e-8, "")),
        data_findings=(Finding("data_gate", "rule", "cannot_judge", "label", None, None, None, first),),
    )
    report = Path("runs/workspace/reports/20261128T105613.748621Z.json")
    result = dataclasses.replace(result, places={"report": str(report.with_suffix(".html"))})
    console.print(headline(result, None, 465.0, report, ""))
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert shape_of(block.replace("\n…", "")) == shape_of(printed)


def test_readme_shows_what_is_printed_of_a_third_day() -> None:
    (block,) = [found[3] for found in FENCE.findall(text_of(ROOT / "README.md")) if found[3].startswith("verdict ")]
    (warning,) = [line.partition(" ")[2].strip() for line in block.splitlines() if line.startswith("warning ")]
    console = Console(file=io.StringIO(), width=1000)
    result = run_result(
        version=3,
        held_against="version 2, trained to span 2",
        metrics={"auc": 0.7, "logloss": 0.2, "calibration": 0.9},
        baseline={"auc": 0.7, "logloss": 0.2, "calibration": 1.0},
        changes={"auc": (0.1, 0.2), "logloss": (-0.2, -0.1), "calibration": (-0.2, -0.1)},
        intervals={"auc": (0.6, 0.8), "logloss": (0.1, 0.3), "calibration": (0.8, 0.9)},
        training=trained(epochs=tuple(Epoch(epoch, 9, 0.3, Metrics(9, 0.7, 0.3)) for epoch in (1, 2))),
        infra=verdict(candidate=_COST, baseline=_COST, row_skew=Comparison(1000, 0, 2e-8, "")),
        data_findings=(Finding("data_gate", "drift", "cannot_judge", "", None, None, None, warning),),
        places={"report": "runs/workspace/reports/20261128T105613.748621Z.html"},
    )
    console.print(headline(result, 3, 184.0, Path("runs/workspace/reports/20261128T105613.748621Z.json"), ""))
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert shape_of(block.replace("\n…", "")) == shape_of(printed)
