"""The Evaluator's config: the config's metrics, slices and thresholds in TFMA's terms."""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import BoolValue
from tensorflow_model_analysis.proto import config_pb2

from trainer.signatures import SERVING_SIGNATURE
from transform.feature_spec import LABEL, WEIGHT
from transform.settings import Evaluation, Threshold

#: TFMA's class for each metric of the config, and whether more is better (None: neither).
METRICS: dict[str, tuple[str, bool | None]] = {
    "auc": ("AUC", True),
    "logloss": ("BinaryCrossentropy", False),
    "calibration": ("Calibration", None),
}


def eval_config(evaluation: Evaluation, *, weighted: bool) -> config_pb2.EvalConfig:
    """Returns what the Evaluator measures, and what a model must reach to be blessed.

    Args:
      evaluation: The gates on quality.
      weighted: Whether the examples have weights; the metrics, but not the number of examples, then count by them.
    """
    metrics = []
    for name, (class_name, higher_is_better) in METRICS.items():
        metric = config_pb2.MetricConfig(class_name=class_name, config=f'{{"name": "{name}"}}')
        if name in evaluation.thresholds:
            # A plain `threshold` would hold for every slice as well, however few its examples.
            metric.per_slice_thresholds.add(
                slicing_specs=[config_pb2.SlicingSpec()],
                threshold=_threshold(evaluation.thresholds[name], higher_is_better),
            )
        metrics.append(metric)
    slices = [config_pb2.SlicingSpec(), *(config_pb2.SlicingSpec(feature_keys=[name]) for name in evaluation.slices)]
    config = config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name=SERVING_SIGNATURE, label_key=LABEL, example_weight_key=WEIGHT if weighted else None
            )
        ],
        slicing_specs=slices,
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[config_pb2.MetricConfig(class_name="ExampleCount")],
                example_weights=config_pb2.ExampleWeightOptions(unweighted=True),
            ),
            config_pb2.MetricsSpec(metrics=metrics),
        ],
    )
    config.options.include_default_metrics.CopyFrom(BoolValue(value=False))
    return config


def _threshold(rule: Threshold, higher_is_better: bool | None) -> config_pb2.MetricThreshold:
    threshold = config_pb2.MetricThreshold()
    if rule.min is not None:
        threshold.value_threshold.lower_bound.value = rule.min
    if rule.max is not None:
        threshold.value_threshold.upper_bound.value = rule.max
    if rule.max_worsening is not None and higher_is_better is not None:
        direction = (
            config_pb2.MetricDirection.HIGHER_IS_BETTER
            if higher_is_better
            else config_pb2.MetricDirection.LOWER_IS_BETTER
        )
        threshold.change_threshold.direction = direction
        threshold.change_threshold.absolute.value = -rule.max_worsening if higher_is_better else rule.max_worsening
    return threshold
