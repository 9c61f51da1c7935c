"""The anchor: the pushed model that is kept as a long-term reference, as recorded in the serving folder's manifests.

The loss of quality of all later pushes is measured from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from components.model_store.manifest import Manifest


def find_anchor(manifests: Mapping[int, Manifest]) -> str | None:
    """Returns the URI of the model that is the anchor; None if nothing was pushed.

    The manifest of the version that serves names it. A rollback copies the manifest of the version that it restores,
    and so restores that version's anchor.

    Args:
      manifests: The manifests by version, oldest first, as returned by `history`.
    """
    of_pushes = [manifest for manifest in manifests.values() if manifest.model_uri is not None]
    return of_pushes[-1].anchor if of_pushes else None


def list_versions(manifests: Mapping[int, Manifest], model_uri: str) -> list[int]:
    """Returns the versions that have a model, oldest first: its push, and the rollbacks to it."""
    return [version for version, manifest in manifests.items() if manifest.model_uri == model_uri]
