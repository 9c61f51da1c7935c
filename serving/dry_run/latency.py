"""How long a model takes for one request's candidates, in batches of some size on as many threads (paper, table 2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

#: The first requests find caches cold and threads not started yet.
_WARM_UPS = 3


def milliseconds(batches: Sequence[Callable[[], object]], repetitions: int) -> list[float]:
    """Times requests one after another, each one's batches at once, every batch on a thread of its own.

    Args:
      batches: Score one batch of a request each.
      repetitions: How many requests.

    Returns:
      The time of each request, from its first batch's start to its last batch's end.
    """
    times = []
    with ThreadPoolExecutor(len(batches)) as pool:
        for _ in range(_WARM_UPS + repetitions):
            started = time.perf_counter()
            for done in [pool.submit(batch) for batch in batches]:
                done.result()
            times.append((time.perf_counter() - started) * 1000)
    return times[_WARM_UPS:]
