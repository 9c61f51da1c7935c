"""Which versions of a serving folder have a model: known by the checksums of its files, not by its place.

A model's place ends in the id of the execution that made it, a counter that begins anew with another ML Metadata. So
one place may have had two models, of which a manifest means one. The files of two exports always differ: TensorFlow
writes a random number into `fingerprint.pb`.
Source: tensorflow/core/protobuf/fingerprint.proto, `FingerprintDef.uuid`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from components import storage
from components.model_store.versions import EXTRA_ASSETS, MODEL_URI, SHA256, Manifest, checksums, history, version_path

#: What a version has beside the model's own files.
_EXTRA = f"{EXTRA_ASSETS}/"


def own_files(sums: Mapping[str, str]) -> dict[str, str]:
    """Of the checksums of a version's files, or of a SavedModel's, those of the model's own files."""
    return {name: sha for name, sha in sums.items() if not name.startswith(_EXTRA)}


def pushed_files(root: str, version: int, manifest: Manifest) -> dict[str, str]:
    """The checksums of the files of a version's model, as they were pushed.

    Args:
      root: The serving folder.
      version: The version, which may have been removed.
      manifest: Its manifest.

    Returns:
      By path in the SavedModel, the SHA-256. Of a version without them in its manifest, as an early release pushed it,
      those of the files in its folder; none if that is gone too.
    """
    return own_files(manifest.get(SHA256) or checksums(version_path(root, version)))


def has_files(folder: str, expected: Mapping[str, str]) -> bool:
    """Whether a SavedModel's own files are some expected ones.

    Files are read until one differs, `fingerprint.pb` first, as another export always differs in it.

    Args:
      folder: The SavedModel.
      expected: By path in it, the SHA-256.
    """
    found = [name for name in storage.files(folder) if not name.startswith(_EXTRA)]
    return sorted(found) == sorted(expected) and all(
        storage.sha256(os.path.join(folder, name)) == expected[name]
        for name in sorted(found, key=lambda name: name != "fingerprint.pb")
    )


def is_model_of(root: str, version: int, manifest: Manifest, place: str, folder: str) -> bool:
    """Whether a version's model is a given one.

    Args:
      root: The serving folder.
      version: The version, which may have been removed.
      manifest: Its manifest.
      place: The model's place, as manifests have it. It decides only where files cannot: of a model whose files are
        gone, or of a version of which neither checksums nor files are there.
      folder: The model's SavedModel.
    """
    if MODEL_URI not in manifest:  # put there by hand
        return False
    expected = pushed_files(root, version, manifest)
    if not expected or not storage.exists(folder):
        return bool(manifest[MODEL_URI] == place)
    return has_files(folder, expected)


def versions_with(root: str, place: str, folder: str) -> list[int]:
    """The versions that have a model, oldest first: its push, and the rollbacks to it.

    Args:
      root: The serving folder.
      place: The model's place, as manifests have it.
      folder: The model's SavedModel.
    """
    return [v for v, manifest in history(root).items() if is_model_of(root, v, manifest, place, folder)]


def is_same_model(one: Manifest, other: Manifest) -> bool:
    """Whether two versions have the same model: by their manifests' checksums, or by the place where one has none.

    Two versions that were put there by hand have nothing in common.
    """
    sums = [own_files(manifest.get(SHA256) or {}) for manifest in (one, other)]
    if all(sums):
        return sums[0] == sums[1]
    return MODEL_URI in one and one[MODEL_URI] == other.get(MODEL_URI)


def version_before(root: str, place: str, folder: str) -> tuple[int, Manifest] | None:
    """The version that served before a model, and its manifest; None if none did.

    Args:
      root: The serving folder.
      place: The model's place. Of one that is not a version, what serves was there before it; of one that is, what
        served when it was pushed first.
      folder: The model's SavedModel.
    """
    pushed = {version: manifest for version, manifest in history(root).items() if MODEL_URI in manifest}
    own = next((v for v, manifest in pushed.items() if is_model_of(root, v, manifest, place, folder)), None)
    earlier = [version for version in pushed if own is None or version < own]
    return (earlier[-1], pushed[earlier[-1]]) if earlier else None
