"""What the metrics read of evaluation examples, as columns of numbers: about 40 bytes an example for two models."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.evaluation.metrics.bootstrap import Array

#: The values of a slice with a bound, such as `age_days < 7`.
BELOW, NOT_BELOW = "true", "false"


@dataclasses.dataclass(frozen=True)
class Members:
    """Which rows have which values of a feature; a row may have no value, or several.

    Attributes:
      values: The distinct values.
      row: Row numbers from 0, int32 `[num_pairs]`.
      value: For each of them, the index of a value that the row has, int32 `[num_pairs]`.
    """

    values: tuple[Any, ...]
    row: Array
    value: Array


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of some rows.

    Attributes:
      unit: The hash of each row's bootstrap unit (`metrics.bootstrap.unit_hash`), uint64 `[num_rows]`.
      label: 0 or 1, float32 `[num_rows]`.
      weight: At least 0, float32 `[num_rows]`; 1 if examples have no weights.
      score: The models' scores, float32 `[num_rows, num_models]`.
      group: By the feature that names groups, such as `request_id`: a 64-bit hash of its value, uint64 `[num_rows]`.
      slices: By the slices' name, such as `country`: the rows' values.
    """

    unit: Array
    label: Array
    weight: Array
    score: Array
    group: Mapping[str, Array]
    slices: Mapping[str, Members]

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.label)


def concatenated(parts: Sequence[Columns]) -> Columns:
    """Returns the rows of all parts, at least one, in their order."""
    first = parts[0]
    sizes = [part.num_rows for part in parts]
    return Columns(
        unit=np.concatenate([part.unit for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        group={name: np.concatenate([part.group[name] for part in parts]) for name in first.group},
        slices={name: _all_members([part.slices[name] for part in parts], sizes) for name in first.slices},
    )


def _all_members(parts: Sequence[Members], sizes: Sequence[int]) -> Members:
    """Returns the members of all parts, whose numbers of rows are given."""
    values: dict[Any, int] = {}
    starts = itertools.accumulate(sizes[:-1], initial=0)
    rows, of_rows = [], []
    for part, start in zip(parts, starts, strict=True):
        index = np.array([values.setdefault(value, len(values)) for value in part.values], np.int32)
        rows.append(part.row + start)
        of_rows.append(index[part.value])
    return Members(tuple(values), np.concatenate(rows), np.concatenate(of_rows))


class FeatureValues:
    """A feature's values in a batch.

    Attributes:
      row: Each value's row, int32 `[num_values]`.
      value: The values, `[num_values]`.
      first: The rows that have a value, and their first values.
      is_single: Whether no row has more than one value.
    """

    def __init__(self, values: tf.SparseTensor):
        indices = values.indices.numpy()
        self.row, self.value = indices[:, 0].astype(np.int32), values.values.numpy()
        is_first = indices[:, 1] == 0
        self.first = self.row[is_first], self.value[is_first]
        self.is_single = bool(is_first.all())

    def filled(self, num_rows: int, default: Any) -> Array:
        """Returns the first value of each row, `[num_rows]`; the default for a row without a value."""
        rows, first = self.first
        found = np.full(num_rows, default, first.dtype)
        found[rows] = first
        return found
