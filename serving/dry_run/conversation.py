"""What the process is asked, and what it answers. Both are JSON objects."""

from __future__ import annotations

import json
import re
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from serving.dry_run.latency import milliseconds
from serving.dry_run.loading import ModelError, in_a_line, load
from transform.signature_names import (
    CONTEXT_INPUT,
    ITEM_IDS,
    ITEMS_INPUT,
    RANK_ITEMS_SIGNATURE,
    SCORES_OUTPUT,
    SERVING_SIGNATURE,
)


class _Conversation:
    """One method a question; its arguments are the question's, and what it returns is the answer."""

    def __init__(self) -> None:
        self._signature: Any = None
        self._memory_before = 0.0

    def greet(self) -> dict[str, Any]:
        """Answers nothing; so the process that asks knows that this one has started."""
        return {}

    def load(self, model: str) -> dict[str, Any]:
        """Loads the SavedModel in the folder `model`; answers `seconds`."""
        tf.constant(0)  # starts TensorFlow's runtime, which is no part of the model
        self._memory_before = _memory_mb("VmRSS")
        started = time.monotonic()
        loaded = load(model)
        seconds = time.monotonic() - started
        if SERVING_SIGNATURE not in loaded.signatures:
            found = sorted(loaded.signatures)
            raise ModelError(f"the model must have the signature {SERVING_SIGNATURE!r}. Received: {found}")
        self._model, self._signature = loaded, loaded.signatures[SERVING_SIGNATURE]
        return {"seconds": seconds}

    def score(self, requests: str, scores: str, batch_size: int) -> dict[str, Any]:
        """Scores a TFRecord file of raw tf.Examples into a `.npy` file; answers nothing."""
        outputs = [
            self._score(tf.constant(batch))
            for batch in tf.data.TFRecordDataset(requests).batch(batch_size).as_numpy_iterator()
        ]
        np.save(scores, np.concatenate(outputs))
        return {}

    def rank(self, requests: str, item_ids: str, scores: str, batch_size: int) -> dict[str, Any]:
        """Ranks each raw tf.Example's item alone for its context, scores into a `.npy` file; answers nothing.

        An Example serves for both: of the context features are read here, of the item features there.
        """
        if RANK_ITEMS_SIGNATURE not in self._model.signatures:
            found = sorted(self._model.signatures)
            raise ModelError(f"the model must have the signature {RANK_ITEMS_SIGNATURE!r}. Received: {found}")
        signature = self._model.signatures[RANK_ITEMS_SIGNATURE]
        rows, ids = tf.data.TFRecordDataset(requests), tf.data.TFRecordDataset(item_ids)
        outputs = []
        for batch, ids_of_batch in tf.data.Dataset.zip((rows, ids)).batch(batch_size):
            columns = {ITEM_IDS: ids_of_batch[:, tf.newaxis], ITEMS_INPUT: batch[:, tf.newaxis]}
            try:
                outputs.append(signature(**{CONTEXT_INPUT: batch}, **columns)[SCORES_OUTPUT].numpy()[:, 0])
            except Exception as error:  # as in `_score`
                raise ModelError(f"the model must rank items. Received: {in_a_line(error)}") from error
        np.save(scores, np.concatenate(outputs))
        return {}

    def measure(self, requests: str, batch_size: int, repetitions: int) -> dict[str, Any]:
        """Times the requests' examples as one request's candidates; answers `milliseconds`."""
        candidates = list(tf.data.TFRecordDataset(requests).as_numpy_iterator())
        return {"milliseconds": milliseconds(self._score, candidates, batch_size, repetitions)}

    def memory(self) -> dict[str, Any]:
        """Answers `peak_mb`, the process's highest memory so far, and `added_mb`, what the model's part in it is."""
        peak = _memory_mb("VmHWM")
        return {"peak_mb": peak, "added_mb": peak - self._memory_before}

    def damaged_variables(self) -> dict[str, Any]:
        """Answers `names`: the variables of the signature that hold values that are not finite."""
        floats = [variable for variable in self._signature.variables if variable.dtype.is_floating]
        return {"names": sorted(v.name.split(":")[0] for v in floats if not np.isfinite(v.numpy()).all())}

    def _score(self, batch: tf.Tensor) -> np.ndarray:
        try:
            (output,) = self._signature(batch).values()
            scores: np.ndarray = output.numpy()
        except Exception as error:  # whatever a graph raises: the process that asked wants to know
            raise ModelError(f"the model must score raw tf.Examples. Received: {in_a_line(error)}") from error
        if scores.shape != batch.shape:
            received = f"shape {list(scores.shape)} for {batch.shape[0]}"
            raise ModelError(f"the model must give one score a request. Received: {received}")
        return scores


def _memory_mb(what: str) -> float:
    """This process's resident memory in MB: `VmRSS`, as it is, or `VmHWM`, at its highest."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (kilobytes,) = re.findall(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) / 1024


def converse(connection: Connection) -> None:
    """Answers until the connection is closed at the other end."""
    conversation = _Conversation()
    while True:
        try:
            question = json.loads(connection.recv_bytes())
        except EOFError:  # nobody is there to ask any more
            return
        try:
            answer = getattr(conversation, question.pop("question"))(**question)
        except ModelError as error:
            answer = {"problem": str(error)}
        connection.send_bytes(json.dumps(answer).encode())
