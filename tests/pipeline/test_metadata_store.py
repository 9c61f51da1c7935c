"""ML Metadata on a real PostgreSQL accepts properties with any text of any length."""

from __future__ import annotations

import json
from collections.abc import Iterator

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.metadata.connection import connection_from
from pipeline.metadata.handle import Metadata, allow_long_values
from tests.soak import postgresql

pytestmark = pytest.mark.slow  # it may have to install PostgreSQL

#: Incompressible, since PostgreSQL compresses long values: 4,000 numbers in an order without a pattern.
LONG = " ".join(str(pow(3, i, 1_000_003)) for i in range(4000))


@pytest.fixture(scope="module")
def connection() -> Iterator[metadata_store_pb2.ConnectionConfig]:
    with postgresql.running() as server:
        yield connection_from(server.url)


def put(store: mlmd.MetadataStore, text: str) -> str:
    """Writes an execution with a property, and reads it back."""
    type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name="a_component"))
    execution = metadata_store_pb2.Execution(type_id=type_id)
    execution.custom_properties["files"].string_value = text
    (id_,) = store.put_executions([execution])
    (found,) = store.get_executions_by_id([id_])
    return str(found.custom_properties["files"].string_value)


def test_long_values_are_refused_until_they_are_allowed(connection: metadata_store_pb2.ConnectionConfig) -> None:
    with Metadata(connection) as handle, pytest.raises(mlmd.errors.InternalError, match="index row"):
        put(handle.store, LONG)
    allow_long_values(connection)
    with Metadata(connection) as handle:
        assert put(handle.store, LONG) == LONG
    allow_long_values(connection)  # each run repeats the call


def test_a_backslash_comes_back_as_it_was(connection: metadata_store_pb2.ConnectionConfig) -> None:
    """ML Metadata alone still fails; once it no longer does, the repair can be removed."""
    text = json.dumps({"config": json.dumps({"name": "M\u00fcnchen", "path": "it's a \\ path"})})
    assert "\\" in text
    with pytest.raises(mlmd.errors.InternalError, match="syntax error"):
        put(mlmd.MetadataStore(connection), text)
    with Metadata(connection) as handle:
        assert put(handle.store, text) == text
        (artifact,) = handle.store.get_artifacts_by_id([put_artifact(handle.store, text)])
    assert artifact.custom_properties["recipe"].string_value == text


def put_artifact(store: mlmd.MetadataStore, text: str) -> int:
    type_id = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Examples"))
    artifact = metadata_store_pb2.Artifact(type_id=type_id, uri="/examples")
    artifact.custom_properties["recipe"].string_value = text
    return int(store.put_artifacts([artifact])[0])


def test_artifacts_by_ids_come_in_the_order_of_the_ids(connection: metadata_store_pb2.ConnectionConfig) -> None:
    """PostgreSQL moves an updated row behind the others."""
    with Metadata(connection) as handle:
        ids = [put_artifact(handle.store, "x") for _ in range(3)]
        (first,) = handle.store.get_artifacts_by_id(ids[:1])
        first.custom_properties["recipe"].string_value = "y"
        handle.store.put_artifacts([first])
        assert [artifact.id for artifact in handle.store.get_artifacts_by_id(ids)] == ids
