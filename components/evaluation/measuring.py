"""What is measured of columns of rows, as sums by slice that add up, and the metrics and plots that these sums make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# What its packages do not export, as of TFMA 0.52.0: docs/reference/private_uses.md
from tensorflow_model_analysis.metrics import MetricKey, PlotKey

from components.evaluation.metrics import ranking, replicates
from components.evaluation.metrics.areas import Around
from components.evaluation.metrics.bootstrap import HASH_BITS, Array
from components.evaluation.metrics.calibration import calibration_buckets, calibration_sums
from components.evaluation.metrics.replicates import Drawn
from components.evaluation.plan import PLOT, Plan, Ranking
from components.evaluation.row_metrics import counts_of
from components.evaluation.scoring.columns import Columns

#: A slice's key: empty for all rows, or the slice's name and value, as in TFMA.
SliceKey = tuple[tuple[str, Any], ...]

#: What was measured in a slice: its key, and its metrics or plots.
Measured = tuple[SliceKey, dict[Any, Any]]

#: Sums by slice and by name. Those of the parts of all rows add up to those of all rows.
State = dict[SliceKey, dict[str, Array]]

_COUNTS, _PLOT, _GROUPS = "counts", "plot", "groups"


def add(state: State, other: Mapping[SliceKey, Mapping[str, Array]]) -> None:
    """Adds the sums of other rows to a state."""
    for key, sums in other.items():
        of_slice = state.setdefault(key, {})
        for name, array in sums.items():
            of_slice[name] = of_slice[name] + array if name in of_slice else array


def of_model(name: str, model: int) -> str:
    """Returns the name, in a state, of a model's sums."""
    return f"{name}-{model}"


def _slices(columns: Columns) -> Iterator[tuple[SliceKey, Any]]:
    """Yields the key of all rows and of each slice that rows are in, and an index of these rows."""
    yield (), slice(None)
    for name, members in columns.slices.items():
        for value, rows in members.rows_by_value():
            yield ((name, value),), rows


def count_rows(columns: Columns) -> State:
    """Returns the counts of rows and units. The rows of a unit must be in one part of all rows."""
    return {
        key: {_COUNTS: counts_of(columns.label[rows], columns.weight[rows], columns.unit[rows])}
        for key, rows in _slices(columns)
    }


def sum_rows(
    columns: Columns,
    plan: Plan,
    models: Sequence[int],
    around: Callable[[SliceKey, Array], Sequence[Around]] | None,
    drawn: Drawn,
    *,
    totals: bool = True,
) -> State:
    """Returns the sums of models over rows with some range of their scores.

    Args:
      columns: The rows; their scores are those of `models`.
      plan: What is measured.
      models: The numbers of models. If there are several, the rows are all rows.
      around: Returns, for a slice's key and its rows' weights, what is around the rows for each model; None if
        `replicates.AREAS` are not asked for.
      drawn: How often the rows' units occur.
      totals: Whether all other sums are asked for.
    """
    threshold = plan.accuracy_threshold if totals else None
    state: State = {}
    for key, rows in _slices(columns):
        labels, weights, scores = (
            array[rows].astype(np.float64) for array in (columns.label, columns.weight, columns.score)
        )
        outside = None if around is None else around(key, weights)
        found = replicates.of_range(columns.unit[rows], labels, weights, scores, threshold, outside, drawn)
        state[key] = {
            of_model(name, model): sums
            for model, all_sums in zip(models, found, strict=True)
            for name, sums in all_sums.items()
        }
        if totals:
            for model, column in zip(models, scores.T, strict=True):
                state[key][of_model(_PLOT, model)] = calibration_sums(labels, weights, column)
    return state


def sum_groups(columns: Columns, plan: Plan, feature: str, drawn: Drawn) -> State:
    """Returns the sums over the groups of a feature, such as the requests. A group must be in one part of all rows.

    A slice has the complete groups that have a row in it.
    """
    groups = _Groups(columns, feature, plan.rankings[feature], drawn)
    return {key: {f"{_GROUPS}-{feature}": groups.sums(rows)} for key, rows in _slices(columns)}


def sum_all(columns: Columns, plan: Plan) -> State:
    """Returns all sums of all rows."""

    def nothing(key: SliceKey, weights: Array) -> Sequence[Around]:
        del key
        return [Around.nothing(float(weights.sum()))] * len(plan.model_names)

    drawn = Drawn(columns.unit)
    state = sum_rows(columns, plan, range(len(plan.model_names)), nothing, drawn)
    add(state, count_rows(columns))
    for feature in plan.rankings:
        add(state, sum_groups(columns, plan, feature, drawn))
    return state


class _Groups:
    """The groups of one feature, and each group's values."""

    def __init__(self, columns: Columns, feature: str, settings: Ranking, drawn: Drawn):
        hashes, self._of_row = np.unique(columns.group[feature], return_inverse=True)
        if settings.by_group:
            self._unit = hashes >> np.uint64(64 - HASH_BITS)
            drawn = Drawn(self._unit)
        else:  # if a group has several units, the smallest hash, independent of the order of its rows
            self._unit = np.full(len(hashes), np.iinfo(np.uint64).max)
            np.minimum.at(self._unit, self._of_row, columns.unit)
        self._drawn = drawn
        labels, weights = columns.label.astype(np.float64), columns.weight.astype(np.float64)
        of_models = [
            ranking.measure_groups(
                settings.measures, self._of_row, len(hashes), labels, scores.astype(np.float64), weights
            )
            for scores in columns.score.T
        ]
        self._values, self._weights = (np.stack(arrays, axis=1) for arrays in zip(*of_models, strict=True))

    def sums(self, rows: Any) -> Array:
        """Returns the sums over the groups of some rows, `[2, 1 + NUM_REPLICATES, num_models, num_measures]`."""
        some = rows if isinstance(rows, slice) else np.unique(self._of_row[rows])
        return replicates.sums_of_groups(self._unit[some], self._values[some], self._weights[some], self._drawn)


def results(sums: Mapping[str, Array], plan: Plan) -> dict[Any, Any]:
    """Returns a slice's metrics, plots, and the metrics' differences to the baseline's, by TFMA's keys.

    Args:
      sums: All sums of the slice's rows.
      plan: What was measured.
    """
    models = [
        {name: sums[of_model(name, number)] for name in (replicates.TOTALS, replicates.AREAS)}
        for number in range(len(plan.model_names))
    ]
    found: dict[Any, Any] = {
        **plan.keys.values(replicates.metrics_of(models)),
        **plan.keys.counts(sums[_COUNTS]),
    }
    for number, model in enumerate(plan.model_names):
        key = PlotKey(PLOT, model_name=model, example_weighted=bool(plan.weight))
        found[key] = calibration_buckets(sums[of_model(_PLOT, number)])
    for feature, settings in plan.rankings.items():
        means = replicates.means_of(sums[f"{_GROUPS}-{feature}"])
        of_measures = {measure.name: means[:, :, number] for number, measure in enumerate(settings.measures)}
        found.update(plan.keys.values(of_measures))
    return _with_differences(plan, found)


def _with_differences(plan: Plan, found: dict[Any, Any]) -> dict[Any, Any]:
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
