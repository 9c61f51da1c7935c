"""The index of events, and their outcomes, as Arrow files that ingestion's stages hand to each other."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion.served.candidates import Candidates
from components.ingestion.served.events import EventIndex, count_outcomes
from components.ingestion.stages import scratch

#: What is appended to an index's path, of each of its files.
_EVENTS, _REQUESTS, _ITEMS, _DROPPED = "-events", "-requests", "-items", "-dropped"


def write_index(path: str, index: EventIndex) -> None:
    """Writes an index."""
    scratch.write_table(path + _EVENTS, index.events)
    scratch.write_table(path + _REQUESTS, pa.table({"key": index.requests}))
    scratch.write_table(path + _ITEMS, pa.table({"key": index.items}))
    dropped = {"outcome": list(index.dropped), "number": list(index.dropped.values())}
    scratch.write_table(path + _DROPPED, pa.table(dropped))


def read_index(path: str) -> EventIndex:
    """Reads an index; local files are mapped into memory."""
    requests, items = (scratch.read_table(path + name)["key"].combine_chunks() for name in (_REQUESTS, _ITEMS))
    dropped = scratch.read_table(path + _DROPPED).to_pydict()
    numbers = dict(zip(dropped["outcome"], dropped["number"], strict=True))
    return EventIndex(scratch.read_table(path + _EVENTS), requests, items, numbers)


def write_outcomes(path: str, candidates: Candidates) -> None:
    """Writes the outcomes of the events that a part's candidates have looked up."""
    events, outcomes = candidates.outcomes()
    scratch.write_table(path, pa.table({"event": events, "outcome": outcomes}))


def sum_outcomes(index_path: str, paths: Iterable[str]) -> dict[str, int]:
    """Returns the number of events of each outcome, of all parts of the log."""
    return count_outcomes(read_index(index_path), map(_read_outcomes, paths))


def _read_outcomes(path: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    rows = scratch.read_table(path)
    return np.asarray(rows["event"]), np.asarray(rows["outcome"])
