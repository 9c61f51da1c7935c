"""A run's lineage as OpenLineage events for a data catalog: for each node, the data sets that it read and wrote.

OpenLineage's own client sends them, and only if its environment variables (`OPENLINEAGE_URL`,
`OPENLINEAGE__TRANSPORT__…`, `OPENLINEAGE_CONFIG`) name a destination.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping

import ml_metadata as mlmd
from absl import logging
from ml_metadata.proto import metadata_store_pb2
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import parent_run

from components.artifacts import FILES
from components.lineage import read_artifacts
from pipeline.metadata.handle import Metadata
from pipeline.registry.record import files_of

#: The variable with the jobs' namespace, and its default.
NAMESPACE_VARIABLE, NAMESPACE = "OPENLINEAGE_NAMESPACE", "wide-deep-ranker"

_PRODUCER = "https://pypi.org/project/wide-deep-ranker"

#: The variables that name a destination: exact names, and a prefix.
_WHERE_TO, _WHERE_TO_PREFIX = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"), "OPENLINEAGE__TRANSPORT__"

_ENDS = {
    metadata_store_pb2.Execution.COMPLETE: RunState.COMPLETE,
    metadata_store_pb2.Execution.CACHED: RunState.COMPLETE,
    metadata_store_pb2.Execution.FAILED: RunState.FAIL,
    metadata_store_pb2.Execution.CANCELED: RunState.ABORT,
}


def send_lineage(
    connection: metadata_store_pb2.ConnectionConfig, pipeline_name: str, run_id: str, executions: Mapping[str, int]
) -> None:
    """Sends the events of a run's nodes if the environment names a destination; a failure is logged and not raised.

    Args:
      connection: The connection to ML Metadata.
      pipeline_name: The run's pipeline.
      run_id: The run's name.
      executions: By node, its execution in ML Metadata.
    """
    if not any(name in _WHERE_TO or name.startswith(_WHERE_TO_PREFIX) for name in os.environ):
        return
    try:
        with contextlib.closing(OpenLineageClient()) as client:
            for event in lineage_events(connection, pipeline_name, run_id, executions):
                client.emit(event)
    except Exception:  # the catalog may be unreachable, and its transport may raise any exception
        logging.exception("the lineage of the run %s was not sent", run_id)


def lineage_events(
    connection: metadata_store_pb2.ConnectionConfig, pipeline_name: str, run_id: str, executions: Mapping[str, int]
) -> Iterator[RunEvent]:
    """Yields the events of a run's nodes: each node's start, and its end if it has ended.

    The arguments are those of `send_lineage`. The events of a run always have the same ids.
    """
    namespace = os.environ.get(NAMESPACE_VARIABLE, NAMESPACE)
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=_id(namespace, run_id)), job=parent_run.Job(namespace=namespace, name=pipeline_name)
    )
    with Metadata(connection) as handle:
        found = {e.id: e for e in handle.store.get_executions_by_id(list(executions.values()))}
        for node, id_ in executions.items():
            execution = found[id_]
            run = Run(runId=_id(namespace, run_id, node), facets={"parent": parent})
            job = Job(namespace=namespace, name=f"{pipeline_name}.{node}")
            read = [InputDataset(*place) for place in _read(handle.store, execution)]
            made = [OutputDataset(*_place(a.uri)) for a in read_artifacts(handle.store, id_, inputs=False)]
            states = [(RunState.START, execution.create_time_since_epoch)]
            if execution.last_known_state in _ENDS:
                states.append((_ENDS[execution.last_known_state], execution.last_update_time_since_epoch))
            for state, when in states:
                yield RunEvent(
                    eventType=state, eventTime=_time(when), run=run, job=job, producer=_PRODUCER, inputs=read,
                    outputs=made,
                )  # fmt: skip


def _read(store: mlmd.MetadataStore, execution: metadata_store_pb2.Execution) -> Iterable[tuple[str, str]]:
    """Yields the data sets that an execution read: artifacts and log files."""
    yield from (_place(artifact.uri) for artifact in read_artifacts(store, execution.id, inputs=True))
    if FILES in execution.custom_properties:
        for paths in files_of(execution).values():
            yield from map(_place, paths)


def _place(uri: str) -> tuple[str, str]:
    """Returns a data set's namespace and name: `file` and the path, or `scheme://host` and the rest of the URI."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return "file", uri
    host, _, name = rest.partition("/")
    return f"{scheme}://{host}", name


def _id(*names: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(names)))


def _time(milliseconds: int) -> str:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).isoformat()
