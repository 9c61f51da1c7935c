"""Checks what killed runs have left in a workspace."""

from __future__ import annotations

from pathlib import Path

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from components.model_store.manifest import DIGESTS_FOLDER
from components.model_store.retention import PINS_FILE
from components.model_store.versions import REMOVED_FOLDER
from pipeline.workspace import Workspace

#: The names of scratch folders beside an output: Transform's, and those of Beam's writers.
_SCRATCH = (".scratch", ".temp*", "*beam-temp-*")


def remains(root: Path) -> list[str]:
    """The remains of killed runs in a workspace after a completed run, one sentence each."""
    workspace = Workspace.at(root)
    with metadata.Metadata(workspace.metadata_connection()) as handle:
        states = {e.id: e.last_known_state for e in handle.store.get_executions()}
    running = [id_ for id_, state in states.items() if state == metadata_store_pb2.Execution.RUNNING]
    found = [f"ML Metadata has execution {id_} as running" for id_ in running]
    outputs = [folder for folder in workspace.artifacts.glob("*/*/*") if folder.name.isdecimal()]
    complete = metadata_store_pb2.Execution.COMPLETE
    dead = [folder for folder in outputs if states.get(int(folder.name)) != complete]
    dead += workspace.artifacts.glob("*/.system/executor_execution/*/*")
    dead += workspace.artifacts.glob("*/.system/stateful_working_dir/*")
    dead += [path for path in root.glob("serving/*/.*") if path.name not in (DIGESTS_FOLDER, REMOVED_FOLDER, PINS_FILE)]
    dead += [*root.rglob("*.part"), *workspace.checkpoints.glob("*"), *root.glob("tmp/*")]
    dead += [path for name in _SCRATCH for path in workspace.artifacts.rglob(name)]
    return found + [f"{path} is left" for path in dead]
