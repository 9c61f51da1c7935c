"""Estimates when a span's logs end."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import numpy.typing as npt

#: The largest share of a log's rows, or one row, that `EndOfLog` ignores at the end as rows of a wrong clock.
_MAX_LATE_SHARE = 0.001

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

    It ignores the latest minutes that together have at most a thousandth of the times, or one time. So a row whose
    clock is years ahead does not set the end, and the end of a correct log is early by at most a thousandth of its
    rows.
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
        for _, (number, latest) in sorted(buckets.items(), reverse=True):
            left -= number
            if left < 0:
                return latest
        return 0.0
