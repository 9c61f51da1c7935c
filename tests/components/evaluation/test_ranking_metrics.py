"""GAUC, NDCG@k, MAP@k and recall@k equal those of plain Python, for every bundling of the data by Beam."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow_model_analysis.metrics.metric_types import MetricKey
from tensorflow_model_analysis.proto import config_pb2

from components.evaluation import ranking_metrics
from components.evaluation.inputs import Rows
from components.evaluation.metrics import replicates
from components.evaluation.metrics.bootstrap import Array, unit_hash
from components.evaluation.metrics.ranking import Measure, measure_group, measure_groups
from tests.components.evaluation import tfma_runs
from tests.components.evaluation.metrics import plain

MEASURES = [Measure("gauc"), *(Measure(kind, k) for kind in ("ndcg", "map", "recall") for k in (1, 3, 20))]
MODELS = ("candidate", "baseline")
KEY = MetricKey("mean")


def expected(measure: Measure, requests: Sequence[plain.Request], model: str) -> float:
    if measure.k is None:
        return plain.gauc(requests, model)
    return plain.mean_at_k(measure.kind, requests, model, measure.k)


def rows_of(requests: Sequence[plain.Request]) -> list[tuple[float, ...]]:
    """Returns, for each request, its unit, and by model and measure a value and its weight; a user has two requests."""
    rows = []
    for number, request in enumerate(requests):
        labels, weights = np.array(request.labels, float), np.array(request.weights)
        values = [measure_group(MEASURES, labels, np.array(getattr(request, m)), weights) for m in MODELS]
        rows.append((float(unit_hash(f"u{number // 2}".encode())), *(x for m in values for pair in m for x in pair)))
    return rows


def means(rows: Array) -> dict[MetricKey, Array]:
    pairs = rows[:, 1:].reshape(len(rows), len(MODELS), len(MEASURES), 2)
    return {KEY: replicates.mean_of_groups(rows[:, 0], pairs[..., 0], pairs[..., 1])}


def combined(rows: Sequence[Any], draw: random.Random) -> Array:
    """Returns the combiner's output for random bundles, some of them empty, and a random merge tree."""
    combiner = Rows(1 + 2 * len(MODELS) * len(MEASURES), means)
    rows = draw.sample(rows, len(rows))
    cuts = sorted(draw.randint(0, len(rows)) for _ in range(draw.randint(0, 20)))
    accumulators = []
    for begin, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        accumulator = combiner.create_accumulator()
        for row in rows[begin:end]:
            accumulator = combiner.add_input(accumulator, row)
        accumulators.append(accumulator)
    while len(accumulators) > 1:
        draw.shuffle(accumulators)
        number = draw.randint(2, len(accumulators))
        merged = combiner.merge_accumulators(accumulators[:number])
        accumulators[:number] = [combiner.compact(merged)]
    found: Array = combiner.extract_output(accumulators[0])[KEY]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_the_metrics_are_plain_python_s_and_the_same_by_any_merge_tree(weighted: bool) -> None:
    requests = plain.random_requests(10_000, seed=1, weighted=weighted)
    draw = random.Random(2)
    rows = rows_of(requests)
    found = combined(rows, draw)
    for number, measure in enumerate(MEASURES):
        np.testing.assert_allclose(
            found[0, :, number], [expected(measure, requests, m) for m in MODELS], rtol=1e-12, err_msg=measure.name
        )
    for _ in range(3):  # to the last digit, also in the replicates
        np.testing.assert_array_equal(combined(rows, draw), found)


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
    group = np.repeat(np.arange(200), [len(request.labels) for request in requests])
    labels = np.array([label for request in requests for label in request.labels], np.float64)
    scores = np.array([score for request in requests for score in request.candidate], np.float64)
    weights = np.array([weight for request in requests for weight in request.weights], np.float64)
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


def evaluated(requests: Sequence[plain.Request], output: Path, *, weighted: bool, **how: int) -> dict[str, list[float]]:
    """Returns both models' values by metric, from a real run of TFMA."""
    rows = [
        {
            "request_id": f"r{number}", "country": "x", "category": "x", "label": label, "weight": weight,
            "candidate": candidate, "baseline": baseline,
        }
        for number, request in enumerate(requests)
        for label, weight, candidate, baseline in zip(*request, strict=True)
    ]  # fmt: skip
    random.Random(3).shuffle(rows)
    metric = config_pb2.MetricConfig(
        module=ranking_metrics.__name__,
        class_name="RankingMetrics",
        config=json.dumps({"measures": [dataclasses.asdict(measure) for measure in MEASURES]}),
    )
    config = config_pb2.EvalConfig(metrics_specs=[config_pb2.MetricsSpec(query_key="request_id", metrics=[metric])])
    config = tfma_runs.with_models(config, paired=True, weighted=weighted)
    results, _ = tfma_runs.run(rows, config, output, **how)
    (of_whole,) = results.values()
    return {
        measure.name: [of_whole[MetricKey(measure.name, m, example_weighted=weighted)] for m in MODELS]
        for measure in MEASURES
    }


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_tfma_gives_the_same_in_one_bundle_and_in_many(weighted: bool, tmp_path: Path) -> None:
    requests = plain.random_requests(300, seed=4, weighted=weighted)
    one = evaluated(requests, tmp_path / "one", weighted=weighted)
    many = evaluated(requests, tmp_path / "many", weighted=weighted, num_workers=2, batch_size=100)
    assert many == one
    for measure in MEASURES:
        values = [expected(measure, requests, model) for model in MODELS]
        assert one[measure.name] == pytest.approx(values, rel=1e-12)


def test_groups_need_a_key(tmp_path: Path) -> None:
    metric = config_pb2.MetricConfig(
        module=ranking_metrics.__name__, class_name="RankingMetrics", config='{"measures": [{"kind": "gauc"}]}'
    )
    config = config_pb2.EvalConfig(metrics_specs=[config_pb2.MetricsSpec(metrics=[metric])])
    with pytest.raises(ValueError, match=r"\['gauc'\] need the `query_key` of a MetricsSpec"):
        tfma_runs.run([], tfma_runs.with_models(config, paired=False), tmp_path)
