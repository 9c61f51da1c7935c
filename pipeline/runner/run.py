"""Runs the pipeline once: ingests the earlier spans that it needs, then runs all nodes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from components.ingestion.spans import has_spans
from components.model_store.versions import history
from pipeline.beam_options import check_beam, make_beam_args
from pipeline.check.rows import check_span
from pipeline.claim.lock import claimed
from pipeline.create import create_pipeline
from pipeline.metadata.handle import allow_long_values
from pipeline.nodes.names import EXAMPLE_GEN
from pipeline.nodes.settings import RunSettings, write_schema
from pipeline.report.run_report import RunResult
from pipeline.runner.launch import NodeEvent, compile_pipeline, run_nodes
from pipeline.runner.lost_metadata import reserve_ids
from pipeline.runner.recorder import RunRecorder
from pipeline.runner.window import ingested_files, spans_to_ingest
from transform.config.config import Config


def run(config: Config, settings: RunSettings, run_id: str, on_event: Callable[[NodeEvent], None]) -> RunResult:
    """Runs the pipeline once.

    Args:
      config: The deployment.
      settings: The runner's settings, with the data, the workspace and the span.
      run_id: The run's name.
      on_event: Called when a node starts or ends.

    Returns:
      The run's result; a run whose model the gates refuse is a successful run.

    Raises:
      UserError: If the data is not fit, Beam does not know an option, or another run is using the workspace.
    """
    check_beam(config.beam)
    with claimed(settings.workspace):
        return _run(config, settings, run_id, on_event)


def _run(config: Config, settings: RunSettings, run_id: str, on_event: Callable[[NodeEvent], None]) -> RunResult:
    found = check_span(config, settings.data_root, settings.span)
    history(str(settings.workspace.serving(config.name)))  # in a resolver, TFX would hide what is wrong with a version
    write_schema(config, settings.workspace)
    connection = settings.workspace.metadata_connection()
    allow_long_values(connection)
    reserve_ids(connection, settings.workspace)
    beam_args = make_beam_args(config.beam)
    executions: dict[str, int] = {}  # of the run's own span
    node = EXAMPLE_GEN
    recorder = RunRecorder(
        settings.workspace, connection, config.name, run_id, found.span, settings.data_root, settings.config_file
    )
    with recorder.recording_errors(lambda: node, lambda: executions):
        if has_spans(config):
            settings = dataclasses.replace(settings, span=found.span)
            ingested = functools.partial(ingested_files, connection, config.name)
            for span in spans_to_ingest(config, settings.data_root, found.span, ingested_files=ingested):
                pipeline = create_pipeline(config, dataclasses.replace(settings, span=span), only_ingest=True)
                for event in run_nodes(compile_pipeline(pipeline, f"{run_id}-ingest-{span}"), connection, beam_args):
                    node = f"{event.node_id} (span {span})"
                    on_event(dataclasses.replace(event, node_id=node))
                node = EXAMPLE_GEN
        for event in run_nodes(compile_pipeline(create_pipeline(config, settings), run_id), connection, beam_args):
            on_event(event)
            node = event.node_id
            if event.execution_id is not None:
                executions[node] = event.execution_id
        return recorder.ended(executions)[0]
