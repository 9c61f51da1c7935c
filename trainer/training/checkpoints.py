"""Checkpoints of a running training, from which it resumes after it was killed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from pydantic import TypeAdapter

from trainer.training.position import TrainingProgress

_logger = logging.getLogger(__name__)

#: The key of `custom_config` that holds the folder of all trainings' checkpoints.
CHECKPOINT_ROOT_KEY = "checkpoint_root"

#: The last checkpoint, and one to fall back on if the last cannot be read.
_NUM_KEPT = 2

_STALE_SECONDS = 7 * 24 * 3600.0

_POSITION = TypeAdapter(TrainingProgress)

#: A checkpoint is followed by a pause of at least so many times as long as writing it took.
_PAUSE = 20

#: The names in a checkpoint: of a variable by its number, of all variables, and of the position.
_VARIABLE, _VARIABLES = "variables/{}/.ATTRIBUTES/VARIABLE_VALUE", "variables/"
_POSITION_KEY = "position/.ATTRIBUTES/py_state"


def checkpoint_folder(root: str, determinants: Any, files: Sequence[str]) -> str:
    """Returns the folder of one training's checkpoints; the same training, restarted, gets the same folder.

    Args:
      root: The folder of all trainings' checkpoints.
      determinants: What determines the training, JSON-serializable.
      files: The files that it reads, identified by name, size and modification time.

    Returns:
      A folder below `root`, different for each training.
    """
    stats = [(path, tf.io.gfile.stat(path)) for path in sorted(files)]
    all_determinants = [determinants, [(path, stat.length, stat.mtime_nsec) for path, stat in stats]]
    digest = hashlib.sha256(json.dumps(all_determinants, sort_keys=True).encode())
    return os.path.join(root, digest.hexdigest()[:32])


def remove_folder(folder: str) -> None:
    """Removes a training's checkpoints, if there are any."""
    if tf.io.gfile.exists(folder):
        tf.io.gfile.rmtree(folder)


def remove_stale_folders(root: str) -> None:
    """Removes the folders of trainings and searches in which nothing was written for a week."""
    for name in tf.io.gfile.listdir(root) if tf.io.gfile.exists(root) else ():
        folder = os.path.join(root, name.rstrip("/"))
        try:
            is_stale = time.time() - _last_written(folder) > _STALE_SECONDS
        except tf.errors.NotFoundError:  # a training or a search that runs has just removed a file
            continue
        if is_stale:
            _logger.info("removing the checkpoints of an abandoned training: %s", folder)
            tf.io.gfile.rmtree(folder)


def _last_written(folder: str) -> float:
    """Returns when a folder or anything below it was changed last, in seconds since 1970: a search writes below it."""
    below = (os.path.join(path, name) for path, _, files in tf.io.gfile.walk(folder) for name in ("", *files))
    return max(float(tf.io.gfile.stat(path).mtime_nsec) for path in (folder, *below)) / 1e9


class _SavedProgress(tf.train.experimental.PythonState):  # type: ignore[misc]
    """Makes a training's position part of a checkpoint."""

    def __init__(self) -> None:
        self.position = TrainingProgress()

    def serialize(self) -> str:
        return _POSITION.dump_json(self.position).decode()

    def deserialize(self, text: bytes) -> None:
        self.position = _POSITION.validate_json(text)


def _verified(reader: tf.train.CheckpointReader, variables: Sequence[tf.Variable]) -> TrainingProgress:
    """Reads a whole checkpoint, so that TensorFlow verifies its checksums; returns the position.

    Raises:
      ValueError: If its variables or its position are not those of this training.
      tf.errors.OpError, IndexError: If it is damaged.
    """
    dtypes = reader.get_variable_to_dtype_map()
    found = {name: (tuple(shape), dtypes[name]) for name, shape in reader.get_variable_to_shape_map().items()}
    expected = {_VARIABLE.format(number): (tuple(v.shape), v.dtype) for number, v in enumerate(variables)}
    if {name: kind for name, kind in found.items() if name.startswith(_VARIABLES)} != expected:
        raise ValueError("its variables are not those of this training")
    if _POSITION_KEY not in found:
        raise ValueError("it has no position")
    for name in found:
        reader.get_tensor(name)
    return _POSITION.validate_json(reader.get_tensor(_POSITION_KEY))


class Checkpoints:
    """The checkpoints of one training: its variables and its position.

    Args:
      folder: The training's own folder, created with the first checkpoint.
      every_seconds: The time between two checkpoints; if writing one takes more than a twentieth of it, 20 times as
        long as that. With 0, each call of `save_if_due` writes one.
      variables: All variables that training changes.
    """

    def __init__(self, folder: str, every_seconds: float, variables: Sequence[tf.Variable]) -> None:
        self._folder, self._every_seconds, self._variables = folder, every_seconds, list(variables)
        self._saved = _SavedProgress()
        self._checkpoint = tf.train.Checkpoint(variables=self._variables, position=self._saved)
        self._manager = tf.train.CheckpointManager(self._checkpoint, folder, max_to_keep=_NUM_KEPT)
        self._due = time.monotonic() + every_seconds

    def restore(self) -> TrainingProgress | None:
        """Sets the variables to those of the last readable checkpoint.

        Returns:
          The checkpoint's position; None, with the variables unchanged, if there is no readable checkpoint. For
          skipped checkpoints, a warning gives the reason.
        """
        if not tf.io.gfile.exists(self._folder):
            return None
        position: TrainingProgress | None = None
        problems: list[str] = []
        for path in reversed(self._manager.checkpoints):
            try:
                reader = tf.train.load_checkpoint(path)
                position = _verified(reader, self._variables)
            except (tf.errors.OpError, IndexError, ValueError) as error:  # IndexError: truncated file
                problems.append(f"{os.path.basename(path)}: {str(error).splitlines()[0]}")
                continue
            # One after the other: TensorFlow's `restore` reads all of them before it assigns the first.
            for number, variable in enumerate(self._variables):
                variable.assign(reader.get_tensor(_VARIABLE.format(number)))
            break
        if position is None or problems:
            goes_on = "starts from the beginning" if position is None else f"resumes from step {position.step}"
            why = "; ".join(problems) or "the first one was not finished"
            _logger.warning("the training %s, as a checkpoint in %s cannot be used: %s", goes_on, self._folder, why)
        return position

    def save_if_due(self, position: TrainingProgress) -> None:
        """Writes a checkpoint if `every_seconds` have passed since the last one; see there for long ones."""
        started = time.monotonic()
        if started < self._due:
            return
        self._saved.position = position
        self._manager.save(checkpoint_number=position.step)
        ended = time.monotonic()
        if self._every_seconds:
            self._due = ended + max(self._every_seconds, _PAUSE * (ended - started))
