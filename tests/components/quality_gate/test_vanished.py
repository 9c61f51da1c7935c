"""The rule on slices without examples."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from components.evaluation.results import EvaluationResult
from components.gate_records import Finding
from components.quality_gate.inputs import Case, EarlierSpan, QualityInputs
from components.quality_gate.vanished import vanished_slices
from transform.config.evaluation import Evaluation, Threshold
from transform.config.quality import Quality

SLICED = Evaluation({"auc": Threshold(min=0.1)}, slices=("country", "age_days < 7"))


def of(examples: int, units: int) -> EvaluationResult:
    return EvaluationResult(examples, {}, {}, {}, num_units=units)


MEASURED = {
    "": of(5000, 900), "country = US": of(900, 900), "age_days < 7": of(900, 900), "age_days ≥ 7": of(900, 900)
}  # fmt: skip


def found(measured: Mapping[str, EvaluationResult], *earlier: Mapping[str, EvaluationResult]) -> list[Finding]:
    inputs = [QualityInputs("m/1", "r", "", dict(of_span)) for of_span in (*earlier, measured)]
    before = [EarlierSpan(span, of_span, refused=False) for span, of_span in enumerate(inputs[:-1], 1)]
    return list(vanished_slices(Case(inputs[-1], len(inputs), before, Quality(), SLICED)))


@pytest.mark.parametrize(
    ("units", "sentences"),
    [
        # 5 % of the earlier units are 45 of today's 900; 3 % are 27, few enough to be absent by chance.
        ([50], ["no example is where country = DE; the last span had 800"]),
        ([30], []),
        ([50, 30], []),  # the span with the fewest decides
        ([50, 0], []),  # a slice that was absent on one of the days, such as a weekday, is not reported
    ],
)
def test_a_slice_that_has_vanished_is_a_warning(units: list[int], sentences: list[str]) -> None:
    earlier = [{"": of(6000, 1000), **({"country = DE": of(800, number)} if number else {})} for number in units]
    findings = found(MEASURED, *earlier)
    assert [f.sentence for f in findings] == sentences
    assert {(f.severity, f.rule) for f in findings} <= {("warn", "evaluation.slices")}


def test_a_slice_that_is_no_longer_configured_is_not_missed() -> None:
    assert found(MEASURED, {"": of(6000, 1000), "device = phone": of(3000, 500)}) == []


def test_a_feature_without_any_value_is_a_warning() -> None:
    without = {name: measured for name, measured in MEASURED.items() if not name.startswith("country")}
    (finding,) = found(without, MEASURED)  # the feature alone, not each of its slices too
    assert (finding.severity, finding.sentence) == (
        "warn", "no example has a value of `country`, by which slices are made"
    )  # fmt: skip
