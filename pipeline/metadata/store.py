"""ML Metadata's store, with repairs of ML Metadata 1.21.0.

ML Metadata 1.21.0 no longer supports filter queries. TFX uses one to find a node's execution in a run; the alternative
is to fetch all executions of the pipeline, twenty more each day.

On PostgreSQL it has two more defects. It writes invalid SQL for a string with a backslash, such as JSON within JSON.
And it returns what is requested by ids in no fixed order, while SQLite returns it in the order of the ids; a window's
examples must come in that order, as the training depends on it.
"""

from __future__ import annotations

import random
import re
import time
from typing import Any

import ml_metadata as mlmd
from google.protobuf.message import Message
from ml_metadata.proto import metadata_store_pb2

from pipeline.metadata.integrity import check_database

#: The type of the context that this project adds to TFX's: it holds the executions of one node in one run.
NODE_RUN = "node_run"

#: The only filter query that TFX 1.21.0 uses in a run: executions that are in several contexts.
_IN_CONTEXTS = re.compile(r"\(contexts_\d+\.id = \d+\)( AND \(contexts_\d+\.id = \d+\))+")

#: How often a store is opened before it is given up; TFX 1.21.0 has the same number.
_MAX_TRIES = 10

#: Replaces a backslash in PostgreSQL: a control character that occurs in no path, config or text of TFX.
_STAND_IN = "\x1a"

#: The calls whose results must be sorted by id, and the response field that holds them.
_BY_ID = {"GetArtifactsByID": "artifacts", "GetContextsByID": "contexts", "GetExecutionsByID": "executions"}


def open_store(connection: metadata_store_pb2.ConnectionConfig) -> mlmd.MetadataStore:
    """Opens a store, with the repairs for its database; creates the tables if there are none.

    Raises:
      DamagedMetadataError: If its file is damaged.
      RuntimeError: If the database cannot be opened.
    """
    check_database(connection)
    kind = _StoreOnPostgreSQL if is_postgresql(connection) else _Store
    for _ in range(_MAX_TRIES - 1):
        try:
            return kind(connection)
        except RuntimeError:  # among others, two processes that create the tables at once abort each other
            time.sleep(random.random())  # noqa: S311
    return kind(connection)


def is_postgresql(connection: metadata_store_pb2.ConnectionConfig) -> bool:
    """Returns whether ML Metadata is on PostgreSQL."""
    return bool(connection.WhichOneof("config") == "postgresql")


def node_run_name(run: str, node: str) -> str:
    """Returns the name of the context that holds a node's executions in a run."""
    return f"{run}.{node}"


class _Store(mlmd.MetadataStore):  # type: ignore[misc]
    """A store that answers TFX's query for the executions that are in several contexts."""

    def get_executions(
        self, list_options: mlmd.ListOptions | None = None, extra_options: Any = None
    ) -> list[metadata_store_pb2.Execution]:
        query = list_options.filter_query if list_options else None
        if not query or not _IN_CONTEXTS.fullmatch(query):
            found: list[metadata_store_pb2.Execution] = super().get_executions(list_options, extra_options)
            return found
        # The newest context is that of the node in the run (`pipeline.compile.ir`) and has the fewest executions.
        *others, newest = sorted({int(id_) for id_ in re.findall(r"= (\d+)", query)})
        in_newest = sorted(self.get_executions_by_context(newest), key=lambda e: e.id)
        return [e for e in in_newest if {c.id for c in self.get_contexts_by_execution(e.id)}.issuperset(others)]


class _StoreOnPostgreSQL(_Store):
    """A store on PostgreSQL: replaces backslashes in properties when writing and back when reading; sorts by id.

    All of the store's requests go through `_call_method`, as of ML Metadata 1.21.0.
    """

    def _call_method(self, method_name: str, request: Message, response: Message) -> None:
        changed = type(request)()
        changed.CopyFrom(request)
        _replace(changed, "\\", _STAND_IN)
        super()._call_method(method_name, changed, response)
        _replace(response, _STAND_IN, "\\")
        if method_name in _BY_ID:
            getattr(response, _BY_ID[method_name]).sort(key=lambda found: found.id)


def _replace(message: Any, old: str, new: str) -> None:
    """Replaces a character in the text of all properties of a message."""
    for field, value in message.ListFields():
        if field.name == "string_value" and field.type == field.TYPE_STRING:
            message.string_value = value.replace(old, new)
        elif field.type == field.TYPE_MESSAGE:
            for part in _parts(field, value):
                _replace(part, old, new)


def _parts(field: Any, value: Any) -> list[Any]:
    """Returns the messages in a message field: one, several, or a map's values."""
    if field.message_type.GetOptions().map_entry:
        is_of_messages = field.message_type.fields_by_name["value"].type == field.TYPE_MESSAGE
        return list(value.values()) if is_of_messages else []
    return list(value) if field.is_repeated else [value]
