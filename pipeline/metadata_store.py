"""ML Metadata as TFX opens it, with two repairs for PostgreSQL.

ML Metadata 1.21 writes an SQL statement that PostgreSQL cannot read where a string has a backslash, as JSON within JSON
has; and it indexes the values of all properties as they are, which PostgreSQL refuses for long ones.
"""

from __future__ import annotations

from typing import Any

import ml_metadata as mlmd
import psycopg
from google.protobuf.message import Message
from psycopg import sql
from tfx.orchestration import metadata

#: What stands in PostgreSQL for a backslash: a control character that is in no path, config or text of TFX's.
_STAND_IN = "\x1a"

#: A row of such an index takes 2,704 bytes; a list of log files, a config or a schema is longer. TFX asks for nothing
#: by a property's value.
_INDEXES_ON_VALUES = (
    "idx_artifact_property_string",
    "idx_context_property_string",
    "idx_execution_property_string",
)


class Metadata(metadata.Metadata):  # type: ignore[misc]
    """TFX's handle to ML Metadata; on PostgreSQL properties hold any text."""

    def __enter__(self) -> Metadata:
        super().__enter__()
        if _is_postgresql(self._connection_config):
            self._store = _StoreOfAnyText(self._connection_config)
        return self


class _StoreOfAnyText(mlmd.MetadataStore):  # type: ignore[misc]
    """A store with another character in place of each backslash of a property, there and back."""

    def _call_method(self, method_name: str, request: Message, response: Message) -> None:
        changed = type(request)()
        changed.CopyFrom(request)
        _replace(changed, "\\", _STAND_IN)
        super()._call_method(method_name, changed, response)
        _replace(response, _STAND_IN, "\\")


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


def allow_long_values(connection: metadata.ConnectionConfigType) -> None:
    """Drops the indexes that refuse long values, where ML Metadata is on PostgreSQL and has them.

    Args:
      connection: To ML Metadata, which makes its tables if need be.

    Raises:
      psycopg.Error: If the server cannot be reached, or its user does not own the tables.
    """
    if not _is_postgresql(connection):
        return
    with Metadata(connection):
        pass  # makes the tables
    server = connection.postgresql
    with psycopg.connect(
        host=server.host, port=server.port, user=server.user, password=server.password or None, dbname=server.dbname
    ) as database:
        names = [list(_INDEXES_ON_VALUES)]
        found = database.execute("SELECT indexname FROM pg_indexes WHERE indexname = ANY(%s)", names)
        for (name,) in found.fetchall():
            database.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))


def _is_postgresql(connection: metadata.ConnectionConfigType) -> bool:
    return bool(connection.WhichOneof("config") == "postgresql")
