"""Matches models with versions of a serving folder, by the checksums of their files instead of their URIs.

A model's URI ends in the id of the execution that made it, a counter that restarts with a new ML Metadata database. So
one URI may have had two models, and a manifest refers to one of them. The files of two exports always differ:
TensorFlow writes a random number into `fingerprint.pb`.
Source: tensorflow/core/protobuf/fingerprint.proto, `FingerprintDef.uuid`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from components import storage
from components.model_store.manifest import Manifest
from components.model_store.versions import history
from transform.files.version_layout import EXTRA_ASSETS

#: The prefix of a version's files that are not the model's own.
EXTRA_PREFIX = f"{EXTRA_ASSETS}/"


def own_files(sums: Mapping[str, str]) -> dict[str, str]:
    """Selects the checksums of the model's own files from those of a version or a SavedModel."""
    return {name: sha for name, sha in sums.items() if not name.startswith(EXTRA_PREFIX)}


def has_files(folder: str, expected: Mapping[str, str]) -> bool:
    """Returns whether a SavedModel's own files are the expected ones.

    Reads files until one differs, `fingerprint.pb` first, which differs in every other export.

    Args:
      folder: The SavedModel.
      expected: The SHA-256 by path in the SavedModel.
    """
    found = [name for name in storage.files(folder) if not name.startswith(EXTRA_PREFIX)]
    return sorted(found) == sorted(expected) and all(
        storage.sha256(os.path.join(folder, name)) == expected[name]
        for name in sorted(found, key=lambda name: name != "fingerprint.pb")
    )


def is_model_of(manifest: Manifest, place: str, folder: str) -> bool:
    """Returns whether a version's model is the given one.

    Args:
      manifest: The version's manifest.
      place: The model's URI, as in manifests. It decides only if files cannot: if the model's files are gone, or the
        manifest has no checksums.
      folder: The model's SavedModel.
    """
    if manifest.model_uri is None:  # added manually, without a push
        return False
    expected = own_files(manifest.sha256 or {})
    if not expected or not storage.exists(folder):
        return manifest.model_uri == place
    return has_files(folder, expected)


def versions_with(manifests: Mapping[int, Manifest], place: str, folder: str) -> list[int]:
    """Returns the versions that have a model, oldest first: its push, and the rollbacks to it.

    Args:
      manifests: The manifests by version, oldest first, as returned by `history`.
      place: The model's URI, as in manifests.
      folder: The model's SavedModel.
    """
    return [v for v, manifest in manifests.items() if is_model_of(manifest, place, folder)]


def is_same_model(one: Manifest, other: Manifest) -> bool:
    """Returns whether two versions have the same model: by checksums, or by the URI if a manifest has no checksums.

    Two versions that were added manually, without manifests, never have the same model.
    """
    sums = [own_files(manifest.sha256 or {}) for manifest in (one, other)]
    if all(sums):
        return sums[0] == sums[1]
    return one.model_uri is not None and one.model_uri == other.model_uri


def version_before(root: str, place: str, folder: str) -> tuple[int, Manifest] | None:
    """Returns the version that served before a model, and its manifest; None if none did.

    For a model that is not a version yet, that is the version that serves. For a model that is one, it is the version
    that served when the model was first pushed.

    Args:
      root: The serving folder.
      place: The model's URI, as in manifests.
      folder: The model's SavedModel.
    """
    pushed = {version: manifest for version, manifest in history(root).items() if manifest.model_uri is not None}
    own = next((v for v, manifest in pushed.items() if is_model_of(manifest, place, folder)), None)
    earlier = [version for version in pushed if own is None or version < own]
    return (earlier[-1], pushed[earlier[-1]]) if earlier else None
