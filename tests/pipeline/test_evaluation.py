"""The Evaluator's config says what the YAML file says: over all examples by TFMA's thresholds, in slices by margins."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

from pipeline.evaluation import eval_config
from transform.evaluation_settings import Evaluation, SliceThreshold, Threshold

WHOLE = config_pb2.SlicingSpec()


def config_of(has_requests: bool = True, weighted: bool = False, **sections: Any) -> config_pb2.EvalConfig:
    evaluation = Evaluation(**{"thresholds": {"auc": Threshold(min=0.5)}, **sections})
    return eval_config(evaluation, weighted=weighted, has_requests=has_requests)


def metrics(config: config_pb2.EvalConfig) -> dict[str, config_pb2.MetricConfig]:
    """By name."""
    return {
        json.loads(metric.config or "{}").get("name", metric.class_name): metric
        for spec in config.metrics_specs
        for metric in spec.metrics
    }


def held(config: config_pb2.EvalConfig) -> dict[str, tuple[list[list[str]], config_pb2.MetricThreshold]]:
    """By metric, the features of the slices in which something holds it, and what."""
    found = {}
    for name, metric in metrics(config).items():
        assert not metric.HasField("threshold")  # that one would hold for every slice
        if metric.per_slice_thresholds:
            (rule,) = metric.per_slice_thresholds
            found[name] = ([list(spec.feature_keys) for spec in rule.slicing_specs], rule.threshold)
    return found


def parsed(text: str) -> config_pb2.MetricThreshold:
    return text_format.Parse(text, config_pb2.MetricThreshold())


def test_all_metrics_are_measured_on_the_whole_and_on_each_slice() -> None:
    config = config_of(slices=("country", "hour"), top_ks=(2, 1))
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["country"], ["hour"]]
    by_group = {
        spec.query_key: [name for name in metrics(config_pb2.EvalConfig(metrics_specs=[spec])) if "change" not in name]
        for spec in list(config.metrics_specs)[1:]
    }
    assert by_group == {
        "": ["auc", "auc_pr", "logloss", "calibration", "mean_prediction", "mean_label", "calibration_plot"],
        "request_id": ["gauc", "ndcg@1", "ndcg@2", "map@1", "map@2", "recall@1", "recall@2"],
    }
    (model,) = config.model_specs
    assert (model.signature_name, model.label_key, model.example_weight_key) == ("serving_default", "label", "")
    assert config.options.include_default_metrics.value is False


def test_what_has_a_better_direction_has_an_interval_of_its_change_by_request() -> None:
    found = metrics(config_of(top_ks=(3,)))
    changes = {name: json.loads(metric.config) for name, metric in found.items() if metric.class_name == "ChangeBound"}
    names = ("auc", "auc_pr", "logloss", "gauc", "ndcg@3", "map@3", "recall@3")
    assert set(changes) == {f"{name}_change_{end}" for name in names for end in ("low", "high")}
    assert changes["auc_change_low"] == {
        "name": "auc_change_low", "measure": "auc", "end": "low", "unit_key": "request_id"
    }  # fmt: skip
    assert changes["map@3_change_high"] == {"name": "map@3_change_high", "measure": "map", "k": 3, "end": "high"}


@pytest.mark.parametrize(
    ("has_requests", "by", "groups", "unit"),
    [
        (True, None, {"request_id": {"gauc", "ndcg@10", "map@10", "recall@10"}}, "request_id"),
        (True, "user", {"request_id": {"ndcg@10", "map@10", "recall@10"}, "user": {"gauc"}}, "request_id"),
        (False, "user", {"user": {"gauc"}}, "user"),
        (False, None, {}, None),
    ],
)
def test_groups(has_requests: bool, by: str | None, groups: dict[str, set[str]], unit: str | None) -> None:
    config = config_of(has_requests=has_requests, gauc_by=by)
    found: dict[str, set[str]] = {}
    for spec in config.metrics_specs:
        names = {json.loads(metric.config)["name"] for metric in spec.metrics if metric.class_name == "RankingMetric"}
        if names:
            found[spec.query_key] = names
    assert found == groups
    assert json.loads(metrics(config)["auc_change_low"].config).get("unit_key") == unit


def test_examples_with_weights_are_measured_by_them_and_counted_without() -> None:
    config = config_of(weighted=True)
    (model,) = config.model_specs
    assert model.example_weight_key == "weight"
    unweighted = [m.class_name for s in config.metrics_specs if s.example_weights.unweighted for m in s.metrics]
    assert unweighted == ["ExampleCount"]


@pytest.mark.parametrize(
    ("name", "rule", "expected"),
    [
        ("auc", Threshold(min=0.6), {"auc": "value_threshold { lower_bound { value: 0.6 } }"}),
        ("logloss", Threshold(max=0.5), {"logloss": "value_threshold { upper_bound { value: 0.5 } }"}),
        (
            "calibration",
            Threshold(min=0.9, max=1.1),
            {"calibration": "value_threshold { lower_bound { value: 0.9 } upper_bound { value: 1.1 } }"},
        ),
        # The good end of the change's interval is held: a fall of at most 0.01, or a rise of at most 0.02.
        (
            "ndcg@5",
            Threshold(min=0.6, max_worsening=0.01),
            {
                "ndcg@5": "value_threshold { lower_bound { value: 0.6 } }",
                "ndcg@5_change_high": "change_threshold { direction: HIGHER_IS_BETTER absolute { value: -0.01 } }",
            },
        ),
        (
            "logloss",
            Threshold(max=0.5, max_worsening=0.02),
            {
                "logloss": "value_threshold { upper_bound { value: 0.5 } }",
                "logloss_change_low": "change_threshold { direction: LOWER_IS_BETTER absolute { value: 0.02 } }",
            },
        ),
    ],
)
def test_a_rule_is_a_threshold_on_the_whole(name: str, rule: Threshold, expected: dict[str, str]) -> None:
    assert held(config_of(thresholds={name: rule})) == {n: ([[]], parsed(text)) for n, text in expected.items()}


@pytest.mark.parametrize(
    ("name", "rule", "margins"),
    [
        ("auc", SliceThreshold(min=0.6), {"auc_slice_margin": {"metric": "auc", "low": 0.6}}),
        (
            "gauc",
            SliceThreshold(max_worsening=0.1),
            {"gauc_change_high_slice_margin": {"metric": "gauc_change_high", "low": -0.1, "is_change": True}},
        ),
        (
            "logloss",
            SliceThreshold(min=0.1, max=0.5, max_worsening=0.2),
            {
                "logloss_slice_margin": {"metric": "logloss", "low": 0.1, "high": 0.5},
                "logloss_change_low_slice_margin": {"metric": "logloss_change_low", "high": 0.2, "is_change": True},
            },
        ),
    ],
)
def test_a_rule_of_slices_is_a_margin(name: str, rule: SliceThreshold, margins: dict[str, dict[str, Any]]) -> None:
    config = config_of(slices=("country", "hour"), slice_thresholds={name: rule}, min_slice_examples=7)
    found = {n: m for n, m in metrics(config).items() if m.class_name == "SliceMargin"}
    assert {n: json.loads(m.config) for n, m in found.items()} == {
        n: {"name": n, "min_examples": 7} | settings for n, settings in margins.items()
    }
    at_least_0 = {
        False: "value_threshold { lower_bound { value: 0 } }",
        True: "change_threshold { direction: HIGHER_IS_BETTER absolute { value: 0 } }",
    }
    rules = {n: rule for n, rule in held(config).items() if n in margins}
    assert rules == {
        n: ([["country"], ["hour"]], parsed(at_least_0["is_change" in settings])) for n, settings in margins.items()
    }
    for spec in config.metrics_specs:  # TFMA computes in this order, and a margin is made of the metric
        kinds = [metric.class_name == "SliceMargin" for metric in spec.metrics]
        assert kinds == sorted(kinds)
