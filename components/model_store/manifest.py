"""The manifest of a pushed version: the model's lineage, and the checksums of the version's files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from components import storage
from transform.documents import Document, FloatOrNaN
from transform.files.version_layout import (
    CATALOG_FOLDER,
    EXTRA_ASSETS,
    MANIFEST_PATH,
    DamagedVersionError,
    catalog_digest,
)

#: In the serving folder: an empty file for each manifest that was written, named by the version and the manifest's
#: SHA-256, so that pushes at once do not replace each other's. A file in the version would be one that the manifest
#: does not have. TF Serving ignores the folder.
DIGESTS_FOLDER = ".manifests"

#: In a manifest's schema, keys with a default are optional: those whose value is None are not written.
_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_CONFIG)
class Baseline:
    """The model that a candidate model was compared with.

    Attributes:
      model_uri: The model's URI in ML Metadata.
      version: Its version; None if it was removed.
    """

    model_uri: str
    version: int | None = None


@dataclass(frozen=True, config=_CONFIG)
class Forced:
    """A push of a model that was refused.

    Attributes:
      by: The user who forced it.
      reason: The user's reason.
      refusals: The refusals, one sentence each.
    """

    by: str
    reason: str
    refusals: tuple[str, ...]


@dataclass(frozen=True, config=_CONFIG)
class Metrics:
    """The Evaluator's metrics over all examples, by name. An undefined one is NaN.

    Attributes:
      candidate: Those of the pushed model.
      baseline: Those of the model that served; empty if there was none, or it could not be compared.
    """

    candidate: dict[str, FloatOrNaN] = Field(default_factory=dict)
    baseline: dict[str, FloatOrNaN] = Field(default_factory=dict)


@dataclass(frozen=True, config=_CONFIG)
class Manifest:
    """The manifest of a pushed version. What does not apply is None, and left out of the file.

    Attributes:
      model_uri: The URI of the version's model in ML Metadata.
      model_id: The model's id in ML Metadata.
      run_id: The run that pushed it.
      spans: The spans that the model was trained on in its run.
      config_fingerprint: The SHA-256 of the config's JSON (`Config.to_json`), in hexadecimal.
      code_fingerprint: The fingerprint of the project's code.
      baseline: The model that it was compared with; None if no model served.
      signatures: The names of the model's signatures.
      absent_signatures: Why the model lacks a ranking signature, by the signature's name.
      anchor: The URI of the model that is the anchor from this push on.
      metrics: The Evaluator's metrics.
      forced: The reason and the refusals, if the push was forced.
      version: The version's number.
      pushed_at: When it was pushed, in ISO 8601 with a time zone.
      sha256: The SHA-256 of each file but the manifest, in hexadecimal, by path in the version.
      restores: Of a rollback: the version whose files it has.
      rollback_of: Of a rollback: the version that served before it.
      rollback_by: Of a rollback: the user.
      rollback_reason: Of a rollback: the user's reason.
      schema_version: The version of this dataclass's schema.
    """

    model_uri: str | None = None
    model_id: int | None = None
    run_id: str | None = None
    spans: tuple[int, ...] | None = None
    config_fingerprint: str | None = None
    code_fingerprint: str | None = None
    baseline: Baseline | None = None
    signatures: tuple[str, ...] | None = None
    absent_signatures: dict[str, str] | None = None
    anchor: str | None = None
    metrics: Metrics | None = None
    forced: Forced | None = None
    version: Annotated[int, Field(ge=0)] | None = None
    pushed_at: str | None = None
    sha256: dict[str, str] | None = None
    restores: int | None = None
    rollback_of: int | None = None
    rollback_by: str | None = None
    rollback_reason: str | None = None
    schema_version: Literal[1] = 1

    @property
    def newest_span(self) -> int | None:
        """The newest span that the model was trained on; None if the manifest names none."""
        return max(self.spans or (), default=None)

    @property
    def catalog_digest(self) -> str:
        """The digest of the version's snapshot of the catalog; empty if the manifest has no checksums of one."""
        prefix = f"{EXTRA_ASSETS}/{CATALOG_FOLDER}/"
        files = {path.removeprefix(prefix): sha for path, sha in (self.sha256 or {}).items() if path.startswith(prefix)}
        return catalog_digest(files) if files else ""

    def to_json(self) -> str:
        """Returns the manifest as JSON, without the entries that it does not have."""
        return _DOCUMENT.to_json(self)


_DOCUMENT = Document(Manifest, "a manifest", error_type=DamagedVersionError, omits_none=True)


def read_manifest(version_path: str) -> Manifest:
    """Reads the manifest of a version.

    Returns:
      The manifest; an empty one if the version was added without a push: without a manifest, or with a JSON object of
      other software.

    Raises:
      DamagedVersionError: If the manifest is not JSON, or does not follow the schema.
    """
    return read_manifest_file(os.path.join(version_path, MANIFEST_PATH))


def read_manifest_file(path: str) -> Manifest:
    """Reads a manifest's file, as `read_manifest` does."""
    text = storage.read_text(path)
    if text is None or _is_of_other_software(text):
        return Manifest()
    return _DOCUMENT.from_json(text, path)


def write_digest(version_path: str, manifest: str) -> None:
    """Records the digest of a version's manifest, by which a later change of the manifest is found.

    Args:
      version_path: The version's folder, which need not exist yet.
      manifest: The file of its manifest.
    """
    folder, prefix = _digests(version_path)
    storage.write_text(os.path.join(folder, prefix + storage.sha256(manifest)), "")


def check_digest(version_path: str, manifest: str) -> None:
    """Checks a version's manifest against its digest; one without a digest, as of release 0.2.0, passes.

    Args:
      version_path: The version's folder, which need not exist any more.
      manifest: The file of its manifest.

    Raises:
      DamagedVersionError: If the manifest is not the one that the version was pushed with.
    """
    folder, prefix = _digests(version_path)
    digests = {name.removeprefix(prefix) for name in storage.names(folder) if name.startswith(prefix)}
    if digests and storage.sha256(manifest) not in digests:
        raise DamagedVersionError(
            "a version's manifest must be the one that it was pushed with, with the same metrics, spans and other "
            f"entries. Received: another one ({manifest})"
        )


def _digests(version_path: str) -> tuple[str, str]:
    """Returns the folder of the digests, and how the names of a version's digests begin."""
    root, version = os.path.split(version_path.rstrip("/"))
    return os.path.join(root, DIGESTS_FOLDER), f"{version}-"


def _is_of_other_software(text: str) -> bool:
    try:
        found = json.loads(text)
    except ValueError:  # described by `Document.from_json`
        return False
    return isinstance(found, dict) and "schema_version" not in found


def find_anchor(manifests: Mapping[int, Manifest]) -> str | None:
    """Returns the URI of the model that is the anchor; None if nothing was pushed.

    The anchor is kept as a long-term reference: the loss of quality of all later pushes is measured from it. The
    manifest of the version that serves names it. A rollback copies the manifest of the version that it restores,
    and so restores that version's anchor.

    Args:
      manifests: The manifests by version, oldest first, as returned by `history`.
    """
    of_pushes = [manifest for manifest in manifests.values() if manifest.model_uri is not None]
    return of_pushes[-1].anchor if of_pushes else None


def list_versions(manifests: Mapping[int, Manifest], model_uri: str) -> list[int]:
    """Returns the versions that have a model, oldest first: its push, and the rollbacks to it."""
    return [version for version, manifest in manifests.items() if manifest.model_uri == model_uri]
