"""The scores of an evaluation, kept beside TFMA's results: later nodes do not score the same rows again.

A file's name is a digest of the paths of the model and of the examples, and of the fingerprint that TensorFlow writes
into each SavedModel, as another model may take a model's place. A file has a checksum, then the scores as float32.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from components.evaluation.metrics.bootstrap import Array
from components.evaluation.scoring.columns import Columns
from transform.errors import InputError
from transform.files.tfrecords import masked_checksum

_CHECKSUM_BYTES = 4


def _path(evaluation_uri: str, saved_model: str, folders: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join([saved_model, *folders]).encode())
    fingerprint = os.path.join(saved_model, "fingerprint.pb")
    if tf.io.gfile.exists(fingerprint):  # a model of another program may have none
        with tf.io.gfile.GFile(fingerprint, "rb") as file:
            digest.update(file.read())
    return os.path.join(evaluation_uri, f"scores-{digest.hexdigest()[:32]}.float32")


def keep_scores(evaluation_uri: str, saved_model: str, folders: Sequence[str], scores: Array) -> None:
    """Writes a model's scores.

    Args:
      evaluation_uri: The folder of the evaluation's results.
      saved_model: The SavedModel's folder.
      folders: The folders of the examples' files.
      scores: float32 `[num_rows]`, in the order of the files, sorted by name.
    """
    content = scores.astype("<f4").tobytes()
    with tf.io.gfile.GFile(_path(evaluation_uri, saved_model, folders), "wb") as file:
        file.write(masked_checksum(content) + content)


def kept_scores(evaluation_uri: str, saved_model: str, folders: Sequence[str]) -> Array | None:
    """Returns what `keep_scores` wrote; None if it is damaged, or was not written, as by an earlier release."""
    path = _path(evaluation_uri, saved_model, folders)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file:
        checksum, content = file.read(_CHECKSUM_BYTES), file.read()
    if checksum != masked_checksum(content):
        logging.warning("a model's scores are computed again, since those that were kept are damaged (%s)", path)
        return None
    return np.frombuffer(content, "<f4")


class ModelScores:
    """The scores of an evaluation's models, some of which an earlier evaluation has kept.

    Attributes:
      to_score: The SavedModels whose scores are not kept.
    """

    def __init__(self, saved_models: Sequence[str], folders: Sequence[str], earlier: str | None):
        """Finds the scores that an earlier evaluation has kept.

        Args:
          saved_models: The models' SavedModels.
          folders: The folders of the examples' files.
          earlier: The folder of the earlier evaluation; None if there is none.
        """
        self._saved_models, self._folders, self._earlier = saved_models, folders, earlier
        self.to_score = [model for model in saved_models if self._kept(model) is None]
        for model in saved_models:
            if model not in self.to_score:
                logging.info("the scores of %s are those of an earlier evaluation (%s)", model, earlier)

    def _kept(self, saved_model: str) -> Array | None:
        return None if self._earlier is None else kept_scores(self._earlier, saved_model, self._folders)

    def with_kept(self, evaluation_uri: str, columns: Columns) -> Columns:
        """Adds the kept scores to columns, and keeps all scores, for later nodes, in an evaluation.

        Args:
          evaluation_uri: The folder of this evaluation's results.
          columns: The columns of all examples, with the scores of `to_score`.

        Returns:
          The columns with the scores of all models.

        Raises:
          InputError: If kept scores are not one for each example.
        """
        computed = dict(zip(self.to_score, columns.score.T, strict=True))
        scores = []
        for model in self._saved_models:
            of_model = computed[model] if model in computed else self._kept(model)
            if of_model is None or len(of_model) != columns.num_rows:
                rule = f"an evaluation must have kept a score for each of {columns.num_rows:,} examples"
                received = 0 if of_model is None else len(of_model)
                path = None if self._earlier is None else _path(self._earlier, model, self._folders)
                raise InputError(f"{rule}; without the file, they are scored again. Received: {received:,} ({path})")
            keep_scores(evaluation_uri, model, self._folders, of_model)
            scores.append(of_model)
        return dataclasses.replace(columns, score=np.stack(scores, axis=1))
