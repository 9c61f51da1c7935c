"""Rows of unknown and missing values that no training example has: they become the mean of the rows of tokens.

`TokenDropout` trains such rows, but on few examples: after 100,000 simulated impressions, of which 1 % had the weekday
hidden as unknown, the mean score of rows with an unknown weekday was off by up to 10 %, as AdaGrad moves a row of few
examples as far as one of many.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from trainer.model import Features, WideDeep
from trainer.optimizers import JointOptimizer, ftrl_linear
from trainer.tables import Table
from transform import settings


def fill_unseen_rows(
    model: WideDeep, optimizers: JointOptimizer, training: settings.Training, examples: Iterable[Features]
) -> None:
    """Sets the rows in place, and FTRL's state with them.

    A table's row for an unknown or missing value that no example has becomes Σ n·w / Σ n over all rows of the table,
    with w a row and n how often the examples have it. For a feature that is the same in all examples, an unknown value
    then scores as the known one. Out-of-vocabulary rows that rare tokens of the examples have stay as they are.

    Args:
      model: The trained model.
      optimizers: Its optimizers.
      training: The optimizers' settings.
      examples: Batches of the training examples' features, as they are without anything hidden.
    """
    tables = [
        table
        for table in (*model.wide_tables, *model.embedding_tables)
        if table.keys.kind == "vocabulary" and table.keys.oov_buckets
    ]
    totals = {table.name: np.zeros(table.rows, np.int64) for table in tables}
    for features in examples:
        for table in tables:
            for name in table.inputs:
                np.add.at(totals[table.name], _ids(features[name]), 1)
    for table in tables:
        counts, rows = totals[table.name], table.keys.rows_without_token(table.rows)
        unseen = rows[counts[rows] == 0]
        if unseen.size and counts.any():
            _set_rows(model, optimizers, training, table, unseen, counts)


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
    weights = variable.numpy()
    weights[rows] = np.average(weights, axis=0, weights=counts)
    variable.assign(weights)
    slots = optimizers.slots(variable)
    if "linear" in slots:
        held = ftrl_linear(weights, slots["accumulator"].numpy(), training.wide_optimizer, slots["linear"].numpy())
        linear = slots["linear"].numpy()
        linear[rows] = held[rows]
        slots["linear"].assign(linear)
