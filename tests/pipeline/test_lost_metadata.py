"""After ML Metadata was lost, no execution gets the id of an earlier one whose folders still exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from components.model_store.manifest import Manifest
from components.model_store.versions import add_version
from pipeline.metadata.handle import Metadata
from pipeline.runner.lost_metadata import reserve_ids
from pipeline.workspace import Workspace


def next_id(workspace: Workspace) -> int:
    with Metadata(workspace.metadata_connection()) as handle:
        type_id = handle.store.put_execution_type(metadata_store_pb2.ExecutionType(name="Component"))
        (id_,) = handle.store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
    return int(id_)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path)


def test_a_new_workspace_begins_at_one(workspace: Workspace) -> None:
    assert reserve_ids(workspace.metadata_connection(), workspace) == 0
    assert next_id(workspace) == 1


def test_ids_go_on_behind_those_of_the_artifacts(workspace: Workspace) -> None:
    for place in ("example_gen/examples/9", "trainer/model/1234", "trainer/model/.temporary", "push/pushed_model/7"):
        (workspace.artifacts / place).mkdir(parents=True)
    assert reserve_ids(workspace.metadata_connection(), workspace) == 1234
    assert reserve_ids(workspace.metadata_connection(), workspace) == 0
    assert next_id(workspace) == 1235


def test_ids_go_on_behind_those_of_the_pushed_models_whose_artifacts_are_gone(workspace: Workspace) -> None:
    add_version(str(workspace.serving("store")), lambda folder: None, Manifest(model_uri="/gone/trainer/model/20"))
    assert reserve_ids(workspace.metadata_connection(), workspace) == 20


def test_a_database_that_was_restored_goes_on_too(workspace: Workspace) -> None:
    assert [next_id(workspace) for _ in range(3)] == [1, 2, 3]
    (workspace.artifacts / "trainer" / "model" / "5").mkdir(parents=True)
    assert reserve_ids(workspace.metadata_connection(), workspace) == 2
    assert next_id(workspace) == 6
