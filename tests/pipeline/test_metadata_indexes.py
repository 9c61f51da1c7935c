"""ML Metadata on a real PostgreSQL takes values of any length."""

from __future__ import annotations

from collections.abc import Iterator

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.metadata_indexes import allow_long_values
from pipeline.metadata_url import connection_from
from tests.soak import postgresql

pytestmark = pytest.mark.slow  # it may have to install PostgreSQL

#: Does not get shorter by compression, which PostgreSQL tries: 4,000 numbers, in an order that has no pattern.
LONG = " ".join(str(pow(3, i, 1_000_003)) for i in range(4000))


@pytest.fixture(scope="module")
def connection() -> Iterator[metadata_store_pb2.ConnectionConfig]:
    with postgresql.running() as server:
        yield connection_from(server.url)


def put(connection: metadata_store_pb2.ConnectionConfig) -> str:
    """Writes an execution with a long property, and reads it."""
    store = mlmd.MetadataStore(connection)
    type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name="a_component"))
    execution = metadata_store_pb2.Execution(type_id=type_id)
    execution.custom_properties["files"].string_value = LONG
    (id_,) = store.put_executions([execution])
    (found,) = store.get_executions_by_id([id_])
    return str(found.custom_properties["files"].string_value)


def test_long_values_are_refused_until_they_are_allowed(connection: metadata_store_pb2.ConnectionConfig) -> None:
    with pytest.raises(mlmd.errors.InternalError, match="index row"):
        put(connection)
    allow_long_values(connection)
    assert put(connection) == LONG
    allow_long_values(connection)  # each run does it again
