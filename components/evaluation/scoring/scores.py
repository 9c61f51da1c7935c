"""Reads the labels of a split's raw examples, and scores examples with a SavedModel in batches, without TFMA."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf.message import DecodeError

from components.evaluation.metrics.bootstrap import Array
from components.evaluation.scoring.columns import FeatureValues, Members, all_members, members_of, slice_words
from components.evaluation.scoring.scoring_graph import ScoringGraph
from components.examples.reading import example_batches, split_files
from transform.config.evaluation import split_slice
from transform.errors import UserError
from transform.example_keys import LABEL, WEIGHT

#: The number of rows that are parsed or scored at once.
BATCH_SIZE = 4096

#: Errors of the machine or the storage, which may be gone in a while: they say nothing about a model.
_NOT_OF_A_MODEL = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnauthenticatedError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)

#: The line that a session of TensorFlow puts before an error's reason.
_SESSION_HEADER = "Graph execution error:"


class ScoringError(UserError):
    """A model cannot score some rows."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """The examples of a split, in the order of its files.

    Attributes:
      files: The files of the examples, which are read again to be scored: a large split does not fit in memory.
      label: float64 `[rows]`, 0 or 1.
      weight: float64 `[rows]`; 1 where an example has no weight.
      unit: A number for each row, equal for rows of one unit: int64 `[rows]`.
      slices: By the name of a slice with rows, such as `country = US`: their numbers, int32 `[some]`.
    """

    files: Sequence[str]
    label: Array
    weight: Array
    unit: Array
    slices: Mapping[str, Array] = dataclasses.field(default_factory=dict)

    def batches(self) -> Iterator[tf.Tensor]:
        """Yields the serialized examples, string `[batch]` each."""
        return example_batches(self.files, BATCH_SIZE)


def read_rows(folder: str, unit_keys: Sequence[str], slices: Mapping[str, tf.DType] | None = None) -> Rows:
    """Reads the labels, weights, units and slices of a split.

    A row's unit is the first value of the first key that it has; a row without a key is a unit of its own.

    Args:
      folder: The split's folder, such as `…/Split-eval`.
      unit_keys: Features whose values are texts, or bookkeeping entries that are texts, such as `request_id`.
      slices: The dtypes of the features by which the rows are sliced, by the config's name of the slices, such as
        `country` or `age_days < 7`.

    Raises:
      InputError: If the split has no file, or a file is damaged, or a slice's text is not UTF-8.
    """
    files, kinds = split_files(folder), slices or {}
    parsing = {LABEL: tf.io.VarLenFeature(tf.int64), WEIGHT: tf.io.VarLenFeature(tf.float32)}
    parsing |= {name: tf.io.VarLenFeature(tf.string) for name in unit_keys}
    parsing |= {split_slice(name)[0]: tf.io.VarLenFeature(dtype) for name, dtype in kinds.items()}
    labels, weights = [np.empty(0)], [np.empty(0)]
    members: dict[str, list[Members]] = {name: [] for name in kinds}
    keys: dict[str, list[pa.Array]] = {name: [] for name in unit_keys}
    for batch in example_batches(files, BATCH_SIZE):
        parsed = {name: FeatureValues(values) for name, values in tf.io.parse_example(batch, parsing).items()}
        labels.append(parsed[LABEL].filled(len(batch), 0))
        weights.append(parsed[WEIGHT].filled(len(batch), 1.0))
        for name, parts in keys.items():
            values = parsed[name].filled(len(batch), b"")
            parts.append(pa.array(values, pa.large_binary(), mask=values == b""))
        for name, of_batches in members.items():
            of_batches.append(members_of(parsed[split_slice(name)[0]], name))
    units = _units([pa.chunked_array(parts, pa.large_binary()) for parts in keys.values()], sum(map(len, labels)))
    sizes = [len(label) for label in labels[1:]]
    of_slices = {
        slice_words(name, value): rows
        for name, of_batches in members.items()
        if of_batches
        for value, rows in all_members(of_batches, sizes).rows_by_value()
    }
    return Rows(files, np.concatenate(labels), np.concatenate(weights), units, of_slices)


def _units(keys: Sequence[pa.ChunkedArray], num_rows: int) -> Array:
    """Returns a number for each row, equal for rows of one unit: int64 `[rows]`.

    Args:
      keys: Each key's values, the first key first; null where a row has none.
      num_rows: The number of rows.
    """
    units: Array = np.arange(num_rows)
    first_number = num_rows
    for values in reversed(keys):
        encoded = values.combine_chunks().dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy()
        units = np.where(codes >= 0, first_number + codes, units)
        first_number += len(encoded.dictionary)
    return units


class Scorer:
    """A SavedModel that scores batches by its `serving_default`; features that it does not read are ignored.

    An error of the machine or the storage, such as a lack of memory, is raised as it is: the same model may score the
    same rows later.

    Args:
      saved_model: The SavedModel's folder.

    Raises:
      ScoringError: If the model cannot be loaded.
    """

    def __init__(self, saved_model: str):
        self._saved_model = saved_model
        with self._explained():
            self._graph = ScoringGraph(saved_model)

    def __call__(self, examples: tf.Tensor) -> Array:
        """Returns the scores of serialized raw tf.Examples, string `[rows]`: float32 `[rows]`.

        Raises:
          ScoringError: If the model cannot score them.
        """
        with self._explained():
            scores: Array = self._graph(examples.numpy()).reshape(-1)
            if len(scores) != len(examples):
                raise ValueError(f"there must be a score for each row. Received: {len(scores)} of {len(examples)}")
        return scores

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _NOT_OF_A_MODEL:
            raise
        except (LookupError, ValueError, DecodeError, tf.errors.OpError) as error:
            lines = [line for line in str(error).splitlines() if line and line != _SESSION_HEADER]
            first = (lines or [type(error).__name__])[0][:300]
            raise ScoringError(f"the model cannot score the rows: {first} ({self._saved_model})") from error


def compute_scores(saved_model: str, batches: Iterable[tf.Tensor]) -> Array:
    """Scores examples with a SavedModel's `serving_default`; features that the model does not read are ignored.

    Args:
      saved_model: The SavedModel's folder.
      batches: Serialized raw tf.Examples, string `[batch]` each.

    Returns:
      float64 `[rows]`, of all batches.

    Raises:
      ScoringError: If the model cannot be loaded, cannot score the rows, or returns a score that is not finite.
    """
    scorer = Scorer(saved_model)
    return checked_scores(np.concatenate([np.empty(0), *map(scorer, batches)]), saved_model)


def checked_scores(scores: Array, saved_model: str) -> Array:
    """Returns a SavedModel's scores as float64; raises ScoringError if one is not finite."""
    if not np.isfinite(scores).all():
        raise ScoringError(f"scores must be finite. Received: others, of {len(scores):,} rows ({saved_model})")
    return scores.astype(np.float64)
