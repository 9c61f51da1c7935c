"""The summary's part on quality: slices and what could not be judged, limited in length, refused slices first."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from components.evaluation.metrics.paired import PairedDifference
from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import Finding
from components.quality_gate.inputs import ReferenceResult
from pipeline.report.console.quality_table import MAX_FINDINGS, MAX_SLICES
from tests.pipeline.report.console.summaries import lines_of
from tests.pipeline.report.run_results import TRAINING


def in_slice(number: int, auc: float = 0.7, **more: Any) -> EvaluationResult:
    return EvaluationResult(number, {"auc": auc, "ndcg@5": 0.4}, {}, {}, num_positives=number // 10, **more)


def finding(severity: Any, subject: str) -> Finding:
    return Finding("quality", "evaluation.thresholds.auc.min", severity, subject, 0.1, 0.2, 7, f"{subject} is wrong")


def test_a_slice_has_its_size_its_metrics_and_their_change() -> None:
    change = {"auc": Estimate(-0.0123, 0.01 / 1.959964)}
    measured = EvaluationResult(1234, {"auc": 0.7011}, {"auc": 0.7134}, change, num_positives=88)
    lines = lines_of(TRAINING, slices={"country = [US]": measured, "country = DE": in_slice(20, math.nan)})
    assert "slices slice examples positive auc" in lines
    assert "country = [US] 1,234 88 0.701 (-0.012 ± 0.010)" in lines
    assert "country = DE 20 2 -" in lines


def test_of_many_slices_the_refused_ones_are_shown_and_then_the_largest() -> None:
    slices = {f"city = {i}": in_slice(1000 + i) for i in range(40)}
    found = (finding("refuse", "auc where city = 3"),)
    lines = lines_of(TRAINING, slices=slices, findings=found)
    shown = [line.split()[2] for line in lines if line.startswith("city = ")]
    assert shown == ["3", *map(str, range(39, 39 - (MAX_SLICES - 1), -1))]
    assert f"and {40 - MAX_SLICES} smaller ones, in the report" in lines


def test_what_could_not_be_judged_is_named() -> None:
    slices = tuple(finding("cannot_judge", f"city = {i}") for i in range(MAX_FINDINGS + MAX_SLICES + 3))
    lines = lines_of(TRAINING, findings=(*slices, finding("warn", "country = DE")))
    text = " ".join(lines)
    assert "warning country = DE is wrong" in lines
    assert [line for line in lines if line.endswith("is wrong")][1:] == [
        f"cannot judge city = {i} is wrong" for i in range(MAX_FINDINGS)
    ]
    assert f"cannot judge also: city = {MAX_FINDINGS}, " in text
    assert "and 3 others (all in the report)" in text


def test_a_reference_model_that_is_not_beaten_is_named() -> None:
    beaten = ReferenceResult(
        900, {"auc": 0.5, "logloss": 0.3}, {"auc": PairedDifference(0.2, 0.0), "logloss": PairedDifference(-0.05, 0.01)}
    )
    alone = ReferenceResult(900, {"logloss": 0.2}, {})
    not_beaten = ReferenceResult(900, {"logloss": 0.26}, {"logloss": PairedDifference(-0.01, 0.02 / 1.959964)})
    lines = lines_of(TRAINING, references={"constant": beaten, "item_mean": not_beaten, "logistic_regression": alone})
    assert "reference models reference model auc model's gain logloss model's gain" in lines
    assert "constant 0.5000 +0.2000 ± 0.0000 0.3000 +0.0500 ± 0.0196" in lines
    assert "item mean - - 0.2600 +0.0100 ± 0.0200" in lines
    assert [line for line in lines if line.startswith("not better")] == [
        "not better than the item mean beyond chance: logloss 0.2500 against 0.2600, difference -0.0100 "
        "(95 % interval -0.0300 to +0.0100)"
    ]
    assert "logistic regression - - 0.2000 -" in lines
    assert "fitted on 900 training rows" in lines


def test_a_reference_model_that_is_not_fitted_is_named_with_the_reason() -> None:
    training = dataclasses.replace(TRAINING, references_left_out={"user_item_bias": "the config names no user"})
    assert "the user + item bias is not fitted: the config names no user" in lines_of(training)
