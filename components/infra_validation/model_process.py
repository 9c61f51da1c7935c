"""A model in its dry run: its scores and its costs."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import tensorflow as tf

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.utils import path_utils

from components import storage
from components.infra_validation.process import DryRunProcess
from components.infra_validation.verdict import Latency, Measurements
from transform.signature_names import RANK_ITEMS_SIGNATURE, RANK_SIGNATURE, SERVING_SIGNATURE

#: The number of examples scored at once, and per call to the process; the timeout applies to one call.
_BATCH_SIZE = 200
_EXAMPLES_PER_QUESTION = 50_000

_MB = 2**20


class ModelProcess:
    """A model in a separate process; a context manager that starts the process on entry.

    Args:
      model_uri: The model artifact's folder.
      timeout_seconds: The timeout of each answer of the process.
    """

    def __init__(self, model_uri: str, timeout_seconds: float) -> None:
        self._path = path_utils.serving_model_path(model_uri)
        self._process = DryRunProcess(timeout_seconds)
        self._load_seconds = 0.0
        #: The names of the model's signatures, once it is loaded.
        self.signatures: tuple[str, ...] = ()
        self._milliseconds: dict[int, list[float]] = {}

    def __enter__(self) -> ModelProcess:
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(self._process)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def kill(self) -> None:
        """Kills the process: what waits for its answer raises DryRunError."""
        self._process.kill()

    def load(self) -> None:
        """Loads the model; raises DryRunError if that fails."""
        if "://" in self._path:
            local = os.path.join(self._folder, "model")
            storage.copy_folder(self._path, local)
            self._path = local
        self._process.wait_for_start()
        answer = self._process.ask("load", "load", model=self._path)
        self._load_seconds, self.signatures = float(answer["seconds"]), tuple(answer["signatures"])

    @property
    def served_by(self) -> str:
        """The signature that a client calls for a ranking: the first of these that the model has."""
        in_order = (RANK_SIGNATURE, RANK_ITEMS_SIGNATURE, SERVING_SIGNATURE)
        return next(name for name in in_order if name in self.signatures)

    def scores(self, requests: Iterable[bytes]) -> np.ndarray:
        """Returns the scores of serialized raw tf.Examples, float32 `[n]`; raises DryRunError if scoring fails."""
        scores = [np.zeros(0, np.float32)]
        left = iter(requests)
        while written := self._write(itertools.islice(left, _EXAMPLES_PER_QUESTION)):
            out = os.path.join(self._folder, "scores.npy")
            arguments = {"requests": written, "scores": out, "batch_size": _BATCH_SIZE}
            self._process.ask("score requests", "score", **arguments)
            scores.append(np.load(out))
        return np.concatenate(scores)

    def rank_scores(
        self, signature: str, contexts: Sequence[bytes], item_ids: Sequence[bytes], items: Sequence[bytes]
    ) -> np.ndarray:
        """Returns the scores of candidate items by a ranking signature, float32 `[candidates]`; 0 for an empty id.

        Args:
          signature: `rank`, `rank_named` or `rank_items`.
          contexts: Each request's context, a serialized tf.Example.
          item_ids: The candidate items, the same number for each request, one request after the other.
          items: Their item features, serialized tf.Examples; read only for `rank_items`.

        Raises:
          DryRunError: If the model does not return them.
        """
        return self._scores_by(f"rank items by `{signature}`", "rank", signature, contexts, item_ids, items)

    def explained_scores(
        self, signature: str, rows: Sequence[bytes], item_ids: Sequence[bytes] = (), items: Sequence[bytes] = ()
    ) -> np.ndarray:
        """Returns the scores that the explanations of tf.Examples add up to, float32 `[rows]`.

        Args:
          signature: `explain`, or `explain_items` with items.
          rows: Serialized tf.Examples: whole ones or, with items, each item's context; at most `MAX_EXPLAINED`.
          item_ids: For `explain_items`: the item of each row.
          items: For `explain_items`: their features, serialized tf.Examples; empty to take the catalog's.

        Raises:
          DryRunError: If the model does not return them, or its parts do not add up.
        """
        return self._scores_by(f"explain scores by `{signature}`", "explain", signature, rows, item_ids, items)

    def _scores_by(
        self,
        what_for: str,
        question: str,
        signature: str,
        rows: Sequence[bytes],
        item_ids: Sequence[bytes],
        items: Sequence[bytes],
    ) -> np.ndarray:
        """Asks for the scores of a signature that takes items, which the process writes to a file."""
        out = os.path.join(self._folder, "scores.npy")
        arguments = {"item_ids": self._write(item_ids, "item_ids"), "items": self._write(items, "items")}
        self._process.ask(what_for, question, signature=signature, requests=self._write(rows), scores=out, **arguments)
        scores: np.ndarray = np.load(out)
        return scores

    def _write(self, requests: Iterable[bytes], name: str = "requests") -> str:
        """Writes the requests to a TFRecord file and returns its path; an empty string if there are none."""
        path, is_empty = os.path.join(self._folder, name), True
        with tf.io.TFRecordWriter(path) as writer:
            for request in requests:
                writer.write(request)
                is_empty = False
        return "" if is_empty else path

    def time(self, rows: Sequence[bytes], item_ids: Sequence[bytes], batch_size: int, repetitions: int) -> None:
        """Times requests with the same candidate items by `served_by`, and stores the times.

        Args:
          rows: The candidate items as whole raw tf.Examples; the first one's context is the request's.
          item_ids: Their ids.
          batch_size: Candidate items per batch.
          repetitions: The number of requests.

        Raises:
          DryRunError: If the model does not answer.
        """
        answer = self._process.ask(
            "answer requests",
            "measure",
            signature=self.served_by,
            requests=self._write(rows),
            item_ids=self._write(item_ids, "item_ids"),
            batch_size=batch_size,
            repetitions=repetitions,
        )
        self._milliseconds.setdefault(batch_size, []).extend(answer["milliseconds"])

    def damaged_variables(self) -> list[str]:
        """Returns the names of the variables with values that are not finite."""
        return list(self._process.ask("show its variables", "damaged_variables")["names"])

    def measurements(self, num_candidates: int) -> Measurements:
        """Returns the measurements so far, of requests with the given number of candidate items."""
        memory = self._process.ask("tell its memory", "memory")
        latency = [
            Latency(batch_size, -(-num_candidates // batch_size), *map(float, np.percentile(times, [50, 95, 99])))
            for batch_size, times in self._milliseconds.items()
        ]
        size = sum(file.stat().st_size for file in Path(self._path).rglob("*") if file.is_file())
        costs = self._load_seconds, size / _MB, memory["peak_mb"], memory["added_mb"]
        return Measurements(*costs, tuple(latency), self.served_by)
