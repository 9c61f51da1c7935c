"""Retention: removes old pushed versions."""

from __future__ import annotations

from components.model_store.manifest import find_anchor, list_versions, read_manifest
from components.model_store.pins import pins
from components.model_store.versions import remove_version, version_path, versions


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
