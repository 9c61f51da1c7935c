"""The Evaluator's config measures what the YAML file names; `components.quality_gate` judges the results."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.evaluation.tfma_config import eval_config
from transform.config.evaluation import AT_K, Evaluation, SliceThreshold, Threshold

AT_10 = [f"{kind}@10" for kind in AT_K]


def config_of(has_requests: bool = True, weighted: bool = False, **sections: Any) -> config_pb2.EvalConfig:
    evaluation = Evaluation(**{"thresholds": {"auc": Threshold(min=0.5)}, **sections})
    return eval_config(evaluation, weighted=weighted, has_requests=has_requests)


def settings_of(config: config_pb2.EvalConfig, class_name: str) -> dict[str, dict[str, Any]]:
    """Returns, by group, the settings of the metrics of a class."""
    return {
        spec.query_key: json.loads(metric.config)
        for spec in config.metrics_specs
        for metric in spec.metrics
        if metric.class_name == class_name
    }


def names(measures: list[dict[str, Any]]) -> list[str]:
    return [measure["kind"] + (f"@{measure['k']}" if measure["k"] else "") for measure in measures]


def test_all_metrics_are_measured_on_the_whole_and_on_each_slice() -> None:
    config = config_of(slices=("country", "hour"), top_ks=(2, 1))
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["country"], ["hour"]]
    assert settings_of(config, "RowMetrics") == {"": {"unit_keys": ["request_id"], "accuracy_threshold": 0.5}}
    ranking = {group: names(settings["measures"]) for group, settings in settings_of(config, "RankingMetrics").items()}
    assert ranking == {"request_id": ["gauc", *(f"{kind}@{k}" for kind in AT_K for k in (1, 2))]}
    (model,) = config.model_specs
    assert (model.signature_name, model.label_key, model.example_weight_key) == ("serving_default", "label", "")
    assert config.options.include_default_metrics.value is False


@pytest.mark.parametrize(
    ("has_requests", "by", "user", "groups", "units"),
    [
        (True, None, None, {"request_id": ["gauc", *AT_10]}, ["request_id"]),
        (True, None, "user", {"request_id": ["gauc", *AT_10]}, ["user", "request_id"]),
        (True, "user", "user", {"request_id": AT_10, "user": ["gauc"]},
         ["user", "request_id"]),
        (True, "city", "user", {"request_id": AT_10, "city": ["gauc"]},
         ["user", "request_id"]),
        (False, "user", "user", {"user": ["gauc"]}, ["user"]),
        (False, None, "user", {}, ["user"]),
        (False, None, None, {}, []),
    ],
)  # fmt: skip
def test_groups_and_units(
    has_requests: bool, by: str | None, user: str | None, groups: dict[str, list[str]], units: list[str]
) -> None:
    evaluation = Evaluation({"auc": Threshold(min=0.5)}, gauc_by=by)
    config = eval_config(evaluation, weighted=False, has_requests=has_requests, user=user)
    found = settings_of(config, "RankingMetrics")
    assert {group: names(settings["measures"]) for group, settings in found.items()} == groups
    assert {group for group, settings in found.items() if settings["by_group"]} == {by} - {user, None}
    assert settings_of(config, "RowMetrics") == {"": {"unit_keys": units, "accuracy_threshold": 0.5}}


def test_examples_with_weights_are_measured_by_them() -> None:
    (model,) = config_of(weighted=True).model_specs
    assert model.example_weight_key == "weight"


def test_no_threshold_is_tfma_s_so_that_no_model_is_refused_without_a_sentence() -> None:
    rules = {"auc": Threshold(min=0.5, max_worsening=0.1), "gauc": Threshold(min=0.5)}
    config = config_of(thresholds=rules, slices=("country",), slice_thresholds={"auc": SliceThreshold(min=0.5)})
    assert not tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
