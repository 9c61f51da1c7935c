"""What a run says of the reference models, on hand-written results."""

from __future__ import annotations

import dataclasses

from components.evaluation.metrics.paired import PairedDifference
from components.quality_gate.inputs import ReferenceResult
from pipeline.report import references
from pipeline.report.page.model_card import model_card
from tests.pipeline.report.run_results import TRAINING, ended, run_result


def reference(auc: float, of_auc: float, of_logloss: float, error: float = 0.01 / 1.959964) -> ReferenceResult:
    """A reference model of an AUC, and the candidate's AUC and log loss minus its own, ± 0.01."""
    differences = {"auc": PairedDifference(of_auc, error), "logloss": PairedDifference(of_logloss, error)}
    return ReferenceResult(900, {"auc": auc, "logloss": 0.3}, differences)


#: The candidate's AUC is 0.7 in each.
BEATEN = reference(0.5, 0.2, -0.1)
ONLY_CALIBRATED = reference(0.6, 0.1, 0.02)
AS_GOOD = reference(0.695, 0.005, -0.1)
BETTER = reference(0.75, -0.05, 0.1)


def test_the_best_model_with_as_good_an_auc_is_the_verdict() -> None:
    report = run_result(
        references={
            "constant": BEATEN, "item_mean": ONLY_CALIBRATED, "logistic_regression": AS_GOOD, "user_item_bias": BETTER,
        }
    )  # fmt: skip
    verdict = (
        "worse than the user + item bias: auc 0.7000 against 0.7500, difference -0.0500 "
        "(95 % interval -0.0600 to -0.0400)"
    )
    assert references.verdict_sentence(report) == verdict
    assert list(references.warnings(report)) == [
        "not better than the logistic regression beyond chance: auc 0.7000 against 0.6950, difference +0.0050 "
        "(95 % interval -0.0050 to +0.0150)",
        "worse than the item mean: logloss 0.3200 against 0.3000, difference +0.0200 "
        "(95 % interval +0.0100 to +0.0300)",
    ]


def test_with_a_higher_auc_than_all_there_is_no_such_verdict() -> None:
    """A lead that may be chance is a warning."""
    report = run_result(references={"logistic_regression": AS_GOOD})
    assert references.verdict_sentence(report) == ""
    assert len(list(references.warnings(report))) == 1
    assert references.verdict_sentence(run_result(references={"constant": BEATEN, "item_mean": ONLY_CALIBRATED})) == ""
    assert references.verdict_sentence(run_result()) == ""


def test_one_sentence_says_that_none_is_compared() -> None:
    alone = ReferenceResult(900, {"logloss": 0.3}, {})
    (sentence,) = references.warnings(run_result(references={"constant": alone, "item_mean": alone}))
    assert sentence == "the reference models are not compared: both labels and two users or requests are needed"
    (sentence,) = references.warnings(run_result(references_problem="the file is damaged"))
    assert sentence == "the reference models are not compared: the file is damaged"


def test_the_model_card_has_them_their_time_and_what_was_not_fitted() -> None:
    training = dataclasses.replace(
        TRAINING, references_left_out={"user_item_bias": "the config names no id of the user"}, references_seconds=4.25
    )
    card = model_card(ended(run_result(references={"constant": BEATEN, "item_mean": BETTER}, training=training)))
    start = card.index("## Reference models")
    assert card[start : card.index("## Slices")].split("\n\n")[1:] == [
        "Simple models, fitted on 900 training rows in 4.2 s, on the same evaluation examples.",
        "| reference model | auc | candidate's gain ± 95 % | logloss | candidate's gain ± 95 % |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| constant | 0.5000 | +0.2000 ± 0.0100 | 0.3000 | +0.1000 ± 0.0100 |\n"
        "| item mean | 0.7500 | −0.0500 ± 0.0100 | 0.3000 | −0.1000 ± 0.0100 |",
        "- The candidate model is worse than the item mean: auc 0.7000 against 0.7500, difference -0.0500 (95 % "
        "interval -0.0600 to -0.0400).\n- the user + item bias is not fitted: the config names no id of the user",
        "",
    ]
