"""The AUC is the share of pairs in order, and all other AUCs of the project equal it."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluation.metrics import replicates
from components.evaluation.metrics.bootstrap import replicate_weights, unit_hash
from components.evaluation.metrics.paired import compute_metrics
from components.evaluation.metrics.ranking import Measure, measure_groups
from transform.auc import auc


def test_pairs_are_weighted_and_ties_count_half() -> None:
    scores, is_positive = np.array([0.9, 0.4, 0.4, 0.1]), np.array([True, True, False, False])
    assert auc(scores, is_positive, np.ones(4)) == 3.5 / 4
    assert auc(scores, is_positive, np.array([1.0, 3, 2, 1])) == (1 * 3 + 3 * (2 / 2 + 1)) / 12


@pytest.mark.parametrize(
    ("scores", "labels", "weights"),
    [([], [], []), ([0.1, 0.2], [1, 1], [1, 1]), ([0.1, 0.2], [1, 0], [1, 0]), ([0.1, np.nan], [1, 0], [1, 1])],
)
def test_there_is_none_without_pairs_or_with_a_score_that_is_no_number(
    scores: list[float], labels: list[int], weights: list[float]
) -> None:
    assert auc(np.array(scores), np.array(labels, bool), np.array(weights)) is None


def test_the_replicated_the_grouped_and_the_paired_auc_equal_it() -> None:
    draw = np.random.default_rng(4)
    rows = 600
    labels, scores = (draw.random(rows) < 0.3).astype(float), np.round(draw.random(rows), 1)
    weights = draw.choice([0.0, 0.5, 1.0, 2.0], rows)
    group = draw.integers(0, 12, rows)
    units = np.array([float(unit_hash(str(number % 40).encode())) for number in range(rows)])

    assert compute_metrics(labels, weights, scores)["auc"] == pytest.approx(
        auc(scores, labels == 1, weights), rel=1e-12
    )

    found = replicates.of_rows(units, labels, weights, scores[:, None])["auc"][:, 0]
    drawn = replicate_weights(units, range(len(found)))
    expected = [auc(scores, labels == 1, weights * drawn[:, replicate]) for replicate in range(len(found))]
    np.testing.assert_allclose(found, np.array(expected, float), rtol=1e-12)

    values, _ = measure_groups([Measure("gauc")], group, 12, labels, scores, weights)
    of_each = [auc(scores[group == g], labels[group == g] == 1, weights[group == g]) for g in range(12)]
    np.testing.assert_allclose(values[:, 0], np.array(of_each, float), rtol=1e-12)
