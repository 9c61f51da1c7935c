"""A run's lineage as OpenLineage events for a data catalog: for each node, the data sets that it read and wrote.

OpenLineage's own client sends them, and only if its environment variables (`OPENLINEAGE_URL`,
`OPENLINEAGE__TRANSPORT__…`, `OPENLINEAGE_CONFIG`) name a destination.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import uuid
from collections.abc import Iterator

from openlineage.client import OpenLineageClient
from openlineage.client import event_v2 as catalog
from openlineage.client.event_v2 import RunEvent, RunState
from openlineage.client.facet_v2 import parent_run

from pipeline.report.result.run import Run

#: The variable with the jobs' namespace, and its default.
NAMESPACE_VARIABLE, NAMESPACE = "OPENLINEAGE_NAMESPACE", "wide-deep-ranker"

_PRODUCER = "https://pypi.org/project/wide-deep-ranker"

#: The variables that name a destination: exact names, and a prefix.
_WHERE_TO, _WHERE_TO_PREFIX = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"), "OPENLINEAGE__TRANSPORT__"

_ENDS = {
    "done": RunState.COMPLETE, "from the cache": RunState.COMPLETE, "failed": RunState.FAIL, "canceled": RunState.ABORT,
}  # fmt: skip


def is_asked_for() -> bool:
    """Returns whether the environment names a destination."""
    return any(name in _WHERE_TO or name.startswith(_WHERE_TO_PREFIX) for name in os.environ)


def send_lineage(run: Run) -> None:
    """Sends the events of a run's nodes; raises whatever OpenLineage's client does."""
    with contextlib.closing(OpenLineageClient()) as client:
        for event in lineage_events(run):
            client.emit(event)


def lineage_events(run: Run) -> Iterator[RunEvent]:
    """Yields the events of a run's nodes: each node's start, and its end if it has ended.

    The events of a run always have the same ids.
    """
    namespace = os.environ.get(NAMESPACE_VARIABLE, NAMESPACE)
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=_id(namespace, run.run_id)),
        job=parent_run.Job(namespace=namespace, name=run.pipeline_name),
    )
    for node in run.nodes:
        of_node = catalog.Run(runId=_id(namespace, run.run_id, node.name), facets={"parent": parent})
        job = catalog.Job(namespace=namespace, name=f"{run.pipeline_name}.{node.name}")
        read = [catalog.InputDataset(*_place(uri)) for uri in node.read]
        made = [catalog.OutputDataset(*_place(output.uri)) for output in node.outputs if not output.is_resolved]
        states = [(RunState.START, node.started)]
        if node.state in _ENDS:
            states.append((_ENDS[node.state], node.started + datetime.timedelta(seconds=node.seconds)))
        for state, when in states:
            yield RunEvent(
                eventType=state, eventTime=when.isoformat(), run=of_node, job=job, producer=_PRODUCER, inputs=read,
                outputs=made,
            )  # fmt: skip


def _place(uri: str) -> tuple[str, str]:
    """Returns a data set's namespace and name: `file` and the path, or `scheme://host` and the rest of the URI."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return "file", uri
    host, _, name = rest.partition("/")
    return f"{scheme}://{host}", name


def _id(*names: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(names)))
