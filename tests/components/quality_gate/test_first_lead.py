"""A first model whose lead over the reference models one feature carries: pushed, with a warning that names it."""

from __future__ import annotations

import dataclasses

import pytest

from components.evaluation.metrics.paired import PairedDifference
from components.gate_records import Finding
from components.quality_gate.inputs import AucFalls, Case, QualityInputs, ReferenceResult
from components.quality_gate.rules import becomes_anchor, decide
from components.quality_gate.too_good import lead_of_one_feature
from tests.components.quality_gate.quality_inputs import against_anchor, inputs
from transform.config.evaluation import Evaluation, Threshold
from transform.config.quality import Quality

BOUNDS = Evaluation(thresholds={"auc": Threshold(min=0.6)})

#: By how much an AUC of 0.86 falls without each feature.
FALLS = {"app": 0.30, "rating": 0.15, "page": 0.11, "hour": 0.0}


def reference(gain: float, error: float = 0.01) -> ReferenceResult:
    return ReferenceResult(900, {"auc": 0.85 - gain}, {"auc": PairedDifference(gain, error)})


def falls(**changed: float) -> AucFalls:
    return AucFalls(4000, 0.86, {**FALLS, **changed}, exempt=("app", "rating"))


#: An AUC of 0.85: 0.35 above the constant, 0.20 above the item mean, and equal to the logistic regression's.
FIRST = dataclasses.replace(
    inputs("m/1", own={"auc": 0.85}),
    references={"constant": reference(0.35), "item_mean": reference(0.20), "logistic_regression": reference(0.0)},
    auc_falls=falls(),
)


def found_of(current: QualityInputs) -> list[Finding]:
    return list(lead_of_one_feature(Case(current, 1, [], Quality(), BOUNDS)))


def test_the_feature_that_carries_the_lead_is_named_and_refuses_nothing() -> None:
    """The lead is 0.20, of which `page` has 0.11; `app` and `rating` may have any part of it."""
    (found,) = found_of(FIRST)
    assert (found.severity, found.subject, found.rows) == ("warn", "page", 4000)
    assert found.value == pytest.approx(0.11)
    assert found.bound == pytest.approx(0.10)
    assert found.sentence == (
        "auc is higher than that of the best reference model that reads at most the item's id by 0.2000 ± 0.0196, "
        "beyond chance by more than 0.1 (quality.max_auc_rise); `page` carries this lead: with its values permuted "
        "among 4,000 rows, auc falls by 0.1100. Its values must have been known when the rows were written, and must "
        "not contain the label. A later model without it is worse, and needs `wdr run --force-push --reason TEXT`"
    )
    assert not [f for f in decide(FIRST, 1, [], Quality(), BOUNDS) if f.severity == "refuse"]
    assert becomes_anchor(FIRST, [found])


def test_a_lead_of_several_features_or_of_the_ids_is_no_finding() -> None:
    assert found_of(dataclasses.replace(FIRST, auc_falls=falls(page=0.09, hour=0.09))) == []


def test_a_small_or_uncertain_lead_is_no_finding() -> None:
    """Up to 0.1 + 3 * 0.01 may be chance; Frappe's honest model has 0.07 more than its item mean."""
    for gain, error in ((0.07, 0.001), (0.129, 0.01), (0.20, 0.04)):
        references = {**FIRST.references, "item_mean": reference(gain, error)}
        assert found_of(dataclasses.replace(FIRST, references=references)) == []
        assert found_of(dataclasses.replace(FIRST, references=references, auc_falls=None)) == []


def test_without_an_item_id_the_lead_is_that_over_the_constant() -> None:
    """It is 0.35, of which 0.18 are more than half."""
    references = {"constant": reference(0.35), "logistic_regression": reference(0.0)}
    assert found_of(dataclasses.replace(FIRST, references=references)) == []
    (found,) = found_of(dataclasses.replace(FIRST, references=references, auc_falls=falls(page=0.18)))
    assert found.subject == "page"


def test_a_lead_whose_features_were_not_measured_is_said() -> None:
    (found,) = found_of(dataclasses.replace(FIRST, auc_falls=None))
    assert (found.severity, found.subject) == ("cannot_judge", "auc")
    assert found.value == pytest.approx(0.20)
    assert found.sentence.endswith("(quality.max_auc_rise); which feature carries this lead was not measured")


def test_only_a_first_model_that_was_compared_with_reference_models_is_judged() -> None:
    assert found_of(dataclasses.replace(FIRST, serving_uri="m/0")) == []
    assert found_of(dataclasses.replace(FIRST, anchor=against_anchor(0.0))) == []
    assert found_of(dataclasses.replace(FIRST, references={})) == []
