"""Sets the weights of unknown and missing values that no training example has to the mean of the known values'.

`TokenDropout` trains such rows, but on few examples. After 100,000 simulated impressions, of which 1 % had the weekday
hidden as unknown, the mean score of rows with an unknown weekday was off by up to 10 %, because AdaGrad moves a row
with few examples as far as a row with many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from trainer.optimizers import JointOptimizer, ftrl_linear
from trainer.warm_start import array_files
from trainer.wide_deep.model import Features, WideDeep
from trainer.wide_deep.tables import Table
from transform.config import settings
from transform.feature import middle_number, missing_number
from transform.feature_spec import transformed_name


def fill_unseen_rows(
    model: WideDeep, optimizers: JointOptimizer, training: settings.Training, examples: Iterable[Features]
) -> None:
    """Sets the weights in place, and FTRL's state with them.

    A table's row for an unknown or missing value that no example has becomes Σ n·w / Σ n over all rows of the table,
    with w a row and n how often the examples have it. For a feature that is the same in all examples, an unknown value
    then scores as the known one. Out-of-vocabulary rows that the examples' rare tokens use keep their weights.

    A number enters the wide part by a row of its quantile's table, which is treated the same way, and the deep part by
    two columns: its normalized quantile or standardized value q (0.5 or 0 if it is missing) with weights v, and whether
    it is missing with weights m. If no example lacks the number, m becomes v · (mean of q - 0.5 or 0): the first hidden
    layer's sums for a missing number are then those of the mean q.

    Args:
      model: The trained model.
      optimizers: Its optimizers.
      training: The optimizers' settings.
      examples: Batches of the training examples' features, without token dropout.
    """
    tables = [
        table
        for table in model.tables
        if table.keys.kind == "quantiles" or (table.keys.kind == "vocabulary" and table.keys.oov_buckets)
    ]
    totals = {table.name: np.zeros(table.rows, np.int64) for table in tables}
    numbers = {
        transformed_name(b.feature): _Number(missing_number(b.scale)) for b in model.layout if b.vocabulary is None
    }
    for features in examples:
        for table in tables:
            for name in table.inputs:
                np.add.at(totals[table.name], _ids(features[name]), 1)
        for name, number in numbers.items():
            number.add(features[name].numpy())
    _set_missing_numbers(model, numbers)
    for table in tables:
        counts, rows = totals[table.name], table.keys.rows_without_token(table.rows)
        unseen = rows[counts[rows] == 0]
        if unseen.size and counts.any():
            _set_rows(model, optimizers, training, table, unseen, counts)


@dataclasses.dataclass
class _Number:
    """A numeric feature's statistics: how many examples have it and lack it, and the sum of its transformed values.

    `marker` is the transformed value of a missing number.
    """

    marker: float
    known: int = 0
    missing: int = 0
    total: float = 0.0

    def add(self, transformed: np.ndarray) -> None:
        is_known = transformed != self.marker
        self.known += int(is_known.sum())
        self.missing += int((~is_known).sum())
        self.total += float(transformed[is_known].sum(dtype=np.float64))


def _set_missing_numbers(model: WideDeep, numbers: Mapping[str, _Number]) -> None:
    """Sets the first hidden layer's weights for a missing number, for each number that no example lacks."""
    if model.hidden_layers is None:
        return
    kernel = model.hidden_layers.named_variables["dense_0/kernel"]
    weights, column = kernel.numpy(), 0
    for block in model.layout:
        number = numbers.get(transformed_name(block.feature))
        if number is not None and number.known and not number.missing:
            weights[column + 1] = weights[column] * (number.total / number.known - middle_number(block.scale))
        column += block.width
    kernel.assign(weights)


def _ids(values: tf.Tensor | tf.SparseTensor) -> np.ndarray:
    ids: np.ndarray = (values.values if isinstance(values, tf.SparseTensor) else values).numpy()
    return ids


def _set_rows(
    model: WideDeep,
    optimizers: JointOptimizer,
    training: settings.Training,
    table: Table,
    rows: np.ndarray,
    counts: np.ndarray,
) -> None:
    variable = model.table_weights[table.name]
    mean = _mean(variable, counts)
    _assign_rows(variable, rows, np.broadcast_to(mean, (rows.size, *variable.shape[1:])))
    slots = optimizers.slots(variable)
    if "linear" in slots:
        of_rows = (tf.gather(values, rows).numpy() for values in (variable, slots["accumulator"], slots["linear"]))
        weights, accumulator, linear = of_rows
        _assign_rows(slots["linear"], rows, ftrl_linear(weights, accumulator, training.wide_optimizer, linear))


def _mean(variable: tf.Variable, counts: np.ndarray) -> np.ndarray:
    """The mean of a table's rows, weighted by their counts, float64 of a row's shape."""
    if variable.shape.rank == 1:
        return np.asarray(np.average(variable.numpy(), weights=counts))
    # In blocks: the products of all rows, in float64, would take three times the table's memory.
    block = array_files.block_rows(tuple(variable.shape), np.dtype(np.float64))
    total: np.ndarray = np.zeros(variable.shape[1:], np.float64)
    (counted,) = np.nonzero(counts)
    for start in range(0, counted.size, block):
        rows = counted[start : start + block]
        total += counts[rows] @ tf.gather(variable, rows).numpy().astype(np.float64)
    mean: np.ndarray = total / counts.sum()
    return mean


def _assign_rows(variable: tf.Variable, rows: np.ndarray, values: np.ndarray) -> None:
    variable.scatter_update(tf.IndexedSlices(values.astype(np.float32), rows))
