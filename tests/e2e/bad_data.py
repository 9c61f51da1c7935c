"""The table of bad days: how a day's files go bad in a store, the gate that stops them, and what it says."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping

from tests.e2e.prepared_store import PreparedStore, Row, read_rows, write_rows

#: The config's `attribution_seconds`.
_ATTRIBUTION_SECONDS = 3600


@dataclasses.dataclass(frozen=True)
class BadData:
    """A day that must not be learned from, or whose model must not be pushed.

    Attributes:
      kind: In words.
      breaks: Breaks the files of day 2.
      gate: The component that stops the run; empty if it stops before the first one; `evaluator` refuses the model.
      says: What its sentence has in it.
      in_suite: Runs among the slow tests too, not in the campaign alone.
    """

    kind: str
    breaks: Callable[[PreparedStore], object]
    gate: str
    says: str
    in_suite: bool = True


def _rewrite(source: str, change: Callable[[list[Row]], list[Row]]) -> Callable[[PreparedStore], None]:
    """Rewrites the rows of a source."""
    return lambda store: write_rows(store.file(source), change(read_rows(store.file(source))))


def _set(source: str, change: Callable[[Row], Mapping[str, str]]) -> Callable[[PreparedStore], None]:
    """Changes some columns of each row of a source."""
    return _rewrite(source, lambda rows: [{**row, **change(row)} for row in rows])


def _without_app(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "app_id"} for row in rows]


def _header_only(store: PreparedStore) -> None:
    header = store.file("impressions").read_text().splitlines(keepends=True)[0]
    store.file("impressions").write_text(header)


def _half_in_words(rows: list[Row]) -> list[Row]:
    return [{**row, "seconds_open": "long"} if i % 2 else row for i, row in enumerate(rows)]


def _leads_to_install(store: PreparedStore) -> Callable[[Row], bool]:
    """Tells of an impression whether its label is 1."""
    times: dict[tuple[str, str], list[int]] = {}
    for install in read_rows(store.file("installs")):
        times.setdefault((install["user_id"], install["app_id"]), []).append(int(install["timestamp"]))

    def leads(row: Row) -> bool:
        after = [time - int(row["timestamp"]) for time in times.get((row["user_id"], row["app_id"]), [])]
        return any(0 <= seconds <= _ATTRIBUTION_SECONDS for seconds in after)

    return leads


def _leak_the_label(store: PreparedStore) -> None:
    """The log is written at the day's end: the page of an app that was installed had been open for long by then."""
    leads = _leads_to_install(store)
    _set("impressions", lambda row: {"seconds_open": "300"} if leads(row) else {})(store)


def _shuffle_the_labels(store: PreparedStore) -> None:
    """As many installs follow impressions as did, but any impressions."""
    rows, leads = read_rows(store.file("impressions")), _leads_to_install(store)
    drawn = random.Random(1).sample(rows, sum(map(leads, rows)))
    installs = [
        {"user_id": row["user_id"], "app_id": row["app_id"], "timestamp": str(int(row["timestamp"]) + 60)}
        for row in drawn
    ]
    write_rows(store.file("installs"), installs)


BAD_DATA = [
    BadData(
        "a column that is logged no more",
        _rewrite("impressions", _without_app),
        "",
        "the columns ['app_id'] are missing. Received: ['impression_id', ",
    ),
    BadData("a log that is a header only", _header_only, "", "the source `impressions` must have a row. Received: no"),
    BadData(
        "too few rows, as the upload is not done",
        _rewrite("impressions", lambda rows: rows[:1000]),
        "row_gate",
        "a span must have at least 8000 impressions (ingestion.min_impressions). Received: 1000 (span 2)",
    ),
    BadData(
        "a log that was shipped twice",
        _rewrite("impressions", lambda rows: rows + rows),
        "row_gate",
        "Received: 16000 of 32000 (50.00%; duplicate_impression_id 16000)",
        in_suite=False,
    ),
    BadData(
        "words for numbers",
        _rewrite("impressions", _half_in_words),
        "row_gate",
        "Received: 8000 of 16000 (50.00%; bad_type 8000)",
        in_suite=False,
    ),
    BadData(
        "labels that are all 0, as the installs are of another week",
        _set("installs", lambda row: {"timestamp": str(int(row["timestamp"]) + 7 * 86_400)}),
        "row_gate",
        "the train split must have both labels, 0 and 1. Received: {'0': 1",
        in_suite=False,
    ),
    BadData(
        "half the users missing",
        _rewrite("users", lambda rows: rows[::2]),
        "anomaly_gate",
        "the train split does not fit the schema: country: The feature was present in fewer examples than expected",
        in_suite=False,
    ),
    BadData(
        "a drifted country mix",
        _rewrite("users", lambda rows: [{**row, "country": "us"} if i % 2 else row for i, row in enumerate(rows)]),
        "drift_gate",
        "the examples have drifted from the last span let through: country (eval split): The approximate Jensen-",
    ),
    BadData(
        "devices that are spelt otherwise",
        _set("users", lambda row: {"device": row["device"].upper()}),
        "drift_gate",
        "the examples have drifted from the last span let through: device (eval split): ",
        in_suite=False,
    ),
    BadData(
        "ratings in another unit",
        _set("catalog", lambda row: {"rating": str(20 * float(row["rating"] or 0))}),
        "drift_gate",
        "the examples have drifted from the last span let through: rating (eval split): ",
        in_suite=False,
    ),
    BadData(
        "two thirds of the installs missing",
        _rewrite("installs", lambda rows: rows[::3]),
        "drift_gate",
        "the examples have drifted from the last span let through: label (eval split): ",
        in_suite=False,
    ),
    BadData(
        "a feature that knows the label, as it is logged after the fact",
        _leak_the_label,
        "evaluator",
        "too good to be true, as if a feature knew the label",
    ),
    BadData(
        "shuffled labels",
        _shuffle_the_labels,
        "evaluator",
        "by the serving model: the cause may lie in the examples or their labels",
    ),
]
