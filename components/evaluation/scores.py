"""Reads a split's raw examples as columns, and scores them with a SavedModel in batches, without TFMA."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from components.evaluation.scoring_graph import ScoringGraph
from components.example_files import example_batches
from transform.errors import UserError
from transform.feature_spec import LABEL, WEIGHT

Array = np.ndarray[Any, np.dtype[Any]]

#: The number of rows that are parsed or scored at once.
BATCH_SIZE = 4096

#: The line that a session of TensorFlow puts before an error's reason.
_SESSION_HEADER = "Graph execution error:"


class ScoringError(UserError):
    """A model cannot score some rows."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """The examples of a split, in the order of its files.

    Attributes:
      examples: Serialized raw tf.Examples.
      label: float64 `[rows]`, 0 or 1.
      weight: float64 `[rows]`; 1 where an example has no weight.
      columns: The first values of the requested features by name: bytes or float64, `[rows]`; `b""` or NaN for a
        missing value.
    """

    examples: Sequence[bytes]
    label: Array
    weight: Array
    columns: Mapping[str, Array]

    @property
    def num_positives(self) -> int:
        """The number of rows with label 1."""
        return int(np.count_nonzero(self.label == 1))


def read_rows(folder: str, texts: Sequence[str] = (), numbers: Sequence[str] = ()) -> Rows:
    """Reads the examples of a split.

    Args:
      folder: The split's folder, such as `…/Split-eval`.
      texts: Features whose values are strings, or bookkeeping entries that are strings, such as `request_id`.
      numbers: Features whose values are floats.
    """
    pattern = os.path.join(folder, "*")
    parsing = {LABEL: tf.io.VarLenFeature(tf.int64), WEIGHT: tf.io.VarLenFeature(tf.float32)}
    parsing |= {name: tf.io.VarLenFeature(tf.string) for name in texts}
    parsing |= {name: tf.io.VarLenFeature(tf.float32) for name in numbers}
    defaults: dict[str, Any] = {LABEL: 0, WEIGHT: 1.0}
    defaults |= {**dict.fromkeys(texts, b""), **dict.fromkeys(numbers, np.nan)}
    examples: list[bytes] = []
    found: dict[str, list[Array]] = {name: [] for name in parsing}
    for batch in example_batches(sorted(tf.io.gfile.glob(pattern)), BATCH_SIZE):
        examples += batch.numpy().tolist()
        parsed = tf.io.parse_example(batch, parsing)
        for name, values in parsed.items():
            found[name].append(_first_values(values, len(batch), defaults[name]))
    kinds = {**dict.fromkeys(parsing, np.float64), **dict.fromkeys(texts, np.object_)}
    columns: dict[str, Array] = {
        name: np.concatenate(parts).astype(kinds[name]) if parts else np.empty(0, kinds[name])
        for name, parts in found.items()
    }
    return Rows(examples, columns.pop(LABEL), columns.pop(WEIGHT), columns)


def _first_values(values: tf.SparseTensor, num_rows: int, default: Any) -> Array:
    """Returns the first value of each row; the default for a missing value."""
    first = tf.boolean_mask(values.values, values.indices[:, 1] == 0).numpy()
    with_value = tf.boolean_mask(values.indices[:, 0], values.indices[:, 1] == 0).numpy()
    result = np.full(num_rows, default, dtype=np.object_ if isinstance(default, bytes) else first.dtype)
    result[with_value] = first
    return result


class Scorer:
    """A SavedModel that scores batches by its `serving_default`; features that it does not read are ignored.

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
        except (OSError, LookupError, ValueError, DecodeError, tf.errors.OpError) as error:
            lines = [line for line in str(error).splitlines() if line and line != _SESSION_HEADER]
            first = (lines or [type(error).__name__])[0][:300]
            raise ScoringError(f"the model cannot score the rows: {first} ({self._saved_model})") from error


def scores_of(saved_model: str, examples: Sequence[bytes]) -> Array:
    """Scores examples with a SavedModel's `serving_default`; features that the model does not read are ignored.

    Args:
      saved_model: The SavedModel's folder.
      examples: Serialized raw tf.Examples.

    Returns:
      float64 `[rows]`.

    Raises:
      ScoringError: If the model cannot be loaded, cannot score the rows, or returns a score that is not finite.
    """
    scorer = Scorer(saved_model)
    batches = (examples[begin : begin + BATCH_SIZE] for begin in range(0, len(examples), BATCH_SIZE))
    scores = np.concatenate([np.empty(0), *(scorer(tf.constant(batch)) for batch in batches)])
    return checked_scores(scores, saved_model)


def checked_scores(scores: Array, saved_model: str) -> Array:
    """Returns a SavedModel's scores as float64; raises ScoringError if one is not finite."""
    if not np.isfinite(scores).all():
        raise ScoringError(f"scores must be finite. Received: others, of {len(scores):,} rows ({saved_model})")
    return scores.astype(np.float64)
