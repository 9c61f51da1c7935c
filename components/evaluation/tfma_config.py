"""The Evaluator and its EvalConfig, derived from the config's metrics and slices."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.wrappers_pb2 import BoolValue
from tensorflow_model_analysis.proto import config_pb2  # TFMA 0.52.0 lacks its documented `tfma.EvalConfig`
from tfx.types import BaseChannel

from components.evaluation import ranking_metrics, row_metrics
from components.evaluation.component import ColumnEvaluator
from components.fingerprint import code_fingerprint
from transform.config.component_settings import QualitySettings
from transform.config.evaluation import AT_K, Evaluation, k_of, kind_of
from transform.example_keys import LABEL, REQUEST_ID, WEIGHT
from transform.signature_names import SERVING_SIGNATURE

_WHOLE = config_pb2.SlicingSpec()


def metrics_by_group(evaluation: Evaluation, *, has_requests: bool) -> dict[str, tuple[str, ...]]:
    """Returns the ranking metrics that are measured, by the feature whose values are the groups.

    Args:
      evaluation: The config's evaluation section.
      has_requests: Whether the examples have request ids; without them there are no metrics at k, such as NDCG@k.
    """
    found: dict[str, tuple[str, ...]] = {}
    if has_requests:
        found[REQUEST_ID] = tuple(f"{kind}@{k}" for kind in AT_K for k in evaluation.ks)
    if has_requests or evaluation.gauc_by:
        key = evaluation.gauc_by or REQUEST_ID
        found[key] = ("gauc", *found.get(key, ()))
    return found


def eval_config(
    evaluation: Evaluation, *, weighted: bool, has_requests: bool, user: str | None = None
) -> config_pb2.EvalConfig:
    """Returns the EvalConfig. It has no thresholds: the quality gate judges.

    Args:
      evaluation: The config's evaluation section.
      weighted: Whether the examples have weights; if so, the metrics, but not the number of examples, are weighted.
      has_requests: Whether the examples have request ids.
      user: The feature that is the user's id; None if there is none.
    """
    units = [key for key in (user, REQUEST_ID if has_requests else None) if key is not None]
    rows = _metric(
        "RowMetrics", row_metrics.__name__, unit_keys=units, accuracy_threshold=evaluation.accuracy_threshold
    )
    config = config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name=SERVING_SIGNATURE, label_key=LABEL, example_weight_key=WEIGHT if weighted else None
            )
        ],
        slicing_specs=[_WHOLE, *(config_pb2.SlicingSpec(feature_keys=[name]) for name in evaluation.slices)],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[rows, _metric("CalibrationPlot", name="calibration_plot")])],
    )
    for group, names in metrics_by_group(evaluation, has_requests=has_requests).items():
        measures = [{"kind": kind_of(name), "k": k_of(name)} for name in names]
        by_group = group not in units  # otherwise every group is a part of one unit, such as a user's requests
        metrics = [_metric("RankingMetrics", ranking_metrics.__name__, measures=measures, by_group=by_group)]
        config.metrics_specs.add(query_key=group, metrics=metrics)
    config.options.include_default_metrics.CopyFrom(BoolValue(value=False))
    return config


def _metric(class_name: str, module: str = "", **settings: Any) -> config_pb2.MetricConfig:
    return config_pb2.MetricConfig(class_name=class_name, module=module, config=json.dumps(settings))


def make_evaluator(
    component: type[ColumnEvaluator],
    settings: QualitySettings,
    examples: BaseChannel,
    model: BaseChannel,
    baseline_model: BaseChannel,
    schema: BaseChannel,
    earlier_evaluation: BaseChannel | None = None,
) -> ColumnEvaluator:
    """Creates an Evaluator for the evaluation split, with the metrics of `settings`.

    It takes the scores of models that `earlier_evaluation` has scored on the same split from there.
    """
    log = settings.sources.impressions
    measured = eval_config(
        settings.evaluation,
        weighted=log.weight is not None,
        has_requests=log.request_id is not None,
        user=settings.user,
    )
    return component(
        examples=examples,
        model=model,
        baseline_model=baseline_model,
        schema=schema,
        eval_config=measured,
        code_fingerprint=code_fingerprint(component),
        earlier_evaluation=earlier_evaluation,
    )
