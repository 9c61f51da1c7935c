"""Garbage collection in a workspace: finds and removes artifacts that no recent run and no version needs."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from pydantic.dataclasses import dataclass
from rich.table import Table

from components.artifacts import VOCABULARY_MEMORY
from components.fence import check_locked
from components.lineage import last_span
from components.model_store.versions import pushed_models, versions
from pipeline.claim.lock import claimed
from pipeline.metadata.store import open_store
from pipeline.workspace import Workspace
from transform.documents import CONFIG

_Artifact = metadata_store_pb2.Artifact
_INPUT, _OUTPUT = metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.OUTPUT
_MB = 2**20

#: Inputs through which a run continues the one before it. The walk back from a model does not follow them: they lead to
#: every earlier artifact.
_EARLIER = ("base_model", "analyzer_cache", "memory")

#: Types of artifacts that a later run looks up for a model, which may be older than the runs that are kept.
_VERDICTS = ("InfraBlessing", "ModelBlessing", "PushedModel")


#: The types of the executions that ingest an earlier span of a window: of ImpressionExampleGen, of LateLabels and of
#: TFX's resolvers.
_OF_INGESTION = {
    "components.ingestion.component.ImpressionGen",
    "components.late_labels.component.LateLabels",
    "tfx.dsl.components.common.resolver.Resolver",
}


class _Run(NamedTuple):
    """A pipeline's run: the id of its first execution, and when it began, in seconds since 1970."""

    first_execution: int
    began: float


@dataclass(frozen=True, config=CONFIG)
class GarbageList:
    """The files that a garbage collection removes, by `wdr gc --json`.

    Attributes:
      dry_run: Whether they were left in place.
      num_bytes: The size of each artifact's folder and log file, by its path.
      total_bytes: The sum of the sizes.
      schema_version: The version of this dataclass's schema.
    """

    dry_run: bool
    num_bytes: Mapping[str, int]
    total_bytes: int
    schema_version: Literal[1] = 1


def collect_garbage(workspace: Workspace, keep_runs: int, *, dry_run: bool) -> GarbageList:
    """Finds removable artifacts and logs, and removes them. ML Metadata keeps their records, in the state DELETED.

    Three groups are kept: everything that the latest runs read or wrote; everything that the model of any version in a
    serving folder (the one that serves, its baseline, kept and pinned ones) was made from, back to the examples; and
    the versions themselves.

    Args:
      workspace: The workspace; no run may be using it.
      keep_runs: Number of each pipeline's latest runs to keep, at least 1.
      dry_run: Whether to only find, and remove nothing.

    Raises:
      WorkspaceBusyError: If a run is using the workspace.
      LostClaimError: If a run has taken the workspace meanwhile.
    """
    with claimed(workspace):
        store = open_store(workspace.metadata_connection())
        of_latest_runs, beginning = _find_latest_runs(store, keep_runs)
        kept = of_latest_runs | _for_the_next_run(store) | _behind_versions(store, workspace)
        old = [a for a in store.get_artifacts() if a.id not in kept and workspace.artifacts in Path(a.uri).parents]
        logs = sorted(log for log in workspace.logs.glob("*.log") if log.stat().st_mtime < beginning)
        paths = [path for path in [*(Path(a.uri) for a in old), *logs] if path.exists()]
        num_bytes = {str(path): _num_bytes(path) for path in paths}
        if not dry_run:
            check_locked()
            _remove(workspace, store, old, paths)
        return GarbageList(dry_run, num_bytes, sum(num_bytes.values()))


def _remove(
    workspace: Workspace, store: mlmd.MetadataStore, artifacts: Sequence[metadata_store_pb2.Artifact], paths: list[Path]
) -> None:
    """Moves the files away from TFX's cache, which checks for folders; hides the artifacts from resolvers; deletes."""
    bin_ = workspace.root / ".garbage"
    if bin_.exists():  # left by a garbage collection that was killed
        shutil.rmtree(bin_)
    bin_.mkdir()
    for number, path in enumerate(paths):
        path.rename(bin_ / str(number))
    for artifact in artifacts:
        artifact.state = _Artifact.DELETED
    store.put_artifacts(artifacts)
    shutil.rmtree(bin_)


def _find_latest_runs(store: mlmd.MetadataStore, keep_runs: int) -> tuple[set[int], float]:
    """Finds the artifacts that the latest runs of each pipeline, and all later executions, read or wrote.

    Returns:
      The artifacts' ids, and the time at which the oldest of these runs began, in seconds since 1970; 0 without runs.
    """
    kept: set[int] = set()
    beginnings: list[float] = []
    for pipeline in store.get_contexts_by_type("pipeline"):
        type_of = {execution.id: execution.type for execution in store.get_executions_by_context(pipeline.id)}
        runs = []
        for run in store.get_contexts_by_type("pipeline_run"):
            executions = {e.id for e in store.get_executions_by_context(run.id)} & type_of.keys()
            # Others have ingested an earlier span.
            if len(executions) > 1 and not {type_of[id_] for id_ in executions} <= _OF_INGESTION:
                runs.append(_Run(min(executions), run.create_time_since_epoch / 1000))
        latest = sorted(runs)[-keep_runs:]
        since = [execution for execution in type_of if latest and execution >= latest[0].first_execution]
        kept |= {event.artifact_id for event in store.get_events_by_execution_ids(since)}  # includes resolvers' outputs
        beginnings += [run.began for run in latest]
    return kept, min(beginnings, default=0.0)


def _for_the_next_run(store: mlmd.MetadataStore) -> set[int]:
    """Returns the artifacts that each pipeline's next run reads, of any age: analysis caches and gate records."""
    kept: set[int] = set()
    for pipeline in store.get_contexts_by_type("pipeline"):
        live = [a for a in store.get_artifacts_by_context(pipeline.id) if a.state == _Artifact.LIVE]
        kept |= set(sorted(a.id for a in live if a.type == "TransformCache")[-1:])
        memories = [(last_span(store, a.id), a.id) for a in live if a.type == VOCABULARY_MEMORY]
        kept |= {id_ for _, id_ in sorted(memories)[-1:]}  # by span: a backfill writes older spans' memories later
        kept |= {a.id for a in live if a.type == "GateRecord"}  # they are small, and `wdr gates replay` reads all
    return kept


def _behind_versions(store: mlmd.MetadataStore, workspace: Workspace) -> set[int]:
    """Returns the models of all versions, their inputs back to the examples, side outputs, and the gates' verdicts."""
    uris: set[str] = set()
    for folder in (workspace.root / "serving").glob("*"):
        existing = versions(str(folder))
        uris |= {uri for version, uri in pushed_models(str(folder)) if version in existing}
    models = {artifact.id for uri in uris for artifact in store.get_artifacts_by_uri(uri)}
    kept, found = set(models), models
    while found:
        makers = _executions(store, found, _OUTPUT)
        along = _artifacts(store, makers, _OUTPUT)  # such as the quarantine, which has the row counts
        found = _artifacts(store, makers, _INPUT, leave_out=_EARLIER) - kept
        kept |= found | along
    made = store.get_artifacts_by_id(list(_artifacts(store, _executions(store, models, _INPUT), _OUTPUT)))
    return kept | {artifact.id for artifact in made if artifact.type in _VERDICTS}


def _executions(store: mlmd.MetadataStore, artifacts: set[int], kind: int) -> set[int]:
    """Returns the executions that wrote (`_OUTPUT`) or read (`_INPUT`) the artifacts."""
    events = store.get_events_by_artifact_ids(list(artifacts)) if artifacts else []
    return {event.execution_id for event in events if event.type == kind}


def _artifacts(store: mlmd.MetadataStore, executions: set[int], kind: int, leave_out: Collection[str] = ()) -> set[int]:
    """Returns the artifacts that the executions wrote or read, without the inputs named in `leave_out`."""
    events = store.get_events_by_execution_ids(list(executions)) if executions else []
    return {e.artifact_id for e in events if e.type == kind and not (e.path.steps and e.path.steps[0].key in leave_out)}


def _num_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def garbage_table(garbage: GarbageList) -> Table:
    """Returns a table of the garbage by component and output."""
    table = Table("what", "how many", "MB", box=None, pad_edge=False)
    by_kind: dict[str, list[int]] = {}
    for path, num_bytes in ((Path(name), size) for name, size in garbage.num_bytes.items()):
        kind = "logs" if path.suffix == ".log" else f"{path.parent.parent.name}/{path.parent.name}"
        by_kind.setdefault(kind, []).append(num_bytes)
    for kind, sizes in sorted(by_kind.items()):
        table.add_row(kind, str(len(sizes)), f"{sum(sizes) / _MB:,.1f}")
    return table
