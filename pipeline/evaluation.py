"""The Evaluator and its config: the config's metrics, slices and thresholds in TFMA's terms."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.wrappers_pb2 import BoolValue
from tensorflow_model_analysis.proto import config_pb2
from tfx.components import Evaluator
from tfx.types import BaseChannel

from components.evaluation import changes, extractors, ranking_metrics, slice_margins
from components.evaluation.changes import bound_name, good_end
from components.evaluation.slice_margins import margin_name
from pipeline.fingerprint import code_fingerprint
from transform.config import Config
from transform.evaluation_settings import AT_K, HIGHER_IS_BETTER, OF_GROUPS, Evaluation, k_of, kind_of
from transform.feature_spec import LABEL, REQUEST_ID, WEIGHT
from transform.signature_names import SERVING_SIGNATURE

#: TFMA's class for each metric of single examples.
_TFMA_CLASSES = {
    "auc": "AUC",
    "auc_pr": "AUCPrecisionRecall",
    "logloss": "BinaryCrossentropy",
    "calibration": "Calibration",
    "mean_prediction": "MeanPrediction",
    "mean_label": "MeanLabel",
}

_WHOLE = config_pb2.SlicingSpec()


def metrics_by_group(evaluation: Evaluation, *, has_requests: bool) -> dict[str, tuple[str, ...]]:
    """What is measured, by the feature whose values are the groups; empty for the metrics of single examples.

    Args:
      evaluation: The gates on quality.
      has_requests: Whether the examples have request ids; without, there is no NDCG and its like.
    """
    found: dict[str, tuple[str, ...]] = {"": tuple(_TFMA_CLASSES)}
    if has_requests:
        found[REQUEST_ID] = tuple(f"{kind}@{k}" for kind in AT_K for k in evaluation.ks)
    if has_requests or evaluation.gauc_by:
        key = evaluation.gauc_by or REQUEST_ID
        found[key] = ("gauc", *found.get(key, ()))
    return found


def eval_config(evaluation: Evaluation, *, weighted: bool, has_requests: bool) -> config_pb2.EvalConfig:
    """Returns what the Evaluator measures, and what a model must reach to be blessed.

    Args:
      evaluation: The gates on quality.
      weighted: Whether the examples have weights; the metrics, but not the number of examples, then count by them.
      has_requests: Whether the examples have request ids.
    """
    config = config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name=SERVING_SIGNATURE, label_key=LABEL, example_weight_key=WEIGHT if weighted else None
            )
        ],
        slicing_specs=[_WHOLE, *_slices(evaluation)],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[config_pb2.MetricConfig(class_name="ExampleCount")],
                example_weights=config_pb2.ExampleWeightOptions(unweighted=True),
            )
        ],
    )
    unit = REQUEST_ID if has_requests else evaluation.gauc_by
    for group, names in metrics_by_group(evaluation, has_requests=has_requests).items():
        metrics = [metric for name in names for metric in _metrics(name, evaluation, unit)]
        if not group:
            metrics.append(_metric("CalibrationPlot", name="calibration_plot"))
        # A margin is made of metrics that TFMA must have computed before.
        margins = [metric for name in names for metric in _margins(name, evaluation)]
        config.metrics_specs.add(query_key=group, metrics=[*metrics, *margins])
    config.options.include_default_metrics.CopyFrom(BoolValue(value=False))
    return config


def _slices(evaluation: Evaluation) -> list[config_pb2.SlicingSpec]:
    return [config_pb2.SlicingSpec(feature_keys=[name]) for name in evaluation.slices]


def _metric(class_name: str, module: str = "", **settings: Any) -> config_pb2.MetricConfig:
    text = json.dumps({key: value for key, value in settings.items() if value is not None})
    return config_pb2.MetricConfig(class_name=class_name, module=module, config=text)


def _metrics(name: str, evaluation: Evaluation, unit: str | None) -> list[config_pb2.MetricConfig]:
    """A metric with its thresholds over all examples, and the ends of its change's interval."""
    kind, k = kind_of(name), k_of(name)
    rule = evaluation.thresholds.get(name)
    higher_is_better = HIGHER_IS_BETTER.get(kind)
    if kind in OF_GROUPS:
        metric = _metric("RankingMetric", ranking_metrics.__name__, name=name, measure=kind, k=k)
    else:
        metric = _metric(_TFMA_CLASSES[name], name=name)
    if rule is not None:
        _hold(metric, [_WHOLE], low=rule.min, high=rule.max)
    metrics = [metric]
    if higher_is_better is not None:
        for end in ("low", "high"):
            bound = _metric(
                "ChangeBound",
                changes.__name__,
                name=bound_name(name, end),
                measure=kind,
                k=k,
                end=end,
                unit_key=None if kind in OF_GROUPS else unit,
            )
            if rule is not None and rule.max_worsening is not None and end == good_end(name):
                _hold_change(bound, [_WHOLE], rule.max_worsening, higher_is_better=higher_is_better)
            metrics.append(bound)
    return metrics


def _margins(name: str, evaluation: Evaluation) -> list[config_pb2.MetricConfig]:
    """What holds a metric, and its change, within bounds in slices of enough examples."""
    rule = evaluation.slice_thresholds.get(name)
    if rule is None:
        return []
    margins = []
    common: dict[str, Any] = {"module": slice_margins.__name__, "min_examples": evaluation.min_slice_examples}
    if rule.min is not None or rule.max is not None:
        margin = _metric("SliceMargin", **common, name=margin_name(name), metric=name, low=rule.min, high=rule.max)
        _hold(margin, _slices(evaluation), low=0.0)
        margins.append(margin)
    if rule.max_worsening is not None:
        bound = bound_name(name, good_end(name))
        allowed: dict[str, Any] = (
            {"low": -rule.max_worsening} if good_end(name) == "high" else {"high": rule.max_worsening}
        )
        margin = _metric("SliceMargin", **common, name=margin_name(bound), metric=bound, is_change=True, **allowed)
        _hold_change(margin, _slices(evaluation), 0.0, higher_is_better=True)
        margins.append(margin)
    return margins


def _hold(
    metric: config_pb2.MetricConfig,
    slices: list[config_pb2.SlicingSpec],
    *,
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Puts bounds on a metric in some slices; a plain `threshold` would hold in every one, however few its examples."""
    threshold = config_pb2.MetricThreshold()
    if low is not None:
        threshold.value_threshold.lower_bound.value = low
    if high is not None:
        threshold.value_threshold.upper_bound.value = high
    metric.per_slice_thresholds.add(slicing_specs=slices, threshold=threshold)


def _hold_change(
    metric: config_pb2.MetricConfig,
    slices: list[config_pb2.SlicingSpec],
    max_worsening: float,
    *,
    higher_is_better: bool,
) -> None:
    """Puts a bound on a difference of the models; TFMA drops it where there is no baseline."""
    threshold = config_pb2.MetricThreshold()
    change = threshold.change_threshold
    direction = config_pb2.MetricDirection
    change.direction = direction.HIGHER_IS_BETTER if higher_is_better else direction.LOWER_IS_BETTER
    change.absolute.value = 0.0 - max_worsening if higher_is_better else max_worsening
    metric.per_slice_thresholds.add(slicing_specs=slices, threshold=threshold)


def evaluator_of(
    component: type[Evaluator],
    config: Config,
    examples: BaseChannel,
    model: BaseChannel,
    baseline_model: BaseChannel,
    schema: BaseChannel,
) -> Evaluator:
    """An Evaluator, or a component that is one, of the evaluation split."""
    settings = eval_config(
        config.evaluation,
        weighted=config.sources.impressions.weight is not None,
        has_requests=config.sources.impressions.request_id is not None,
    )
    evaluator = component(
        examples=examples,
        model=model,
        baseline_model=baseline_model,
        eval_config=settings,
        schema=schema,
        example_splits=["eval"],
        module_path=extractors.__name__,
    )
    # TFX has no place for it, but its cache compares all properties: an edit of the metrics evaluates anew.
    metrics = {metric.module for spec in settings.metrics_specs for metric in spec.metrics if metric.module}
    evaluator.exec_properties["code_fingerprint"] = code_fingerprint(component, extractors.__name__, *sorted(metrics))
    return evaluator
