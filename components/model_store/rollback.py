"""Rollback: an earlier version serves again as a new, higher version, and ML Metadata records it.

This module does not import TensorFlow and TFX: the version serves sooner than they would be imported.
"""

from __future__ import annotations

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.lineage import producer
from components.model_store.manifest import Manifest
from components.model_store.versions import history, locked, restore, version_path, versions
from transform.errors import InputError

#: Never changes: workspaces have it on record, as the first release named it.
EXECUTION_TYPE = "components.rollback.Rollback"

_PUSHED_MODEL = "PushedModel"


def roll_back(root: str, reason: str, to: int | None = None) -> int:
    """Makes an earlier version serve again.

    Args:
      root: The serving folder.
      reason: The reason; recorded in the new version's manifest.
      to: The version to serve again. None takes the version before the one that serves or, if that one is a rollback,
        the version before the one that it restored: two rollbacks go back two versions.

    Returns:
      The new version, which has the earlier one's files.

    Raises:
      InputError: If the reason is empty, there is no such version, or its files are not those that were pushed.
    """
    if not reason.strip():
        raise InputError("a rollback must have a reason. Received: an empty one")
    with locked(root):
        earlier = versions(root)
        if not earlier:
            raise InputError(f"nothing was pushed yet ({root})")
        serving = earlier.pop()
        if to is None:
            original = _original(history(root), serving)
            to = max((version for version in earlier if version < original), default=None)
            if to is None:
                raise InputError(
                    f"there must be a version below {original} to go back to. Received: {earlier} ({root})"
                )
        elif to not in earlier:
            raise InputError(f"a version to go back to must be one of {earlier}. Received: {to} ({root})")
        return restore(root, to, rollback_of=serving, reason=reason)


def _original(manifests: dict[int, Manifest], version: int) -> int:
    """Returns the version that a rollback, or a chain of them, restored; a version that is no rollback is returned."""
    while version in manifests and (restored := manifests[version].restores) is not None:
        version = restored
    return version


def record_rollback(store: mlmd.MetadataStore, root: str, version: int) -> bool:
    """Records a rollback: an execution that made a PushedModel from the inputs of the restored version's push.

    Args:
      store: ML Metadata.
      root: The serving folder.
      version: The version that the rollback added.

    Returns:
      Whether it was recorded: False if ML Metadata lacks the restored version's push.
    """
    manifest = history(root)[version]
    pushed = _pushed_model(store, manifest)
    if pushed is None:
        return False
    event, made = metadata_store_pb2.Event, producer(store, pushed.id)
    read = [e for e in store.get_events_by_execution_ids([made]) if e.type == event.INPUT]
    artifacts = {a.id: a for a in store.get_artifacts_by_id([e.artifact_id for e in read])}

    execution = metadata_store_pb2.Execution(last_known_state=metadata_store_pb2.Execution.COMPLETE)
    execution.type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name=EXECUTION_TYPE))
    for key in ("rollback_by", "rollback_reason"):
        execution.custom_properties[key].string_value = getattr(manifest, key)
    for key in ("rollback_of", "restores"):
        execution.custom_properties[key].int_value = getattr(manifest, key)
    place = version_path(root, version)
    output = metadata_store_pb2.Artifact(type_id=pushed.type_id, uri=place, state=metadata_store_pb2.Artifact.LIVE)
    output.custom_properties["pushed"].int_value = 1
    output.custom_properties["model_id"].int_value = manifest.model_id
    output.custom_properties["version"].int_value = version
    output.custom_properties["pushed_destination"].string_value = place
    step = event.Path.Step
    made_event = event(type=event.OUTPUT, path=event.Path(steps=[step(key="pushed_model"), step(index=0)]))
    store.put_execution(
        execution,
        [*((artifacts[e.artifact_id], event(type=event.INPUT, path=e.path)) for e in read), (output, made_event)],
        [context for context in store.get_contexts_by_execution(made) if context.type == "pipeline"],
    )
    return True


def _pushed_model(store: mlmd.MetadataStore, manifest: Manifest) -> metadata_store_pb2.Artifact | None:
    """Returns the first PushedModel of the push that a rollback restored; None if there is none."""
    try:
        found = store.get_artifacts_by_type(_PUSHED_MODEL)
    except mlmd.errors.NotFoundError:  # the artifact type is unknown: this workspace has pushed nothing
        return None
    restored = {"pushed": 1, "version": manifest.restores, "model_id": manifest.model_id}
    of_push = [a for a in found if {key: a.custom_properties[key].int_value for key in restored} == restored]
    return min(of_push, key=lambda a: a.id, default=None)
