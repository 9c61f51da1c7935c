"""How long a model takes for one request's candidates, in batches of some size on as many threads (paper, table 2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

#: Scores serialized tf.Examples.
Score = Callable[[tf.Tensor], object]

#: The first requests find caches cold and threads not started yet.
_WARM_UPS = 3


def milliseconds(score: Score, candidates: Sequence[bytes], batch_size: int, repetitions: int) -> list[float]:
    """Times requests one after another, each one's batches at once, every batch on a thread of its own.

    Args:
      score: Scores a batch, string `[batch]`.
      candidates: One request's serialized tf.Examples.
      batch_size: Examples per batch.
      repetitions: How many requests.

    Returns:
      The time of each request, from its first batch's start to its last batch's end.
    """
    batches = [tf.constant(candidates[at : at + batch_size]) for at in range(0, len(candidates), batch_size)]
    times = []
    with ThreadPoolExecutor(len(batches)) as pool:
        for _ in range(_WARM_UPS + repetitions):
            started = time.perf_counter()
            list(pool.map(score, batches))
            times.append((time.perf_counter() - started) * 1000)
    return times[_WARM_UPS:]
