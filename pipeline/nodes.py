"""Runs a compiled pipeline node by node, each through TFX's own launcher, and tells how each ended."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Literal

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler
from tfx.dsl.compiler.constants import PIPELINE_RUN_ID_PARAMETER_NAME
from tfx.orchestration import metadata
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

State = Literal["running", "done", "cached"]


@dataclasses.dataclass(frozen=True)
class NodeEvent:
    """A node that starts or ends.

    Attributes:
      node_id: The node.
      state: `running` at its start; at its end `done`, or `cached` if an earlier result was taken.
      seconds: Since its start.
      execution_id: Its execution in ML Metadata; None at its start.
    """

    node_id: str
    state: State
    seconds: float = 0.0
    execution_id: int | None = None


class NodeFailedError(RuntimeError):
    """A node that did not run and raised nothing: its inputs did not resolve."""


def compile_pipeline(pipeline: tfx_pipeline.Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """Compiles a pipeline for one run; it holds no connection to ML Metadata."""
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    return ir


def run_nodes(ir: pipeline_pb2.Pipeline, connection: metadata_store_pb2.ConnectionConfig) -> Iterator[NodeEvent]:
    """Runs all nodes in order.

    Args:
      ir: The compiled pipeline.
      connection: To ML Metadata.

    Yields:
      An event at the start and at the end of each node.

    Raises:
      NodeFailedError: If a node's inputs did not resolve.
      Exception: Whatever a node's executor raises.
    """
    deployment = runner_utils.extract_local_deployment_config(ir)
    for node in ir.nodes:
        node_id = node.pipeline_node.node_info.id
        yield NodeEvent(node_id, "running")
        started = time.monotonic()
        info = launcher.Launcher(
            pipeline_node=node.pipeline_node,
            mlmd_connection=metadata.Metadata(connection),
            pipeline_info=ir.pipeline_info,
            pipeline_runtime_spec=ir.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
        ).launch()
        # A launcher whose inputs do not resolve returns as if all were well.
        execution_id = info.execution_id if info else None
        state = _state(connection, execution_id)
        if state not in ("done", "cached") or execution_id is None:
            raise NodeFailedError(f"{node_id} did not run: its inputs did not resolve; the log says which")
        yield NodeEvent(node_id, state, time.monotonic() - started, execution_id)


def _state(connection: metadata_store_pb2.ConnectionConfig, execution_id: int | None) -> State | None:
    if execution_id is None:
        return None
    with metadata.Metadata(connection) as handle:
        (execution,) = handle.store.get_executions_by_id([execution_id])
    states: dict[int, State] = {
        metadata_store_pb2.Execution.COMPLETE: "done",
        metadata_store_pb2.Execution.CACHED: "cached",
    }
    return states.get(execution.last_known_state)
