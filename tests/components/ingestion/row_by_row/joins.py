"""Ingestion's transforms on grouped rows: removing duplicate keys, joining tables, labelling from installs."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam import pvalue

from components.ingestion.formats.raw_rows import Rejection, kept_text
from tests.components.ingestion.row_by_row.examples import Impression
from transform.config import sources
from transform.feature import IMPRESSIONS

#: A row that was read: its split, its file, its number in the file, and its values by position. No NamedTuple: Beam
#: pickles those between workers, and encodes plain tuples faster.
ReadRow = tuple[str, str, int, tuple[Any, ...]]

#: The tags of the side outputs.
REJECTED = "rejected"
COUNTED = "counted"
EVIDENCE = "evidence"


class KeepFirst(beam.DoFn):  # type: ignore[misc]
    """Keeps the first row, in file order, of the rows with the same key, and rejects the others."""

    def __init__(self, source: str, reason: str, key_name: str, unit: str):
        self._source, self._reason, self._key_name, self._unit = source, reason, key_name, unit

    def process(self, element: tuple[str, Iterable[ReadRow]]) -> Iterator[Any]:
        key, rows = element
        # Iterates twice over the group instead of holding it in memory: a log whose ids are all equal is one group.
        first = min(rows, key=_place)
        first_path, first_number = _place(first)
        yield first
        for _, path, number, values in rows:
            if (path, number) == (first_path, first_number):
                continue
            place = f"{self._unit} {first_number} of {first_path}"
            detail = f"`{self._key_name}` must be unique. Received {key!r} again; first in {place}"
            yield pvalue.TaggedOutput(
                REJECTED, Rejection(self._source, path, number, self._reason, detail, kept_text(repr(values)))
            )


def _place(row: ReadRow) -> tuple[str, int]:
    """Returns a row's file and its number in the file."""
    _, path, number, _ = row
    return path, number


class JoinBroadcast(beam.DoFn):  # type: ignore[misc]
    """Adds a table's row to each impression; the table is a side input, so every worker holds it."""

    def __init__(self, name: str, table: sources.Table, position: int):
        self._name, self._table, self._position = name, table, position

    def process(self, impression: Impression, rows: dict[str, tuple[Any, ...]]) -> Iterator[Any]:
        key = impression.values[self._position]
        yield from _joined(impression, self._name, self._table, key, rows.get(key))


def _joined(
    impression: Impression, name: str, table: sources.Table, key: str, row: tuple[Any, ...] | None
) -> Iterator[Any]:
    if row is None:
        if table.reject_unmatched:
            detail = f"`{table.log_column}` must be a key of the table `{name}`. Received: {key!r}"
            yield pvalue.TaggedOutput(
                REJECTED,
                Rejection(
                    IMPRESSIONS,
                    impression.file,
                    impression.row,
                    "unmatched_key",
                    detail,
                    kept_text(repr(impression.values)),
                ),
            )
            yield pvalue.TaggedOutput(COUNTED, (("unmatched_rejected", name), 1))
            return
        yield pvalue.TaggedOutput(COUNTED, (("unmatched", name), 1))
    yield impression._replace(joined={**impression.joined, name: row})


def marked(impressions: Iterable[Impression], time_position: int | None, seconds: float) -> Iterator[Impression]:
    """Marks the training impressions that can share their label with an evaluation impression.

    Args:
      impressions: A group of impressions that can share labels, with their splits set. The function iterates over
        them twice and does not hold them in memory.
      time_position: The position of the timestamp in their values; None if there is none or it does not matter.
      seconds: The longest time between two impressions that can share a label.

    Yields:
      The impressions, with `shares_label` set.
    """

    def time_of(impression: Impression) -> float:
        return 0.0 if time_position is None else float(impression.values[time_position])

    evaluated = sorted(time_of(i) for i in impressions if i.split == "eval")
    for impression in impressions:
        at = bisect.bisect_left(evaluated, time_of(impression) - seconds)
        is_near = at < len(evaluated) and evaluated[at] <= time_of(impression) + seconds
        yield impression._replace(shares_label=impression.split == "train" and is_near)


class LabelFromInstalls(beam.DoFn):  # type: ignore[misc]
    """Labels impressions after a CoGroupByKey by `installs.keys`.

    The label is 1 if an install follows within the attribution window. An install before the impression, by at most
    `clock_skew_seconds`, counts as following it.
    """

    def __init__(self, installs: sources.Installs, timestamp_position: int):
        self._window, self._skew = installs.attribution_seconds, installs.clock_skew_seconds
        self._position = timestamp_position

    def process(self, element: tuple[Any, dict[str, Any]]) -> Iterator[Any]:
        _, groups = element
        times = sorted(groups["installs"])
        attributed: set[int] = set()
        has_impression = False
        for impression in groups["log"]:
            has_impression = True
            shown = impression.values[self._position]
            first, end = bisect.bisect_left(times, shown - self._skew), bisect.bisect_right(times, shown + self._window)
            attributed.update(range(first, end))
            yield impression._replace(label=int(first < end))
        others = "outside_window" if has_impression else "without_impression"
        for kind, number in (("attributed", len(attributed)), (others, len(times) - len(attributed))):
            if number:
                yield pvalue.TaggedOutput(COUNTED, (("install", kind), number))
