"""Tests of timing one request's batches, with batches of known duration."""

from __future__ import annotations

import threading
import time

import pytest

from serving.dry_run.worker_commands import _WARM_UPS, milliseconds


class Sleeper:
    """A batch that takes 20 ms, and records how often it runs and in which threads.

    It waits for the other batches of its request, and fails if they do not run at the same time.
    """

    def __init__(self, at_once: threading.Barrier) -> None:
        self.at_once = at_once
        self.calls = 0
        self.threads: set[int] = set()

    def __call__(self) -> None:
        self.calls += 1
        self.threads.add(threading.get_ident())
        self.at_once.wait(60)
        time.sleep(0.02)


def test_batches_of_a_request_are_scored_at_once() -> None:
    at_once = threading.Barrier(4)  # four batches, one after another, would break it
    batches = [Sleeper(at_once) for _ in range(4)]
    times = milliseconds(batches, repetitions=4)
    assert len(times) == 4
    assert all(t >= 20 for t in times)
    assert [batch.calls for batch in batches] == [_WARM_UPS + 4] * 4
    assert len(set.union(*(batch.threads for batch in batches))) == 4


def test_one_batch_takes_one_thread() -> None:
    batch = Sleeper(threading.Barrier(1))
    assert len(milliseconds([batch], repetitions=1)) == 1
    assert len(batch.threads) == 1


def test_a_batch_that_fails_is_told() -> None:
    def fails() -> None:
        raise ValueError("no such item")

    with pytest.raises(ValueError, match="no such item"):
        milliseconds([fails], repetitions=1)
