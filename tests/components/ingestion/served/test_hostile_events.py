"""Tests of hostile and broken events: each is counted with its reason, and makes no label that it should not make."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.ingestion.formats.serving_log import read_logged_rows
from components.ingestion.served.candidates import Candidates
from components.ingestion.served.events import count_outcomes, index_events, read_events
from tests.components.ingestion.ingested import ingest
from tests.components.ingestion.served_logs import (
    DATE,
    DAY,
    Row,
    candidate,
    event,
    served_config,
    write_export,
    write_tables,
)

SHOWN = event("r1", "x", "shown", 1, position=2.0)
INSTALL = event("r1", "x", "install", 50)

#: Two requests, of which `r1` has a second candidate.
LOG = [candidate("r1", "x", 0), candidate("r1", "y", 0), candidate("r2", "x", 1_000)]


@dataclasses.dataclass(frozen=True)
class Case:
    """Events with what must become of them.

    Attributes:
      events: The events.
      outcomes: The number of events of each outcome.
      shown: The impressions, by request and item, with their positions.
      installs: The installs that can make a label, by request and item, with their times.
    """

    events: list[Row]
    outcomes: dict[str, int]
    shown: dict[tuple[str, str], float]
    installs: list[tuple[str, str, float]] = dataclasses.field(default_factory=list)


X1 = {("r1", "x"): 2.0}
INSTALLED = [("r1", "x", 50.0)]
DAY_SECONDS = 86_400

CASES = {
    "whole": Case([SHOWN, INSTALL], {"used": 2}, X1, INSTALLED),
    "a forged id": Case([SHOWN, {**INSTALL, "forged": True}], {"used": 1, "forged": 1}, X1),
    "replayed": Case([SHOWN, INSTALL, INSTALL, INSTALL], {"used": 2, "doubled": 2}, X1, INSTALLED * 3),
    "shown again elsewhere": Case([SHOWN, {**SHOWN, "position": 9.0}], {"used": 1, "doubled": 1}, X1),
    "a clock a day ahead": Case(
        [SHOWN, event("r1", "x", "install", DAY_SECONDS + 50, received=DAY + 50)], {"used": 1, "clock_off": 1}, X1
    ),
    "a clock a day behind": Case(
        [SHOWN, event("r1", "x", "install", 50 - DAY_SECONDS)],
        {"used": 1, "clock_off": 1},
        X1,
        [("r1", "x", 50.0 - DAY_SECONDS)],  # before its impression by more than the skew: no label
    ),
    "a clock that is off, and then right": Case(
        [{**SHOWN, "timestamp": DAY - 6}, SHOWN], {"used": 1, "clock_off": 1}, X1
    ),
    "a clock 5 s behind, which is allowed": Case([{**SHOWN, "timestamp": DAY - 5}], {"used": 1}, X1),
    "an unknown request": Case([event("r9", "x", "shown", 1)], {"unknown_request": 1}, {}),
    "an item that was no candidate": Case(
        [SHOWN, event("r1", "z", "shown", 1), event("r2", "y", "install", 1_001)],
        {"used": 1, "unknown_item": 2},
        X1,
        [("r2", "y", 1_001.0)],
    ),
    "an item that was not shown": Case(
        [SHOWN, event("r1", "y", "install", 50)], {"used": 1, "not_shown": 1}, X1, [("r1", "y", 50.0)]
    ),
    "late": Case([SHOWN, event("r1", "x", "install", 101)], {"used": 1, "late": 1}, X1, [("r1", "x", 101.0)]),
    "shown too late": Case([event("r1", "x", "shown", 101), INSTALL], {"late": 1, "not_shown": 1}, {}, INSTALLED),
    "many events of an item": Case(
        [SHOWN, *[event("r1", "x", "click", 2)] * 100_000, INSTALL],
        {"used": 2, "doubled": 6, "too_many": 99_994},
        X1,
    ),
    "many events of a request": Case(
        [event("r1", f"made up {at}", "click", 2) for at in range(100_000)] + [SHOWN, event("r2", "x", "shown", 1_001)],
        {"unknown_item": 1_000, "too_many": 99_001, "used": 1},
        {("r2", "x"): 1.0},
    ),
    "another type": Case([SHOWN, {**INSTALL, "type": "bought"}], {"used": 1, "unknown_type": 1}, X1),
    "none of the log's": Case([event("", "x", "shown", 1)], {}, {}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_event_has_one_outcome(tmp_path: Path, case: Case) -> None:
    write_export(tmp_path, LOG, case.events)
    config = served_config()
    folder = tmp_path / "served" / DATE
    index, installs = index_events(config, read_events(config, map(str, folder.glob("events-*"))))
    rule = config.sources.installs
    assert rule is not None
    candidates = Candidates(index, rule)
    (log,) = folder.glob("impressions-*")
    shown = [candidates.shown(rows) for rows in read_logged_rows(str(log), ["item.price"])]
    found = {
        (request, item): position
        for rows in shown
        for request, item, position in zip(
            *(rows.batch.column(name).to_pylist() for name in ("request_id", "item_id", "position")), strict=True
        )
    }
    assert found == case.shown
    assert candidates.num_not_shown == len(LOG) - len(case.shown)
    outcomes = count_outcomes(index, [candidates.outcomes()])
    assert outcomes == case.outcomes
    assert sum(outcomes.values()) == len([row for row in case.events if row["request_id"]])
    keys = [(f"{len(request)}:{request}{item}", DAY + time) for request, item, time in case.installs]
    assert sorted(zip(installs["key"].to_pylist(), installs["time"].to_pylist(), strict=True)) == sorted(keys)


def test_the_events_of_all_cases_together_make_the_labels_of_the_honest_ones(tmp_path: Path) -> None:
    """Each case has requests of its own; `r1`'s `x` is installed only where an install is valid."""
    write_tables(tmp_path)
    config = served_config(installs={"leave_out_unknown_labels": False})
    log: list[Row] = []
    events: list[Row] = []
    for number, case in enumerate(CASES.values()):
        rename = {name: f"{name}-{number}" for name in ("r1", "r2", "r9")}
        log += [{**row, "request_id": rename[row["request_id"]]} for row in LOG]
        events += [{**row, "request_id": rename.get(row["request_id"], "")} for row in case.events]
    log += [{**candidate("twice", "x", 0), "item.price": price} for price in (1.0, 2.0)]  # two replicas with one id
    events += [event("twice", "x", "shown", 1), event("twice", "x", "install", 2)]
    write_export(tmp_path, log, events)
    half = tmp_path / "served" / DATE / "impressions-00-stopped.parquet"
    pq.write_table(pq.read_table(tmp_path / "served" / DATE / "impressions-00-a.parquet"), half)
    ingested = ingest(config, tmp_path, tmp_path / "out")
    labels = {row["impression_id"][0]: row["label"][0] for rows in ingested.examples.values() for row in rows}
    names = list(CASES)
    expected = {
        f"{request}-{number}/{item}": int(names[number] in ("whole", "replayed") and request == "r1")
        for number, case in enumerate(CASES.values())
        for request, item in case.shown
    }
    assert labels == expected
    rejected = [(row["source"], row["reason"]) for row in ingested.rejected]
    assert rejected == [("impressions", "duplicate_impression_id")] * 2 + [("installs", "missing_value")]
    totals: dict[str, int] = {}
    for case in CASES.values():
        for outcome, number in case.outcomes.items():
            totals[outcome] = totals.get(outcome, 0) + number
    assert ingested.counts.events == {**totals, "used": totals["used"] + 2}
    read, kept = ingested.counts.read, sum(len(rows) for rows in ingested.examples.values())
    assert read["impressions"] == kept + 2
    assert read["impressions"] + ingested.counts.not_shown == len(log)
    assert read["installs"] == sum(ingested.counts.events.values()) + 1
