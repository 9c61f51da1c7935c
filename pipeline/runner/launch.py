"""Runs a compiled pipeline node by node, each with TFX's own launcher, and reports how each node ended."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import ml_metadata as mlmd
import psutil
import pyarrow as pa
from ml_metadata.proto import metadata_store_pb2
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.compiler.constants import PIPELINE_RUN_ID_PARAMETER_NAME
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import beam_executor_operator, launcher, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import event_lib
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from pipeline.beam_options import LOCAL_BEAM_ARGS
from pipeline.compile.ir import compile_ir
from pipeline.metadata.handle import Metadata

State = Literal["running", "done", "cached"]

_STATES: dict[int, State] = {
    metadata_store_pb2.Execution.COMPLETE: "done",
    metadata_store_pb2.Execution.CACHED: "cached",
}


@dataclasses.dataclass(frozen=True)
class NodeEvent:
    """The start or end of a node.

    Attributes:
      node_id: The node.
      state: `running` at its start; at its end `done`, or `cached` if an earlier result was used.
      seconds: Time since its start.
      execution_id: Its execution in ML Metadata; None at its start.
    """

    node_id: str
    state: State
    seconds: float = 0.0
    execution_id: int | None = None


class NodeFailedError(RuntimeError):
    """A node did not run although nothing was raised: its inputs did not resolve."""


def compile_pipeline(pipeline: tfx_pipeline.Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """Compiles a pipeline for one run; the result has no connection to ML Metadata."""
    ir = compile_ir(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    return ir


def run_nodes(
    ir: pipeline_pb2.Pipeline,
    connection: metadata_store_pb2.ConnectionConfig,
    beam_args: Sequence[str] = LOCAL_BEAM_ARGS,
) -> Iterator[NodeEvent]:
    """Runs all nodes in order, as `launch_node` does; yields an event at the start and at the end of each.

    Raises:
      NodeFailedError: If a node's inputs did not resolve.
      Exception: Any exception of a node's executor.
    """
    for node in ir.nodes:
        node_id = node.pipeline_node.node_info.id
        yield NodeEvent(node_id, "running")
        ended = launch_node(ir, node_id, connection, beam_args)
        release_free_memory()
        yield ended


def launch_node(
    ir: pipeline_pb2.Pipeline,
    node_id: str,
    connection: metadata_store_pb2.ConnectionConfig,
    beam_args: Sequence[str] = LOCAL_BEAM_ARGS,
) -> NodeEvent:
    """Runs one node, unless it is already done in this run; returns the event of its end.

    Args:
      ir: The compiled pipeline.
      node_id: The node.
      connection: The connection to ML Metadata.
      beam_args: The options of the node's Beam pipelines, in place of those in the compiled pipeline. They are no part
        of TFX's cache key: the number of workers, a port or a folder for their files changes no output.

    Raises:
      NodeFailedError: If its inputs did not resolve.
      Exception: Any exception of its executor.
    """
    (node,) = [n.pipeline_node for n in ir.nodes if n.pipeline_node.node_info.id == node_id]
    deployment = runner_utils.extract_local_deployment_config(ir)
    started = time.monotonic()
    info = launcher.Launcher(
        pipeline_node=node,
        mlmd_connection=Metadata(connection),
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
        custom_executor_operators={
            executable_spec_pb2.BeamExecutableSpec: functools.partial(_beam_operator, tuple(beam_args))
        },
    ).launch()
    # If its inputs do not resolve, TFX's launcher returns normally.
    state = None
    if info and info.execution_id is not None:
        with Metadata(connection) as handle:
            _put_inputs(handle.store, info.execution_id, info.input_dict)
            (execution,) = handle.store.get_executions_by_id([info.execution_id])
        state = _STATES.get(execution.last_known_state)
    if state is None:
        raise NodeFailedError(f"{node_id} did not run: its inputs did not resolve; the log says which")
    return NodeEvent(node_id, state, time.monotonic() - started, info.execution_id)


def release_free_memory() -> None:
    """Returns to the operating system what was freed, and what Arrow's and the C library's allocators keep for later.

    Otherwise it stays with the process: all nodes of `wdr run` run in one, and `infra_validation` starts others beside
    it.
    """
    pa.default_memory_pool().release_unused()
    psutil.heap_trim()


def _beam_operator(
    beam_args: Sequence[str], executor_spec: executable_spec_pb2.BeamExecutableSpec, platform_config: object = None
) -> beam_executor_operator.BeamExecutorOperator:
    """Returns what runs a Beam executor with these options; the launcher's own spec, in the cache key, stays as it is.

    TFX 1.21.0 hashes the whole executor spec, with the options in it (`cache_utils.get_cache_context`).
    """
    changed = executable_spec_pb2.BeamExecutableSpec()
    changed.CopyFrom(executor_spec)
    del changed.beam_pipeline_args[:], changed.beam_pipeline_args_placeholders[:]
    for arg in beam_args:
        changed.beam_pipeline_args_placeholders.add().value.string_value = arg
    return beam_executor_operator.BeamExecutorOperator(changed, platform_config)


def _put_inputs(
    store: mlmd.MetadataStore, execution_id: int, inputs: Mapping[str, Sequence[types.Artifact]] | None
) -> None:
    """Records a node's inputs as events, on which lineage depends, if TFX has not recorded them.

    TFX omits them if a retry reuses the execution of an attempt whose inputs had not resolved.
    """
    kind = metadata_store_pb2.Event.INPUT
    if any(event.type == kind for event in store.get_events_by_execution_ids([execution_id])):
        return
    missing = [
        event_lib.generate_event(kind, key, index, artifact.id, execution_id)
        for key, artifacts in (inputs or {}).items()
        for index, artifact in enumerate(artifacts)
    ]
    if missing:
        store.put_events(missing)
