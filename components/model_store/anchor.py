"""The anchor: the pushed model that is kept as a long-term reference, as recorded in the serving folder's manifests.

The loss of quality of all later pushes is measured from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from components.model_store.manifest import Manifest


def find_anchor(manifests: Mapping[int, Manifest], before: int | None = None) -> str | None:
    """Returns the URI of the model that is the anchor; None if nothing was pushed.

    The manifest of the version that serves names it. A rollback copies the manifest of the version that it restores,
    and so restores that version's anchor. A version without an anchor in its manifest, pushed by an older release, is
    the anchor itself.

    Args:
      manifests: The manifests by version, oldest first, as returned by `history`.
      before: If given, only versions before this one count.
    """
    of_pushes = [
        m for version, m in manifests.items() if m.model_uri is not None and (before is None or version < before)
    ]
    return (of_pushes[-1].anchor or of_pushes[-1].model_uri) if of_pushes else None


def list_versions(manifests: Mapping[int, Manifest], model_uri: str) -> list[int]:
    """Returns the versions that have a model, oldest first: its push, and the rollbacks to it."""
    return [version for version, manifest in manifests.items() if manifest.model_uri == model_uri]
