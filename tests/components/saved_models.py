"""Real SavedModels, good and bad, for the infra validation and the push."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf


class Scorer(tf.Module):
    """Scores serialized tf.Examples by their feature `x`."""

    def __init__(self, kind: str):
        super().__init__()
        self.weight = tf.Variable(1.0)
        self._kind = kind

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """A score an example."""
        x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"] * self.weight
        if self._kind == "nan":
            x = tf.where(x > 1.0, float("nan"), x)
        elif self._kind == "constant":
            x = tf.zeros_like(x)
        elif self._kind == "hangs":
            x = tf.while_loop(lambda y: tf.reduce_sum(y) < float("inf"), lambda y: [y * 0.5], [x])[0]
        elif self._kind == "logits":
            return {"scores": x}
        elif self._kind == "one":
            return {"scores": tf.reduce_mean(tf.sigmoid(x), keepdims=True)}
        return {"scores": tf.sigmoid(x)}


def export(kind: str, folder: Path) -> Path:
    """Exports a model as TFX's Trainer leaves it and returns its folder: `good`, or what is wrong with it."""
    model = Scorer(kind)
    path = folder / "Format-Serving"
    name = "other" if kind == "no signature" else "serving_default"
    tf.saved_model.save(model, str(path), signatures={name: model.score})
    if kind == "truncated":
        (data,) = (path / "variables").glob("variables.data-*")
        data.write_bytes(data.read_bytes()[:2])
    return folder
