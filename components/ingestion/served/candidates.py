"""Which candidates of served rankings were shown, and where: looks each candidate's events up in their index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.formats.arrow_values import to_seconds
from components.ingestion.formats.serving_log import LoggedRows
from components.ingestion.served.events import OUTCOMES, SHOWN, EventIndex
from components.ingestion.stages.lookups import KeyIndex
from transform.config.serving_log import EVENT_TYPES, ITEM_ID, RANK, REQUEST_ID, TIMESTAMP
from transform.config.sources import Installs

_UNKNOWN_ITEM, _NOT_SHOWN, _LATE, _CLOCK_OFF, _DOUBLED, _USED = (
    np.int8(OUTCOMES.index(name)) for name in ("unknown_item", "not_shown", "late", "clock_off", "doubled", "used")
)

_Ints = npt.NDArray[np.int64]
_Outcomes = npt.NDArray[np.int8]


class Candidates:
    """Finds the candidates that were shown among those of a log's files, part by part.

    Its memory grows with the span's events, and with those of the candidates that it has looked up.

    Args:
      index: The events' index.
      rule: Which events count, by their times.

    Attributes:
      num_not_shown: The number of candidates so far that were not shown.
      num_moved: The number of those that were shown elsewhere than at their place in the answer.
    """

    def __init__(self, index: EventIndex, rule: Installs):
        events = index.events
        self._rule = rule
        self._codes, self._kinds = np.asarray(events["code"]), np.asarray(events["kind"]).astype(np.int64)
        self._times, self._positions = np.asarray(events["time"]), np.asarray(events["position"])
        self._requests, self._items = KeyIndex(index.requests), KeyIndex(index.items)
        self._found: list[tuple[_Ints, _Outcomes]] = []
        self.num_not_shown = self.num_moved = 0

    def shown(self, rows: LoggedRows) -> LoggedRows:
        """Returns the candidates that were shown, each with its position; the request's time is the impression's."""
        batch = rows.batch
        requests = _positions(self._requests, batch.column(REQUEST_ID))
        items = _positions(self._items, batch.column(ITEM_ID))
        self._know(np.unique(requests[requests >= 0]))
        known = np.flatnonzero((requests >= 0) & (items >= 0))
        codes = requests[known] * len(self._items) + items[known]
        first, end = np.searchsorted(self._codes, codes), np.searchsorted(self._codes, codes, side="right")
        owners, events = _expanded(known, first, end)
        times = np.asarray(to_seconds(batch.column(TIMESTAMP)).fill_null(np.nan))[owners]
        early = ~(self._times[events] >= times - self._rule.clock_skew_seconds)
        late = ~early & (self._times[events] > times + self._rule.attribution_seconds)
        valid = np.flatnonzero(~early & ~late)
        kinds = owners * len(EVENT_TYPES) + self._kinds[events]  # ascends, and equal ones are in the order of arrival
        is_first = np.ones(len(valid), bool)
        is_first[1:] = kinds[valid][1:] != kinds[valid][:-1]
        outcomes = np.where(early, _CLOCK_OFF, _LATE)
        outcomes[valid] = np.where(is_first, _USED, _DOUBLED)
        shows = valid[is_first]
        shows = shows[self._kinds[events[shows]] == SHOWN]
        outcomes[valid[~np.isin(owners[valid], owners[shows])]] = _NOT_SHOWN
        self._found.append((events, outcomes))
        self.num_not_shown += len(rows.numbers) - len(shows)
        positions = self._positions[events[shows]]
        if RANK in batch.schema.names:
            self.num_moved += int(np.sum(positions != np.asarray(batch.column(RANK), np.float64)[owners[shows]]))
        return rows.take(owners[shows], positions)

    def _know(self, requests: _Ints) -> None:
        """Notes that the log has some requests: their events are of no unknown request."""
        number = len(self._items)
        first, end = (np.searchsorted(self._codes, of * number) for of in (requests, requests + 1))
        _, events = _expanded(requests, first, end)
        self._found.append((events, np.full(len(events), _UNKNOWN_ITEM)))

    def outcomes(self) -> tuple[_Ints, _Outcomes]:
        """Returns the events looked up, and their outcomes; of several of one event, the last in `OUTCOMES` counts."""
        events = np.concatenate([np.zeros(0, np.int64), *(events for events, _ in self._found)])
        return events, np.concatenate([np.zeros(0, np.int8), *(outcomes for _, outcomes in self._found)])


def _positions(index: KeyIndex, texts: pa.Array) -> _Ints:
    """Returns the position of each text among an index's keys, int64; -1 where there is none."""
    encoded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    found = np.append(index.positions(encoded.dictionary.cast(pa.large_string())), -1)
    return found[np.asarray(pc.fill_null(encoded.indices, len(found) - 1), np.int64)]


def _expanded(owners: _Ints, first: _Ints, end: _Ints) -> tuple[_Ints, _Ints]:
    """Returns the numbers from `first` to `end`, and whose each is: [7, 7, 9], [2, 3, 5] of (7, 2, 4) and (9, 5, 6)."""
    lengths = end - first
    starts = np.cumsum(lengths) - lengths
    return np.repeat(owners, lengths), np.arange(lengths.sum()) + np.repeat(first - starts, lengths)
