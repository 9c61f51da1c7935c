"""The commands of the dry run's process: each message and each answer is a JSON object."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from serving.dry_run.loading import ModelError, in_a_line, load
from serving.dry_run.ranking import explained_scores, inputs_of, scores_in_order
from transform.files.tfrecords import read_records
from transform.signature_names import CONTEXT_INPUT, EXAMPLES_INPUT, ITEM_IDS, ITEMS_INPUT, SERVING_SIGNATURE

#: About this many candidates are ranked per call: one request of the paper's size, or several with few candidates.
_CANDIDATES_PER_CALL = 200

#: The first requests of a measurement are not timed: they meet cold caches and threads that have not started.
_WARM_UPS = 3


class _WorkerCommands:
    """One method per command: its arguments are the command's, and its return value is the answer."""

    def __init__(self) -> None:
        self._signature: Any = None
        self._memory_before = 0.0

    def greet(self) -> dict[str, Any]:
        """Returns nothing; the answer shows the parent process that this one has started."""
        return {}

    def load(self, model: str) -> dict[str, Any]:
        """Loads the SavedModel in the folder `model`; returns `seconds` and the names of its `signatures`."""
        tf.constant(0)  # starts TensorFlow's runtime first, so that the model's time and memory exclude it
        self._memory_before = _memory_mb("VmRSS")
        started = time.monotonic()
        loaded = load(model)
        seconds = time.monotonic() - started
        self._model = loaded
        self._signature = self._has(SERVING_SIGNATURE)
        return {"seconds": seconds, "signatures": sorted(loaded.signatures)}

    def score(self, requests: str, scores: str, batch_size: int) -> dict[str, Any]:
        """Scores a TFRecord file of raw tf.Examples into a `.npy` file; returns nothing."""
        outputs = [
            self._score(tf.constant(batch))
            for batch in tf.data.TFRecordDataset(requests).batch(batch_size).as_numpy_iterator()
        ]
        np.save(scores, np.concatenate(outputs))
        return {}

    def rank(self, signature: str, requests: str, item_ids: str, items: str, scores: str) -> dict[str, Any]:
        """Ranks with a signature, in calls of about `_CANDIDATES_PER_CALL` candidates; returns nothing.

        Args:
          signature: The signature's name.
          requests: A TFRecord file of the requests' contexts, serialized tf.Examples. Item features in them are not
            read.
          item_ids: A TFRecord file of the candidates' item ids, the same number for each request.
          items: A TFRecord file of the candidates' item features; read only for `rank_items`.
          scores: The `.npy` file to write: the candidates' scores, in the order of `item_ids`.
        """
        call = self._has(signature)
        contexts = _records(requests)
        ids, given = (np.array(_records(path), object).reshape(len(contexts), -1) for path in (item_ids, items))
        step = max(1, _CANDIDATES_PER_CALL // ids.shape[1])
        outputs = []
        for at in range(0, len(contexts), step):
            some = slice(at, at + step)
            inputs = inputs_of(call, signature, contexts[some], ids[some], given[some])
            outputs.append(scores_in_order(call, signature, inputs).ravel())
        np.save(scores, np.concatenate(outputs))
        return {}

    def explain(self, signature: str, requests: str, item_ids: str, items: str, scores: str) -> dict[str, Any]:
        """Explains tf.Examples by a signature, in one call, and writes the scores that the parts add up to.

        Args:
          signature: The signature's name.
          requests: A TFRecord file of whole tf.Examples or, with `item_ids`, of the context of each item.
          item_ids: A TFRecord file of item ids, one a context; empty to explain whole tf.Examples.
          items: A TFRecord file of the items' features; read only with `item_ids`.
          scores: The `.npy` file to write.
        """
        call, examples = self._has(signature), tf.constant(_records(requests))
        inputs = {EXAMPLES_INPUT: examples}
        if item_ids:
            ids, given = (tf.constant(_records(path))[:, tf.newaxis] for path in (item_ids, items))
            inputs = {CONTEXT_INPUT: examples, ITEM_IDS: ids, ITEMS_INPUT: given}
        np.save(scores, explained_scores(call, signature, inputs).ravel())
        return {}

    def measure(
        self, signature: str, requests: str, item_ids: str, batch_size: int, repetitions: int
    ) -> dict[str, Any]:
        """Times one request whose candidates are the raw tf.Examples; returns `milliseconds`.

        A ranking signature gets the first tf.Example as the context.
        """
        rows, ids = _records(requests), np.array(_records(item_ids), object)
        starts = range(0, len(rows), batch_size)
        if signature == SERVING_SIGNATURE:
            batches = [tf.constant(rows[at : at + batch_size]) for at in starts]
            return {"milliseconds": milliseconds([partial(self._score, batch) for batch in batches], repetitions)}
        call, items = self._has(signature), np.array(rows, object)
        calls = []
        for at in starts:
            some = slice(at, at + batch_size)
            inputs = inputs_of(call, signature, rows[:1], ids[np.newaxis, some], items[np.newaxis, some])
            calls.append(partial(call, **inputs))
        return {"milliseconds": milliseconds(calls, repetitions)}

    def memory(self) -> dict[str, Any]:
        """Returns `peak_mb`, the process's peak memory so far, and `added_mb`, the part of it added since `load`."""
        peak = _memory_mb("VmHWM")
        return {"peak_mb": peak, "added_mb": peak - self._memory_before}

    def damaged_variables(self) -> dict[str, Any]:
        """Returns `names`: the variables of any signature that hold values that are not finite."""
        variables = {v.ref(): v for signature in self._model.signatures.values() for v in signature.variables}
        floats = [variable for variable in variables.values() if variable.dtype.is_floating]
        # A sum takes no memory. The process's memory is measured, and a catalog may be most of it.
        damaged = [variable for variable in floats if not np.isfinite(variable.numpy().sum(dtype=np.float64))]
        return {"names": sorted(variable.name.split(":")[0] for variable in damaged)}

    def _has(self, name: str) -> Any:
        if name not in self._model.signatures:
            found = sorted(self._model.signatures)
            raise ModelError(f"the model must have the signature {name!r}. Received: {found}")
        return self._model.signatures[name]

    def _score(self, batch: tf.Tensor) -> np.ndarray:
        try:
            # By name: for a positional argument TensorFlow first formats the batch as text, for an error that it drops.
            (output,) = self._signature(**{EXAMPLES_INPUT: batch}).values()
            scores: np.ndarray = output.numpy()
        except Exception as error:  # whatever the graph raises, the parent process needs the reason
            raise ModelError(f"the model must score raw tf.Examples. Received: {in_a_line(error)}") from error
        if scores.shape != batch.shape:
            received = f"shape {list(scores.shape)} for {batch.shape[0]}"
            raise ModelError(f"the model must give one score a request. Received: {received}")
        return scores


def milliseconds(batches: Sequence[Callable[[], object]], repetitions: int) -> list[float]:
    """Times requests one after another. A request's batches run at once, each on its own thread (paper, table 2).

    Args:
      batches: Functions that each score one batch of a request.
      repetitions: The number of timed requests.

    Returns:
      The milliseconds of each request, from its first batch's start to its last batch's end.
    """
    times = []
    with ThreadPoolExecutor(len(batches)) as pool:
        for _ in range(_WARM_UPS + repetitions):
            started = time.perf_counter()
            for done in [pool.submit(batch) for batch in batches]:
                done.result()
            times.append((time.perf_counter() - started) * 1000)
    return times[_WARM_UPS:]


def _records(path: str) -> list[bytes]:
    return list(read_records(path))


def _memory_mb(what: str) -> float:
    """This process's resident memory in MB: the current one (`VmRSS`) or the peak (`VmHWM`)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (kilobytes,) = re.findall(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) / 1024


def converse(connection: Connection) -> None:
    """Answers commands until the parent process closes the connection."""
    conversation = _WorkerCommands()
    while True:
        try:
            question = json.loads(connection.recv_bytes())
        except EOFError:  # the parent process has closed its end
            return
        try:
            answer = getattr(conversation, question.pop("question"))(**question)
        except ModelError as error:
            answer = {"problem": str(error)}
        connection.send_bytes(json.dumps(answer).encode())
