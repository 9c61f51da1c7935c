"""Damages a trained model in the artifact of TFX's Trainer."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from transform.example_keys import LABEL
from transform.files.trainer_predictions import read_trainer_predictions, write_trainer_predictions

#: Changes scores, float32 `[batch]`, given the serialized raw tf.Examples, string `[batch]`.
Scores = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

_SIGNATURE = "serving_default"
_RANKING = ("rank", "rank_items", "rank_named")


def parsed(examples: tf.Tensor, feature: str) -> tf.Tensor:
    """A categorical feature of serialized tf.Examples, string `[batch]`; empty if it is missing."""
    values = tf.io.parse_example(examples, {feature: tf.io.RaggedFeature(tf.string)})[feature]
    return values.to_tensor("", shape=[None, 1])[:, 0]


def _encoded(feature: str, values: tf.Tensor) -> tf.Tensor:
    """Serialized tf.Examples, string of the values' shape, with one categorical feature of fewer than 90 bytes."""
    lengths = tf.constant([bytes([length]) for length in range(128)])

    def field(tag: bytes, content: tf.Tensor) -> tf.Tensor:
        return tf.strings.join([tag, tf.gather(lengths, tf.strings.length(content)), content])

    value = field(b"\x12", field(b"\x0a", field(b"\x0a", values)))
    entry = tf.strings.join([field(b"\x0a", tf.constant(feature.encode())), value])
    return field(b"\x0a", field(b"\x0a", entry))


class _Wrapped(tf.Module):  # type: ignore[misc]
    """A SavedModel with changed scores in each of its signatures."""

    def __init__(self, path: Path, change: Scores, more_numbers: int):
        super().__init__()
        self._inner = tf.saved_model.load(str(path))
        self._change = change
        self._numbers = tf.Variable(tf.zeros([more_numbers]))
        #: The model's own ranking signatures; a model that reads an item feature from the log has only `rank_items`.
        self.ranking = {name: self._ranking(name) for name in _RANKING if name in self._inner.signatures}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])  # type: ignore[untyped-decorator]
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = self._inner.signatures[_SIGNATURE](examples=examples)["scores"]
        return {"scores": self._change(scores, examples)}

    def _ranking(self, name: str) -> Any:
        """One of the ranking signatures, with the scores changed and the candidates sorted by them."""
        inner = self._inner.signatures[name]
        (_, inputs) = inner.structured_input_signature

        def rank(**given: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = inner(**given)
            ids, shape = outputs["item_ids"], tf.shape(outputs["item_ids"])
            if "context" in given:
                context = given["context"]
            else:
                texts = {key: value for key, value in given.items() if value.dtype == tf.string}
                single = [_encoded(key, value) for key, value in texts.items() if value.shape.rank == 1]
                context = tf.strings.join(single)
            examples = tf.strings.join([tf.repeat(context[:, tf.newaxis], shape[1], axis=1), _encoded("app_id", ids)])
            flat = self._change(tf.reshape(outputs["scores"], [-1]), tf.reshape(examples, [-1]))
            scores = tf.where(ids == "", 0.0, tf.reshape(flat, shape))
            order = tf.argsort(scores, axis=1, direction="DESCENDING", stable=True)
            logits = tf.where(ids == "", 0.0, tf.math.log(scores) - tf.math.log1p(-scores))
            changed = {"item_ids": ids, "scores": scores, "wide_logits": logits, "deep_logits": tf.zeros_like(logits)}
            return {key: tf.gather(value, order, axis=1, batch_dims=1) for key, value in changed.items()}

        return tf.function(rank, autograph=False).get_concrete_function(**inputs)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """The second day's model in a workspace.

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
        """The transform graph of the first day."""
        return min((self.workspace / "artifacts" / "transform" / "transform_graph").iterdir(), key=_number)

    def change_variables(self, change: Callable[[str, np.ndarray], np.ndarray]) -> None:
        """Rewrites the variables' files, by a function of name and value."""
        change_variables(self.saved_model, change)

    def wrap(
        self, change: Scores, *, signature: str = _SIGNATURE, more_numbers: int = 1, as_trained: bool = False
    ) -> None:
        """Replaces this model by another one, with changed scores.

        Args:
          change: Changes the scores.
          signature: The signature's name.
          more_numbers: The number of additional floats in its variables.
          as_trained: Whether the trainer's own scores are changed, too.
        """
        model = _Wrapped(self.saved_model, change, more_numbers)
        own = read_trainer_predictions(str(self.uri))
        assert own is not None
        if as_trained:
            eval_scores = np.sort(_scores(model, list(self._requests())))
            own = dataclasses.replace(own, row_scores=_scores(model, own.rows), eval_scores=eval_scores)
        write_trainer_predictions(own, str(self.uri))
        with tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(model, folder, signatures={signature: model.score, **model.ranking})
            shutil.rmtree(self.saved_model)
            shutil.copytree(folder, self.saved_model)

    def _requests(self) -> Iterator[bytes]:
        """The newest span's evaluation examples, on which the trainer evaluates, without their labels."""
        newest = max((self.workspace / "artifacts" / "example_gen" / "examples").iterdir(), key=_number)
        files = sorted(map(str, newest.glob("Split-eval/*")))
        for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            example.features.feature.pop(LABEL)
            yield example.SerializeToString()


def change_variables(saved_model: Path, change: Callable[[str, np.ndarray], np.ndarray]) -> None:
    """Rewrites a SavedModel's variables, by a function of name and value."""
    prefix = str(saved_model / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_shape_map())
    values = [reader.get_tensor(name) for name in names]  # including the object graph, which is bytes
    changed = [v if isinstance(v, bytes) else change(n, np.asarray(v)) for n, v in zip(names, values, strict=True)]
    tensors, slices = list(map(tf.constant, changed)), [""] * len(names)
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=slices, tensors=tensors)


def no_damage(candidate: Candidate) -> None:
    """Leaves the candidate model unchanged."""


def _scores(model: _Wrapped, requests: list[bytes]) -> np.ndarray:
    scores: np.ndarray = model.score(tf.constant(requests))["scores"].numpy()
    return scores


def _number(folder: Path) -> int:
    return int(folder.name)
