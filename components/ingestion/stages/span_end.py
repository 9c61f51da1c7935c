"""Estimates when a span's logs end, and counts the rows that are long after it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from components.ingestion.counts import CountKey

#: The largest share of a log's rows, or one row, that `EndOfLog` ignores at the end as rows of a wrong clock.
_MAX_LATE_SHARE = 0.001

#: The middle nine tenths of a log's rows; the log ends at most their length after them. So up to a twentieth of the
#: rows may have the time of a clock that is further ahead. Within it are the quiet hours of a day's end.
_MIDDLE = (0.05, 0.95)

_SECONDS_PER_BUCKET = 60

#: The number of times in each minute, and the latest of them.
_Buckets = dict[int, tuple[int, float]]


def count_minutes(times: npt.NDArray[np.float64]) -> _Buckets:
    """Returns the number of times in each minute, and the latest of them: an input of `EndOfLog`."""
    if not len(times):
        return {}
    minutes, at, numbers = np.unique(
        np.floor_divide(times, _SECONDS_PER_BUCKET).astype(np.int64), return_inverse=True, return_counts=True
    )
    latest = np.full(len(minutes), -np.inf)
    np.maximum.at(latest, at, times)
    found = zip(minutes.tolist(), zip(numbers.tolist(), latest.tolist(), strict=True), strict=True)
    return dict(found)


class EndOfLog(beam.CombineFn):  # type: ignore[misc]
    """The latest of the times, in seconds since 1970, without outliers of a wrong clock; 0 if there are no times.

    It ignores the latest minutes that together have at most a thousandth of the times, or one time; and all minutes
    that are later than the middle nine tenths of the times by more than their length. So rows whose clock is days ahead
    do not set the end, and the end of a correct log is early by at most a thousandth of its rows.
    """

    def create_accumulator(self) -> _Buckets:
        return {}

    def add_input(self, buckets: _Buckets, times: _Buckets) -> _Buckets:
        return self.merge_accumulators([buckets, times])

    def merge_accumulators(self, accumulators: Iterable[_Buckets]) -> _Buckets:
        merged: _Buckets = {}
        for buckets in accumulators:
            for bucket, (number, latest) in buckets.items():
                before, latest_before = merged.get(bucket, (0, latest))
                merged[bucket] = before + number, max(latest, latest_before)
        return merged

    def extract_output(self, buckets: _Buckets) -> float:
        total = sum(number for number, _ in buckets.values())
        left = max(1, int(total * _MAX_LATE_SHARE)) if total > 1 else 0
        last = _last_bucket(buckets)
        for bucket, (number, latest) in sorted(buckets.items(), reverse=True):
            left -= number
            if left < 0 and bucket <= last:
                return latest
        return 0.0


def _last_bucket(buckets: _Buckets) -> int:
    """Returns the last minute that is no later than the middle of the times by more than the middle's length."""
    ordered = sorted(buckets)
    up_to = list(itertools.accumulate(buckets[bucket][0] for bucket in ordered))
    if not ordered:
        return 0
    ranks = [int(share * (up_to[-1] - 1)) for share in _MIDDLE]
    first, last = (ordered[next(at for at, number in enumerate(up_to) if number > rank)] for rank in ranks)
    return last + (last - first)


def count_after_end(
    times: _Buckets, source: str, seconds: float, end_of_impressions: float, end_of_installs: float
) -> Iterator[tuple[CountKey, int]]:
    """Yields the number of a source's rows that are later than the end of the logs by more than `seconds`, if any.

    Args:
      times: What `count_minutes` returned for a part of the source; a minute that is so late counts as a whole.
      source: The source.
      seconds: The time within which another end of the logs would change which labels are known.
      end_of_impressions: Of the log, in seconds since 1970.
      end_of_installs: Of theirs; the later one is that of the logs.
    """
    end = max(end_of_impressions, end_of_installs) + seconds
    number = sum(number for bucket, (number, _) in times.items() if bucket * _SECONDS_PER_BUCKET > end)
    if number:
        yield ("after_end", source), number
