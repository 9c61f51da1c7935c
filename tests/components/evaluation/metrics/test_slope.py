"""The calibration slope, compared with values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.evaluation.metrics.slope import calibration_slope

#: 100 rows with a score of 0.2, 10 of them positive, and 100 with a score of 0.8, 90 of them positive.
SCORE = np.repeat([0.2, 0.8], 100)
LABEL = np.repeat([1.0, 0.0, 1.0, 0.0], [10, 90, 90, 10])
ONES, ROWS = np.ones(200), np.arange(200)

#: With two scores the regression fits both shares: from log(1 / 9) to log(9), over logits from log(1 / 4) to log(4).
SLOPE = math.log(9) / math.log(4)

#: The variance of log(p / (1 - p)) with n rows is 1 / (n p (1 - p)): here 1 / 9 for each of both shares.
ERROR = math.sqrt(2 / 9) / (2 * math.log(4))


def logit(score: np.ndarray) -> np.ndarray:
    logits: np.ndarray = np.log(score / (1 - score))
    return logits


def test_the_slope_leads_from_the_logits_to_the_labels() -> None:
    found = calibration_slope(LABEL, ONES, ROWS, SCORE)
    assert found is not None
    assert found.value == pytest.approx(SLOPE)
    assert found.standard_error == pytest.approx(ERROR * math.sqrt(200 / 199))


def test_rows_of_one_unit_are_one_observation() -> None:
    found = calibration_slope(*(np.repeat(column, 2) for column in (LABEL, ONES, ROWS, SCORE)))
    assert found is not None
    assert found.value == pytest.approx(SLOPE)
    assert found.standard_error == pytest.approx(ERROR * math.sqrt(200 / 199))


def test_a_weight_counts_as_that_many_rows() -> None:
    once = calibration_slope(LABEL, np.where(LABEL == 1, 2.0, 0.5), ROWS, SCORE)
    assert once is not None
    # 20 to 45, and 180 to 5.
    assert once.value == pytest.approx((math.log(36) - math.log(4 / 9)) / (2 * math.log(4)))


@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_logits_that_are_multiplied_have_the_inverse_slope(factor: float) -> None:
    found = calibration_slope(LABEL, ONES, ROWS, 1 / (1 + np.exp(-factor * logit(SCORE))))
    assert found is not None
    assert found.value == pytest.approx(SLOPE / factor)


@pytest.mark.parametrize(
    ("label", "score"),
    [
        (np.zeros(200), SCORE),
        (LABEL, np.full(200, 0.3)),
        (np.repeat([0.0, 1.0], 100), SCORE),  # separated: no slope is large enough
    ],
)
def test_there_may_be_no_slope(label: np.ndarray, score: np.ndarray) -> None:
    assert calibration_slope(label, ONES, ROWS, score) is None


def test_a_single_unit_has_no_standard_error() -> None:
    found = calibration_slope(LABEL, ONES, np.zeros(200), SCORE)
    assert found is not None
    assert math.isnan(found.standard_error)
