"""Model artifacts of a serving folder's versions: found in ML Metadata, or imported from the folder.

A manifest names its model by the URI of the artifact that was pushed, and has the checksums of its files. If ML
Metadata was lost, or the artifact was removed, the version itself still has the model's files, and its manifest says
what the model was trained on. Such a version is imported: ML Metadata gets a Model artifact for it, so that a run has a
baseline even then.

    serving/app_store/.models/3/   an imported Model artifact of version 3: links to the version's files
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable

import ml_metadata as mlmd
from absl import logging
from ml_metadata.proto import metadata_store_pb2
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components import storage
from components.lineage import producer
from components.model_store.identity import (
    EXTRA_PREFIX,
    has_files,
    is_model_of,
    own_files,
    version_before,
    versions_with,
)
from components.model_store.manifest import Manifest
from components.model_store.versions import damage, history, models_folder, version_path, versions
from transform.files.version_layout import CONFIG_FILE, EXTRA_ASSETS

#: Never changes: workspaces have it on record, as the first release named it.
EXECUTION_TYPE = "components.served_models.Import"

#: Custom properties of an imported Model: its URI in manifests, and the version that it was imported from.
IMPORTED_AS, IMPORTED_FROM = "imported_as", "imported_from_version"

#: The id of the node that trains; a run searches its outputs for models.
TRAINER = "trainer"

#: `transform.preprocessing.CONFIG_KEY`, in the trainer's `custom_config`; that module imports TensorFlow Transform.
_CONFIG_KEY = "config"

#: The name of the trainer's output, by which a run queries all models.
_OUTPUT = "model"


def place_of(model: types.Artifact) -> str:
    """Returns a model's URI in manifests: its own or, for an imported model, that of the model that was pushed."""
    return str(model.get_string_custom_property(IMPORTED_AS) or model.uri)


def known_model(models: Iterable[types.Artifact], manifest: Manifest) -> types.Artifact | None:
    """Returns the last model that is a version's: it has the URI in the version's manifest, and the files pushed.

    Args:
      models: The models in ML Metadata.
      manifest: The version's manifest.
    """
    at_place = [model for model in models if place_of(model) == manifest.model_uri]
    for model in sorted(at_place, key=lambda model: -model.id):
        folder = path_utils.serving_model_path(model.uri)
        if storage.exists(folder) and is_model_of(manifest, place_of(model), folder):
            return model
    return None


def baseline_words(
    root: str, candidate_uri: str, *, is_found: bool, is_imported: bool, features: Collection[str]
) -> str:
    """Returns a text for users: which baseline a candidate model was compared with, and where it was found.

    Args:
      root: The serving folder.
      candidate_uri: The candidate model's URI.
      is_found: Whether there was a baseline.
      is_imported: Whether the baseline was imported because ML Metadata lacked it.
      features: The names of the features that the examples have.
    """
    before = served_before(root, candidate_uri)
    if before is None:
        return "none, as no model served before"
    version, manifest = before
    if not is_found:
        why = why_not_served(root, version) or "it was not imported"
        return (
            f"none: of the model of version {version} ML Metadata has no files, and {why}; "
            "thresholds on changes judge nothing"
        )
    trained = "" if manifest.newest_span is None else f", trained to span {manifest.newest_span}"
    where = ", found by its manifest: ML Metadata had no files of its model" if is_imported else ""
    lacking = ", ".join(_lacking_features(root, version, features))
    not_compared = f"; not compared, as it reads {lacking}, which the examples do not have"
    return f"version {version}{trained}{where}{not_compared if lacking else ''}"


def served_before(root: str, candidate_uri: str) -> tuple[int, Manifest] | None:
    """Returns the version that served before a candidate model, with its manifest; None if none did."""
    return version_before(root, candidate_uri, path_utils.serving_model_path(candidate_uri))


def find_version(root: str, model: types.Artifact) -> int | None:
    """Returns the newest version of a model whose folder exists; None if there is none."""
    existing = versions(root)
    of_model = versions_with(history(root), place_of(model), path_utils.serving_model_path(model.uri))
    return next((v for v in reversed(of_model) if v in existing), None)


def why_not_comparable(root: str, version: int | None, features: Collection[str]) -> str:
    """Returns why a version's scores of examples are not comparable with its scores in serving; empty if they are.

    A feature that the examples lack is a missing value in every row, so the model scores worse than in serving.
    Compared with those scores, a worse candidate model would pass.

    Args:
      root: The serving folder.
      version: The version; None if it is unknown, and the result is then empty.
      features: The names of the features that the examples have.
    """
    lacking = [] if version is None else _lacking_features(root, version, features)
    if not lacking:
        return ""
    return (
        f"version {version} reads {', '.join(lacking)}, which the examples do not have (`renamed_from` keeps a renamed "
        "feature's old name in them, `parts: []` a feature that the new model does without)"
    )


def why_not_measurable(store: mlmd.MetadataStore, model: types.Artifact, features: Collection[str]) -> str:
    """Returns why a trained model's scores of examples do not show its quality, as a sentence; empty if they do.

    It is `why_not_comparable` for a model that may be no version: of the config that it was trained with. Empty too for
    a model whose training ML Metadata does not have.

    Args:
      store: ML Metadata.
      model: The model.
      features: The names of the features that the examples have.
    """
    trained_by = producer(store, model.id)
    if trained_by is None:
        return ""
    (execution,) = store.get_executions_by_id([trained_by])
    custom_config = execution.custom_properties["custom_config"].string_value
    lacking = _find_lacking(json.loads(custom_config)[_CONFIG_KEY], features) if custom_config else []
    return f"the model reads {', '.join(lacking)}, which the examples do not have" if lacking else ""


def _lacking_features(root: str, version: int, features: Collection[str]) -> list[str]:
    """Returns the features that a version's model reads and the examples lack; empty for a version without a config."""
    text = storage.read_text(os.path.join(version_path(root, version), EXTRA_ASSETS, CONFIG_FILE))
    return _find_lacking(text, features) if text else []


def _find_lacking(config_json: str, features: Collection[str]) -> list[str]:
    """Returns the features that a model trained with a config reads and the examples lack."""
    # Not parsed as a Config: a release may drop a key.
    spec = json.loads(config_json).get("spec", {})
    combined = {
        name
        for kind in ("crosses", "count_encodings")
        for combination in spec.get(kind, [])
        for name in combination["features"]
    }
    read = {f["name"] for f in spec.get("features", []) if f.get("parts", True) or f["name"] in combined}
    return sorted(read - set(features))


def why_not_served(root: str, version: int) -> str:
    """Returns why a version cannot be imported, as a sentence; empty if it can."""
    if version not in versions(root):
        return f"its folder is gone ({version_path(root, version)})"
    return damage(root, version)


def import_version(
    store: mlmd.MetadataStore, root: str, version: int, manifest: Manifest, beside: types.Artifact
) -> types.Artifact | None:
    """Adds a Model artifact for a version to ML Metadata.

    Args:
      store: ML Metadata.
      root: The serving folder.
      version: The version, whose manifest must have the model's URI.
      manifest: Its manifest.
      beside: An artifact of the pipeline that the model is added to.

    Returns:
      The artifact. It has the model's own files if they are those that were pushed, else links to the version's files.
      None if neither exist.
    """
    place = manifest.model_uri
    assert place is not None
    if _is_as_pushed(place, manifest):
        uri = place
    elif why := why_not_served(root, version):
        logging.warning("version %d cannot be imported: %s", version, why)
        return None
    else:
        uri = os.path.join(models_folder(root), str(version))
        _restore(version_path(root, version), path_utils.serving_model_path(uri))
    logging.warning("ML Metadata has no files of the model of version %d: it is imported (%s)", version, uri)
    return _put(store, version, place, uri, beside)


def _is_as_pushed(place: str, manifest: Manifest) -> bool:
    """Returns whether a model's own files exist and are those that were pushed."""
    folder, of_model = path_utils.serving_model_path(place), own_files(manifest.sha256 or {})
    return storage.exists(folder) and bool(of_model) and has_files(folder, of_model)


def _restore(version: str, folder: str) -> None:
    """Links or copies a version's files into the layout of a Model artifact."""
    if storage.exists(folder):  # left by a run that was killed here, or by an earlier version with this number
        storage.remove(folder)
    storage.copy_folder(version, folder, link=True, leave_out=lambda name: name.startswith(EXTRA_PREFIX))


def _put(store: mlmd.MetadataStore, version: int, place: str, uri: str, beside: types.Artifact) -> types.Artifact:
    """Records an execution that made a Model artifact from a version."""
    execution = metadata_store_pb2.Execution(last_known_state=metadata_store_pb2.Execution.COMPLETE)
    execution.type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name=EXECUTION_TYPE))
    model = standard_artifacts.Model()
    type_id = store.put_artifact_type(model.artifact_type)
    output = metadata_store_pb2.Artifact(type_id=type_id, uri=uri, state=metadata_store_pb2.Artifact.LIVE)
    output.custom_properties[IMPORTED_AS].string_value = place
    output.custom_properties[IMPORTED_FROM].int_value = version
    event, step = metadata_store_pb2.Event, metadata_store_pb2.Event.Path.Step
    made = event(type=event.OUTPUT, path=event.Path(steps=[step(key=_OUTPUT), step(index=0)]))
    _, (artifact_id,), _ = store.put_execution(execution, [(output, made)], _contexts_of_models(store, beside))
    (stored,) = store.get_artifacts_by_id([artifact_id])
    return artifact_utils.deserialize_artifact(store.get_artifact_types_by_id([type_id])[0], stored)


def _contexts_of_models(store: mlmd.MetadataStore, beside: types.Artifact) -> list[metadata_store_pb2.Context]:
    """Returns the contexts in which a run searches for models: its pipeline's, and its trainer's."""
    (pipeline,) = [context for context in store.get_contexts_by_artifact(beside.id) if context.type == "pipeline"]
    name = f"{pipeline.name}.{TRAINER}"
    trainer = store.get_context_by_type_and_name("node", name)
    if trainer is None:
        type_id = store.put_context_type(metadata_store_pb2.ContextType(name="node"))
        trainer = metadata_store_pb2.Context(type_id=type_id, name=name)
        (trainer.id,) = store.put_contexts([trainer])
    return [pipeline, trainer]
