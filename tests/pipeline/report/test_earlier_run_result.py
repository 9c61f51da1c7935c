"""The result of a run of release 0.1 is rebuilt from its artifacts: its verdict and training report have no version."""

from __future__ import annotations

import json
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2
from tfx.types import standard_artifacts

from components.artifacts import LATE
from components.lineage import ingested_examples
from pipeline.metadata.handle import Metadata
from pipeline.report.run_result import _missing_spans, read_run_result
from pipeline.workspace import Workspace
from tests.components.mlmd_lineage import Lineage
from tests.e2e import earlier_workspace
from tests.e2e.store import ROOT
from tests.earlier_documents import with_keys_of

#: The run of span 4 whose model was pushed although the gate on quality refused it.
FORCED = "20261127T230318.559938Z"


def executions_of(connection: metadata_store_pb2.ConnectionConfig, run_id: str) -> dict[str, int]:
    """By node, its execution in a run."""
    found = {}
    with Metadata(connection) as handle:
        run = handle.store.get_context_by_type_and_name("pipeline_run", run_id)
        for execution in handle.store.get_executions_by_context(run.id):
            contexts = handle.store.get_contexts_by_execution(execution.id)
            (node,) = [context.name for context in contexts if context.type == "node"]
            found[node.rpartition(".")[2]] = execution.id
    return found


def test_the_spans_that_a_window_lacks(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path)
    ingested = [lineage.examples(span) for span in (2, 3, 5, 6)]
    two, three, _, six = (artifact.mlmd_artifact for artifact in ingested)
    tail = lineage.put(standard_artifacts.Examples, ingested[2], span=5, **{LATE: 1}).mlmd_artifact
    known = ingested_examples(lineage.store, six.id)
    assert {a.id for a in known} == {a.id for a in ingested}
    # Span 4 had no logs, and span 5 was stopped: its completed tail does not count. Span 1 was never ingested.
    assert _missing_spans([six, tail, three, two], 6, 9, known) == (5, 4)
    assert _missing_spans([six, three, two], 6, 2, known) == (5,)
    assert _missing_spans([six], 6, 1, known) == ()
    assert _missing_spans([two], 2, 9, known) == ()


def test_it_is_what_the_report_of_then_says(tmp_path: Path) -> None:
    earlier_workspace.restore(ROOT / "tests" / "e2e" / "workspace-of-0.1.tar.xz", tmp_path)
    workspace = Workspace.at(tmp_path / "workspace")
    connection = workspace.metadata_connection()
    result = read_run_result(connection, executions_of(connection, FORCED))
    assert (result.status, result.span, result.version) == ("pushed", 4, 4)
    assert result.infra.candidate is not None
    expected = json.loads((workspace.reports / f"{FORCED}.json").read_text())
    found = json.loads(result.to_json())
    for part in ("training", "infra"):
        assert found[part].pop("schema_version") == 1
    assert with_keys_of(expected, found) == expected
