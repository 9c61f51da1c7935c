"""The scores of the bad models, and the words for a verdict, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from components.gate_records import Finding
from tests.soak.bad_scores.__main__ import judge
from tests.soak.bad_scores.faults import FAULTS, Rows, sigmoid, with_mean

SCORES = np.array([0.1, 0.2, 0.5, 0.8])
LOGITS = np.log(SCORES / (1 - SCORES))
NAMES = np.array([b"a", b"a", b"b", b"b"])
ROWS = Rows(LOGITS, np.array([0, 0, 1, 1]), NAMES, NAMES, NAMES, np.array([0.0, 0.99, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scores × 1.3", [0.13, 0.26, 0.65, 0.999]),
        ("scores × 0.75", [0.075, 0.15, 0.375, 0.6]),
        ("scores of paid apps × 2.5", [0.1, 0.5, 0.5, 0.8]),
        ("each app has one score", [0.15, 0.15, 0.65, 0.65]),
        ("scores of 8 levels", SCORES),
    ],
)
def test_a_fault_changes_the_scores_as_it_says(name: str, expected: list[float]) -> None:
    (fault,) = (fault for fault in FAULTS if fault.name == name)
    np.testing.assert_allclose(fault.scores(ROWS), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["logits × 0.6, same mean score", "errors in countries that cancel"])
def test_errors_that_cancel_leave_the_mean_score(name: str) -> None:
    (fault,) = (fault for fault in FAULTS if fault.name == name)
    assert fault.scores(ROWS).mean() == pytest.approx(SCORES.mean(), abs=1e-9)


def test_scores_get_a_mean() -> None:
    np.testing.assert_allclose(with_mean(np.array([3.0, 3.0]), 0.5), [0.5, 0.5], atol=1e-9)
    np.testing.assert_allclose(sigmoid(np.array([0.0])), [0.5])


def finding(severity: str, sentence: str, rule: str = "evaluation.thresholds.auc.min") -> Finding:
    return Finding("quality", rule, severity, "auc", 0.1, 0.2, 9, sentence)  # type: ignore[arg-type]


def test_only_what_the_good_model_does_not_have_counts_and_the_cause_must_be_named() -> None:
    of_good = finding("warn", "always so")
    low, high = (
        finding("refuse", "auc is low"),
        finding("warn", "scores are high", rule="evaluation.max_miscalibration"),
    )

    def told(found: tuple[Finding, ...], expected: str, says: str) -> tuple[str, str, bool]:
        one = judge("a model", found, (of_good,), expected, says)  # type: ignore[arg-type]
        return one.outcome, one.sentence, one.is_as_expected

    assert told((of_good,), "passed", "") == ("passed", "", True)
    assert told((of_good, finding("cannot_judge", "few")), "warned", "few") == ("passed", "", False)
    assert told((of_good, high), "warned", "high") == ("warned", "scores are high", True)
    assert told((low, high), "stopped", "high") == ("stopped", "scores are high", True)
    assert told((low,), "stopped", "high") == ("stopped", "auc is low", False)
