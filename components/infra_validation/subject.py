"""A model in its dry run: what it answers and what it costs."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import tensorflow as tf
from tfx.utils import io_utils, path_utils

from components.infra_validation.process import DryRunProcess

#: So many examples are scored at once, and for one question; the time that an answer may take is for so many.
_BATCH_SIZE = 200
_EXAMPLES_PER_QUESTION = 50_000

_MB = 2**20


@dataclasses.dataclass(frozen=True)
class Latency:
    """The time for one request's 200 candidates, in milliseconds (paper, table 2).

    Attributes:
      batch_size: Candidates per batch.
      threads: The number of batches, each on a thread of its own.
      p50_ms: The median.
      p95_ms: The 95th percentile.
      p99_ms: The 99th percentile.
    """

    batch_size: int
    threads: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclasses.dataclass(frozen=True)
class Measurements:
    """What a model costs.

    Attributes:
      load_seconds: The time to load it.
      size_mb: The size of its files.
      peak_memory_mb: The highest memory of its process, TensorFlow included.
      memory_mb: What it adds to that of a process that has TensorFlow alone.
      latency: By the way in which the candidates are scored.
    """

    load_seconds: float
    size_mb: float
    peak_memory_mb: float
    memory_mb: float
    latency: tuple[Latency, ...]

    @property
    def best_latency(self) -> Latency:
        """The one with the lowest median."""
        return min(self.latency, key=lambda latency: latency.p50_ms)


class Subject:
    """A model in a process of its own, which starts as this is entered.

    Args:
      model_uri: The model artifact's folder.
      timeout_seconds: For each answer of the process.
    """

    def __init__(self, model_uri: str, timeout_seconds: float) -> None:
        self._path = path_utils.serving_model_path(model_uri)
        self._process = DryRunProcess(timeout_seconds)
        self._load_seconds = 0.0
        self._milliseconds: dict[int, list[float]] = {}

    def __enter__(self) -> Subject:
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(self._process)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def load(self) -> None:
        """Loads the model; raises DryRunError if that does not go well."""
        if "://" in self._path:
            local = os.path.join(self._folder, "model")
            io_utils.copy_dir(self._path, local)
            self._path = local
        self._process.wait_for_start()
        self._load_seconds = float(self._process.ask("load", "load", model=self._path)["seconds"])

    def scores(self, requests: Iterable[bytes]) -> np.ndarray:
        """The scores of serialized raw tf.Examples, float32 `[n]`; raises DryRunError if it does not give them."""
        scores = [np.zeros(0, np.float32)]
        left = iter(requests)
        while written := self._write(itertools.islice(left, _EXAMPLES_PER_QUESTION)):
            out = os.path.join(self._folder, "scores.npy")
            arguments = {"requests": written, "scores": out, "batch_size": _BATCH_SIZE}
            self._process.ask("score requests", "score", **arguments)
            scores.append(np.load(out))
        return np.concatenate(scores)

    def rank_scores(self, rows: Sequence[bytes], item_ids: Sequence[bytes]) -> np.ndarray:
        """The scores, float32 `[rows]`, of each row's item when it is ranked for the row's context; 0 without an id.

        Raises:
          DryRunError: If the model does not give them.
        """
        if not any(item_ids):
            return np.zeros(len(rows), np.float32)
        out = os.path.join(self._folder, "scores.npy")
        arguments = {"requests": self._write(rows), "item_ids": self._write(item_ids, "item_ids"), "scores": out}
        self._process.ask("rank items", "rank", **arguments, batch_size=_BATCH_SIZE)
        scores: np.ndarray = np.load(out)
        return scores

    def _write(self, requests: Iterable[bytes], name: str = "requests") -> str:
        """The TFRecord file of the requests; an empty string if there are none."""
        path, is_empty = os.path.join(self._folder, name), True
        with tf.io.TFRecordWriter(path) as writer:
            for request in requests:
                writer.write(request)
                is_empty = False
        return "" if is_empty else path

    def time(self, candidates: Iterable[bytes], batch_size: int, repetitions: int) -> None:
        """Times requests of the same candidates, and remembers the times; raises DryRunError as `scores` does."""
        arguments = {"requests": self._write(candidates), "batch_size": batch_size, "repetitions": repetitions}
        answer = self._process.ask("score requests", "measure", **arguments)
        self._milliseconds.setdefault(batch_size, []).extend(answer["milliseconds"])

    def damaged_variables(self) -> list[str]:
        """The names of the variables that hold values that are not finite."""
        return list(self._process.ask("show its variables", "damaged_variables")["names"])

    def measurements(self, num_candidates: int) -> Measurements:
        """What was measured so far, of requests of so many candidates."""
        memory = self._process.ask("tell its memory", "memory")
        latency = [
            Latency(batch_size, -(-num_candidates // batch_size), *map(float, np.percentile(times, [50, 95, 99])))
            for batch_size, times in self._milliseconds.items()
        ]
        size = sum(file.stat().st_size for file in Path(self._path).rglob("*") if file.is_file())
        return Measurements(self._load_seconds, size / _MB, memory["peak_mb"], memory["added_mb"], tuple(latency))
