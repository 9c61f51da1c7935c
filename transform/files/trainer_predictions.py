"""The trainer's own scores, stored beside the model; before the push, the exported model's scores are compared to them.

own_scores/
  rows.tfrecord      raw tf.Examples, as a request sends them
  item_ids.tfrecord  each row's item id, empty if there is none
  row_scores.npy     the trainer's score of each row, float32 `[rows]`
  eval_scores.npy    its scores of all transformed evaluation examples, float32, ascending
"""

from __future__ import annotations

import dataclasses
import io
import os

import numpy as np
import tensorflow as tf

from transform.files.records import iterate_records

#: The key of the Trainer's `custom_config` with the patterns of the raw evaluation examples' files, which it scores.
RAW_EVAL_FILES_KEY = "raw_eval_files"

_FOLDER = "own_scores"
_ROWS_FILE = "rows.tfrecord"
_ITEM_IDS_FILE = "item_ids.tfrecord"
_ROW_SCORES_FILE = "row_scores.npy"
_EVAL_SCORES_FILE = "eval_scores.npy"


@dataclasses.dataclass(frozen=True)
class TrainerPredictions:
    """The trainer's own scores of examples, after training.

    Attributes:
      rows: Serialized raw tf.Examples, without label and weight.
      item_ids: Each row's item id; empty if the row has none, or if the model ranks no items.
      row_scores: The trainer's score of each row, float32 `[rows]`.
      eval_scores: Its scores of all evaluation examples that Transform wrote, float32, ascending. These have no keys,
        and the trainer reads an example of each file in turn where the dry run reads one file after the other. So they
        are compared as a whole: if two models' scores of each row differ by at most ε, so do their sorted scores.
    """

    rows: list[bytes]
    item_ids: list[bytes]
    row_scores: np.ndarray
    eval_scores: np.ndarray


def write_trainer_predictions(own: TrainerPredictions, model_uri: str) -> None:
    """Writes the trainer's scores into a model's folder, on any filesystem that TensorFlow supports."""
    folder = os.path.join(model_uri, _FOLDER)
    tf.io.gfile.makedirs(folder)
    for name, records in ((_ROWS_FILE, own.rows), (_ITEM_IDS_FILE, own.item_ids)):
        with tf.io.TFRecordWriter(os.path.join(folder, name)) as writer:
            for record in records:
                writer.write(record)
    for name, scores in ((_ROW_SCORES_FILE, own.row_scores), (_EVAL_SCORES_FILE, own.eval_scores)):
        buffer = io.BytesIO()
        np.save(buffer, scores)
        with tf.io.gfile.GFile(os.path.join(folder, name), "wb") as file:
            file.write(buffer.getvalue())


def read_trainer_predictions(model_uri: str) -> TrainerPredictions | None:
    """Reads what `write_trainer_predictions` wrote; None for a model whose trainer wrote no scores."""
    folder = os.path.join(model_uri, _FOLDER)
    if not tf.io.gfile.isdir(folder):
        return None
    rows, item_ids = (
        list(iterate_records(tf.data.TFRecordDataset(os.path.join(folder, name))))
        for name in (_ROWS_FILE, _ITEM_IDS_FILE)
    )
    row_scores, eval_scores = (
        _read_array(os.path.join(folder, name)) for name in (_ROW_SCORES_FILE, _EVAL_SCORES_FILE)
    )
    return TrainerPredictions(rows, item_ids, row_scores, eval_scores)


def _read_array(path: str) -> np.ndarray:
    with tf.io.gfile.GFile(path, "rb") as file:
        array: np.ndarray = np.load(io.BytesIO(file.read()), allow_pickle=False)
    return array
