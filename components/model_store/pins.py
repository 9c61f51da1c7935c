"""Pinned versions, which are never removed."""

from __future__ import annotations

import json
import os

from components import storage
from components.model_store.versions import locked, versions
from transform.errors import InputError

#: In the serving folder: the reason of each pin, by version. TF Serving ignores the file.
PINS_FILE = ".pins.json"


def pins(root: str) -> dict[int, str]:
    """Returns the reason of each pin, by version."""
    text = storage.read_text(os.path.join(root, PINS_FILE))
    return {int(version): reason for version, reason in json.loads(text or "{}").items()}


def pin(root: str, version: int, reason: str) -> None:
    """Pins a version; raises InputError if there is no such version."""
    with locked(root):
        found = versions(root)
        if version not in found:
            raise InputError(f"a version to pin must be one of {found}. Received: {version} ({root})")
        _write(root, {**pins(root), version: reason})


def unpin(root: str, version: int) -> None:
    """Removes a pin; raises InputError if the version is not pinned."""
    with locked(root):
        pinned = pins(root)
        if version not in pinned:
            raise InputError(f"a version to unpin must be one of {sorted(pinned)}. Received: {version} ({root})")
        _write(root, {number: reason for number, reason in pinned.items() if number != version})


def _write(root: str, pinned: dict[int, str]) -> None:
    text = json.dumps({str(version): reason for version, reason in sorted(pinned.items())}, indent=2)
    storage.write_text(os.path.join(root, PINS_FILE), text)
