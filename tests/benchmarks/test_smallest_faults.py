"""The benchmark of the smallest faults: what it draws, and that it can find and miss a fault."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.smallest_faults import OF_ALL, OF_SLICE, draw_examples, found_in_all, found_in_slice, share_found
from transform.auc import auc


def test_the_draw_has_its_positives_and_two_models_of_auc_0_7() -> None:
    label, *models = draw_examples(700, np.random.default_rng(1))
    assert (label.sum(), len(label)) == (700, 10_000)
    for logit in models:
        found = auc(logit, label == 1, np.ones(10_000))
        assert found == pytest.approx(0.70, abs=0.02)
        assert (1 / (1 + np.exp(-logit))).mean() == pytest.approx(0.07, abs=0.004)


@pytest.mark.parametrize("fault", ["logits × 0.6, the same mean score", "logits × 1.6, the same mean score"])
def test_the_mean_score_stays(fault: str) -> None:
    _, logit, _ = draw_examples(50, np.random.default_rng(1))
    assert OF_ALL[fault](logit).mean() == pytest.approx((1 / (1 + np.exp(-logit))).mean(), abs=1e-9)


def test_a_fault_is_found_with_many_positives_and_not_with_few() -> None:
    assert [share_found(found_in_all, OF_ALL["scores × 0.75"], number, 5) for number in (30, 600)] == [0, 1]
    assert [share_found(found_in_slice, OF_SLICE["scores × 2.5"], number, 5) for number in (15, 150)] == [0, 1]
    assert (
        share_found(found_in_all, OF_ALL["none"], 300, 5) == share_found(found_in_slice, OF_SLICE["none"], 35, 5) == 0
    )
