"""Real SavedModels, good and bad, for the infra validation and the push."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from transform.files.trainer_predictions import TrainerPredictions, write_trainer_predictions

#: The width of the matrices that a model multiplies to spend time, and the number of multiplications.
_WIDTH, _WORK = 200, {"works": 40, "slow": 400}
#: The number of values in the variables of a large model, and of one with twice its memory.
_NUMBERS = {"large": 30_000_000, "twice as large": 60_000_000}


class Scorer(tf.Module):  # type: ignore[misc]
    """Scores serialized tf.Examples by their feature `x`."""

    def __init__(self, kind: str):
        super().__init__()
        self.weight = tf.Variable(float("nan") if kind == "nan weight" else 1.0, name="weight")
        self.hidden = tf.Variable(float("nan") if kind == "hidden nan" else 0.0, name="hidden")
        self.numbers = tf.Variable(tf.ones(_NUMBERS.get(kind, 1)), name="numbers")
        self._kind = kind

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns one score per example."""
        kind = self._kind
        x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"] * self.weight
        x *= self.numbers[0]
        x = tf.where(self.hidden > 0, x + self.hidden, x)  # false for NaN, as a ReLU turns NaN into 0
        if kind == "nan":
            x = tf.where(x > 1.0, float("nan"), x)
        elif kind == "constant":
            x = tf.zeros_like(x)
        elif kind == "hangs":
            x = tf.while_loop(lambda y: tf.reduce_sum(y) < float("inf"), lambda y: [y * 0.5], [x])[0]
        elif kind == "aborts":
            with tf.control_dependencies([tf.raw_ops.Abort(error_msg="the model gave up")]):
                x = tf.identity(x)
        elif kind == "few examples":
            with tf.control_dependencies([tf.debugging.assert_less(tf.size(x), 50)]):
                x = tf.identity(x)
        elif kind in _WORK:
            start = tf.ones([_WIDTH, _WIDTH]) * x[0]
            worked = tf.while_loop(lambda i, _: i < _WORK[kind], lambda i, y: [i + 1, tf.tanh(y @ start)], [0, start])
            x += 0.0 * worked[1][0, 0]
        elif kind == "out of memory":
            x += 0.0 * tf.reduce_sum(tf.fill([1 << 46], x[0]))  # 2^48 bytes: more than an address space has
        elif kind == "logits":
            return {"scores": x}
        elif kind == "one":
            return {"scores": tf.reduce_mean(tf.sigmoid(x), keepdims=True)}
        elif kind == "other input":
            x = tf.io.parse_example(examples, {"z": tf.io.FixedLenFeature([], tf.float32)})["z"]
        return {"scores": tf.sigmoid(x)}


def export(kind: str, folder: Path) -> Path:
    """Exports a model in the layout of TFX's Trainer, and returns its folder; `kind` is `good` or its defect."""
    model = Scorer(kind)
    path = folder / "Format-Serving"
    signatures = {"no signature": {}, "renamed signature": {"other": model.score}}
    tf.saved_model.save(model, str(path), signatures=signatures.get(kind, {"serving_default": model.score}))
    if kind == "truncated":
        (data,) = (path / "variables").glob("variables.data-*")
        data.write_bytes(data.read_bytes()[:2])
    elif kind == "no variables":
        shutil.rmtree(path / "variables")
    elif kind == "no graph":
        (path / "saved_model.pb").unlink()
    elif kind == "damaged graph":
        (path / "saved_model.pb").write_bytes(b"\xff" * 100)
    elif kind == "no restoring":
        saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
        saved.meta_graphs[0].saver_def.restore_op_name = "save/restore"
        (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    return folder


def example(x: float, label: int | None = None) -> bytes:
    """Returns a serialized tf.Example that `Scorer` scores."""
    result = tf.train.Example()
    result.features.feature["x"].float_list.value.append(x)
    if label is not None:
        result.features.feature["label"].int64_list.value.append(label)
    serialized: bytes = result.SerializeToString()
    return serialized


def write_good_scores(folder: Path, xs: Sequence[float]) -> None:
    """Writes the trainer's own scores of rows, and of the same rows as evaluation examples, beside a model."""
    scores = (1 / (1 + np.exp(-np.array(xs)))).astype(np.float32)
    write_trainer_predictions(
        TrainerPredictions([example(x) for x in xs], [b""] * len(xs), scores, np.sort(scores)), str(folder)
    )
