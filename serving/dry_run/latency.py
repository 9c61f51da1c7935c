"""Times a model on one request's candidates, split into batches on as many threads (paper, table 2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

#: The first requests are not timed: they meet cold caches and threads that have not started.
_WARM_UPS = 3


def milliseconds(batches: Sequence[Callable[[], object]], repetitions: int) -> list[float]:
    """Times requests one after another. A request's batches run at once, each on its own thread.

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
