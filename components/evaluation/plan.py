"""What an EvalConfig asks for, if this project's evaluator measures all of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.wrappers_pb2 import BoolValue
from tensorflow_model_analysis.proto import config_pb2  # TFMA 0.52.0 lacks its documented `tfma.EvalConfig`

from components.evaluation import ranking_metrics, row_metrics
from components.evaluation.metrics.ranking import Measure
from components.evaluation.metrics.replicates import ACCURACY_THRESHOLD
from components.evaluation.row_metrics import Keys
from transform.signature_names import SERVING_SIGNATURE

#: The name of the calibration plot, which is TFMA's default.
PLOT = "calibration_plot"


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The measures of a ranking within groups.

    Attributes:
      measures: The measures of each group.
      by_group: Whether the bootstrap draws each group separately, because groups are not parts of units.
    """

    measures: tuple[Measure, ...]
    by_group: bool


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
      eval_config: The EvalConfig, with its defaults.
      unit_keys: The features whose values name an example's bootstrap unit; the first one that an example has counts.
      accuracy_threshold: A score from this one on predicts label 1.
      slices: The slices' names, such as `country` or `age_days < 7`.
      rankings: By the feature whose values are the groups.
    """

    eval_config: config_pb2.EvalConfig
    unit_keys: tuple[str, ...]
    accuracy_threshold: float
    slices: tuple[str, ...]
    rankings: Mapping[str, Ranking]

    @property
    def model_names(self) -> tuple[str, ...]:
        """The names of the models."""
        return tuple(spec.name for spec in self.eval_config.model_specs)

    @property
    def baseline_name(self) -> str | None:
        """The name of the baseline; None if there is none."""
        return next((spec.name for spec in self.eval_config.model_specs if spec.is_baseline), None)

    @property
    def label(self) -> str:
        """The feature that is the label."""
        return str(self.eval_config.model_specs[0].label_key)

    @property
    def weight(self) -> str:
        """The feature that is an example's weight; empty if there is none."""
        return str(self.eval_config.model_specs[0].example_weight_key)

    @property
    def keys(self) -> Keys:
        """The keys of the metrics."""
        return Keys(self.eval_config, self.model_names, bool(self.weight))


def make_plan(eval_config: config_pb2.EvalConfig) -> Plan | None:
    """Returns what an EvalConfig asks for; None if only TFMA can measure it.

    The configs of `components.evaluation.tfma_config` are measured here. Others may ask for more: metrics of TFMA,
    thresholds, slices by two features.

    Args:
      eval_config: The EvalConfig with its defaults: a model spec for each model.
    """
    of_rows: list[dict[str, Any]] = []
    rankings: dict[str, Ranking] = {}
    num_plots = 0
    for group, module, name, settings in _metrics(eval_config):
        if not group and (module, name) == (row_metrics.__name__, "RowMetrics"):
            of_rows.append(settings)
        elif not group and not module and (name, settings) == ("CalibrationPlot", {"name": PLOT}):
            num_plots += 1
        elif group and group not in rankings and (module, name) == (ranking_metrics.__name__, "RankingMetrics"):
            measures = tuple(Measure(**measure) for measure in settings["measures"])
            rankings[group] = Ranking(measures, settings.get("by_group", False))
        else:
            return None
    if (len(of_rows), num_plots) != (1, 1) or eval_config != _as_read(eval_config):
        return None
    slices = tuple(key for spec in eval_config.slicing_specs for key in spec.feature_keys)
    threshold = of_rows[0].get("accuracy_threshold", ACCURACY_THRESHOLD)
    return Plan(eval_config, tuple(of_rows[0].get("unit_keys", ())), threshold, slices, rankings)


def _metrics(eval_config: config_pb2.EvalConfig) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yields the group, the module, the class and the settings of each metric."""
    for spec in eval_config.metrics_specs:
        for metric in spec.metrics:
            yield spec.query_key, metric.module, metric.class_name, json.loads(metric.config or "{}")


def _as_read(eval_config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """Returns an EvalConfig that has only what is read of the given one: it differs if that asks for anything else."""
    read = config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                name=spec.name,
                is_baseline=spec.is_baseline,
                signature_name=SERVING_SIGNATURE,
                label_key=eval_config.model_specs[0].label_key,
                example_weight_key=eval_config.model_specs[0].example_weight_key,
            )
            for spec in eval_config.model_specs
        ],
        slicing_specs=[config_pb2.SlicingSpec(feature_keys=s.feature_keys[:1]) for s in eval_config.slicing_specs],
        metrics_specs=[
            config_pb2.MetricsSpec(
                model_names=[model.name for model in eval_config.model_specs],
                query_key=spec.query_key,
                metrics=[
                    config_pb2.MetricConfig(class_name=m.class_name, module=m.module, config=m.config)
                    for m in spec.metrics
                ],
            )
            for spec in eval_config.metrics_specs
        ],
    )
    read.options.include_default_metrics.CopyFrom(BoolValue(value=False))
    return read
