"""A SavedModel as TensorFlow 2 writes it, for tests of what TF Serving's clients do with such models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

#: The name under which it is served.
TOY = "half_plus_two"

#: The signature whose TensorInfo has no shape.
SHAPELESS = "shapeless"

#: `tf.function` without AutoGraph. TensorFlow publishes no types, so the decorator itself is untyped.
graph_function: Callable[[Callable[..., Any]], tf.types.experimental.PolymorphicFunction] = tf.function(autograph=False)


class _Toy(tf.Module):  # type: ignore[misc]
    """`serving_default` is x / 2 + 2 of a column, as in TF Serving's `half_plus_two`; all methods are Predict's."""

    def __init__(self) -> None:
        super().__init__()
        self.two = tf.Variable(2.0)
        self.runs = tf.Variable(0, dtype=tf.int64)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        rows = tf.TensorSpec([None], tf.string, "inputs")
        return {
            "serving_default": self.half.get_concrete_function(tf.TensorSpec([None, 1], tf.float32, "x")),
            SHAPELESS: self.half.get_concrete_function(tf.TensorSpec(None, tf.float32, "x")),
            "image": self.mean.get_concrete_function(tf.TensorSpec([None, 224, 224, 3], tf.float32, "image")),
            "regress_x_to_y": self.regress.get_concrete_function(rows),
            "classify_x_to_y": self.classify.get_concrete_function(rows),
            "count_runs": self.count.get_concrete_function(),
        }

    @graph_function
    def half(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x / 2 + self.two}

    @graph_function
    def mean(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"mean": tf.reduce_mean(image, axis=[1, 2, 3])}

    @graph_function
    def _parsed(self, examples: tf.Tensor) -> tf.Tensor:
        features = {
            "x": tf.io.FixedLenFeature([], tf.float32, 0.0),
            "ages": tf.io.VarLenFeature(tf.float32),
            "days": tf.io.RaggedFeature(tf.float32),
            "count": tf.io.FixedLenFeature([], tf.int64, 0),
        }
        parsed = tf.io.parse_example(examples, features)
        ages = tf.sparse.reduce_sum(parsed["ages"], axis=1) + tf.reduce_sum(parsed["days"], axis=1)
        return parsed["x"] / 2 + self.two + ages + tf.cast(parsed["count"], tf.float32)

    @graph_function
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self._parsed(inputs)}

    @graph_function
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": self._parsed(inputs)[:, None]}

    @graph_function
    def count(self) -> dict[str, tf.Tensor]:
        return {"runs": self.runs.assign_add(1)}


def save_toy(folder: Path) -> Path:
    """Writes the model as a version without a manifest and without warm-up requests; returns its folder."""
    model = _Toy()
    tf.saved_model.save(model, str(folder), signatures=model.signatures())
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved.meta_graphs[0].signature_def[SHAPELESS].inputs["x"].ClearField("tensor_shape")
    path.write_bytes(saved.SerializeToString())
    return folder
