"""The anchor: the pushed model that all losses since are counted from, as the serving folder's manifests tell it."""

from __future__ import annotations

from collections.abc import Mapping

from components.model_store.versions import MODEL_URI, Manifest

#: In a manifest: the place of the model that is the anchor from this push on.
ANCHOR = "anchor"


def anchor_of(manifests: Mapping[int, Manifest], before: int | None = None) -> str | None:
    """The place of the model that is the anchor; None if nothing was pushed.

    It is what the manifest of the version that serves says. A rollback has the manifest of the version that it
    restores, so that the anchor is again the one of that time. A version without a word of it, as an older release
    pushed it, is the anchor itself.

    Args:
      manifests: By version, oldest first, as `history` reads them.
      before: Look at the versions before this one alone.
    """
    of_pushes = [m for version, m in manifests.items() if MODEL_URI in m and (before is None or version < before)]
    if not of_pushes:
        return None
    anchor: str = of_pushes[-1].get(ANCHOR) or of_pushes[-1][MODEL_URI]
    return anchor


def versions_of(manifests: Mapping[int, Manifest], model_uri: str) -> list[int]:
    """The versions that have a model, oldest first: its push, and the rollbacks to it."""
    return [version for version, manifest in manifests.items() if manifest.get(MODEL_URI) == model_uri]
