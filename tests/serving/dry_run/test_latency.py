"""The timing of one request's candidates, of a score that takes a known time."""

from __future__ import annotations

import threading
import time

import tensorflow as tf

from serving.dry_run.latency import _WARM_UPS, milliseconds


class Sleeper:
    """Takes 20 ms for a batch, and remembers the batches and the threads."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.threads: set[int] = set()

    def __call__(self, batch: tf.Tensor) -> None:
        self.batches.append(batch.numpy().tolist())
        self.threads.add(threading.get_ident())
        time.sleep(0.02)


def test_batches_of_a_request_are_scored_at_once() -> None:
    score, candidates = Sleeper(), [bytes([i]) for i in range(10)]
    times = milliseconds(score, candidates, batch_size=3, repetitions=4)
    assert len(times) == 4
    assert all(20 <= t < 80 for t in times)  # four batches, one after another, would take 80 ms
    assert len(score.threads) == 4
    first = sorted(score.batches[:4])
    assert first == [candidates[0:3], candidates[3:6], candidates[6:9], candidates[9:]]
    assert len(score.batches) == 4 * (_WARM_UPS + 4)


def test_one_batch_takes_one_thread() -> None:
    score = Sleeper()
    assert len(milliseconds(score, [b"a", b"b"], batch_size=2, repetitions=1)) == 1
    assert len(score.threads) == 1
