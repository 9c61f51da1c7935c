"""Estimates when a span's logs end, and leaves out impressions whose labels are not known by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam import pvalue

from tests.components.ingestion.row_by_row.examples import Impression
from tests.components.ingestion.row_by_row.joins import COUNTED

#: The largest share of a log's rows, or one row, that `EndOfLog` ignores at the end as rows of a wrong clock.
_MAX_LATE_SHARE = 0.001

_SECONDS_PER_BUCKET = 60

#: The number of times in each minute, and the latest of them.
_Buckets = dict[int, tuple[int, float]]


class EndOfLog(beam.CombineFn):  # type: ignore[misc]
    """The latest of the times, in seconds since 1970, without outliers of a wrong clock; 0 if there are no times.

    It ignores the latest minutes that together have at most a thousandth of the times, or one time. So a row whose
    clock is years ahead does not set the end, and the end of a correct log is early by at most a thousandth of its
    rows.
    """

    def create_accumulator(self) -> _Buckets:
        return {}

    def add_input(self, buckets: _Buckets, time: float) -> _Buckets:
        bucket = int(time // _SECONDS_PER_BUCKET)
        number, latest = buckets.get(bucket, (0, time))
        buckets[bucket] = number + 1, max(latest, time)
        return buckets

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


class LeaveOutUnknown(beam.DoFn):  # type: ignore[misc]
    """Leaves out and counts the impressions whose attribution window ends after the end of the logs.

    It leaves out those that an install already follows too: keeping only them would overstate the share of positives.
    The end is that of the impressions' log or of the installs' log, whichever is later: if installs are few, the last
    one may be long before the end of a span, and the installs' log may cover a longer time than the impressions' log.
    The end is taken from the logs because no calendar says when a span ends or which time zone its date has.
    """

    def __init__(self, attribution_seconds: float, timestamp_position: int):
        self._window, self._position = attribution_seconds, timestamp_position

    def process(self, impression: Impression, end_of_impressions: float, end_of_installs: float) -> Iterator[Any]:
        if impression.values[self._position] + self._window <= max(end_of_impressions, end_of_installs):
            yield impression
        else:
            yield pvalue.TaggedOutput(COUNTED, (("unknown_label",), 1))
