"""Writes transformed examples by tf.Transform's saved graph, file by file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from components.examples import encoding
from components.examples.reading import example_batches, map_ahead
from components.examples.writing import write_records
from components.transform_executor.batches import BATCH_SIZE, split_by_combinations
from components.transform_executor.token_tally import TokenTally, WrittenTally
from transform.feature_spec import FeatureSpec

Seen = Callable[[Mapping[str, Any]], None]


class Materialization:
    """Transforms examples.

    Attributes:
      transform: Maps serialized raw examples, string `[rows]`, to the transformed features by name.

    Args:
      output: The transform graph.
      feature_spec: How the raw examples are parsed.
      crossed: The lists of each cross of more than one list.
    """

    def __init__(
        self, output: tft.TFTransformOutput, feature_spec: Mapping[str, Any], crossed: Sequence[Sequence[str]] = ()
    ) -> None:
        self._crossed = crossed
        self._loaded = tf.saved_model.load(output.transform_savedmodel_dir)  # keeps the graph's tables
        transform_fn = self._loaded.transform_fn
        ((inputs,), _) = transform_fn.structured_input_signature

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)  # type: ignore[untyped-decorator]
        def transform(records: tf.Tensor) -> dict[str, Any]:
            parsed = tf.io.parse_example(records, dict(feature_spec))
            given = {name: parsed[name] for name in inputs}
            found: dict[str, Any] = transform_fn(*tf.nest.flatten(given, expand_composites=True))
            return found

        self.transform = transform

    def write(self, source: str, target: str, seen: Seen | None = None) -> None:
        """Transforms a file, with its rows in their order.

        Args:
          source: A TFRecord file of serialized raw examples, with gzip.
          target: The path of the new file.
          seen: Called with each batch's transformed features; None if nobody wants them.
        """
        write_records(target, self._examples(source, seen))

    def _examples(self, file: str, seen: Seen | None) -> Iterator[pa.Array]:
        batches = split_by_combinations(example_batches([file], BATCH_SIZE), self._crossed)
        for transformed in map_ahead(self.transform, batches):
            if seen:
                seen(transformed)
            yield serialized(transformed)


@dataclasses.dataclass(frozen=True)
class TransformTask:
    """A file to transform.

    Attributes:
      source: The file of raw examples.
      target: The new file.
      tally: Where its tokens' counts are written; None if no vocabulary's tokens are counted.
    """

    source: str
    target: str
    tally: WrittenTally | None


class FileTransform:
    """Transforms files, and counts their tokens.

    Args:
      materialization: What transforms them.
      spec: The features.
    """

    def __init__(self, materialization: Materialization, spec: FeatureSpec) -> None:
        self._materialization, self._spec = materialization, spec

    def __call__(self, task: TransformTask) -> None:
        if task.tally is None:
            self._materialization.write(task.source, task.target)
            return
        tally = TokenTally(self._spec, task.tally.names)
        self._materialization.write(task.source, task.target, tally.add)
        tally.write(task.tally.path)


def serialized(transformed: Mapping[str, Any]) -> pa.Array:
    """Returns a batch of transformed features as serialized tf.Examples, binary `[rows]`."""
    return encoding.examples([_entries(name, transformed[name]) for name in sorted(transformed)])


def _entries(name: str, values: Any) -> pa.Array:
    """Serializes a batch of a transformed feature: float32 or int64 `[batch]`, or int64 SparseTensor `[batch, any]`."""
    if isinstance(values, tf.SparseTensor):
        assert values.dtype == tf.int64
        lengths = np.bincount(values.indices.numpy()[:, 0], minlength=int(values.dense_shape[0]))
        return encoding.int_list_entries(name, lengths, values.values.numpy())
    if values.dtype == tf.float32:
        return encoding.float_entries(name, pa.array(values.numpy()))
    assert values.dtype == tf.int64
    return encoding.int_entries(name, values.numpy())


def output_files(folder: str, number: int) -> list[str]:
    """Returns the paths of a number of files of transformed examples in a split's folder, as TFX names them, sorted."""
    prefix = os.path.join(folder, "transformed_examples")
    return [f"{prefix}-{at:05d}-of-{number:05d}.gz" for at in range(number)]
