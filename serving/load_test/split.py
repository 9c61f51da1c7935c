"""Chooses into what parts a large request is split, by measuring the server (paper, section 4.3 and table 2)."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from serving.load_test.recorded import Request
from serving.ranking_client.client import RankingClient
from serving.ranking_client.settings import ClientSettings

#: A split takes more of the server's work than one call, so it has to be this much faster.
_WORTH_IT = 0.95

_WARM_UPS = 3


def measure_part_sizes(
    settings: ClientSettings, requests: Iterator[Request], sizes: Sequence[int], repetitions: int
) -> dict[int | None, list[float]]:
    """Times requests in one call and in parts, in turn, so that other load hits all alike.

    Args:
      settings: How to ask.
      requests: The requests; each is sent once in each way.
      sizes: Candidates per part.
      repetitions: How many requests count, after a few that do not.

    Returns:
      By part size, None for one call, the milliseconds of each request.
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
    """The size with the lowest median; None, one call, unless that is 5 % lower than one call's."""
    medians = {size: statistics.median(times) for size, times in milliseconds.items()}
    best = min(medians, key=lambda size: medians[size])
    return best if medians[best] <= _WORTH_IT * medians[None] else None
