"""The models behind the versions of a serving folder, as ML Metadata knows them, or as the folder alone knows them.

A manifest names its model by the place of the artifact that was pushed, and has the checksums of its files. Where ML
Metadata was lost, or the artifact was removed, the version itself still has the model's files, and its manifest says
what the model was trained on. Such a version is imported: ML Metadata gets a Model artifact for it, so that a run finds
its baseline whatever was lost.

    serving/app_store/.models/3/   the Model artifact of version 3, whose own is gone: links to the version's files
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable

import ml_metadata as mlmd
from absl import logging
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components import execution_types, storage
from components.model_store.identity import has_files, is_model_of, own_files, version_before, versions_with
from components.model_store.versions import (
    CONFIG_FILE,
    EXTRA_ASSETS,
    MODEL_URI,
    SHA256,
    SPANS,
    DamagedVersionError,
    Manifest,
    models_folder,
    verify,
    version_path,
    versions,
)

#: Custom properties of an imported Model: the place by which manifests know it, and the version it was imported from.
IMPORTED_AS, IMPORTED_FROM = "imported_as", "imported_from_version"

#: The id of the node that trains, among whose outputs a run looks for models.
TRAINER = "trainer"

#: What a version has beside the model's own files.
_EXTRA = f"{EXTRA_ASSETS}/"

#: The name of the output, by which a run asks for all models.
_OUTPUT = "model"


def place_of(model: types.Artifact) -> str:
    """The place by which manifests know a model: where it lies, or, of an imported one, where it once lay."""
    return str(model.get_string_custom_property(IMPORTED_AS) or model.uri)


def known_model(models: Iterable[types.Artifact], root: str, version: int, manifest: Manifest) -> types.Artifact | None:
    """The last of some models that is a version's: at the place that its manifest has, with the files that were pushed.

    Args:
      models: Those that ML Metadata knows.
      root: The serving folder.
      version: The version.
      manifest: Its manifest.
    """
    at_place = [model for model in models if place_of(model) == manifest.get(MODEL_URI)]
    for model in sorted(at_place, key=lambda model: -model.id):
        folder = path_utils.serving_model_path(model.uri)
        if storage.exists(folder) and is_model_of(root, version, manifest, place_of(model), folder):
            return model
    return None


def baseline_words(
    root: str, candidate_uri: str, *, is_found: bool, is_imported: bool, features: Collection[str]
) -> str:
    """What a candidate was held against, and where that came from, for a person.

    Args:
      root: The serving folder.
      candidate_uri: The candidate's place.
      is_found: Whether there was a baseline.
      is_imported: Whether it was imported, as ML Metadata did not know it.
      features: The names of the features that the examples have.
    """
    before = version_before(root, candidate_uri, path_utils.serving_model_path(candidate_uri))
    if before is None:
        return "none, as no model served before"
    version, manifest = before
    if not is_found:
        why = why_not_served(root, version) or "it was not imported"
        return (
            f"none: of the model of version {version} ML Metadata has no files, and {why}; "
            "thresholds on changes judge nothing"
        )
    trained = f", trained to span {max(manifest[SPANS])}" if manifest.get(SPANS) else ""
    where = ", found by its manifest: ML Metadata had no files of its model" if is_imported else ""
    lacking = ", ".join(_lacking_features(root, version, features))
    not_compared = f"; not compared, as it reads {lacking}, which the examples do not have"
    return f"version {version}{trained}{where}{not_compared if lacking else ''}"


def version_of(root: str, model: types.Artifact) -> int | None:
    """The newest version whose folder is there of a model; None if there is none."""
    there = versions(root)
    of_model = versions_with(root, place_of(model), path_utils.serving_model_path(model.uri))
    return next((v for v in reversed(of_model) if v in there), None)


def why_not_comparable(root: str, version: int | None, features: Collection[str]) -> str:
    """Why a version's scores of examples say nothing of the scores that it serves: a sentence; empty if they do.

    A model reads a feature that the examples do not have as missing in every row, and scores worse than where it
    serves: held against it, a worse model would pass.

    Args:
      root: The serving folder.
      version: The version; of none, nothing is known.
      features: The names of the features that the examples have.
    """
    lacking = [] if version is None else _lacking_features(root, version, features)
    if not lacking:
        return ""
    return (
        f"version {version} reads {', '.join(lacking)}, which the examples do not have (`renamed_from` keeps a renamed "
        "feature's old name in them, `parts: []` a feature that the new model does without)"
    )


def _lacking_features(root: str, version: int, features: Collection[str]) -> list[str]:
    """The features that a version's model reads and that examples do not have; none of a version without a config."""
    text = storage.read_text(os.path.join(version_path(root, version), EXTRA_ASSETS, CONFIG_FILE))
    spec = json.loads(text).get("spec", {}) if text else {}  # not a Config: later code may read other keys
    combined = {
        name for kind in ("crosses", "counts") for combination in spec.get(kind, []) for name in combination["features"]
    }
    read = {f["name"] for f in spec.get("features", []) if f.get("parts", True) or f["name"] in combined}
    return sorted(read - set(features))


def why_not_served(root: str, version: int) -> str:
    """Why a version cannot be imported: a sentence; empty if it can."""
    if version not in versions(root):
        return f"its folder is gone ({version_path(root, version)})"
    try:
        verify(version_path(root, version))
    except DamagedVersionError as error:
        return str(error)
    return ""


def import_version(
    store: mlmd.MetadataStore, root: str, version: int, manifest: Manifest, beside: types.Artifact
) -> types.Artifact | None:
    """Gives ML Metadata a Model artifact for a version.

    Args:
      store: ML Metadata.
      root: The serving folder.
      version: The version, which has a manifest with the model's place.
      manifest: Its manifest.
      beside: An artifact of the pipeline that is to have the model.

    Returns:
      The artifact: the model's own files where they are those that were pushed, else links to the version's; None if
      neither are there.
    """
    place = manifest[MODEL_URI]
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
    """Whether a model's own files are there, and are those of the version that was pushed."""
    folder, of_model = path_utils.serving_model_path(place), own_files(manifest.get(SHA256) or {})
    return storage.exists(folder) and bool(of_model) and has_files(folder, of_model)


def _restore(version: str, folder: str) -> None:
    """Gives a version's files a second name, or copies them, as a Model artifact has them."""
    if storage.exists(folder):  # of a run that was killed here, or of a version that had this number before
        storage.remove(folder)
    storage.copy_folder(version, folder, link=True, leave_out=lambda name: name.startswith(_EXTRA))


def _put(store: mlmd.MetadataStore, version: int, place: str, uri: str, beside: types.Artifact) -> types.Artifact:
    """Records an execution that made a Model artifact out of a version."""
    execution = metadata_store_pb2.Execution(last_known_state=metadata_store_pb2.Execution.COMPLETE)
    execution.type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name=execution_types.IMPORT))
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
    """The contexts in which a run looks for all models: its pipeline's, and its trainer's."""
    (pipeline,) = [context for context in store.get_contexts_by_artifact(beside.id) if context.type == "pipeline"]
    name = f"{pipeline.name}.{TRAINER}"
    trainer = store.get_context_by_type_and_name("node", name)
    if trainer is None:
        type_id = store.put_context_type(metadata_store_pb2.ContextType(name="node"))
        trainer = metadata_store_pb2.Context(type_id=type_id, name=name)
        (trainer.id,) = store.put_contexts([trainer])
    return [pipeline, trainer]
