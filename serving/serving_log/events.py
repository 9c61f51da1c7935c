"""The record of events that a caller posted: what came of the candidates of answered requests."""

from __future__ import annotations

from typing import Any

from serving.message_tables import Field, message_classes

#: The schema's version in each record of events.
SCHEMA_VERSION = 1

#: The folder of the events' files in the log's folder.
EVENTS_FOLDER = "events"

#: The types of events by their numbers in a record, from 1.
EVENT_TYPES = ("shown", "install", "click", "uninstall")

MESSAGES: dict[str, tuple[Field, ...]] = {
    "LoggedEvents": (
        Field("schema_version", 1, "int32"),
        Field("received_micros", 2, "int64"),
        Field("request_ids", 3, "string", "many"),
        Field("item_ids", 4, "string", "many"),
        Field("types", 5, "int32", "many"),
        Field("time_micros", 6, "int64", "many"),
        Field("positions", 7, "int32", "many"),
    )
}

#: The events of one call.
#:
#: schema_version: `SCHEMA_VERSION` of the writer.
#: received_micros: When they arrived, microseconds since 1970-01-01 UTC, by the writer's clock.
#: request_ids, item_ids: Which candidate each is of, as the caller says.
#: types: Each event's place in `EVENT_TYPES`, from 1.
#: time_micros: When each happened, microseconds since 1970-01-01 UTC, as the caller says.
#: positions: Where each was shown, from 1; 0 for an event of another type.
LoggedEvents = message_classes("wide_deep_ranker_event_log", MESSAGES)["LoggedEvents"]


def is_whole(record: Any) -> bool:
    """Whether a record's lists have one value an event each."""
    lists = (record.item_ids, record.types, record.time_micros, record.positions)
    return all(len(values) == len(record.request_ids) for values in lists)
