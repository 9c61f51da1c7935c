"""Small SavedModels with known outputs; the first is like TF Serving's toy model `half_plus_three`."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

#: The name under which they are served.
MODEL = "half_plus_three"

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"

#: The method names that TF Serving requires, by signature; TensorFlow writes Predict's to all signatures.
METHOD_NAMES = {REGRESS: REGRESS, CLASSIFY: CLASSIFY, "classify_objects": CLASSIFY}

#: The dtypes that a request's values can have; the signature `types` echoes each.
DTYPES = ("float32", "float64", "int8", "uint8", "int16", "int32", "int64", "uint32", "uint64", "bool", "string")

#: `tf.function` without AutoGraph. TensorFlow publishes no types, so the decorator itself is untyped.
graph_function: Callable[[Callable[..., Any]], tf.types.experimental.PolymorphicFunction] = tf.function(autograph=False)


class TinyModel(tf.Module):  # type: ignore[misc]
    """A model whose `serving_default` is x / 2 + `bias`."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = tf.Variable(bias, dtype=tf.float32)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        row_strings = tf.TensorSpec([None], tf.string, "inputs")
        return {
            "serving_default": self.half_plus.get_concrete_function(tf.TensorSpec([None], tf.float32, "x")),
            REGRESS: self.regress.get_concrete_function(row_strings),
            CLASSIFY: self.classify.get_concrete_function(row_strings),
            "classify_objects": self.classify_objects.get_concrete_function(row_strings),
            "named": self.named.get_concrete_function(
                tf.TensorSpec([None], tf.string, "tag"),
                tf.TensorSpec([None, None], tf.int64, "signal"),
                tf.TensorSpec([None, None, None], tf.int64, "sensor"),
            ),
            "images": self.images.get_concrete_function(tf.TensorSpec([None], tf.string, "image_bytes")),
            "pairs": self.pairs.get_concrete_function(tf.TensorSpec([None, 1, 2], tf.float32, "pair")),
            "sizes": self.sizes.get_concrete_function(tf.TensorSpec([None], tf.float32, "x")),
            "held": self.held.get_concrete_function(tf.TensorSpec([], tf.string, "until")),
            "slow": self.slow.get_concrete_function(tf.TensorSpec([], tf.int32, "steps")),
            "types": self.types.get_concrete_function(*(tf.TensorSpec([None], dtype, dtype) for dtype in DTYPES)),
        }

    @graph_function
    def half_plus(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x / 2 + self.bias}

    def _x(self, examples: tf.Tensor) -> tf.Tensor:
        features = {"x": tf.io.FixedLenFeature([], tf.float32, 0.0), "bias": tf.io.FixedLenFeature([], tf.float32, 0.0)}
        parsed = tf.io.parse_example(examples, features)
        return parsed["x"] / 2 + parsed["bias"] + self.bias

    @graph_function
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self._x(inputs)}

    @graph_function
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        score = self._x(inputs)
        classes = tf.tile(tf.constant([["low", "high"]]), [tf.shape(inputs)[0], 1])
        return {"classes": classes, "scores": tf.stack([-score, score], axis=1)}

    @graph_function
    def classify_objects(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the caption as the label, and the image's length in bytes as the score."""
        text = tf.io.FixedLenFeature([], tf.string)
        parsed = tf.io.parse_example(inputs, {"image": text, "caption": text})
        length = tf.cast(tf.strings.length(parsed["image"]), tf.float32)
        return {"classes": parsed["caption"][:, None], "scores": length[:, None]}

    @graph_function
    def named(self, tag: tf.Tensor, signal: tf.Tensor, sensor: tf.Tensor) -> dict[str, tf.Tensor]:
        total = tf.reduce_sum(signal, axis=1) + tf.reduce_sum(sensor, axis=[1, 2])
        return {"total": total, "tag": tf.strings.upper(tag), "doubled": sensor * 2}

    @graph_function
    def images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"reversed_bytes": tf.strings.substr(image_bytes, 1, 2), "length": tf.strings.length(image_bytes)}

    @graph_function
    def pairs(self, pair: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sum": tf.reduce_sum(pair, axis=[1, 2])}

    @graph_function
    def sizes(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"mean": tf.reduce_mean(x), "x": x}

    @graph_function
    def held(self, until: tf.Tensor) -> dict[str, tf.Tensor]:
        """Is computed until the file of that path is there."""
        checks = tf.while_loop(
            lambda _: tf.equal(tf.size(tf.io.matching_files(until)), 0), lambda check: (check + 1,), (0,)
        )
        return {"checks": checks[0]}

    @graph_function
    def slow(self, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes some milliseconds per step; ends by itself, even if its client has given up."""
        matrix = tf.fill([600, 600], 1e-3 * tf.cast(tf.minimum(steps, 1), tf.float32))
        _, result = tf.while_loop(
            lambda step, _: step < steps, lambda step, value: (step + 1, tf.linalg.matmul(value, matrix)), (0, matrix)
        )
        return {"corner": result[0, 0]}

    @graph_function
    def types(self, *inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {f"{dtype}_out": tf.identity(value) for dtype, value in zip(DTYPES, inputs, strict=True)}


def save(folder: Path, bias: float = 3.0, warmup: Sequence[float] | None = (1.0,), manifest: bool = True) -> Path:
    """Writes a version; it appears as a whole, by a rename, as a push does.

    Args:
      folder: The version's folder, such as `…/half_plus_three/123`.
      bias: The bias of `serving_default`.
      warmup: The `x` of the only warm-up request; None writes no warm-up file.
      manifest: Whether to write a manifest with the files' checksums.

    Returns:
      The folder.
    """
    part = folder.parent / f".copy-{folder.name}"
    model = TinyModel(bias)
    tf.saved_model.save(model, str(part), signatures=model.signatures())
    _set_method_names(part / "saved_model.pb", METHOD_NAMES)
    extra = part / "assets.extra"
    extra.mkdir()
    if warmup is not None:
        write_warmup(extra / "tf_serving_warmup_requests", [x_request(warmup)])
    if manifest:
        write_manifest(part)
    part.rename(folder)
    return folder


def push(template: Path, folder: Path) -> Path:
    """Copies a saved version to a version's folder; it appears as a whole, by a rename."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.parent / f".copy-{folder.name}"
    shutil.copytree(template, part)
    part.rename(folder)
    return folder


def _set_method_names(path: Path, names: Mapping[str, str]) -> None:
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for signature, name in names.items():
        model.meta_graphs[0].signature_def[signature].method_name = name
    path.write_bytes(model.SerializeToString())


def x_request(x: Sequence[float], model: str = MODEL) -> predict_pb2.PredictRequest:
    """A request for `serving_default`."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x, tf.float32, [len(x)]))
    return request


def write_warmup(path: Path, requests: Sequence[predict_pb2.PredictRequest]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def write_manifest(folder: Path) -> None:
    sums = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / "assets.extra" / "manifest.json").write_text(json.dumps({"sha256": sums}), encoding="utf-8")


if __name__ == "__main__":  # for programs that cannot import TensorFlow
    save(Path(sys.argv[1]))
