"""Writes TF Serving's `models.config` for a workspace: the versions to load, and their labels.

In TF Serving a label does not keep a version loaded: only the version policy decides which versions are loaded, and a
request to a label whose version is not loaded returns NOT_FOUND. The policy `latest` unloads the version labelled
`stable` once enough newer ones are pushed. So a model with labels gets the policy `specific`, with the versions of its
labels and the newest one.

If a file moves a label to a version that TF Serving has not loaded yet, TF Serving rejects the whole file at each
reading, before it loads anything (`ServerCore::UpdateModelVersionLabelMap` in TF Serving 2.19: FAILED_PRECONDITION). So
one file has to load the version, and a later one moves the label.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import text_format

from components import storage
from components.model_store.retention import pin, pins, unpin
from components.model_store.versions import versions
from pipeline.registry.list import serving_root
from pipeline.workspace import Workspace
from transform.errors import InputError

#: Beginning of the reason of each pin that was set for a label; pins that a person set have other reasons and stay.
LABELLED = "TF Serving's labels: "

_HEADER = """\
# Models, the versions that are loaded, and their labels. Written by `wdr models tf-serving`, which changes one model
# and keeps the others, but no other comments; TF Serving reads it again every --model_config_file_poll_wait_seconds.
"""


def read_config(path: str) -> Any:
    """Reads a `ModelServerConfig` from a file; returns an empty one if there is no file.

    Raises:
      InputError: If the file is not a `ModelServerConfig` with a list of models.
    """
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(storage.read_text(path) or "", config)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise InputError(f"the file must be TF Serving's model_config_list. Received: {error} ({path})") from error
    if config.HasField("custom_model_config"):
        raise InputError(f"the file must be TF Serving's model_config_list. Received: a custom_model_config ({path})")
    return config


def write_config(
    workspace: Workspace,
    path: str,
    name: str,
    labels: Mapping[str, int],
    unlabel: Sequence[str] = (),
    load: Sequence[int] = (),
    base_path: str = "/models",
) -> str:
    """Writes the versions and labels of one model; labels that are not named keep their versions.

    Versions with a label are pinned, so that no push removes them, as long as they have one.

    Args:
      workspace: The workspace with the pushed versions.
      path: The file to write; its entries for other models are kept.
      name: The model.
      labels: For each label to set, its version.
      unlabel: Labels to remove.
      load: Versions to load besides the labelled ones and the newest, so that a rollback to them needs no loading.
      base_path: The folder in which TF Serving finds the models; used for a model that the file does not have yet.

    Returns:
      A sentence with the versions that are loaded, and the labels.

    Raises:
      InputError: If a version was never pushed or no longer exists, a label to remove is not in the file, or a label
        would move to a version that the file does not load yet.
    """
    root = serving_root(workspace, name)
    pushed = versions(root)
    if not pushed:
        raise InputError(f"a model needs a pushed version. Received: none ({root})")
    config = read_config(path)
    models = config.model_config_list.config
    model = next((model for model in models if model.name == name), None)
    if model is None:
        model = models.add(name=name, base_path=posixpath.join(base_path, name), model_platform="tensorflow")
    before = dict(model.version_labels)
    after = _moved(before, labels, unlabel, path)
    for label, version in after.items():
        if version not in pushed:
            raise InputError(f"label `{label}` must have one of the versions {pushed}. Received: {version} ({root})")
        if before.get(label, version) != version and version not in _loaded(model, pushed):
            raise InputError(
                "a label moves only to a version that TF Serving has loaded, or it ignores the whole file. Received: "
                f"label `{label}` from {before[label]} to {version}, where the file loads {_loaded(model, pushed)}: "
                f"run this with `--load {version}` and without the label first, and wait until the version is "
                f"AVAILABLE ({path})"
            )
    if missing := sorted(set(load) - set(pushed)):
        raise InputError(f"`--load` must be one of the versions {pushed}. Received: {missing[0]} ({root})")
    _fill(model, after, load, pushed[-1])
    _pin(root, after)
    storage.write_text(path, _HEADER + text_format.MessageToString(config))
    _unpin(root, after)
    kept = ", ".join(f"{label} is {version}" for label, version in sorted(after.items())) or "no labels"
    return f"{name}: versions {_loaded(model, pushed)} are loaded; {kept} ({path})"


def _moved(before: Mapping[str, int], labels: Mapping[str, int], unlabel: Sequence[str], path: str) -> dict[str, int]:
    """Returns the labels after a change; raises InputError if a label to remove does not exist."""
    for label in unlabel:
        if label not in before:
            raise InputError(
                f"`--unlabel` must be one of the file's labels {sorted(before)}. Received: {label} ({path})"
            )
    return {**{label: version for label, version in before.items() if label not in unlabel}, **labels}


def _loaded(model: Any, pushed: Sequence[int]) -> list[int]:
    """Returns the pushed versions that a model's policy loads; TF Serving's default is the newest one."""
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "specific":
        return sorted(set(policy.specific.versions) & set(pushed))
    if kind == "all":
        return list(pushed)
    return list(pushed[-(policy.latest.num_versions or 1) :])


def _fill(model: Any, labels: Mapping[str, int], load: Sequence[int], newest: int) -> None:
    """Writes policy and labels; without labels and without `load`, the policy is the latest version."""
    model.ClearField("version_labels")
    model.ClearField("model_version_policy")
    if labels or load:
        model.model_version_policy.specific.versions.extend(sorted({*labels.values(), *load, newest}))
    else:
        model.model_version_policy.latest.num_versions = 1
    model.version_labels.update(labels)


def _pin(root: str, labels: Mapping[str, int]) -> None:
    """Pins the versions that have a label, except those that a person has pinned."""
    pinned = pins(root)
    for version in sorted(set(labels.values())):
        if pinned.get(version, LABELLED).startswith(LABELLED):
            pin(root, version, LABELLED + ", ".join(sorted(label for label in labels if labels[label] == version)))


def _unpin(root: str, labels: Mapping[str, int]) -> None:
    """Unpins the versions that had a label and have none any more."""
    for version, reason in pins(root).items():
        if reason.startswith(LABELLED) and version not in labels.values():
            unpin(root, version)
