"""An implausibly high AUC is refused."""

from __future__ import annotations

import math

from components.data_validation.evidence import Labelled
from components.quality_gate.too_good import too_good

EXAMPLES = Labelled(3000, 200)
BEFORE = (0.70, 0.72, 0.71)


def test_a_leap_of_the_auc_is_refused() -> None:
    found = too_good(0.95, EXAMPLES, BEFORE, 0.1)
    assert found is not None
    assert (found.severity, found.rule, found.rows) == ("refuse", "quality.max_auc_rise", 3000)
    assert found.sentence == (
        "auc may be higher than those of the baseline and of the last spans' models, 0.7200, by at most 0.1 "
        "beyond chance (quality.max_auc_rise). Received: 0.9500: too good to be true, as if a feature "
        "contained the label"
    )


def test_a_better_model_is_credible_and_so_is_any_first_one() -> None:
    assert too_good(0.80, EXAMPLES, BEFORE, 0.1) is None
    assert too_good(0.95, EXAMPLES, (), 0.1) is None
    assert too_good(math.nan, EXAMPLES, BEFORE, 0.1) is None


def test_an_undefined_auc_of_another_model_does_not_count() -> None:
    """A span without a positive has none."""
    assert too_good(0.95, EXAMPLES, (math.nan,), 0.1) is None
    for before in ((0.72, math.nan), (math.nan, 0.72)):
        assert too_good(0.95, EXAMPLES, before, 0.1) == too_good(0.95, EXAMPLES, (0.72,), 0.1)


def test_few_examples_prove_nothing() -> None:
    """With 10 positives the standard error of an AUC of 0.72 is 0.13."""
    assert too_good(0.95, Labelled(200, 10), BEFORE, 0.1) is None
