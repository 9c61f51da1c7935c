"""The Evaluator's config says what the YAML file says, and holds thresholds against the whole alone."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

from pipeline.evaluation import METRICS, eval_config
from transform.settings import Evaluation, Threshold


def metrics(config: config_pb2.EvalConfig) -> dict[str, config_pb2.MetricConfig]:
    """By class name."""
    return {metric.class_name: metric for spec in config.metrics_specs for metric in spec.metrics}


def threshold(name: str, rule: Threshold) -> config_pb2.MetricThreshold:
    """The one threshold of a config with one rule."""
    found = metrics(eval_config(Evaluation({name: rule}), weighted=False))[METRICS[name][0]]  # type: ignore[dict-item]
    assert not found.HasField("threshold")  # that one would hold for every slice
    (per_slice,) = found.per_slice_thresholds
    assert list(per_slice.slicing_specs) == [config_pb2.SlicingSpec()]  # the whole, and nothing else
    return per_slice.threshold


def test_every_metric_is_measured_on_the_whole_and_on_each_slice() -> None:
    config = eval_config(Evaluation({"auc": Threshold(min=0.5)}, slices=("country", "hour")), weighted=False)
    found = metrics(config)
    assert {name: metric.config for name, metric in found.items()} == {
        "ExampleCount": "",
        "AUC": '{"name": "auc"}',
        "BinaryCrossentropy": '{"name": "logloss"}',
        "Calibration": '{"name": "calibration"}',
    }
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["country"], ["hour"]]
    assert [name for name, metric in found.items() if metric.per_slice_thresholds] == ["AUC"]
    (model,) = config.model_specs
    assert (model.signature_name, model.label_key, model.example_weight_key) == ("serving_default", "label", "")
    assert config.options.include_default_metrics.value is False


def test_examples_with_weights_are_measured_by_them_and_counted_without() -> None:
    config = eval_config(Evaluation({"auc": Threshold(min=0.5)}), weighted=True)
    (model,) = config.model_specs
    assert model.example_weight_key == "weight"
    unweighted = [m.class_name for s in config.metrics_specs if s.example_weights.unweighted for m in s.metrics]
    assert unweighted == ["ExampleCount"]


@pytest.mark.parametrize(
    ("name", "rule", "expected"),
    [
        ("auc", Threshold(min=0.6), "value_threshold { lower_bound { value: 0.6 } }"),
        ("logloss", Threshold(max=0.5), "value_threshold { upper_bound { value: 0.5 } }"),
        (
            "calibration",
            Threshold(min=0.9, max=1.1),
            "value_threshold { lower_bound { value: 0.9 } upper_bound { value: 1.1 } }",
        ),
        # TFMA compares candidate - baseline with `absolute`: a fall of at most 0.01, or a rise of at most 0.02.
        (
            "auc",
            Threshold(min=0.6, max_worsening=0.01),
            "value_threshold { lower_bound { value: 0.6 } } "
            "change_threshold { direction: HIGHER_IS_BETTER absolute { value: -0.01 } }",
        ),
        (
            "logloss",
            Threshold(max=0.5, max_worsening=0.02),
            "value_threshold { upper_bound { value: 0.5 } } "
            "change_threshold { direction: LOWER_IS_BETTER absolute { value: 0.02 } }",
        ),
    ],
)
def test_a_rule_is_a_threshold_on_the_whole(name: str, rule: Threshold, expected: str) -> None:
    assert threshold(name, rule) == text_format.Parse(expected, config_pb2.MetricThreshold())
