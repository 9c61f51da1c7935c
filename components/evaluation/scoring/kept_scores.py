"""The scores of an evaluation, kept beside TFMA's results: later nodes do not score the same rows again.

A file's name is a digest of the paths of the model and of the examples, and of the fingerprint that TensorFlow writes
into each SavedModel, as another model may take a model's place. A file has a checksum, then the scores as float32.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence

import google_crc32c
import numpy as np
import tensorflow as tf
from absl import logging

from components.evaluation.metrics.bootstrap import Array
from transform.errors import InputError
from transform.files.tfrecords import masked

_CHECKSUM_BYTES, _SCORE_BYTES = 4, 4

#: The bytes of a file that are read at once.
_BLOCK_BYTES = 1 << 20


def _path(evaluation_uri: str, saved_model: str, folders: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join([saved_model, *folders]).encode())
    fingerprint = os.path.join(saved_model, "fingerprint.pb")
    if tf.io.gfile.exists(fingerprint):  # a model of another program may have none
        with tf.io.gfile.GFile(fingerprint, "rb") as file:
            digest.update(file.read())
    return os.path.join(evaluation_uri, f"scores-{digest.hexdigest()[:32]}.float32")


def keep_scores(
    evaluation_uri: str, saved_model: str, folders: Sequence[str], parts: Callable[[], Iterable[Array]]
) -> str:
    """Writes a model's scores, part by part.

    Args:
      evaluation_uri: The folder of the evaluation's results.
      saved_model: The SavedModel's folder.
      folders: The folders of the examples' files.
      parts: Reads the scores, float32 `[some]` each, in the order of the files, sorted by name. It is called twice:
        the checksum comes first.

    Returns:
      The path of the file.
    """
    path, checksum = _path(evaluation_uri, saved_model, folders), 0
    for part in parts():
        checksum = google_crc32c.extend(checksum, part.astype("<f4").tobytes())
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(masked(checksum))
        for part in parts():
            file.write(part.astype("<f4").tobytes())
    return path


def kept_scores(evaluation_uri: str, saved_model: str, folders: Sequence[str]) -> Array | None:
    """Returns what `keep_scores` wrote; None if it is damaged, or was not written, as by an earlier release."""
    path = _path(evaluation_uri, saved_model, folders)
    number = _number_of_scores(path)
    return None if number is None else read_scores(path, 0, number)


def _number_of_scores(path: str) -> int | None:
    """Returns the number of scores in a file; None if it is missing or damaged."""
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file:
        expected, checksum, size = file.read(_CHECKSUM_BYTES), 0, 0
        while block := file.read(_BLOCK_BYTES):
            checksum, size = google_crc32c.extend(checksum, block), size + len(block)
    if expected != masked(checksum):
        logging.warning("a model's scores are computed again, since those that were kept are damaged (%s)", path)
        return None
    return size // _SCORE_BYTES


def read_scores(path: str, start: int, stop: int) -> Array:
    """Returns the scores of a file of `keep_scores` from one row on, and before another: float32 `[stop - start]`."""
    with tf.io.gfile.GFile(path, "rb") as file:
        file.seek(_CHECKSUM_BYTES + start * _SCORE_BYTES)
        return np.frombuffer(file.read((stop - start) * _SCORE_BYTES), "<f4")


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
        self._saved_models, self._folders = saved_models, folders
        paths = {} if earlier is None else {model: _path(earlier, model, folders) for model in saved_models}
        found = {model: (path, _number_of_scores(path)) for model, path in paths.items()}
        self._kept = {model: (path, number) for model, (path, number) in found.items() if number is not None}
        self.to_score = [model for model in saved_models if model not in self._kept]
        for model in self._kept:
            logging.info("the scores of %s are those of an earlier evaluation (%s)", model, earlier)

    def keep(self, evaluation_uri: str, num_rows: int, computed: Callable[[], Iterable[Array]]) -> list[str]:
        """Keeps the scores of all models, for later nodes, in an evaluation.

        Args:
          evaluation_uri: The folder of this evaluation's results.
          num_rows: The number of examples.
          computed: Reads the scores of `to_score`, float32 `[some, num_models]` each, in the order of the examples.

        Returns:
          The path of each model's scores, for `read_scores`.

        Raises:
          InputError: If kept scores are not one for each example.
        """
        paths = []
        for model in self._saved_models:
            if model in self._kept:
                path, number = self._kept[model]
                if number != num_rows:
                    rule = f"an evaluation must have kept a score for each of {num_rows:,} examples"
                    advice = "without the file, they are scored again"
                    raise InputError(f"{rule}; {advice}. Received: {number:,} ({path})")
                paths.append(_path(evaluation_uri, model, self._folders))
                tf.io.gfile.copy(path, paths[-1], overwrite=True)
            else:
                column = self.to_score.index(model)
                parts = functools.partial(_columns_of, computed, column)
                paths.append(keep_scores(evaluation_uri, model, self._folders, parts))
        return paths


def _columns_of(parts: Callable[[], Iterable[Array]], column: int) -> Iterable[Array]:
    return (part[:, column] for part in parts())
