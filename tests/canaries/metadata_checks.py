"""Checks of what the project relies on in ML Metadata and in TFX's handle to it; each raises an error if it is gone."""

from __future__ import annotations

import errno
import inspect
import os
import sqlite3
from pathlib import Path
from typing import Any

import ml_metadata
import pytest
import tensorflow as tf
from ml_metadata import errors as mlmd_errors
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable.mlmd import execution_lib

from pipeline import outages
from pipeline.metadata import handle, store


def _in_memory() -> metadata_store_pb2.ConnectionConfig:
    config = metadata_store_pb2.ConnectionConfig()
    config.fake_database.SetInParent()
    return config


def check_handle() -> None:
    """TFX's handle opens its store on entry and hands it out as `store`; ours exchanges it."""
    stock = metadata.Metadata(_in_memory())
    assert stock._connection_config == _in_memory()
    with stock as opened:
        assert opened.store is opened._store
        assert type(opened.store) is metadata_store.MetadataStore
    with handle.Metadata(_in_memory()) as ours:
        assert type(ours.store) is store._Store


def check_filter_query() -> None:
    """TFX asks for the executions in several contexts by the one query that our store answers."""
    asked: list[str] = []

    class Store:
        def get_executions(self, list_options: Any) -> list[Any]:
            asked.append(list_options.filter_query)
            return []

    class Handle:
        store = Store()

    contexts = [metadata_store_pb2.Context(id=number) for number in (3, 14)]
    assert execution_lib.get_executions_associated_with_all_contexts(Handle(), contexts) == []
    (query,) = asked
    assert store._IN_CONTEXTS.fullmatch(query), query


def check_no_filter_queries() -> None:
    """ML Metadata refuses filter queries; once it does not, our store need not answer them."""
    query = ml_metadata.ListOptions(filter_query="(contexts_0.id = 3) AND (contexts_1.id = 14)")
    with pytest.raises(mlmd_errors.StatusError):
        ml_metadata.MetadataStore(_in_memory()).get_executions(query)


def check_call_method() -> None:
    """All requests go through `_call_method`, those by ids under the names that our store knows."""
    called: list[str] = []

    class Recording(ml_metadata.MetadataStore):  # type: ignore[misc]
        def _call_method(self, method_name: str, request: Any, response: Any) -> None:
            called.append(method_name)
            super()._call_method(method_name, request, response)

    recording = Recording(_in_memory())
    recording.get_artifacts_by_id([1])
    recording.get_contexts_by_id([1])
    recording.get_executions_by_id([1])
    assert called == list(store._BY_ID)
    recording.put_execution_type(metadata_store_pb2.ExecutionType(name="canary"))
    assert called[-1] == "PutExecutionType"


def _library() -> bytes:
    """ML Metadata's library, in which its queries and its messages stand as text."""
    (path,) = Path(inspect.getfile(ml_metadata)).parent.rglob("metadata_store_extension*.so")
    return path.read_bytes()


def check_index_names() -> None:
    text = _library()
    assert [name for name in handle._INDEXES_ON_VALUES if name.encode() not in text] == []


def check_connection_messages() -> None:
    """The beginnings of the messages about a database that cannot be reached, of ML Metadata and of TFX."""
    text = _library()
    assert b"PostgreSQL metadata source error: " in text
    assert b"mysql_query failed" in text
    assert b": errno: " in text
    assert outages._NO_METADATA.search("mysql_query failed: errno: 2013, error: ")
    message = "Failed to establish connection to Metadata storage"
    assert message in inspect.getsource(metadata.Metadata.__enter__)
    assert outages._NO_METADATA.search(message)


def check_disk_full_messages() -> None:
    """The messages of TensorFlow and of SQLite on a full disk."""
    with pytest.raises(tf.errors.OpError) as found, tf.io.gfile.GFile("/dev/full", "w") as file:
        file.write("x" * 2**20)
    assert os.strerror(errno.ENOSPC) in str(found.value)
    assert outages.is_disk_full(found.value)
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        database.execute("CREATE TABLE t AS SELECT hex(zeroblob(100000))")
    assert outages.is_disk_full(full.value)
    assert b"database or disk is full" in _library()
