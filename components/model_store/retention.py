"""Retention: which old pushed versions are removed, and the pins of versions that never are."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from components import storage
from components.model_store.manifest import find_anchor, list_versions, read_manifest
from components.model_store.versions import locked, remove_version, version_path, versions
from transform.documents import CONFIG, Document
from transform.errors import InputError

#: In the serving folder: the pins. TF Serving ignores the file.
PINS_FILE = ".pins.json"


@dataclass(frozen=True, config=CONFIG)
class Pins:
    """The pins of a serving folder.

    Attributes:
      reasons: The reason of each pin, by version; may be empty.
      schema_version: The version of this dataclass's schema.
    """

    reasons: dict[int, str] = Field(default_factory=dict)
    schema_version: Literal[1] = 1

    def to_json(self) -> str:
        return _DOCUMENT.to_json(self)


_DOCUMENT = Document(Pins, "the file of pins")


def pins(root: str) -> dict[int, str]:
    """Returns the reason of each pin, by version; raises InputError if the file is damaged."""
    path = os.path.join(root, PINS_FILE)
    text = storage.read_text(path)
    return {} if text is None else _DOCUMENT.from_json(text, path).reasons


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
    storage.write_text(os.path.join(root, PINS_FILE), Pins(dict(sorted(pinned.items()))).to_json())


def remove_old(root: str, keep: int) -> list[int]:
    """Removes all versions except the highest, the pinned, the anchor's, and those that a kept version restores.

    The caller holds the folder's lock.

    Args:
      root: The serving folder.
      keep: The number of highest versions to keep, at least 1: the one that serves.

    Returns:
      The removed versions, oldest first.
    """
    found = versions(root)
    kept = {*found[-keep:], *pins(root)}
    manifests = {version: read_manifest(version_path(root, version)) for version in found}
    if anchor := find_anchor(manifests):
        kept |= set(list_versions(manifests, anchor)[-1:])
    for version in reversed(found):  # newest first: a version restores an older one
        restored = manifests[version].restores
        if version in kept and restored is not None:
            kept.add(restored)
    old = [version for version in found if version not in kept]
    for version in old:
        remove_version(root, version)
    return old
