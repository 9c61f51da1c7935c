"""Lists the pushed versions of a workspace."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from pydantic.dataclasses import dataclass
from rich.table import Table
from rich.text import Text

from components.model_store.manifest import Manifest, read_manifest
from components.model_store.retention import pins
from components.model_store.rollback import record_rollback
from components.model_store.versions import damage, version_path, versions
from pipeline.errors import first_line
from pipeline.metadata.connection import place_of
from pipeline.metadata.store import open_store
from pipeline.workspace import Workspace
from transform.documents import CONFIG
from transform.errors import InputError


def model_names(workspace: Workspace) -> list[str]:
    """Returns the names of the models that were pushed, sorted; raises InputError if there is none."""
    serving = workspace.root / "serving"
    names = sorted(path.name for path in serving.iterdir() if path.is_dir()) if serving.is_dir() else []
    if not names:
        raise InputError(f"nothing was pushed yet ({serving})")
    return names


def serving_root(workspace: Workspace, name: str | None) -> str:
    """Returns the serving folder of a model; without a name, of the only one in the workspace.

    Raises:
      InputError: If there is no such model, or there are several and none is named.
    """
    names = model_names(workspace)
    if name not in names and (name is not None or len(names) > 1):
        raise InputError(
            f"`--model` must name one of {names}. Received: {'none' if name is None else name} ({workspace.root})"
        )
    return str(workspace.serving(name or names[0]))


@dataclasses.dataclass(frozen=True)
class VersionEntry:
    """A pushed version.

    Attributes:
      model: The model's name.
      version: The version.
      spans: The window that it was trained on, newest span first; None if its manifest does not name it.
      serves: Whether it is the model's highest version, which TF Serving serves.
      pinned: The reason of its pin, which may be empty; None if it has no pin.
      pushed_at: When it was pushed, in ISO 8601; None if its manifest does not say.
      note: What is unusual about it, with the reason; else empty.
      path: Its folder.
      damage: How its files or its manifest differ from what was pushed, as a sentence; empty if they do not.
    """

    model: str
    version: int
    spans: tuple[int, ...] | None
    serves: bool
    pinned: str | None
    pushed_at: str | None
    note: str
    path: str
    damage: str = ""


@dataclass(frozen=True, config=CONFIG)
class VersionList:
    """The pushed versions of a workspace, by `wdr models list --json`.

    Attributes:
      versions: The versions, by model, the oldest first.
      schema_version: The version of this dataclass's schema.
    """

    versions: Sequence[VersionEntry]
    schema_version: Literal[1] = 1


@dataclass(frozen=True, config=CONFIG)
class VersionChange:
    """What a command has changed, by `wdr models rollback`, `pin`, `unpin` and `tf-serving` with `--json`.

    Attributes:
      command: The command's name, such as `rollback`.
      version: The version that it was about, or that serves now; None if it was about several.
      path: The version's folder, or the file that was written.
      sentences: What was done, as the command prints it without `--json`.
      schema_version: The version of this dataclass's schema.
    """

    command: str
    version: int | None
    path: str
    sentences: Sequence[str]
    schema_version: Literal[1] = 1


def version_entries(workspace: Workspace, name: str | None = None) -> list[VersionEntry]:
    """Returns all pushed versions, or one model's, by model, the oldest first; reads all of their files."""
    entries = []
    for model in [name] if name else model_names(workspace):
        root = serving_root(workspace, model)
        found, pinned = versions(root), pins(root)
        for version in found:
            path = version_path(root, version)
            made, serves, pin = read_manifest(path), version == found[-1], pinned.get(version)
            wrong = damage(root, version)
            entries.append(
                VersionEntry(model, version, made.spans, serves, pin, made.pushed_at, note(made), path, wrong)
            )
    return entries


def versions_table(entries: Iterable[VersionEntry]) -> Table:
    """Returns a table of versions; its cells are no markup, as a person's reasons may have brackets."""
    table = Table(box=None, pad_edge=False)
    for header in ("model", "version", "spans", "serves", "pinned", "pushed", "note", "where"):
        table.add_column(header, overflow="fold")
    for entry in entries:
        cells = (
            entry.model,
            str(entry.version),
            "?" if entry.spans is None else ", ".join(str(span) for span in entry.spans),
            "yes" if entry.serves else "",
            "" if entry.pinned is None else entry.pinned or "yes",
            entry.pushed_at or "?",
            "; ".join(filter(None, (entry.damage, entry.note))),
            entry.path,
        )
        table.add_row(*map(Text, cells))
    return table


def note(manifest: Manifest) -> str:
    """Returns what is unusual about a version, with the reason; empty for a push that the gates allowed."""
    notes = []
    if manifest.restores is not None:
        notes.append(f"restores {manifest.restores}: {manifest.rollback_reason}")
    if manifest.forced is not None:
        notes.append(f"forced: {manifest.forced.reason}; refused: {'; '.join(manifest.forced.refusals)}")
    return "; ".join(notes)


def record(connection: metadata_store_pb2.ConnectionConfig, root: str, version: int) -> str:
    """Records a rollback in ML Metadata, if it has the restored version; returns a sentence that says where it is.

    Raises:
      InputError: If ML Metadata cannot be opened or written; the version serves all the same, and the text says so.
    """
    try:
        recorded = record_rollback(open_store(connection), root, version)
    except (mlmd.errors.StatusError, RuntimeError) as error:  # RuntimeError: from `open_store`
        raise InputError(
            f"version {version} serves and its manifest records the rollback, but ML Metadata could not be written: "
            f"{first_line(error)} ({place_of(connection)})"
        ) from error
    if recorded:
        return f"recorded in ML Metadata ({place_of(connection)})"
    return f"recorded in the manifest only: ML Metadata has no record of the push ({place_of(connection)})"
