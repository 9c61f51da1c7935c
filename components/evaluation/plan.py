"""What an EvalConfig asks for, as the project's evaluator reads it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from tensorflow_model_analysis.proto import config_pb2  # TFMA 0.52.0 lacks its documented `tfma.EvalConfig`

from components.evaluation import ranking_metrics, row_metrics
from components.evaluation.metrics.ranking import Measure
from components.evaluation.row_metrics import Keys

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


def make_plan(eval_config: config_pb2.EvalConfig) -> Plan:
    """Returns what an EvalConfig of `components.evaluation.tfma_config` asks for.

    Args:
      eval_config: The EvalConfig with its defaults: a model spec for each model.
    """
    of_rows: dict[str, Any] = {}
    rankings: dict[str, Ranking] = {}
    for spec in eval_config.metrics_specs:
        for metric in spec.metrics:
            settings = json.loads(metric.config)
            if metric.class_name == row_metrics.RowMetrics.__name__:
                of_rows = settings
            elif metric.class_name == ranking_metrics.RankingMetrics.__name__:
                measures = tuple(Measure(**measure) for measure in settings["measures"])
                rankings[spec.query_key] = Ranking(measures, settings["by_group"])
    slices = tuple(key for spec in eval_config.slicing_specs for key in spec.feature_keys)
    return Plan(eval_config, tuple(of_rows["unit_keys"]), of_rows["accuracy_threshold"], slices, rankings)
