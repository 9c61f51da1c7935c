"""TF Serving's `models.config` for a workspace: which versions are loaded, and which labels they have.

In TF Serving a label keeps no version loaded: the version policy alone says which are, and a label at a version that is
not loaded answers NOT_FOUND. `latest` unloads the version of `stable` once enough newer ones are pushed. So a model
with labels gets `specific` versions: those of its labels and the newest.

TF Serving refuses a whole file, on each reading again, that moves a label to a version that it has not loaded yet
(`ServerCore::UpdateModelVersionLabelMap`, of 2.19: FAILED_PRECONDITION, before it loads anything). So a version comes
with one file and gets an old label with a later one.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import text_format

from components import storage
from components.model_store.pins import pin, pins, unpin
from components.model_store.versions import versions
from pipeline.registry.list import serving_root
from pipeline.workspace import Workspace
from transform.errors import InputError

#: By what a pin's reason begins that a label set; a pin that a person set has another reason and stays.
LABELLED = "TF Serving's labels: "

_HEADER = """\
# Models, the versions that are loaded, and their labels. Written by `wdr models tf-serving`, which changes one model
# and keeps the others, but no other comments; TF Serving reads it again every --model_config_file_poll_wait_seconds.
"""


def read_config(path: str) -> Any:
    """A `ModelServerConfig`: the file's, or an empty one where there is no file.

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
    """Writes what TF Serving is to load of one model; a label that is not named stays where it is.

    Versions with a label are pinned, so that no push removes them, until they have none.

    Args:
      workspace: The workspace with the pushed versions.
      path: The file; what it says of other models stays.
      name: The model.
      labels: By label, the version that is to have it.
      unlabel: Labels that are taken away.
      load: Versions to load beside those with a label and the newest, to go back to without waiting.
      base_path: The folder in which TF Serving finds the models; for a model that the file does not have yet.

    Returns:
      A sentence: which versions are loaded, and which labels they have.

    Raises:
      InputError: If a version was not pushed or is not there any more, a label to take away is not in the file, or a
        label would move to a version that the file does not load yet.
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
    """The labels after a change; raises InputError if one to take away is not there."""
    for label in unlabel:
        if label not in before:
            raise InputError(
                f"`--unlabel` must be one of the file's labels {sorted(before)}. Received: {label} ({path})"
            )
    return {**{label: version for label, version in before.items() if label not in unlabel}, **labels}


def _loaded(model: Any, pushed: Sequence[int]) -> list[int]:
    """The versions that a model's policy loads of those that were pushed; TF Serving's default is the newest."""
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "specific":
        return sorted(set(policy.specific.versions) & set(pushed))
    if kind == "all":
        return list(pushed)
    return list(pushed[-(policy.latest.num_versions or 1) :])


def _fill(model: Any, labels: Mapping[str, int], load: Sequence[int], newest: int) -> None:
    """Writes policy and labels; without either the newest version, whichever it is."""
    model.ClearField("version_labels")
    model.ClearField("model_version_policy")
    if labels or load:
        model.model_version_policy.specific.versions.extend(sorted({*labels.values(), *load, newest}))
    else:
        model.model_version_policy.latest.num_versions = 1
    model.version_labels.update(labels)


def _pin(root: str, labels: Mapping[str, int]) -> None:
    """Pins the versions that have a label, but for those that a person has pinned."""
    pinned = pins(root)
    for version in sorted(set(labels.values())):
        if pinned.get(version, LABELLED).startswith(LABELLED):
            pin(root, version, LABELLED + ", ".join(sorted(label for label in labels if labels[label] == version)))


def _unpin(root: str, labels: Mapping[str, int]) -> None:
    """Takes the pins away of versions that had a label and have none."""
    for version, reason in pins(root).items():
        if reason.startswith(LABELLED) and version not in labels.values():
            unpin(root, version)
