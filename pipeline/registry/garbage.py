"""What a workspace can do without: artifacts that nothing which serves, is pinned or is recent was made from."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from rich.table import Table

from components.artifacts import VocabularyMemory
from components.fence import check_held
from components.model_store.versions import pushed_models, versions
from pipeline.metadata.handle import Metadata
from pipeline.workspace import Workspace
from pipeline.workspace_lock import claimed

_Artifact = metadata_store_pb2.Artifact
_INPUT, _OUTPUT = metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.OUTPUT
_MB = 2**20

#: The inputs by which a day's run goes on from that of the day before: through them, everything is behind a model.
_EARLIER = ("base_model", "analyzer_cache", "memory")

#: What a later run asks of a model that may be older than the runs that are kept.
_VERDICTS = ("InfraBlessing", "ModelBlessing", "PushedModel")


@dataclasses.dataclass(frozen=True)
class Garbage:
    """What can go.

    Attributes:
      num_bytes: By folder of an artifact, or file of an old run's log, its size.
    """

    num_bytes: Mapping[Path, int]

    @property
    def total_mb(self) -> float:
        return sum(self.num_bytes.values()) / _MB


def collect_garbage(workspace: Workspace, keep_runs: int, *, dry_run: bool) -> Garbage:
    """Finds what can go, and removes it. ML Metadata keeps the record of it, as deleted.

    What stays: all that the latest runs read or made; all that the model of any version in a serving folder (the one
    that serves, its baseline, those that are kept or pinned) was made from, back to the examples; and the versions.

    Args:
      workspace: The workspace, which no run may be using.
      keep_runs: How many of each pipeline's latest runs stay, at least 1.
      dry_run: Only find.

    Raises:
      WorkspaceBusyError: If a run is using the workspace.
      LostClaimError: If one has taken it meanwhile.
    """
    with claimed(workspace), Metadata(workspace.metadata_connection()) as handle:
        store = handle.store
        of_latest_runs, beginning = _of_latest_runs(store, keep_runs)
        kept = of_latest_runs | _for_the_next_run(store) | _behind_versions(store, workspace)
        old = [a for a in store.get_artifacts() if a.id not in kept and workspace.artifacts in Path(a.uri).parents]
        logs = sorted(log for log in workspace.logs.glob("*.log") if log.stat().st_mtime < beginning)
        paths = [path for path in [*(Path(a.uri) for a in old), *logs] if path.exists()]
        garbage = Garbage({path: _num_bytes(path) for path in paths})
        if not dry_run:
            check_held()
            _remove(workspace, store, old, paths)
        return garbage


def _remove(
    workspace: Workspace, store: mlmd.MetadataStore, artifacts: Sequence[metadata_store_pb2.Artifact], paths: list[Path]
) -> None:
    """Takes the files out of the cache's sight, which looks for folders, then out of the resolvers', then away."""
    bin_ = workspace.root / ".garbage"
    if bin_.exists():  # of a clean-up that was killed
        shutil.rmtree(bin_)
    bin_.mkdir()
    for number, path in enumerate(paths):
        path.rename(bin_ / str(number))
    for artifact in artifacts:
        artifact.state = _Artifact.DELETED
    store.put_artifacts(artifacts)
    shutil.rmtree(bin_)


def _of_latest_runs(store: mlmd.MetadataStore, keep_runs: int) -> tuple[set[int], float]:
    """The artifacts that the latest runs of each pipeline, and whatever ran since, read or made.

    And when the oldest of these runs began, in seconds since 1970; 0 if there is none.
    """
    kept: set[int] = set()
    beginnings: list[float] = []
    for pipeline in store.get_contexts_by_type("pipeline"):
        in_pipeline = {execution.id for execution in store.get_executions_by_context(pipeline.id)}
        runs = [
            (min(executions), run.create_time_since_epoch / 1000)
            for run in store.get_contexts_by_type("pipeline_run")
            if len(executions := {e.id for e in store.get_executions_by_context(run.id)} & in_pipeline) > 1
        ]  # one execution alone is the ingestion of an earlier span
        latest = sorted(runs)[-keep_runs:]
        since = [execution for execution in in_pipeline if latest and execution >= latest[0][0]]
        kept |= {event.artifact_id for event in store.get_events_by_execution_ids(since)}  # a resolver's outputs, too
        beginnings += [beginning for _, beginning in latest]
    return kept, min(beginnings, default=0.0)


def _for_the_next_run(store: mlmd.MetadataStore) -> set[int]:
    """What each pipeline's next run is held against and goes on analyzing from, however long ago it was made."""
    kept: set[int] = set()
    for pipeline in store.get_contexts_by_type("pipeline"):
        live = [a for a in store.get_artifacts_by_context(pipeline.id) if a.state == _Artifact.LIVE]
        for kind in ("TransformCache", VocabularyMemory.TYPE_NAME):
            kept |= set(sorted(a.id for a in live if a.type == kind)[-1:])
        kept |= {a.id for a in live if a.type == "GateRecord"}  # small, and a replay reads them all
    return kept


def _behind_versions(store: mlmd.MetadataStore, workspace: Workspace) -> set[int]:
    """The models of all versions, what they were made from, what was made along, and the gates' verdicts."""
    uris: set[str] = set()
    for folder in (workspace.root / "serving").glob("*"):
        there = versions(str(folder))
        uris |= {uri for version, uri in pushed_models(str(folder)) if version in there}
    models = {artifact.id for uri in uris for artifact in store.get_artifacts_by_uri(uri)}
    kept, found = set(models), models
    while found:
        makers = _executions(store, found, _OUTPUT)
        along = _artifacts(store, makers, _OUTPUT)  # such as the quarantine, with the rows' counts
        found = _artifacts(store, makers, _INPUT, leave_out=_EARLIER) - kept
        kept |= found | along
    made = store.get_artifacts_by_id(list(_artifacts(store, _executions(store, models, _INPUT), _OUTPUT)))
    return kept | {artifact.id for artifact in made if artifact.type in _VERDICTS}


def _executions(store: mlmd.MetadataStore, artifacts: set[int], kind: int) -> set[int]:
    """The executions that made artifacts, or that read them."""
    events = store.get_events_by_artifact_ids(list(artifacts)) if artifacts else []
    return {event.execution_id for event in events if event.type == kind}


def _artifacts(store: mlmd.MetadataStore, executions: set[int], kind: int, leave_out: Collection[str] = ()) -> set[int]:
    """The artifacts that executions made, or that they read, but for some inputs."""
    events = store.get_events_by_execution_ids(list(executions)) if executions else []
    return {e.artifact_id for e in events if e.type == kind and not (e.path.steps and e.path.steps[0].key in leave_out)}


def _num_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def garbage_table(garbage: Garbage) -> Table:
    """What can go, by component and output."""
    table = Table("what", "how many", "MB", box=None, pad_edge=False)
    by_kind: dict[str, list[int]] = {}
    for path, num_bytes in garbage.num_bytes.items():
        kind = "logs" if path.suffix == ".log" else f"{path.parent.parent.name}/{path.parent.name}"
        by_kind.setdefault(kind, []).append(num_bytes)
    for kind, sizes in sorted(by_kind.items()):
        table.add_row(kind, str(len(sizes)), f"{sum(sizes) / _MB:,.1f}")
    return table
