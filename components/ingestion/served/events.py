"""Events of served rankings: which of them count, and the index by which candidates find theirs.

Each event has one outcome, and each is counted:

| outcome | the event |
| --- | --- |
| `used` | is the first valid one of its type for a candidate that was shown |
| `forged` | has a request's id with a wrong MAC |
| `unknown_type` | is of none of the types |
| `too_many` | is behind the first `MAX_OF_REQUEST` of its request, or the first `MAX_OF_ITEM` of its item |
| `unknown_request` | is of a request that the span's log does not have |
| `unknown_item` | is of an item that was no candidate of its request |
| `not_shown` | is of a candidate without a valid event of the type `shown` |
| `clock_off` | is before its request, or after it arrived, by more than `clock_skew_seconds` |
| `late` | is after its request by more than `attribution_seconds` |
| `doubled` | has a valid event of its type and item before it |

Only an install that is none of `forged`, `too_many`, `clock_off` by its arrival can make a label (`installs`), and only
that of an impression, which is a candidate that was shown, within the attribution window.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.columns.parser import empty_table, typed_table
from components.ingestion.formats.lines import LineTally
from components.ingestion.layout import Layout
from components.ingestion.stages.lookups import join_keys
from components.ingestion.typed_reader import TypedReader
from transform.config.component_settings import IngestionSettings
from transform.config.serving_log import EVENT_TYPE, EVENT_TYPES, FORGED, ITEM_ID, POSITION, RECEIVED, REQUEST_ID

#: The most events of a request, and of an item of a request, that are looked at, in the order of their files.
MAX_OF_REQUEST, MAX_OF_ITEM = 1_000, 8

#: The outcomes of events that `Candidates` tells apart; the later one of two parts of the log stands.
OUTCOMES = ("unknown_request", "unknown_item", "not_shown", "late", "clock_off", "doubled", "used")

#: The types' numbers.
SHOWN, INSTALL = (EVENT_TYPES.index(name) for name in ("shown", "install"))

#: The source of the events.
_SOURCE = "installs"

_Ints = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


class EventIndex(NamedTuple):
    """The events of a span that may count, so that candidates find theirs.

    Attributes:
      events: By their codes, a request's number times the number of items plus an item's number, then by type, then in
        the order of arrival: `code`, `kind` (the type's number), `time` and `position`.
      requests: large_string, the ids of requests in the order of their numbers.
      items: large_string, the ids of items in the order of their numbers.
      dropped: The number of the other events, by outcome.
    """

    events: pa.Table
    requests: pa.Array
    items: pa.Array
    dropped: dict[str, int]


def event_columns(config: IngestionSettings, rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Returns the columns of the table of events, as `typed_table` makes it, by their names."""
    return {column.name: rows[f"c{at}"] for at, column in enumerate(config.columns[_SOURCE])}


def install_mask(config: IngestionSettings, values: list[pa.Array]) -> _Mask:
    """Returns which rows of the events' source are installs."""
    layout = Layout(config)
    (at,) = layout.key_positions(_SOURCE, [EVENT_TYPE])
    return np.asarray(pc.equal(values[at], EVENT_TYPES[INSTALL]), bool)


def credible_times(config: IngestionSettings, rows: pa.Table) -> npt.NDArray[np.float64]:
    """Returns the times by which the log's end is found: of events with a genuine id, and not after their arrival."""
    installs = config.sources.installs
    assert installs is not None
    columns = event_columns(config, rows)
    times, received = np.asarray(columns[installs.timestamp]), columns[RECEIVED].fill_null(np.inf)
    forged = np.asarray(pc.fill_null(columns[FORGED], False), bool)
    credible: npt.NDArray[np.float64] = times[~forged & (times <= np.asarray(received) + installs.clock_skew_seconds)]
    return credible


def index_events(config: IngestionSettings, rows: pa.Table) -> tuple[EventIndex, pa.Table]:
    """Returns the index of a span's events, and the installs that can make a label.

    Args:
      config: The config.
      rows: All events, in the order of their files: the columns of the source `installs`, as `typed_table` has them.

    Returns:
      The index; and of the installs their keys (`join_keys`) as `key`, and `time`.
    """
    installs = config.sources.installs
    assert installs is not None
    columns = event_columns(config, rows)
    time = np.asarray(columns[installs.timestamp])
    received = np.asarray(pc.fill_null(columns[RECEIVED], np.inf))
    forged = np.asarray(pc.fill_null(columns[FORGED], False), bool)
    kinds = np.asarray(pc.fill_null(pc.index_in(columns[EVENT_TYPE], value_set=pa.array(EVENT_TYPES)), -1), np.int64)
    requests, request_codes = _codes(columns[REQUEST_ID])
    items, item_codes = _codes(columns[ITEM_ID])
    codes = request_codes * len(items) + item_codes
    genuine = ~forged & (kinds >= 0)
    too_many = np.zeros(len(codes), bool)
    too_many[genuine] = _ranks(request_codes[genuine]) >= MAX_OF_REQUEST
    too_many[genuine] |= _ranks(codes[genuine]) >= MAX_OF_ITEM
    kept = genuine & ~too_many
    clock_off = kept & (time > received + installs.clock_skew_seconds)
    reasons = {
        "forged": forged,
        "unknown_type": ~forged & (kinds < 0),
        "too_many": too_many,
        "clock_off": clock_off,
    }
    kept &= ~clock_off
    at = np.flatnonzero(kept)
    at = at[np.lexsort((at, kinds[at], codes[at]))]
    position = np.asarray(pc.fill_null(columns[POSITION], np.nan))
    found = {"code": codes[at], "kind": kinds[at].astype(np.int8), "time": time[at], "position": position[at]}
    dropped = {reason: int(mask.sum()) for reason, mask in reasons.items()}
    index = EventIndex(pa.table(found), requests, items, dropped)
    is_install = pa.array(kept & (kinds == INSTALL))
    some = [columns[name].filter(is_install) for name in (REQUEST_ID, ITEM_ID)]
    return index, pa.table({"key": join_keys(some), "time": columns[installs.timestamp].filter(is_install)})


def read_events(config: IngestionSettings, paths: Iterable[str]) -> pa.Table:
    """Returns the events of files, as `index_events` takes them, without those that break a column's rule."""
    columns = config.columns[_SOURCE]
    reader = TypedReader(_SOURCE, config.sources.of(_SOURCE), columns, config.ingestion)
    blocks = (block for path in paths for block in reader.read(path, LineTally()))
    tables = (typed_table(columns, block.values, block.numbers) for block in blocks)
    return pa.concat_tables([empty_table(columns), *tables])


def count_outcomes(index: EventIndex, found: Iterable[tuple[_Ints, npt.NDArray[np.int8]]]) -> dict[str, int]:
    """Returns the number of events of each outcome.

    Args:
      index: The index.
      found: Of each part of the log, the `Candidates.outcomes`.
    """
    outcomes = np.zeros(len(index.events), np.int8)
    for events, of_events in found:
        np.maximum.at(outcomes, events, of_events)
    numbers = np.bincount(outcomes, minlength=len(OUTCOMES)).tolist()
    counted: collections.Counter[str] = collections.Counter(index.dropped)
    counted.update(dict(zip(OUTCOMES, numbers, strict=True)))
    return {reason: number for reason, number in sorted(counted.items()) if number}


def _codes(texts: pa.ChunkedArray) -> tuple[pa.Array, _Ints]:
    """Returns the distinct texts, and the number of each text's among them."""
    encoded = texts.cast(pa.large_string()).combine_chunks().dictionary_encode()
    return encoded.dictionary, np.asarray(encoded.indices, np.int64)


def _ranks(codes: _Ints) -> _Ints:
    """Returns each code's place among its equals, from 0: of `[7, 9, 7, 7]`, `[0, 0, 1, 2]`."""
    order = np.argsort(codes, kind="stable")
    sorted_codes = codes[order]
    is_first = np.ones(len(codes), bool)
    is_first[1:] = sorted_codes[1:] != sorted_codes[:-1]
    starts = np.flatnonzero(is_first)
    ranks = np.empty(len(codes), np.int64)
    ranks[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    return ranks
