"""Runs exactly one node of a compiled pipeline, as a task of a scheduler."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import NamedTuple, TypeAlias

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components import storage
from components.ingestion.component import LATEST
from components.ingestion.spans import has_spans, resolve_span
from components.lineage import ended_well
from components.model_store.versions import history
from pipeline.beam_options import make_beam_args
from pipeline.check.rows import check_files
from pipeline.claim.lock import node_claimed
from pipeline.compile.compiled import INGESTION_IR_FILE, IR_FILE, RunEnvironment, read_config, read_ir, read_topology
from pipeline.compile.topology import Topology, marker_path
from pipeline.metadata.handle import Metadata, allow_long_values
from pipeline.metadata.store import NODE_RUN, node_run_name
from pipeline.nodes.names import EXAMPLE_GEN, SCHEMA_GEN
from pipeline.nodes.settings import write_schema
from pipeline.report.run_report import RunResult, has_ended
from pipeline.runner.launch import NodeEvent, launch_node, run_nodes
from pipeline.runner.lost_metadata import reserve_ids
from pipeline.runner.recorder import RunRecorder
from pipeline.runner.window import ingested_files, spans_to_ingest
from transform.config.config import Config
from transform.errors import GateError, InputError

#: The last node; the run's report is written after it.
PUSH = "push"

#: As Airflow allows them by default (its `allowed_run_id_pattern`).
_RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]{1,200}")

_Connection: TypeAlias = metadata_store_pb2.ConnectionConfig


class NodeResult(NamedTuple):
    """The result of a node.

    Attributes:
      event: The node's end.
      run_result: The run's result, after the last node; else None.
      report: The path of the run's report, after the last node; else None.
    """

    event: NodeEvent
    run_result: RunResult | None = None
    report: Path | None = None


def run_node(
    compiled: Path, environment: RunEnvironment, node_id: str, span: int, run_id: str, accept_reason: str = ""
) -> NodeResult:
    """Runs a node, unless it is already done in this run; first removes what a killed process has left of it.

    The first node also ingests the earlier spans that the run needs and that are not ingested yet, or whose files have
    changed.
    If it is requested again after it is done, the run starts again, and takes unchanged nodes from the cache.

    Args:
      compiled: The folder of the compiled pipeline.
      environment: Where it runs.
      node_id: The node.
      span: The run's span.
      run_id: The run's name, the same for all of its nodes and for all their retries.
      accept_reason: Why findings of a gate on data do not stop the run; empty if they do.

    Raises:
      GateError: If the span's data is missing or not fit; a report is written, as of any error of the node.
      UserError: If the node is unknown, another process holds it, or a file cannot be read now (`UnreadableError`).
      NodeFailedError: If its inputs did not resolve.
      Exception: Any exception of its executor.
    """
    topology = read_topology(compiled)
    known = [node.id for node in topology.nodes]
    if node_id not in known:
        raise InputError(f"a node is one of {known}. Received: {node_id!r} ({compiled})")
    if not _RUN_ID.fullmatch(run_id):
        raise InputError(f"a run's name has 1 to 200 of A-Z, a-z, 0-9 and `_.~:+-`. Received: {run_id!r}")
    name, config = topology.name, read_config(compiled)
    connection = environment.workspace.metadata_connection()
    with node_claimed(environment.workspace, name, node_id, config.schedule.timeout_seconds):
        if node_id == EXAMPLE_GEN:
            allow_long_values(connection)
            reserve_ids(connection, environment.workspace)
        run = _current_run(connection, name, run_id, begins=node_id == EXAMPLE_GEN)
        done = _executions(connection, run, [node_id], only_done=True)
        if node_id == SCHEMA_GEN:
            write_schema(config, environment.workspace)
        recorder = RunRecorder(environment.workspace, connection, name, run, span, environment.data_root)
        with recorder.recording_errors(lambda: node_id, lambda: _executions(connection, run, known)):
            if done:  # TFX would run a resolver again, and downstream nodes would read the outputs of both executions
                event = NodeEvent(node_id, "done", execution_id=done[node_id])
            else:
                if node_id == EXAMPLE_GEN:
                    _prepare(compiled, topology, config, environment, span, run, connection)
                ir = read_ir(compiled, IR_FILE, environment, span if has_spans(config) else LATEST, run, accept_reason)
                event = launch_node(ir, node_id, connection, make_beam_args(config.beam))
            if node_id == PUSH:
                return NodeResult(event, *recorder.ended(_executions(connection, run, known)))
            recorder.node_ended(node_id)
            return NodeResult(event)


def _prepare(
    compiled: Path,
    topology: Topology,
    config: Config,
    environment: RunEnvironment,
    span: int,
    run: str,
    connection: _Connection,
) -> None:
    """Checks the span's files, and ingests the earlier spans that it needs and whose logs are complete.

    Raises:
      GateError: If the span's logs are missing or of no use: the span is skipped, and no later run waits for it.
      UnreadableError: If a file cannot be read now.
      InputError: If the schedule requires the previous span's run to have ended, and it has not.
    """
    first_span = topology.schedule.first_span
    if config.schedule.block_on_failure and not _is_settled(config, environment, span - 1, first_span):
        raise InputError(f"span {span} waits for the run of span {span - 1}, as `schedule.block_on_failure` has it")
    history(
        str(environment.workspace.serving(config.name))
    )  # in a resolver, TFX would hide what is wrong with a version
    try:
        check_files(config, resolve_span(config, environment.data_root, span if has_spans(config) else None))
    except InputError as error:
        raise GateError(str(error)) from error
    marker = functools.partial(marker_path, topology.schedule, environment.data_root)
    has_marker = storage.exists(marker(span))  # a store may write no markers
    ingested = functools.partial(ingested_files, connection, config.name)
    for earlier in spans_to_ingest(
        config, environment.data_root, span, marker if has_marker else None, InputError, ingested_files=ingested
    ):
        ir = read_ir(compiled, INGESTION_IR_FILE, environment, earlier, f"{run}-ingest-{earlier}")
        for _ in run_nodes(ir, connection, make_beam_args(config.beam)):
            pass


def _is_settled(config: Config, environment: RunEnvironment, span: int, first_span: int) -> bool:
    """Returns whether a span precedes the schedule's first span, or its run has ended: pushed, refused or skipped."""
    return span < first_span or has_ended(environment.workspace.reports, config.name, span)


def _current_run(connection: _Connection, pipeline_name: str, run_id: str, *, begins: bool) -> str:
    """Returns the name in ML Metadata of a run's latest start; each start has at most one execution per node.

    Args:
      connection: The connection to ML Metadata.
      pipeline_name: The pipeline; schedulers may give runs of several pipelines the same name.
      run_id: The scheduler's name for the run.
      begins: Whether the node is the first one; if it is already done, the run starts again under a new name.
    """

    def name(number: int) -> str:
        return f"{pipeline_name}.{run_id}.{number}"

    number = 1
    with Metadata(connection) as handle:
        while handle.store.get_context_by_type_and_name("pipeline_run", name(number + 1)):
            number += 1
        first = _execution(handle.store, name(number), EXAMPLE_GEN)
    return name(number + 1 if begins and first is not None and ended_well(first) else number)


def _executions(connection: _Connection, run: str, nodes: list[str], *, only_done: bool = False) -> dict[str, int]:
    """Returns, by node, its execution in a run; omits nodes without one, or, if `only_done`, without a done one."""
    with Metadata(connection) as handle:
        found = {node: _execution(handle.store, run, node) for node in nodes}
    return {node: e.id for node, e in found.items() if e is not None and (ended_well(e) or not only_done)}


def _execution(store: mlmd.MetadataStore, run: str, node: str) -> metadata_store_pb2.Execution | None:
    context = store.get_context_by_type_and_name(NODE_RUN, node_run_name(run, node))
    return next(iter(store.get_executions_by_context(context.id)), None) if context else None  # the newest is first
