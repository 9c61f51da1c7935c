"""Copies of a workspace, though TFX stores absolute paths."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from components.model_store.manifest import DIGESTS_FOLDER, write_digest
from pipeline.claim.owner import CONTEXT_TYPE

#: The columns of ML Metadata's database that contain paths.
_PATHS = (
    ("Artifact", "uri"), ("ArtifactProperty", "string_value"), ("ExecutionProperty", "string_value"),
    ("ContextProperty", "string_value"),
)  # fmt: skip


def made_here(copy: Path) -> None:
    """Lets a copied workspace run beside its original, whose artifacts so far it reads: `wdr` refuses that."""
    database = sqlite3.connect(copy / "metadata" / "metadata.db")
    of_owner = "SELECT Context.id FROM Context JOIN Type ON Type.id = type_id WHERE Type.name = ?"
    with contextlib.closing(database), database:
        database.execute(
            f"UPDATE ContextProperty SET string_value = ? WHERE name = 'root' AND context_id IN ({of_owner})",
            (str(copy.absolute()), CONTEXT_TYPE),
        )


def own_copy_of(workspace: Path, place: Path) -> Path:
    """Copies a workspace and adapts its paths, so that even the artifacts so far may be changed or removed.

    In the copy, what depends on the workspace's path, such as the schema's file, is not taken from the cache.
    """
    shutil.copytree(workspace, place)
    replace_paths(place, str(workspace), str(place))
    return place


def replace_paths(folder: Path, old: str, new: str) -> None:
    """Replaces a path in the JSON files of a folder, and in the database of the workspace that it is or contains."""
    for path in folder.rglob("*.json"):
        text = path.read_text()
        if old in text:
            path.write_text(text.replace(old, new))
            version = path.parents[1]
            if (version.parent / DIGESTS_FOLDER).exists():
                write_digest(str(version), str(path))
    (file,) = folder.rglob("metadata.db")
    database = sqlite3.connect(file)
    with contextlib.closing(database), database:
        for table, column in _PATHS:
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))
        database.commit()
        database.execute("VACUUM")  # the pages that the old paths were in
