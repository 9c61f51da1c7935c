"""The scores of an evaluation, kept beside TFMA's results: later nodes do not score the same rows again.

A file's name is a digest of the model and the examples, so that no other scores are taken for theirs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from components.evaluation.bootstrap import Array
from components.evaluation.columns import Columns
from transform.errors import InputError


def _path(evaluation_uri: str, saved_model: str, folders: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join([saved_model, *folders]).encode()).hexdigest()
    return os.path.join(evaluation_uri, f"scores-{digest[:32]}.npy")


def keep_scores(evaluation_uri: str, saved_model: str, folders: Sequence[str], scores: Array) -> None:
    """Writes a model's scores.

    Args:
      evaluation_uri: The folder of the evaluation's results.
      saved_model: The SavedModel's folder.
      folders: The folders of the examples' files.
      scores: float32 `[num_rows]`, in the order of the files, sorted by name.
    """
    with tf.io.gfile.GFile(_path(evaluation_uri, saved_model, folders), "wb") as file:
        np.save(file, scores.astype(np.float32), allow_pickle=False)


def has_scores(evaluation_uri: str, saved_model: str, folders: Sequence[str]) -> bool:
    """Returns whether `keep_scores` has kept a model's scores of these examples."""
    return bool(tf.io.gfile.exists(_path(evaluation_uri, saved_model, folders)))


def kept_scores(evaluation_uri: str, saved_model: str, folders: Sequence[str]) -> Array | None:
    """Returns what `keep_scores` wrote; None if these scores were not kept, as by an earlier release.

    Raises:
      InputError: If the file is damaged.
    """
    if not has_scores(evaluation_uri, saved_model, folders):
        return None
    path = _path(evaluation_uri, saved_model, folders)
    with tf.io.gfile.GFile(path, "rb") as file:
        try:
            scores: Array = np.load(file, allow_pickle=False)
        except (EOFError, ValueError) as error:
            rule = "kept scores must be one array of NumPy; without the file, the examples are scored again"
            raise InputError(f"{rule}. Received: {error} ({path})") from error
    return scores


class ModelScores:
    """The scores of an evaluation's models, some of which an earlier evaluation has kept.

    Attributes:
      folders: The folders of the examples' files.
      output: The folder for TFMA's results and the models' scores (`keep_scores`).
      to_score: The SavedModels whose scores are computed.
    """

    def __init__(self, saved_models: Sequence[str], folders: Sequence[str], earlier: str | None, output: str):
        """Finds the scores that an earlier evaluation has kept.

        Args:
          saved_models: The models' SavedModels.
          folders: See above.
          earlier: The folder of the earlier evaluation; None if there is none.
          output: See above.
        """
        self.folders, self.output = folders, output
        self._saved_models = saved_models
        self._kept_in = {m: earlier for m in saved_models if earlier is not None and has_scores(earlier, m, folders)}
        self.to_score = [saved_model for saved_model in saved_models if saved_model not in self._kept_in]
        for saved_model, folder in self._kept_in.items():
            logging.info("the scores of %s are those of an earlier evaluation (%s)", saved_model, folder)

    def complete(self, columns: Columns) -> Columns:
        """Returns the columns of all examples with the scores of all models, and keeps these.

        Args:
          columns: The columns, with the scores of `to_score`.

        Raises:
          InputError: If kept scores are not one for each example.
        """
        computed = dict(zip(self.to_score, columns.score.T, strict=True))
        scores = [computed[m] if m in computed else self._kept(m, columns.num_rows) for m in self._saved_models]
        for saved_model, of_model in zip(self._saved_models, scores, strict=True):
            keep_scores(self.output, saved_model, self.folders, of_model)
        return dataclasses.replace(columns, score=np.stack(scores, axis=1))

    def _kept(self, saved_model: str, num_rows: int) -> Array:
        folder = self._kept_in[saved_model]
        scores = kept_scores(folder, saved_model, self.folders)
        if scores is None or len(scores) != num_rows:
            number = 0 if scores is None else len(scores)
            rule = f"an evaluation must have kept a score for each of {num_rows:,} examples"
            raise InputError(f"{rule}. Received: {number:,} ({folder})")
        return scores
