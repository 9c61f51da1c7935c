"""Writes transformed examples by tf.Transform's saved graph."""

from __future__ import annotations

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

    def write(self, files: Sequence[str], prefix: str, seen: Seen | None = None) -> None:
        """Transforms files, each into a file of its own, with its rows in their order.

        Args:
          files: TFRecord files of serialized raw examples, with gzip.
          prefix: The path of the new files, to which `-00000-of-00001.gz` is added.
          seen: Called with each batch's transformed features; None if nobody wants them.
        """
        for number, file in enumerate(files):
            write_records(f"{prefix}-{number:05d}-of-{len(files):05d}.gz", self._examples(file, seen))

    def _examples(self, file: str, seen: Seen | None) -> Iterator[pa.Array]:
        batches = split_by_combinations(example_batches([file], BATCH_SIZE), self._crossed)
        for transformed in map_ahead(self.transform, batches):
            if seen:
                seen(transformed)
            yield serialized(transformed)


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


def output_prefix(folder: str) -> str:
    """Returns the path of the files of transformed examples in a split's folder, as TFX names them."""
    return os.path.join(folder, "transformed_examples")
