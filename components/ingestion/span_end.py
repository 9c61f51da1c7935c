"""Until when a span's logs reach, and which impressions' labels are known by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam import pvalue

from components.ingestion.examples import Impression
from components.ingestion.joins import COUNTED

#: A log's latest rows, of which so few may have a wrong clock: at most this share of all, or one.
_MAX_LATE_SHARE = 0.001

_SECONDS_PER_BUCKET = 60

#: By the minute, how many times are in it, and the latest of them.
_Buckets = dict[int, tuple[int, float]]


class EndOfLog(beam.CombineFn):  # type: ignore[misc]
    """The latest of some times, seconds since 1970, but for the few that a wrong clock may have set; 0 of none.

    The latest minutes are passed over that together have at most a thousandth of the times, or one. So a row whose
    clock is years ahead ends no span, and a right log ends a thousandth of its rows early at most.
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
    """Leaves out and counts the impressions whose attribution window ends after what is known of the installs.

    Those that an install has followed already are left out too: without the others they would be too many. What is
    known reaches until the end of the log of impressions or of that of installs, whichever is later: the last of few
    installs may be long before the end of a span, and installs may be shipped for longer than impressions. No calendar
    says where a span ends, nor of which time zone its date is; the logs do.
    """

    def __init__(self, attribution_seconds: float, timestamp_position: int):
        self._window, self._position = attribution_seconds, timestamp_position

    def process(self, impression: Impression, end_of_impressions: float, end_of_installs: float) -> Iterator[Any]:
        if impression.values[self._position] + self._window <= max(end_of_impressions, end_of_installs):
            yield impression
        else:
            yield pvalue.TaggedOutput(COUNTED, (("unknown_label",), 1))
