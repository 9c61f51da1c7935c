"""What the metrics read of evaluation examples, as columns of numbers: about 40 bytes an example for two models."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.evaluation.metrics.bootstrap import Array
from transform.config.evaluation import split_slice
from transform.errors import InputError

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

    def rows_by_value(self) -> Iterator[tuple[Any, Array]]:
        """Yields each value that rows have, and the numbers of those rows, int32 `[some]`."""
        order = np.argsort(self.value, kind="stable")
        ends = np.cumsum(np.bincount(self.value, minlength=len(self.values)))
        for value, rows in zip(self.values, np.split(self.row[order], ends[:-1]), strict=True):
            if len(rows):
                yield value, rows

    def ordered(self, order: Array) -> Members:
        """Returns the members of the rows in another order, a permutation `[num_rows]`; `row` ascends."""
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        row = place[self.row]
        by_row = np.argsort(row, kind="stable")
        return Members(self.values, row[by_row], self.value[by_row])

    def part(self, start: int, stop: int) -> Members:
        """Returns the members of the rows from one on, and before another; `row` must ascend."""
        first, last = np.searchsorted(self.row, [start, stop])
        return Members(self.values, self.row[first:last] - np.int32(start), self.value[first:last])


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

    def split(self, numbers: Array, num_parts: int) -> list[Columns]:
        """Returns the rows of each part, in their order.

        Args:
          numbers: The number of each row's part, from 0, `[num_rows]`.
          num_parts: The number of parts.
        """
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=num_parts)).tolist()
        ordered = self._rows(order, {name: members.ordered(order) for name, members in self.slices.items()})
        return [ordered._part(start, stop) for start, stop in itertools.pairwise([0, *ends])]

    def _part(self, start: int, stop: int) -> Columns:
        slices = {name: members.part(start, stop) for name, members in self.slices.items()}
        return self._rows(slice(start, stop), slices)

    def _rows(self, rows: Array | slice, slices: Mapping[str, Members]) -> Columns:
        """Returns some rows, given their slices."""
        group = {name: hashes[rows] for name, hashes in self.group.items()}
        return Columns(self.unit[rows], self.label[rows], self.weight[rows], self.score[rows], group, slices)


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
        slices={name: all_members([part.slices[name] for part in parts], sizes) for name in first.slices},
    )


def all_members(parts: Sequence[Members], sizes: Sequence[int]) -> Members:
    """Returns the members of all parts, at least one, whose numbers of rows are given."""
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


def slice_words(name: str, value: Any) -> str:
    """Returns the name of the rows with a value of a slice: `country = US`, `age_days < 7` or `age_days ≥ 7`."""
    if split_slice(name)[1] is None:
        return f"{name} = {value}"
    return name if value == BELOW else name.replace("<", "≥")


def members_of(values: FeatureValues, name: str) -> Members:
    """Returns the rows' values of a slice: those of a feature, or whether they are below a bound.

    Args:
      values: The feature's values.
      name: The slice's name, such as `country` or `age_days < 7`.

    Raises:
      InputError: If a text is not UTF-8.
    """
    feature, bound = split_slice(name)
    row, value = values.row, values.value
    if bound is not None:
        distinct: tuple[Any, ...] = (BELOW, NOT_BELOW)
        index = np.where(value < bound, 0, 1).astype(np.int32)
    else:
        numbers: dict[Any, int] = {}
        index = np.fromiter((numbers.setdefault(v, len(numbers)) for v in value.tolist()), np.int32, len(value))
        distinct = tuple(_text(v, feature) if isinstance(v, bytes) else v for v in numbers)
    if not values.is_single:  # a row that has a value twice is once in the slice
        pairs = np.unique(row.astype(np.int64) * len(distinct) + index)  # may exceed 32 bits
        row, index = (part.astype(np.int32) for part in np.divmod(pairs, len(distinct)))
    return Members(distinct, row, index)


def _text(value: bytes, feature: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"values of {feature!r} must be UTF-8 to be slices. Received: {value[:100]!r}") from error
