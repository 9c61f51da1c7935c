"""A store of ML Metadata, with two repairs for PostgreSQL.

ML Metadata 1.21 writes an SQL statement that PostgreSQL cannot read where a string has a backslash, as JSON within JSON
has. And it gives what is asked for by ids in no order, while SQLite gives it in the order of the ids: which a window's
examples must have, as a training depends on it.
"""

from __future__ import annotations

from typing import Any

import ml_metadata as mlmd
from google.protobuf.message import Message
from ml_metadata.proto import metadata_store_pb2

#: What stands in PostgreSQL for a backslash: a control character that is in no path, config or text of TFX's.
_STAND_IN = "\x1a"

#: The calls whose answers are in the order of ids elsewhere, and the field that has them.
_BY_ID = {"GetArtifactsByID": "artifacts", "GetContextsByID": "contexts", "GetExecutionsByID": "executions"}


def open_store(connection: metadata_store_pb2.ConnectionConfig) -> mlmd.MetadataStore:
    """Opens a store whose properties hold any text."""
    return (_StoreOnPostgreSQL if is_postgresql(connection) else mlmd.MetadataStore)(connection)


def is_postgresql(connection: metadata_store_pb2.ConnectionConfig) -> bool:
    """Whether ML Metadata is on PostgreSQL."""
    return bool(connection.WhichOneof("config") == "postgresql")


class _StoreOnPostgreSQL(mlmd.MetadataStore):  # type: ignore[misc]
    """A store with another character in place of each backslash of a property, there and back, and with an order."""

    def _call_method(self, method_name: str, request: Message, response: Message) -> None:
        changed = type(request)()
        changed.CopyFrom(request)
        _replace(changed, "\\", _STAND_IN)
        super()._call_method(method_name, changed, response)
        _replace(response, _STAND_IN, "\\")
        if method_name in _BY_ID:
            getattr(response, _BY_ID[method_name]).sort(key=lambda found: found.id)


def _replace(message: Any, old: str, new: str) -> None:
    """Replaces a character in all properties' texts of a message."""
    for field, value in message.ListFields():
        if field.name == "string_value" and field.type == field.TYPE_STRING:
            message.string_value = value.replace(old, new)
        elif field.type == field.TYPE_MESSAGE:
            for part in _parts(field, value):
                _replace(part, old, new)


def _parts(field: Any, value: Any) -> list[Any]:
    """The messages in a field of messages: one, several, or a map's values."""
    if field.message_type.GetOptions().map_entry:
        is_of_messages = field.message_type.fields_by_name["value"].type == field.TYPE_MESSAGE
        return list(value.values()) if is_of_messages else []
    return list(value) if field.is_repeated else [value]
