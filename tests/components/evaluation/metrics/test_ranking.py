"""GAUC, NDCG@k, MAP@k and recall@k equal those of plain Python."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from components.evaluation.metrics import replicates
from components.evaluation.metrics.bootstrap import Array
from components.evaluation.metrics.ranking import Measure, measure_groups
from tests.components.evaluation.metrics import plain
from transform.config.evaluation import AT_K

MEASURES = [Measure("gauc"), *(Measure(kind, k) for kind in AT_K for k in (1, 3, 20))]
MODELS = ("candidate", "baseline")


def expected(measure: Measure, requests: Sequence[plain.Request], model: str) -> float:
    if measure.k is None:
        return plain.gauc(requests, model)
    return plain.mean_at_k(measure.kind, requests, model, measure.k)


def measure_group(
    measures: Sequence[Measure], labels: Array, scores: Array, weights: Array
) -> list[tuple[float, float]]:
    """Measures one group; returns each measure's value and weight."""
    values, of_values = measure_groups(measures, np.zeros(len(labels), np.int64), 1, labels, scores, weights)
    return list(zip(values[0].tolist(), of_values[0].tolist(), strict=True))


def to_columns(requests: Sequence[plain.Request]) -> tuple[Array, Array, Array, Array]:
    """Returns the rows' groups, labels, weights, and the models' scores by column."""
    group = np.repeat(np.arange(len(requests)), [len(request.labels) for request in requests])
    labels, weights = (
        np.array([value for request in requests for value in getattr(request, name)], float)
        for name in ("labels", "weights")
    )
    scores = [[value for request in requests for value in getattr(request, model)] for model in MODELS]
    return group, labels, weights, np.array(scores).T


@pytest.mark.parametrize("weighted", [False, True])
def test_the_metrics_are_those_of_plain_python(weighted: bool) -> None:
    requests = plain.random_requests(1_000, seed=1, weighted=weighted)
    group, labels, weights, scores = to_columns(requests)
    for number, model in enumerate(MODELS):
        values, of_values = measure_groups(MEASURES, group, len(requests), labels, scores[:, number], weights)
        found = replicates.means_of(replicates.sums_of_groups(np.arange(len(requests)), values, of_values))[0]
        np.testing.assert_allclose(found, [expected(m, requests, model) for m in MEASURES], rtol=1e-12)


@pytest.mark.parametrize(
    ("labels", "scores", "weights", "value", "weight"),
    [
        ([1, 0], [0.9, 0.1], [1, 1], 1.0, 2.0),
        ([1, 0], [0.5, 0.5], [1, 1], 0.5, 2.0),  # a tie is half a pair
        ([1, 0, 0], [0.5, 0.1, 0.9], [1, 3, 1], 0.75, 5.0),  # 3 of 4 weighted pairs
        ([1], [0.5], [1], 0.0, 0.0),
        ([0, 0], [0.5, 0.1], [1, 1], 0.0, 0.0),
        ([1, 0], [0.9, 0.1], [1, 0], 0.0, 0.0),  # a class without weight
    ],
)
def test_the_auc_of_a_group(
    labels: list[int], scores: list[float], weights: list[float], value: float, weight: float
) -> None:
    group = (np.array(a, float) for a in (labels, scores, weights))
    assert measure_group([Measure("gauc")], *group) == [(value, weight)]


@pytest.mark.parametrize(
    ("kind", "k", "value"),
    [
        ("recall", 1, 1 / 3),  # by descending score the labels are 1, then a tie of 1 and 0, then 1
        ("recall", 2, 1.5 / 3),
        ("map", 2, (1 + 0.5 * 2 / 2) / 2),
        ("map", 4, (1 + 0.5 * (2 / 2 + 2 / 3) + 3 / 4) / 3),
        ("ndcg", 2, (1 + 0.5 / np.log2(3)) / (1 + 1 / np.log2(3))),
    ],
)
def test_the_first_positions_of_a_group(kind: str, k: int, value: float) -> None:
    labels, scores = np.array([0.0, 1, 1, 1]), np.array([0.5, 0.9, 0.5, 0.1])
    ((found, weight),) = measure_group([Measure(kind, k)], labels, scores, np.ones(4))
    assert found == pytest.approx(value, rel=1e-12)
    assert weight == 1.0


@pytest.mark.parametrize("measure", MEASURES)
def test_a_score_that_is_no_number_makes_the_metric_so(measure: Measure) -> None:
    ((value, weight),) = measure_group([measure], np.array([1.0, 0.0]), np.array([0.5, np.nan]), np.ones(2))
    assert np.isnan(value)
    assert weight > 0


def test_no_value_depends_on_the_order_of_rows_not_even_in_its_last_digit() -> None:
    draw = np.random.default_rng(0)
    for _ in range(300):
        labels, scores, weights = (draw.random(9) < 0.4).astype(float), draw.choice([0.1, 0.2, 0.7], 9), draw.random(9)
        order = draw.permutation(9)
        again = measure_group(MEASURES, labels[order], scores[order], weights[order])
        assert again == measure_group(MEASURES, labels, scores, weights)


@pytest.mark.parametrize("weighted", [False, True])
def test_groups_measured_at_once_are_measured_as_each_by_itself(weighted: bool) -> None:
    requests = plain.random_requests(200, seed=6, weighted=weighted)
    group, labels, weights, of_models = to_columns(requests)
    scores = of_models[:, 0]
    scores[:2] = np.nan
    order = np.random.default_rng(0).permutation(len(group))
    values, of_values = measure_groups(MEASURES, group[order], 200, labels[order], scores[order], weights[order])
    for number in range(200):
        of_one = measure_group(MEASURES, labels[group == number], scores[group == number], weights[group == number])
        np.testing.assert_allclose(values[number], [value for value, _ in of_one], rtol=1e-12)
        np.testing.assert_allclose(of_values[number], [weight for _, weight in of_one], rtol=1e-12)


@pytest.mark.parametrize(("kind", "k"), [("mrr", 1), ("gauc", 1), ("ndcg", None), ("map", 0)])
def test_a_measure_that_is_none_is_refused(kind: str, k: int | None) -> None:
    with pytest.raises(ValueError, match="must be"):
        Measure(kind, k)
