"""The versioned, atomic push: a watcher of the serving folder never sees a half-copied version."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import tensorflow as tf
from absl import logging
from filelock import FileLock
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils, path_utils

from components.artifacts import Catalog

#: The prefix of a version that is still being copied; TF Serving takes numbers only for versions.
PART_PREFIX = ".part-"

#: Beside the SavedModel's own files, and ignored by TF Serving: the config and the catalog snapshot.
EXTRA_ASSETS = "assets.extra"
CONFIG_FILE = "config.json"
CATALOG_FOLDER = "catalog"

#: In a version's extra assets: what was pushed, from what, with the files' checksums.
MANIFEST_FILE = "manifest.json"


def versions(serving_root: str) -> list[int]:
    """The pushed versions in a serving folder, oldest first."""
    if not tf.io.gfile.isdir(serving_root):
        return []
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(serving_root)]
    return sorted(int(name) for name in names if name.isdecimal())


def read_manifest(version_path: str) -> dict[str, Any]:
    """The manifest of a pushed version; empty if the version was put there by hand, without one."""
    try:
        with tf.io.gfile.GFile(os.path.join(version_path, EXTRA_ASSETS, MANIFEST_FILE), "r") as file:
            manifest: dict[str, Any] = json.load(file)
    except tf.errors.NotFoundError:
        return {}
    return manifest


def push(model_path: str, catalog_uri: str, serving_root: str, config_json: str, lineage: dict[str, Any]) -> int:
    """Copies a SavedModel to the next version of a local serving folder; it appears whole or not at all.

    Args:
      model_path: The SavedModel.
      catalog_uri: The Catalog artifact; its tables go with the model.
      serving_root: The folder of versions.
      config_json: The config the model was made with.
      lineage: What is known of the model's making; `model_uri` in it identifies the model.

    Returns:
      The version: one above the highest, or, where this model is a version already (its push was killed after its
      work was done, or only its gates ran again), that version: an old model never becomes the newest.
    """
    tf.io.gfile.makedirs(serving_root)
    root, name = os.path.split(serving_root.rstrip("/"))
    with FileLock(os.path.join(root, f".{name}.lock")):  # held under any runner; beside the folder, not in it
        return _push(model_path, catalog_uri, serving_root, config_json, lineage)


def _push(model_path: str, catalog_uri: str, serving_root: str, config_json: str, lineage: dict[str, Any]) -> int:
    existing = versions(serving_root)
    for version in reversed(existing):
        if read_manifest(os.path.join(serving_root, str(version))).get("model_uri") == lineage["model_uri"]:
            return version
    for name in tf.io.gfile.listdir(serving_root):
        if name.startswith(PART_PREFIX):  # of a push that was killed
            tf.io.gfile.rmtree(os.path.join(serving_root, name.rstrip("/")))
    version = (existing[-1] if existing else 0) + 1
    part = os.path.join(serving_root, f"{PART_PREFIX}{version}")
    io_utils.copy_dir(model_path, part)
    extra = os.path.join(part, EXTRA_ASSETS)
    tf.io.gfile.makedirs(extra)
    io_utils.copy_dir(catalog_uri, os.path.join(extra, CATALOG_FOLDER))
    _write(os.path.join(extra, CONFIG_FILE), config_json)
    manifest = {"version": version, **lineage, "sha256": checksums(part)}
    _write(os.path.join(extra, MANIFEST_FILE), json.dumps(manifest, indent=2, sort_keys=True))
    for directory, _, names in os.walk(part):
        for path in [directory, *(os.path.join(directory, name) for name in names)]:
            _sync(path)
    os.rename(part, os.path.join(serving_root, str(version)))
    _sync(serving_root)
    return version


def checksums(folder: str) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its path in it; the manifest left out."""
    result = {}
    for directory, _, names in tf.io.gfile.walk(folder):
        for name in names:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, folder)
            if relative == os.path.join(EXTRA_ASSETS, MANIFEST_FILE):
                continue
            digest = hashlib.sha256()
            with tf.io.gfile.GFile(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            result[relative] = digest.hexdigest()
    return result


def _write(path: str, text: str) -> None:
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(text)


def _sync(path: str) -> None:
    """Makes a file's content, or a folder's list of names, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class PushSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of Push."""

    PARAMETERS = {
        "config": ExecutionParameter(type=str),
        "serving_root": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "catalog": ChannelParameter(type=Catalog),
    }
    OUTPUTS = {"pushed_model": ChannelParameter(type=standard_artifacts.PushedModel)}


class PushExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Pushes a model that both blessings allow."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        (pushed_model,) = output_dict["pushed_model"]
        model = artifact_utils.get_single_instance(input_dict["model"])
        blessings = {
            key: artifact_utils.get_single_instance(input_dict[key]).get_int_custom_property("blessed")
            for key in ("model_blessing", "infra_blessing")
        }
        pushed_model.set_int_custom_property("model_id", model.id)
        if not all(blessings.values()):
            refused = [key for key, blessed in blessings.items() if not blessed]
            pushed_model.set_int_custom_property("pushed", 0)
            logging.warning("not pushed: no %s", " and no ".join(refused))
            return
        lineage = {
            "model_uri": model.uri,
            "model_id": model.id,
            "spans": sorted(a.get_int_custom_property("span") for a in input_dict["examples"]),
            "code_fingerprint": exec_properties["code_fingerprint"],
        }
        catalog = artifact_utils.get_single_instance(input_dict["catalog"])
        version = push(
            path_utils.serving_model_path(model.uri),
            catalog.uri,
            exec_properties["serving_root"],
            exec_properties["config"],
            lineage,
        )
        pushed_model.set_int_custom_property("pushed", 1)
        pushed_model.set_int_custom_property("version", version)
        pushed_model.set_string_custom_property(
            "pushed_destination", os.path.join(exec_properties["serving_root"], str(version))
        )


class Push(base_component.BaseComponent):  # type: ignore[misc]
    """Pushes a blessed model as the next version of a serving folder.

    Its output `pushed_model` has the custom properties `pushed` (0 or 1), `model_id`, `version` and
    `pushed_destination`.
    """

    SPEC_CLASS = PushSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PushExecutor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        examples: types.BaseChannel,
        catalog: types.BaseChannel,
        config_json: str,
        serving_root: str,
        code_fingerprint: str,
    ):
        """Declares the component.

        Args:
          model: The trained model.
          model_blessing: The Evaluator's word.
          infra_blessing: The infra validation's word.
          examples: What the model was trained on, for the record.
          catalog: The catalog snapshot that goes with the model.
          config_json: The config, which goes with the model too.
          serving_root: The folder of versions.
          code_fingerprint: Of the product's code; goes into the manifest.
        """
        super().__init__(
            spec=PushSpec(
                config=config_json,
                serving_root=serving_root,
                code_fingerprint=code_fingerprint,
                model=model,
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                examples=examples,
                catalog=catalog,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
