"""The reference models' scores of the evaluation rows, stored beside the model: what a model must beat to have learned.

reference_scores.npz
  num_rows             the number of training rows that the reference models were fitted on, int64
  label                the label of each evaluation row, in the order of the files' names, float32 `[rows]`
  constant, …          a reference model's score of each of these rows, float32 `[rows]`
"""

from __future__ import annotations

import dataclasses
import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from transform.errors import InputError

#: The reference models, the simplest first: the training rows' share of positives; the share of the row's item; a
#: weight for each user and each item; a logistic regression on the config's features; boosted trees on them.
CONSTANT, ITEM_MEAN, USER_ITEM_BIAS, LOGISTIC_REGRESSION, GRADIENT_BOOSTING = REFERENCE_MODELS = (
    "constant",
    "item_mean",
    "user_item_bias",
    "logistic_regression",
    "gradient_boosting",
)

#: In the Trainer's `custom_config`: the name of the feature that is the user's id; null if it is unknown.
USER_KEY = "user"

_FILE = "reference_scores.npz"


@dataclasses.dataclass(frozen=True)
class ReferenceScores:
    """The scores of the reference models.

    Attributes:
      num_rows: The number of training rows that they were fitted on.
      label: The labels of the evaluation rows, float32 `[rows]`, 0 or 1.
      scores: By name, of `REFERENCE_MODELS`: the probabilities of these rows, float32 `[rows]`. A model that the data
        or the config cannot have is left out.
    """

    num_rows: int
    label: np.ndarray
    scores: Mapping[str, np.ndarray]


def reference_words(name: str) -> str:
    """Returns what a sentence calls a reference model."""
    return {USER_ITEM_BIAS: "user + item bias"}.get(name, name.replace("_", " "))


def _gfile() -> Any:
    import tensorflow as tf  # here, so that the gate's rules, which read the models' names only, do not import it

    return tf.io.gfile


def write_reference_scores(found: ReferenceScores, model_uri: str) -> None:
    """Writes the scores into a model's folder, on any filesystem that TensorFlow supports."""
    buffer = io.BytesIO()
    _gfile().makedirs(model_uri)
    arrays: dict[str, Any] = {"num_rows": np.int64(found.num_rows), "label": found.label, **found.scores}
    np.savez_compressed(buffer, **arrays)
    with _gfile().GFile(os.path.join(model_uri, _FILE), "wb") as file:
        file.write(buffer.getvalue())


def read_reference_scores(model_uri: str) -> ReferenceScores | None:
    """Reads what `write_reference_scores` wrote; None for a model whose trainer wrote none.

    Raises:
      InputError: If the file is damaged.
    """
    path = os.path.join(model_uri, _FILE)
    if not _gfile().exists(path):
        return None
    with _gfile().GFile(path, "rb") as file:
        content = io.BytesIO(file.read())
    try:
        with np.load(content, allow_pickle=False) as arrays:
            scores = {name: arrays[name] for name in REFERENCE_MODELS if name in arrays}
            return ReferenceScores(int(arrays["num_rows"]), arrays["label"], scores)
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"the reference models' scores must be readable. Received: {error} ({path})") from error
