"""Helpers for a serving folder with small versions."""

from __future__ import annotations

import os
from typing import Any

from components import storage
from components.model_store.manifest import Manifest
from components.model_store.versions import add_version
from tests.components.endless_changes import FILES


def add(root: str, text: str = "", **manifest: Any) -> int:
    """Adds a version whose files all contain `text`."""

    def fill(folder: str) -> None:
        for name, content in FILES.items():
            storage.write_text(os.path.join(folder, name), content + text)

    return add_version(root, fill, Manifest(**manifest))


def place(root: str, version: int) -> str:
    return f"{root}/{version}"
