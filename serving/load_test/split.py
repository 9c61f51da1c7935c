"""Chooses the part size for large requests by measuring the server (paper, section 4.3 and table 2)."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from serving.load_test.recorded import Request
from serving.ranking_client.client import RankingClient
from serving.ranking_client.settings import ClientSettings

#: Parts cost the server more work than one call does, so the median must be at most this share of one call's.
_WORTH_IT = 0.95

_WARM_UPS = 3


def measure_part_sizes(
    settings: ClientSettings, requests: Iterator[Request], sizes: Sequence[int], repetitions: int
) -> dict[int | None, list[float]]:
    """Times each request in one call and in parts, in turn, so that other load affects all alike.

    Args:
      settings: The client's settings.
      requests: The requests; each is sent once per part size.
      sizes: The part sizes, in candidates.
      repetitions: The number of timed requests; a few untimed ones precede them.

    Returns:
      By part size (None for one call), the latency of each request in milliseconds.
    """
    ways: list[int | None] = [None, *sizes]
    milliseconds: dict[int | None, list[float]] = {size: [] for size in ways}
    with ExitStack() as stack:
        clients = {
            size: stack.enter_context(RankingClient(dataclasses.replace(settings, part_size=size))) for size in ways
        }
        for number in range(_WARM_UPS + repetitions):
            context, candidates = next(requests)
            for size in ways if number % 2 else reversed(ways):
                start = time.perf_counter()
                clients[size].rank(context, candidates)
                if number >= _WARM_UPS:
                    milliseconds[size].append((time.perf_counter() - start) * 1000)
    return milliseconds


def choose_part_size(milliseconds: Mapping[int | None, Sequence[float]]) -> int | None:
    """The part size with the lowest median; None (one call) unless that is at least 5 % below one call's."""
    medians = {size: statistics.median(times) for size, times in milliseconds.items()}
    best = min(medians, key=lambda size: medians[size])
    return best if medians[best] <= _WORTH_IT * medians[None] else None
