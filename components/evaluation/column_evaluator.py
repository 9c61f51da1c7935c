"""TFMA's evaluator of columns: all metrics of every slice at once, in the form that TFMA's writers take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma

# What its packages do not export, as of TFMA 0.52.0: docs/reference/private_uses.md
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import MetricKey, PlotKey

from components.evaluation import row_metrics
from components.evaluation.column_extractor import COLUMNS, SCORED
from components.evaluation.metrics import ranking, replicates
from components.evaluation.metrics.bootstrap import HASH_BITS, Array
from components.evaluation.metrics.calibration import calibration_buckets
from components.evaluation.plan import PLOT, Plan, Ranking
from components.evaluation.scoring.columns import Columns, concatenated

#: A slice's key in TFMA: empty, or the slice's name and value.
SliceKey = tuple[tuple[str, Any], ...]

#: What was measured in a slice: its key, and its metrics or plots.
Measured = tuple[SliceKey, dict[MetricKey, Any]]


def column_evaluator(plan: Plan, with_kept_scores: Callable[[Columns], Columns]) -> tfma.evaluators.Evaluator:
    """Returns the evaluator, which runs after `components.evaluation.column_extractor.score_extractor`.

    Args:
      plan: What is measured.
      with_kept_scores: Called once, with the columns of all examples; returns them with the scores of all models of the
        plan.
    """
    stage = _Evaluate(plan, with_kept_scores)
    return tfma.evaluators.Evaluator(stage_name="EvaluateColumns", run_after=SCORED, ptransform=stage)


class _Evaluate(beam.PTransform):  # type: ignore[misc]
    """Gathers all columns and measures them."""

    def __init__(self, plan: Plan, with_kept_scores: Callable[[Columns], Columns]):
        super().__init__()
        self._plan = plan
        self._with_kept_scores = with_kept_scores

    def expand(self, extracts: Any) -> dict[str, Any]:
        gathered = extracts | "Gather" >> beam.CombineGlobally(_Gather()).without_defaults()
        completed = gathered | "AddKeptScores" >> beam.Map(self._with_kept_scores)
        metrics = completed | "Measure" >> beam.FlatMap(measured, self._plan)
        return {
            tfma.METRICS_KEY: metrics | "Metrics" >> beam.Map(_of_kind, MetricKey),
            tfma.PLOTS_KEY: metrics | "Plots" >> beam.Map(_of_kind, PlotKey),
            tfma.ATTRIBUTIONS_KEY: metrics | "Attributions" >> beam.MapTuple(lambda slice_key, _: (slice_key, {})),
            tfma.VALIDATIONS_KEY: metrics
            | "NoPlots" >> beam.Map(_of_kind, MetricKey)
            | "Validate" >> beam.Map(metrics_validator.validate_metrics, self._plan.eval_config),
        }


def _of_kind(found: Measured, kind: type) -> Measured:
    return found[0], {key: value for key, value in found[1].items() if type(key) is kind}


class _Gather(beam.CombineFn):  # type: ignore[misc]
    """Concatenates columns in the order of the examples, whatever bundles Beam makes of them."""

    def create_accumulator(self) -> list[Any]:
        return []

    def add_input(self, accumulator: list[Any], extracts: dict[str, Any]) -> list[Any]:
        accumulator.append(extracts[COLUMNS])
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        return [part for accumulator in accumulators for part in accumulator]

    def extract_output(self, accumulator: list[Any]) -> Columns:
        return concatenated([columns for _, columns in sorted(accumulator, key=lambda part: part[0])])


def measured(columns: Columns, plan: Plan) -> Iterator[Measured]:
    """Yields the metrics and plots of all examples, and of those of each slice."""
    groups = [_Groups(columns, name, of_group) for name, of_group in plan.rankings.items()]
    yield (), _with_differences(plan, _measure_slice(columns, groups, plan, None))
    for name in plan.slices:
        for value, rows in columns.slices[name].rows_by_value():
            yield ((name, value),), _with_differences(plan, _measure_slice(columns, groups, plan, rows))


def _measure_slice(columns: Columns, groups: Iterable[_Groups], plan: Plan, rows: Array | None) -> dict[MetricKey, Any]:
    """Measures some rows; None takes all."""
    some = slice(None) if rows is None else rows
    labels, weights = columns.label[some].astype(np.float64), columns.weight[some].astype(np.float64)
    scores = columns.score[some].astype(np.float64)
    found: dict[MetricKey, Any] = row_metrics.measured(
        plan.keys, columns.unit[some], labels, weights, scores, plan.accuracy_threshold
    )
    for number, model in enumerate(plan.model_names):
        key = PlotKey(PLOT, model_name=model, example_weighted=bool(plan.weight))
        found[key] = calibration_buckets(labels, weights, scores[:, number])
    for of_feature in groups:
        found.update(plan.keys.values(of_feature.means(rows)))
    return found


class _Groups:
    """The groups of one feature, such as the requests, and each group's values.

    A slice has the complete groups that have a row in it.
    """

    def __init__(self, columns: Columns, feature: str, settings: Ranking):
        self._measures = settings.measures
        hashes, self._of_row = np.unique(columns.group[feature], return_inverse=True)
        if settings.by_group:
            self._unit = hashes >> np.uint64(64 - HASH_BITS)
        else:  # if a group has several units, the smallest hash, independent of the order of its rows
            self._unit = np.full(len(hashes), np.iinfo(np.uint64).max)
            np.minimum.at(self._unit, self._of_row, columns.unit)
        labels, weights = columns.label.astype(np.float64), columns.weight.astype(np.float64)
        of_models = [
            ranking.measure_groups(
                self._measures, self._of_row, len(hashes), labels, scores.astype(np.float64), weights
            )
            for scores in columns.score.T
        ]
        self._values, self._weights = (np.stack(arrays, axis=1) for arrays in zip(*of_models, strict=True))

    def means(self, rows: Array | None) -> dict[str, Array]:
        """Returns each measure's mean over the groups of some rows, `[1 + NUM_REPLICATES, num_models]`."""
        some = slice(None) if rows is None else np.unique(self._of_row[rows])
        means = replicates.mean_of_groups(self._unit[some], self._values[some], self._weights[some])
        return {measure.name: means[:, :, number] for number, measure in enumerate(self._measures)}


def _with_differences(plan: Plan, found: dict[MetricKey, Any]) -> dict[MetricKey, Any]:
    """Adds each metric's difference to the baseline's, as TFMA's own evaluator does."""
    if (baseline := plan.baseline_name) is None:
        return found
    differences = {
        key.make_diff_key(): value - found[key.make_baseline_key(baseline)]
        for key, value in found.items()
        if type(key) is MetricKey and not key.is_diff and key.model_name != baseline
        if key.make_baseline_key(baseline) in found
    }
    return {**found, **differences}
