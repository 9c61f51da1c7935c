"""Lists the pushed versions of a workspace."""

from __future__ import annotations

import ml_metadata as mlmd
from rich.table import Table

from components.model_store.manifest import Manifest, read_manifest
from components.model_store.pins import pins
from components.model_store.rollback import record_rollback
from components.model_store.versions import version_path, versions
from pipeline.metadata.connection import place_of
from pipeline.metadata.store import open_store
from pipeline.workspace import Workspace
from transform.errors import InputError


def model_names(workspace: Workspace) -> list[str]:
    """Returns the names of the models that were pushed, sorted; raises InputError if there is none."""
    serving = workspace.root / "serving"
    names = sorted(path.name for path in serving.iterdir() if path.is_dir()) if serving.is_dir() else []
    if not names:
        raise InputError(f"nothing was pushed yet ({serving})")
    return names


def serving_root(workspace: Workspace, name: str | None) -> str:
    """Returns the serving folder of a model.

    Args:
      workspace: The workspace.
      name: The model; may be None if the workspace has only one.

    Raises:
      InputError: If there is no such model, or there are several and none is named.
    """
    names = model_names(workspace)
    if name is None and len(names) > 1:
        raise InputError(f"`--model` must name one of {names}. Received: none ({workspace.root})")
    if name is not None and name not in names:
        raise InputError(f"`--model` must name one of {names}. Received: {name} ({workspace.root})")
    return str(workspace.serving(name or names[0]))


def versions_table(workspace: Workspace, name: str | None = None) -> Table:
    """Returns a table of all pushed versions, or of one model's; TF Serving serves each model's highest version."""
    table = Table(box=None, pad_edge=False)
    for header in ("model", "version", "spans", "serves", "pinned", "pushed", "note", "where"):
        table.add_column(header, overflow="fold")
    for model in [name] if name else model_names(workspace):
        root = serving_root(workspace, model)
        found, pinned = versions(root), pins(root)
        for version in found:
            path = version_path(root, version)
            manifest = read_manifest(path)
            table.add_row(
                model,
                str(version),
                "?" if manifest.spans is None else ", ".join(str(span) for span in manifest.spans),
                "yes" if version == found[-1] else "",
                (pinned[version] or "yes") if version in pinned else "",
                manifest.pushed_at or "?",
                note(manifest),
                path,
            )
    return table


def note(manifest: Manifest) -> str:
    """Returns what is unusual about a version, with the reason; empty for a push that the gates allowed."""
    notes = []
    if manifest.restores is not None:
        notes.append(f"restores {manifest.restores}: {manifest.rollback_reason}")
    if manifest.forced is not None:
        notes.append(f"forced: {manifest.forced.reason}")
    return "; ".join(notes)


def record(workspace: Workspace, root: str, version: int) -> str:
    """Records a rollback in ML Metadata, if it has the restored version; returns a sentence that says where it is."""
    connection = workspace.metadata_connection()
    try:
        recorded = record_rollback(open_store(connection), root, version)
    except mlmd.errors.StatusError as error:
        raise InputError(
            f"version {version} serves and its manifest records the rollback, but ML Metadata could not be written: "
            f"{error} ({place_of(connection)})"
        ) from error
    if recorded:
        return f"recorded in ML Metadata ({place_of(connection)})"
    return f"recorded in the manifest only: ML Metadata has no record of the push ({place_of(connection)})"
