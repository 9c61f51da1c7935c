"""Estimates when a span's logs end, from all times at once."""

from __future__ import annotations

import collections
from collections.abc import Iterable

#: The largest share of a log's rows, or one row, that `end_of` ignores at the end as rows of a wrong clock.
_MAX_LATE_SHARE = 0.001

_SECONDS_PER_MINUTE = 60


def end_of(times: Iterable[float]) -> float:
    """Returns the latest of the times, in seconds since 1970, without outliers of a wrong clock; 0 without a time.

    It ignores the latest minutes that together have at most a thousandth of the times, or one time, and those that are
    later than the middle nine tenths of the times by more than their length.
    """
    minutes: dict[int, list[float]] = collections.defaultdict(list)
    for time in times:
        minutes[int(time // _SECONDS_PER_MINUTE)].append(time)
    total = sum(map(len, minutes.values()))
    left = max(1, int(total * _MAX_LATE_SHARE)) if total > 1 else 0
    ordered = sorted(minute for minute, found in minutes.items() for _ in found)
    first, last = (ordered[int(share * (total - 1))] if ordered else 0 for share in (0.05, 0.95))
    for minute, found in sorted(minutes.items(), reverse=True):
        left -= len(found)
        if left < 0 and minute - last <= last - first:
            return max(found)
    return 0.0
