"""Damage to a trained model where TFX's Trainer left it."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from transform.feature_spec import LABEL
from transform.own_scores import read_own_scores, write_own_scores

#: Changes the scores, float32 `[batch]`, of serialized raw tf.Examples, string `[batch]`.
Scores = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

_SIGNATURE = "serving_default"


def parsed(examples: tf.Tensor, feature: str) -> tf.Tensor:
    """A categorical feature of serialized tf.Examples, string `[batch]`; empty where it is missing."""
    values = tf.io.parse_example(examples, {feature: tf.io.RaggedFeature(tf.string)})[feature]
    return values.to_tensor("", shape=[None, 1])[:, 0]


class _Wrapped(tf.Module):
    """A SavedModel whose scores are changed."""

    def __init__(self, path: Path, change: Scores, more_numbers: int):
        super().__init__()
        self._inner = tf.saved_model.load(str(path))
        self._change = change
        self._numbers = tf.Variable(tf.zeros([more_numbers]))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = self._inner.signatures[_SIGNATURE](examples=examples)["scores"]
        return {"scores": self._change(scores, examples)}


@dataclasses.dataclass(frozen=True)
class Candidate:
    """The model of the second day, in a workspace.

    Attributes:
      workspace: The workspace.
    """

    workspace: Path

    @property
    def uri(self) -> Path:
        """The newest model's folder."""
        return max((self.workspace / "artifacts" / "trainer" / "model").iterdir(), key=_number)

    @property
    def saved_model(self) -> Path:
        return self.uri / "Format-Serving"

    @property
    def first_transform_graph(self) -> Path:
        """What tf.Transform learned on the first day."""
        return min((self.workspace / "artifacts" / "transform" / "transform_graph").iterdir(), key=_number)

    def change_variables(self, change: Callable[[str, np.ndarray], np.ndarray]) -> None:
        """Rewrites the variables' files, by a function of name and value."""
        prefix = str(self.saved_model / "variables" / "variables")
        reader = tf.train.load_checkpoint(prefix)
        names = sorted(reader.get_variable_to_shape_map())
        values = [reader.get_tensor(name) for name in names]  # the graph of the objects, too, which are bytes
        changed = [v if isinstance(v, bytes) else change(n, np.asarray(v)) for n, v in zip(names, values, strict=True)]
        tensors, slices = list(map(tf.constant, changed)), [""] * len(names)
        tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=slices, tensors=tensors)

    def wrap(
        self, change: Scores, *, signature: str = _SIGNATURE, more_numbers: int = 1, as_trained: bool = False
    ) -> None:
        """Puts another model in this one's place, which changes its scores.

        Args:
          change: How.
          signature: The signature's name.
          more_numbers: So many more floats are in its variables.
          as_trained: The trainer itself scores like that.
        """
        model = _Wrapped(self.saved_model, change, more_numbers)
        own = read_own_scores(str(self.uri))
        assert own is not None
        own = dataclasses.replace(own, item_ids=[b""] * len(own.rows))  # the other model ranks no items
        if as_trained:
            eval_scores = np.sort(_scores(model, list(self._requests())))
            own = dataclasses.replace(own, row_scores=_scores(model, own.rows), eval_scores=eval_scores)
        write_own_scores(own, str(self.uri))
        with tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(model, folder, signatures={signature: model.score})
            shutil.rmtree(self.saved_model)
            shutil.copytree(folder, self.saved_model)

    def _requests(self) -> Iterator[bytes]:
        """All evaluation examples of the window, without their labels."""
        files = self.workspace.glob("artifacts/example_gen/examples/*/Split-eval/*")
        for record in tf.data.TFRecordDataset(sorted(map(str, files)), "GZIP").as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            example.features.feature.pop(LABEL)
            yield example.SerializeToString()


def no_damage(candidate: Candidate) -> None:
    """The candidate stays as it is."""


def _scores(model: _Wrapped, requests: list[bytes]) -> np.ndarray:
    scores: np.ndarray = model.score(tf.constant(requests))["scores"].numpy()
    return scores


def _number(folder: Path) -> int:
    return int(folder.name)
