"""Helpers for a serving folder with small versions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from components import storage
from components.model_store.manifest import Manifest
from components.model_store.versions import add_version
from tests.components.endless_changes import FILES
from transform.files.version_layout import MANIFEST_PATH


def add(root: str, text: str = "", **manifest: Any) -> int:
    """Adds a version whose files all contain `text`."""

    def fill(folder: str) -> None:
        for name, content in FILES.items():
            storage.write_text(os.path.join(folder, name), content + text)

    return add_version(root, fill, Manifest(**manifest))


def edit_manifest(version: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes the entries of a version's manifest, as a person does with an editor."""
    path = os.path.join(version, MANIFEST_PATH)
    entries = json.loads(storage.read_text(path) or "")
    change(entries)
    storage.write_text(path, json.dumps(entries))


def place(root: str, version: int) -> str:
    return f"{root}/{version}"
