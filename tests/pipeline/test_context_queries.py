"""Finding a node's execution in a run does not fetch all executions of the pipeline."""

from __future__ import annotations

from unittest import mock

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2
from tfx.orchestration.portable.mlmd import execution_lib

from pipeline.metadata.handle import Metadata


class Days:
    """Three days with two nodes each, in the contexts of TFX and of `pipeline.compile.ir`."""

    def __init__(self) -> None:
        connection = mlmd_pb2.ConnectionConfig()
        connection.fake_database.SetInParent()  # SQLite in memory
        self.handle = Metadata(connection)
        with self.handle:
            self.store = self.handle.store
        self.handle._store, self.handle._users = self.store, 1  # an in-memory store is lost when its handle closes
        kind = self.store.put_execution_type(mlmd_pb2.ExecutionType(name="a_component"))
        self.pipeline = self.context("pipeline", "store")
        self.nodes = [self.context("node", f"store.{name}") for name in ("trainer", "push")]
        self.runs, self.node_runs, self.executions = [], {}, {}
        for day in range(3):
            self.runs.append(self.context("pipeline_run", f"day-{day}"))
            for number, node in enumerate(self.nodes):
                own = self.node_runs[day, number] = self.context("node_run", f"day-{day}.{number}")
                (id_,) = self.store.put_executions([mlmd_pb2.Execution(type_id=kind)])
                associations = [
                    mlmd_pb2.Association(context_id=context.id, execution_id=id_)
                    for context in (self.pipeline, self.runs[-1], node, own)
                ]
                self.store.put_attributions_and_associations([], associations)
                self.executions[day, number] = id_

    def context(self, kind: str, name: str) -> mlmd_pb2.Context:
        type_id = self.store.put_context_type(mlmd_pb2.ContextType(name=kind))
        (id_,) = self.store.put_contexts([mlmd_pb2.Context(type_id=type_id, name=name)])
        (found,) = self.store.get_contexts_by_id([id_])
        return found

    def found(self, *contexts: mlmd_pb2.Context) -> list[int]:
        """Returns what TFX finds in all of the contexts."""
        return [e.id for e in execution_lib.get_executions_associated_with_all_contexts(self.handle, contexts)]


@pytest.fixture
def days() -> Days:
    return Days()


def test_a_node_s_execution_in_a_run(days: Days) -> None:
    for (day, number), id_ in days.executions.items():
        in_run = (days.pipeline, days.runs[day], days.nodes[number])
        assert days.found(*in_run) == days.found(*in_run, days.node_runs[day, number]) == [id_]


def test_all_of_a_run_and_all_of_a_pipeline_s_node(days: Days) -> None:
    assert days.found(days.pipeline, days.runs[1]) == [days.executions[1, 0], days.executions[1, 1]]
    assert days.found(days.nodes[0], days.pipeline) == [days.executions[day, 0] for day in range(3)]


def test_nothing_where_one_of_the_contexts_is_another(days: Days) -> None:
    assert days.found(days.context("pipeline", "another"), days.runs[0], days.nodes[0]) == []
    assert days.found(days.pipeline, days.context("pipeline_run", "day-9"), days.nodes[0]) == []


def test_the_executions_of_other_runs_and_nodes_are_not_fetched(days: Days) -> None:
    own = days.node_runs[0, 0]
    with mock.patch.object(mlmd.MetadataStore, "get_executions_by_context", autospec=True) as fetched:
        fetched.return_value = []
        days.found(days.pipeline, days.runs[0], days.nodes[0], own)
    assert [call.args[1] for call in fetched.call_args_list] == [own.id]
