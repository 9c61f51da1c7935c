"""The scores of an evaluation, kept beside TFMA's results: a later node need not score the same rows again.

A file's name is a digest of the model and the examples, so that no other scores are taken for theirs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from components.evaluation.bootstrap import Array


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


def kept_scores(evaluation_uri: str, saved_model: str, folders: Sequence[str]) -> Array | None:
    """Returns what `keep_scores` wrote; None if these scores were not kept, as by an earlier release."""
    path = _path(evaluation_uri, saved_model, folders)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file:
        scores: Array = np.load(file, allow_pickle=False)
    return scores
