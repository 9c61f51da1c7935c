"""Writes transformed examples by tf.Transform's saved graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

# tf.Transform 1.21.0 and tfx-bsl 1.21.0 have no public names for these.
from tensorflow_transform import impl_helper
from tfx_bsl.coders import example_coder

from components.transforming.analysis import records_of

#: The fastest level: the files are a fourth larger than by zlib's default, which takes three times as long.
_GZIP = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)

Seen = Callable[[Mapping[str, Any]], None]


class Materialization:
    """Transforms examples.

    Args:
      output: The transform graph.
      feature_spec: How the raw examples are parsed.
    """

    def __init__(self, output: tft.TFTransformOutput, feature_spec: Mapping[str, Any]) -> None:
        schema = output.transformed_metadata.schema
        self._converter = impl_helper.make_tensor_to_arrow_converter(schema)
        self._encoder = example_coder.RecordBatchToExamplesEncoder(schema)
        self._loaded = tf.saved_model.load(output.transform_savedmodel_dir)  # keeps the graph's tables
        transform_fn = self._loaded.transform_fn
        ((inputs,), _) = transform_fn.structured_input_signature

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)  # type: ignore[untyped-decorator]
        def transform(records: tf.Tensor) -> dict[str, Any]:
            parsed = tf.io.parse_example(records, dict(feature_spec))
            given = {name: parsed[name] for name in inputs}
            found: dict[str, Any] = transform_fn(*tf.nest.flatten(given, expand_composites=True))
            return found

        self._transform = transform

    def write(self, files: Sequence[str], prefix: str, seen: Seen | None = None) -> None:
        """Transforms files, each into a file of its own, with its rows in their order.

        Args:
          files: TFRecord files of serialized raw examples, with gzip.
          prefix: The path of the new files, to which `-00000-of-00001.gz` is added.
          seen: Called with each batch's transformed features; None if nobody wants them.
        """
        for number, file in enumerate(files):
            with tf.io.TFRecordWriter(f"{prefix}-{number:05d}-of-{len(files):05d}.gz", _GZIP) as writer:
                # The next batch is transformed while one is written.
                for transformed in records_of([file]).map(self._transform).prefetch(1):
                    if seen:
                        seen(transformed)
                    for example in self._encoder.encode(self._converter.convert(transformed)):
                        writer.write(example)


def output_prefix(folder: str) -> str:
    """Returns the path of the files of transformed examples in a split's folder, as TFX names them."""
    return os.path.join(folder, "transformed_examples")
